//! The statistical tests and distances, as Evidently 0.7 calculates them.

use statrs::distribution::{ChiSquared, ContinuousCDF};
use statrs::function::erf::erfc;

use crate::drift::bins::{Shares, filled};
use crate::drift::kolmogorov::two_sample_p;

/// The smallest standard deviation by which a Wasserstein distance is normed.
const LEAST_DEVIATION: f64 = 0.001;

/// The Wasserstein distance of sorted samples over the reference's population standard deviation.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub(crate) fn wasserstein(reference: &[f64], current: &[f64]) -> f64 {
    let (rows, other_rows) = (reference.len() as f64, current.len() as f64);
    let (mut below, mut other_below, mut distance) = (0, 0, 0.0);
    let mut before = f64::NAN;
    while below < reference.len() || other_below < current.len() {
        // The next value of either sample.
        let one = reference.get(below).copied().unwrap_or(f64::INFINITY);
        let other = current.get(other_below).copied().unwrap_or(f64::INFINITY);
        let value = one.min(other);
        if value > before {
            let gap = below as f64 / rows - other_below as f64 / other_rows;
            distance += gap.abs() * (value - before);
        }
        before = value;
        if one <= other {
            below += 1;
        } else {
            other_below += 1;
        }
    }
    let mean = reference.iter().sum::<f64>() / rows;
    let squares: f64 = reference
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    distance / (squares / rows).sqrt().max(LEAST_DEVIATION)
}

/// The p-value of the two-sample Kolmogorov–Smirnov test of sorted samples.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub(crate) fn kolmogorov_smirnov(one: &[f64], other: &[f64]) -> f64 {
    let (mut a, mut b, mut largest) = (0, 0, 0.0f64);
    while a < one.len() && b < other.len() {
        let value = one[a].min(other[b]);
        while a < one.len() && one[a] <= value {
            a += 1;
        }
        while b < other.len() && other[b] <= value {
            b += 1;
        }
        let gap = a as f64 / one.len() as f64 - b as f64 / other.len() as f64;
        largest = largest.max(gap.abs());
    }
    two_sample_p(largest, one.len(), other.len())
}

/// The p-value of Pearson's chi-square test of the current counts against the reference's shares; a level that the
/// reference lacks makes it 0.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub(crate) fn chi_square(counts: &[(usize, usize)]) -> f64 {
    let (rows, other_rows) = sums(counts);
    let ratio = other_rows / rows;
    let mut statistic = 0.0;
    for (expected, observed) in counts {
        if *expected == 0 {
            return 0.0;
        }
        let expected = *expected as f64 * ratio;
        statistic += (*observed as f64 - expected) * (*observed as f64 - expected) / expected;
    }
    let freedom = counts.len() as f64 - 1.0;
    ChiSquared::new(freedom).map_or(1.0, |distribution| distribution.sf(statistic))
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn sums(counts: &[(usize, usize)]) -> (f64, f64) {
    let sum = |pick: fn(&(usize, usize)) -> usize| counts.iter().map(pick).sum::<usize>() as f64;
    (sum(|count| count.0), sum(|count| count.1))
}

/// The two-sided p-value of the test of two proportions: of the values that are not the smallest one. Counts come in
/// the order of the values.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub(crate) fn proportions(counts: &[(usize, usize)]) -> f64 {
    let Some((smallest, other_smallest)) = counts.first() else {
        return 1.0;
    };
    let (rows, other_rows) = sums(counts);
    let hits = rows - *smallest as f64;
    let other_hits = other_rows - *other_smallest as f64;
    let pooled = (hits + other_hits) / (rows + other_rows);
    let spread = (pooled * (1.0 - pooled) * (1.0 / rows + 1.0 / other_rows)).sqrt();
    if spread == 0.0 {
        return 1.0;
    }
    let gap = hits / rows - other_hits / other_rows;
    erfc((gap / spread).abs() / std::f64::consts::SQRT_2)
}

/// The Jensen–Shannon distance: the root of the divergence, by natural logarithms.
pub(crate) fn jensen_shannon(shares: &Shares) -> f64 {
    let part = |one: f64, middle: f64| {
        if one > 0.0 {
            one * (one / middle).ln()
        } else {
            0.0
        }
    };
    let divergence: f64 = shares
        .reference
        .iter()
        .zip(&shares.current)
        .map(|(p, q)| {
            let middle = f64::midpoint(*p, *q);
            part(*p, middle) + part(*q, middle)
        })
        .sum();
    (divergence / 2.0).max(0.0).sqrt()
}

/// The population stability index.
pub(crate) fn stability_index(shares: &Shares) -> f64 {
    let (reference, current) = (filled(&shares.reference), filled(&shares.current));
    reference
        .iter()
        .zip(&current)
        .map(|(p, q)| (p - q) * (p / q).ln())
        .sum()
}

