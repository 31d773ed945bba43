//! p-values of the Kolmogorov–Smirnov tests, exact where scipy's are.

use statrs::function::gamma::ln_gamma;

/// Both samples up to this size: the exact distribution, as scipy's `method="auto"` decides.
const EXACT: usize = 10_000;
/// From this many rows the limiting distribution, corrected, is used for one sample.
const LIMITING: f64 = 5_000.0;

/// The two-sided p-value of the largest gap between two empirical distributions.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub(crate) fn two_sample_p(gap: f64, rows: usize, other_rows: usize) -> f64 {
    if rows.max(other_rows) <= EXACT {
        return exact(gap, rows, other_rows);
    }
    let (rows, other_rows) = (rows as f64, other_rows as f64);
    one_sample_sf(
        gap,
        (rows * other_rows / (rows + other_rows)).round_ties_even(),
    )
}

/// The share of the lattice paths from (0, 0) to (rows, other) that leave the band around the diagonal.
///
/// Hodges (1957). Every value is the share of the paths to a point that have already left: 1 outside the band, inside
/// the mean of its two predecessors, weighted by how many paths come from them. All terms are positive, so small
/// p-values keep their digits.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 10,000 rows"
)]
fn exact(gap: f64, rows: usize, other_rows: usize) -> f64 {
    let limit = (gap * rows as f64 * other_rows as f64).round() as u64;
    if limit == 0 {
        return 1.0;
    }
    let outside = |row: usize, other: usize| {
        ((row * other_rows) as u64).abs_diff((other * rows) as u64) >= limit
    };
    let mut left = vec![0.0f64; other_rows + 1];
    for row in 0..=rows {
        for other in 0..=other_rows {
            left[other] = if outside(row, other) {
                1.0
            } else {
                let above = left[other] * row as f64;
                let before = if other > 0 {
                    left[other - 1] * other as f64
                } else {
                    0.0
                };
                if row + other == 0 {
                    0.0
                } else {
                    (above + before) / (row + other) as f64
                }
            };
        }
    }
    left[other_rows].min(1.0)
}

/// P(D ≥ gap) of one sample of `rows`, two-sided: scipy's `kstwo.sf`.
pub(crate) fn one_sample_sf(gap: f64, rows: f64) -> f64 {
    if gap <= 0.0 {
        return 1.0;
    }
    if gap >= 1.0 {
        return 0.0;
    }
    // Twice the one-sided tail is then right to eleven digits.
    if rows * gap * gap >= 4.0 {
        return (2.0 * smirnov(gap, rows)).min(1.0);
    }
    if rows > LIMITING {
        return limiting(gap, rows);
    }
    1.0 - marsaglia(gap, rows)
}

/// The one-sided tail: Birnbaum, Tingey (1951).
fn smirnov(gap: f64, rows: f64) -> f64 {
    let mut sum = 0.0;
    let mut count = 0.0;
    while count <= (rows * (1.0 - gap)).floor() {
        let (above, below) = (gap + count / rows, 1.0 - gap - count / rows);
        let ways = ln_gamma(rows + 1.0) - ln_gamma(count + 1.0) - ln_gamma(rows - count + 1.0);
        let rest = rows - count;
        let tail = if rest == 0.0 {
            0.0
        } else {
            rest * below.max(0.0).ln()
        };
        sum += (ways + (count - 1.0) * above.ln() + tail).exp();
        count += 1.0;
    }
    gap * sum
}

