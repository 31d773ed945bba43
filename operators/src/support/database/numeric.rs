//! Postgres' binary form of `numeric`: groups of four decimal digits with a weight and a scale.
//!
//! The form is that of `numeric_send` and `numeric_recv` in PostgreSQL's `src/backend/utils/adt/numeric.c`.

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;

/// Writes a whole number with a point before its last `scale` digits.
pub(super) fn encode(digits: i128, scale: u16, out: &mut Vec<u8>) {
    // Behind the point there are full groups of four digits; with more than these the number could grow too great.
    const SCALE: u16 = 35;
    if scale > SCALE {
        return encode_text(&text(digits, usize::from(scale)), out);
    }
    let point = 10_u128.pow(u32::from(scale));
    let number = digits.unsigned_abs();
    let (mut whole, fraction) = (number / point, number % point);
    let behind = scale.div_ceil(4);
    let mut fraction = fraction * 10_u128.pow(u32::from(behind * 4 - scale));
    // The last group first: 20 of them have more digits than 128 bits.
    let mut groups = [0_u16; 20];
    let mut count = 0;
    for _ in 0..behind {
        groups[count] = last_group(&mut fraction);
        count += 1;
    }
    while whole > 0 {
        groups[count] = last_group(&mut whole);
        count += 1;
    }
    let weight = i16::try_from(count).unwrap_or(0) - behind.cast_signed() - 1;
    let first = groups.iter().take_while(|group| **group == 0).count();
    let mut groups = groups.get(first.min(count)..count).unwrap_or_default();
    let mut weight = weight;
    while let Some((0, rest)) = groups.split_last() {
        groups = rest;
        weight -= 1;
    }
    let sign = if digits < 0 { NEGATIVE } else { POSITIVE };
    let weight = if groups.is_empty() { 0 } else { weight };
    let length = u16::try_from(groups.len()).unwrap_or(0);
    for field in [length, weight.cast_unsigned(), sign, scale] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    for group in groups.iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

fn last_group(number: &mut u128) -> u16 {
    let group = *number % 10_000;
    *number /= 10_000;
    u16::try_from(group).unwrap_or(0)
}

/// Writes a decimal number, given as text without an exponent.
pub(super) fn encode_text(text: &str, out: &mut Vec<u8>) {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (POSITIVE, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let scale = u16::try_from(fraction.len()).unwrap_or(u16::MAX);
    let padded = format!(
        "{}{whole}{fraction}{}",
        zeros(whole.len()),
        zeros(fraction.len())
    );
    let mut groups: Vec<u16> = padded.as_bytes().chunks(4).map(group).collect();
    let mut weight = i16::try_from(whole.len().div_ceil(4)).unwrap_or(i16::MAX) - 1;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight -= i16::try_from(leading).unwrap_or(i16::MAX);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if groups.is_empty() { POSITIVE } else { sign };
    for field in [
        u16::try_from(groups.len()).unwrap_or(u16::MAX),
        weight.cast_unsigned(),
        sign,
        scale,
    ] {
        out.extend(field.to_be_bytes());
    }
    for group in groups {
        out.extend(group.to_be_bytes());
    }
}

/// The zeros that are missing to full groups of four.
fn zeros(length: usize) -> &'static str {
    "000".get(..(4 - length % 4) % 4).unwrap_or_default()
}

fn group(digits: &[u8]) -> u16 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + u16::from(digit - b'0'))
}

/// A decimal number: its digits as a whole number, and how many of them stand behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// The number without its point.
    pub(super) digits: i128,
    /// The digits behind the point.
    pub(super) scale: u16,
}

/// Reads a number; `None` when it is not finite or has more than 38 digits.
pub(super) fn decode(bytes: &[u8]) -> Option<Decimal> {
    let field = |index: usize| {
        let pair = bytes.get(index * 2..index * 2 + 2)?;
        Some(u16::from_be_bytes([*pair.first()?, *pair.last()?]))
    };
    let (count, weight, sign, scale) = (field(0)?, field(1)?.cast_signed(), field(2)?, field(3)?);
    if sign != POSITIVE && sign != NEGATIVE {
        return None;
    }
    let mut digits: i128 = 0;
    for index in 0..count {
        let group = i128::from(field(4 + usize::from(index))?);
        // The group's last digit stands for 10^exponent, counted from the last digit of the scale.
        let exponent = 4 * (i32::from(weight) - i32::from(index)) + i32::from(scale);
        let part = match u32::try_from(exponent) {
            Ok(exponent) => group.checked_mul(10_i128.checked_pow(exponent)?)?,
            Err(_) => group / 10_i128.checked_pow(exponent.unsigned_abs())?,
        };
        digits = digits.checked_add(part)?;
    }
    (digits < 10_i128.pow(38)).then_some(Decimal {
        digits: if sign == NEGATIVE { -digits } else { digits },
        scale,
    })
}

/// A whole number with a point before its last `scale` digits, as text.
pub(super) fn text(digits: i128, scale: usize) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let plain = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = plain.split_at(plain.len() - scale);
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        for number in [
            "0",
            "1",
            "-1",
            "10",
            "9999",
            "10000",
            "123456789",
            "1.5",
            "-0.05",
            "0.0001",
            "0.00001",
            "1234.5678",
            "100000000",
            "0.10",
            "-99999999999999999999.999999",
            "1.2300",
            "0.00",
            "99999999999999999999999999999999999999",
            "0.99999999999999999999999999999999999999",
            "-99999999999999999999999999999999999.999",
            "123.00000000000000000000000000000000001",
        ] {
            let mut bytes = Vec::new();
            encode_text(number, &mut bytes);
            let decimal = decode(&bytes).unwrap();
            let mut again = Vec::new();
            encode(decimal.digits, decimal.scale, &mut again);
            assert_eq!(again, bytes, "{number}");
            assert_eq!(
                text(decimal.digits, usize::from(decimal.scale)),
                number,
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn the_form_is_that_of_postgres() {
        let mut bytes = Vec::new();
        encode_text("12345.67", &mut bytes);
        assert_eq!(
            bytes,
            [0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 0x09, 0x29, 0x1a, 0x2c]
        );
    }

    #[test]
    fn what_is_no_decimal_is_none() {
        assert_eq!(decode(&[0, 0, 0, 0, 0xC0, 0, 0, 0]), None);
        assert_eq!(decode(&[0, 1]), None);
        assert_eq!(decode(&[0, 1, 0, 20, 0, 0, 0, 0, 0, 1]), None);
    }
}