/// The Kullback–Leibler divergence of the reference from the current rows.
pub(crate) fn kullback_leibler(shares: &Shares) -> f64 {
    let (reference, current) = (filled(&shares.reference), filled(&shares.current));
    let total = |values: &[f64]| values.iter().sum::<f64>();
    let (whole, other_whole) = (total(&reference), total(&current));
    reference
        .iter()
        .zip(&current)
        .map(|(p, q)| p / whole * ((p / whole) / (q / other_whole)).ln())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::bins::counts;
    use crate::drift::sample::Sample;
    use crate::drift::sort::sorted;

    fn numbers(values: Vec<f64>) -> Sample {
        Sample::Numbers(sorted(values))
    }

    fn uniform(rows: u64, factor: u64) -> Vec<f64> {
        (0..rows)
            .map(|row| (row * factor % 10007) as f64 / 10007.0)
            .collect()
    }

    fn map(values: Vec<f64>, function: impl Fn(f64) -> f64) -> Vec<f64> {
        values.into_iter().map(function).collect()
    }

    fn close(own: f64, evidently: f64) {
        let tolerance = 1e-9 * evidently.abs().max(1e-3);
        assert!(
            (own - evidently).abs() <= tolerance,
            "{own} against {evidently}"
        );
    }

    /// Evidently 0.7.23's own scores of samples made by arithmetic: Wasserstein, KS, Jensen–Shannon, PSI, KL.
    #[test]
    fn numbers_score_as_in_evidently() {
        let (small, large) = (uniform(500, 7919), uniform(3000, 7919));
        let (next, other) = (uniform(700, 104_729), uniform(2000, 104_729));
        let cases = [
            (
                small.clone(),
                map(next.clone(), |u| u * 1.05),
                [
                    0.07744713467094408,
                    0.47395934310590565,
                    0.06968342162103681,
                    0.039747074712936245,
                    0.017533264808216018,
                ],
            ),
            (
                small,
                map(next, |u| u + 0.15),
                [
                    0.5093812181127854,
                    2.1840098211596946e-06,
                    0.27683441662428254,
                    1.4027935583811924,
                    0.6882930279693783,
                ],
            ),
            (
                map(large.clone(), |u| u * u),
                map(other.clone(), |u| u.powf(1.8)),
                [
                    0.07581809239602484,
                    0.047902024269711865,
                    0.031189280543357296,
                    0.007787127356918598,
                    0.003929245759799709,
                ],
            ),
            (
                large,
                map(other, |u| u + 3.0),
                [
                    10.388054754086195,
                    0.0,
                    0.8325546111576978,
                    15.711986820043709,
                    7.847038146421144,
                ],
            ),
        ];
        for (reference, current, expected) in cases {
            let (one, other) = (sorted(reference.clone()), sorted(current.clone()));
            let shares = Shares::of(&numbers(reference), &numbers(current));
            close(wasserstein(&one, &other), expected[0]);
            close(kolmogorov_smirnov(&one, &other), expected[1]);
            close(jensen_shannon(&shares), expected[2]);
            close(stability_index(&shares), expected[3]);
            close(kullback_leibler(&shares), expected[4]);
        }
    }

    /// The same of categories: chi-square, Z (of two levels), Jensen–Shannon, PSI, KL.
    #[test]
    fn categories_score_as_in_evidently() {
        let levels = |rows, factor, levels: f64, power: f64| {
            let values = uniform(rows, factor);
            numbers(map(values, |u| (u.powf(power) * levels).floor()))
        };
        let cases = [
            (
                levels(800, 7919, 4.0, 1.0),
                levels(900, 104_729, 4.0, 1.2),
                [
                    2.5724875592915904e-05,
                    f64::NAN,
                    0.05592490183550268,
                    0.025066873406010617,
                    0.012310692204307222,
                ],
            ),
            (
                levels(800, 7919, 2.0, 1.0),
                levels(900, 104_729, 2.0, 1.15),
                [
                    0.005110260660855866,
                    0.05446331439611107,
                    0.03304037223474009,
                    0.008736538630780168,
                    0.004374637316130588,
                ],
            ),
            (
                levels(3000, 7919, 5.0, 1.0),
                levels(2000, 104_729, 5.0, 1.4),
                [
                    3.6377059918519137e-40,
                    f64::NAN,
                    0.10225341769477447,
                    0.08421411353305365,
                    0.04067185755148316,
                ],
            ),
            (
                levels(3000, 7919, 5.0, 1.0),
                levels(2000, 104_729, 6.0, 1.0),
                [
                    0.0,
                    f64::NAN,
                    0.2463783127132751,
                    1.2470305711173633,
                    0.17886776057521003,
                ],
            ),
        ];
        for (reference, current, expected) in cases {
            let counts = counts(&reference, &current);
            let shares = Shares::of(&reference, &current);
            let chi = chi_square(&counts);
            assert!(
                (chi - expected[0]).abs() <= 1e-9 * expected[0].max(1e-3),
                "{chi} {}",
                expected[0]
            );
            if !expected[1].is_nan() {
                close(proportions(&counts), expected[1]);
            }
            close(jensen_shannon(&shares), expected[2]);
            close(stability_index(&shares), expected[3]);
            close(kullback_leibler(&shares), expected[4]);
        }
    }
}