/// Kolmogorov's limit at a corrected place: Vrbik (2018).
fn limiting(gap: f64, rows: f64) -> f64 {
    let root = rows.sqrt();
    let place = root * gap + 1.0 / (6.0 * root) + (root * gap - 1.0) / (4.0 * rows);
    let mut sum = 0.0;
    let mut sign = 1.0;
    for term in 1..=100 {
        let factor = f64::from(term);
        sum += sign * (-2.0 * factor * factor * place * place).exp();
        sign = -sign;
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

/// P(D < gap): Marsaglia, Tsang, Wang: Evaluating Kolmogorov's distribution (2003).
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the matrix is small: rows · gap² is below 4"
)]
fn marsaglia(gap: f64, rows: f64) -> f64 {
    let half = (rows * gap).floor() as usize + 1;
    let size = 2 * half - 1;
    let offset = half as f64 - rows * gap;
    let mut matrix = Scaled {
        values: start(size, offset),
        exponent: 0,
    };
    let mut power = Scaled::identity(size);
    let mut left = rows as u64;
    while left > 0 {
        if left & 1 == 1 {
            power = power.times(&matrix, size);
        }
        matrix = matrix.times(&matrix, size);
        left >>= 1;
    }
    let mut share = power.values[(half - 1) * size + half - 1];
    let mut exponent = power.exponent;
    for count in 1..=rows as u64 {
        share *= count as f64 / rows;
        if share < 1e-140 {
            share *= 1e140;
            exponent -= 140;
        }
    }
    share * 10f64.powi(exponent)
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a small matrix"
)]
fn start(size: usize, offset: f64) -> Vec<f64> {
    let mut matrix = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..size.min(row + 2) {
            matrix[row * size + column] = 1.0;
        }
    }
    for place in 0..size {
        matrix[place * size] -= offset.powi(place as i32 + 1);
        matrix[(size - 1) * size + place] -= offset.powi((size - place) as i32);
    }
    if 2.0 * offset > 1.0 {
        matrix[(size - 1) * size] += (2.0 * offset - 1.0).powi(size as i32);
    }
    for row in 0..size {
        let mut factorial = 1.0;
        for column in (0..=row).rev() {
            factorial *= (row - column + 1) as f64;
            matrix[row * size + column] /= factorial;
        }
    }
    matrix
}

/// A matrix times a power of ten.
struct Scaled {
    values: Vec<f64>,
    exponent: i32,
}

impl Scaled {
    fn identity(size: usize) -> Self {
        let mut values = vec![0.0; size * size];
        for place in 0..size {
            values[place * size + place] = 1.0;
        }
        Self {
            values,
            exponent: 0,
        }
    }

    fn times(&self, other: &Self, size: usize) -> Self {
        let mut values = vec![0.0; size * size];
        for (line, answer) in self
            .values
            .chunks_exact(size)
            .zip(values.chunks_exact_mut(size))
        {
            for (factor, row) in line.iter().zip(other.values.chunks_exact(size)) {
                for (answer, value) in answer.iter_mut().zip(row) {
                    *answer += factor * value;
                }
            }
        }
        let mut exponent = self.exponent + other.exponent;
        if values[(size / 2) * size + size / 2] > 1e140 {
            values.iter_mut().for_each(|value| *value *= 1e-140);
            exponent += 140;
        }
        Self { values, exponent }
    }
}

#[cfg(test)]
mod tests {
    use super::{exact, one_sample_sf};

    /// `scipy.stats.kstwo.sf`, which is itself an approximation (Pelz, Good) where rows · gap² is small.
    #[test]
    fn one_sample_tails_are_scipys() {
        let cases = [
            (0.05, 292.0, 0.4443233285251491, 2e-6),
            (0.1, 292.0, 0.005395005160294376, 1e-7),
            (0.2, 292.0, 1.0304830104003234e-10, 1e-9),
            (0.01, 5000.0, 0.6954557253913853, 2e-6),
            (0.03, 5000.0, 0.00024159234422666817, 1e-9),
            (0.5, 12.0, 0.002680251656056024, 1e-9),
            (0.02, 20000.0, 2.2181270070049744e-07, 1e-9),
            (0.0075, 20000.0, 0.2095045660852728, 1e-4),
        ];
        for (gap, rows, scipy, tolerance) in cases {
            let own = one_sample_sf(gap, rows);
            assert!(
                (own - scipy).abs() <= tolerance * scipy,
                "{gap} {rows}: {own} {scipy}"
            );
        }
    }

    /// scipy's exact two-sample p-values.
    #[test]
    fn two_sample_tails_are_scipys() {
        let cases = [
            (500, 700, 0.05, 0.44450346766712795),
            (500, 700, 0.15, 3.4555550342378788e-06),
            (500, 700, 0.4, 3.239680177320799e-42),
            (30, 47, 0.04964539007092199, 0.9999999671234329),
            (30, 47, 0.150354609929078, 0.7310810573039835),
            (30, 47, 0.4, 0.003595657684653833),
            (3000, 2000, 0.05, 0.004836257555649373),
            (1000, 9999, 0.15, 2.5572054414250858e-18),
        ];
        for (rows, other, gap, scipy) in cases {
            let own = exact(gap, rows, other);
            assert!(
                (own - scipy).abs() <= 1e-9 * scipy,
                "{rows} {other} {gap}: {own} {scipy}"
            );
        }
    }
}
