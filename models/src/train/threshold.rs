//! The probability from which the positive class is predicted.

use crate::data::Truth;
use crate::metrics::Metric;
use crate::scorer::Prediction;
use crate::train::Threshold;

/// Thresholds that are tried.
const TRIED: usize = 200;

/// The threshold of the settings, or the best one on held-out rows; of equally good ones the nearest to one half.
pub(crate) fn threshold(wanted: Threshold, truth: &Truth, probabilities: &[f64]) -> f64 {
    match wanted {
        Threshold::Fixed(threshold) => threshold,
        Threshold::Best(metric) => best(truth, probabilities, |codes, prediction| {
            let value = metric.of_classes(codes, &prediction.codes, &prediction.probabilities, 2);
            oriented(metric, value)
        }),
        Threshold::Cheapest {
            false_negative,
            false_positive,
        } => best(truth, probabilities, |codes, prediction| {
            let cost: f64 = codes
                .iter()
                .zip(&prediction.codes)
                .map(|(truly, called)| match (truly, called) {
                    (1, 0) => false_negative,
                    (0, 1) => false_positive,
                    _ => 0.0,
                })
                .sum();
            -cost
        }),
    }
}

/// The classes that rows are called from a threshold on; nothing of what are no classes.
pub(crate) fn called(truth: &Truth, probabilities: &[f64], threshold: f64) -> Vec<u32> {
    match truth {
        Truth::Classes { classes, .. } => {
            Prediction::new(classes.clone(), probabilities.to_vec(), threshold).codes
        }
        _ => Vec::new(),
    }
}

/// The classes that rows are called by thresholds that did not see them: a threshold that was found on the very rows that
/// it is measured on looks better than it is. That of a fold's rows is found on the rows of the others, of a single fold
/// on every other row.
pub(crate) fn honestly_called(
    wanted: Threshold,
    truth: &Truth,
    probabilities: &[f64],
    folds: &[u32],
) -> Vec<u32> {
    let Truth::Classes { classes, .. } = truth else {
        return Vec::new();
    };
    let all = called(
        truth,
        probabilities,
        threshold(wanted, truth, probabilities),
    );
    if classes.len() != 2 || matches!(wanted, Threshold::Fixed(_)) {
        return all;
    }
    let last = folds.iter().max().copied().unwrap_or(0);
    let parts: Vec<u32> = if last == 0 {
        (0u32..).take(folds.len()).map(|row| row % 2).collect()
    } else {
        folds.to_vec()
    };
    let mut honest = all;
    for part in 0..=last.max(1) {
        let others = (0u32..).zip(&parts).filter(|(_, other)| **other != part);
        let others: Vec<u32> = others.map(|(row, _)| row).collect();
        let seen: Vec<f64> = others
            .iter()
            .flat_map(|row| [0, 1].map(|class| probabilities[*row as usize * 2 + class]))
            .collect();
        let threshold = threshold(wanted, &truth.take(&others), &seen);
        let rows = honest.iter_mut().zip(&parts).enumerate();
        for (row, (code, _)) in rows.filter(|(_, (_, other))| **other == part) {
            *code = u32::from(probabilities[row * 2 + 1] >= threshold);
        }
    }
    honest
}

/// A metric's value, turned so that more is better; what is not defined is the worst.
pub(crate) fn oriented(metric: Metric, value: f64) -> f64 {
    if value.is_nan() {
        f64::NEG_INFINITY
    } else if metric.higher_is_better() {
        value
    } else {
        -value
    }
}

fn best(truth: &Truth, probabilities: &[f64], value: impl Fn(&[u32], &Prediction) -> f64) -> f64 {
    let Truth::Classes { classes, codes } = truth else {
        return 0.5;
    };
    if classes.len() != 2 {
        return 0.5;
    }
    let mut scores: Vec<f64> = probabilities.iter().skip(1).step_by(2).copied().collect();
    scores.sort_unstable_by(f64::total_cmp);
    scores.dedup();
    let step = scores.len().div_ceil(TRIED).max(1);
    let mut tried: Vec<f64> = scores.into_iter().step_by(step).chain([0.5]).collect();
    tried.sort_unstable_by(|a, b| (a - 0.5).abs().total_cmp(&(b - 0.5).abs()));
    let value = |threshold: f64| {
        let prediction = Prediction::new(classes.clone(), probabilities.to_vec(), threshold);
        value(codes, &prediction)
    };
    let mut best = (0.5, value(0.5));
    for threshold in tried {
        let value = value(threshold);
        if value > best.1 {
            best = (threshold, value);
        }
    }
    // Six digits survive every writing and reading of the number.
    (best.0 * 1e6).floor() / 1e6
}

#[cfg(test)]
mod tests {
    use super::{called, honestly_called, threshold};
    use crate::data::{Classes, Truth};
    use crate::metrics::Metric;
    use crate::random::Random;
    use crate::train::Threshold;

    #[test]
    fn the_best_threshold_separates() {
        let truth = Truth::Classes {
            classes: Classes::Boolean(vec![false, true]),
            codes: vec![0, 0, 0, 1, 1],
        };
        let probabilities: Vec<f64> = [0.05, 0.1, 0.2, 0.3, 0.4]
            .iter()
            .flat_map(|p| [1.0 - p, *p])
            .collect();
        let costs = |false_negative, false_positive| Threshold::Cheapest {
            false_negative,
            false_positive,
        };
        for wanted in [Threshold::Best(Metric::F1), costs(5.0, 1.0)] {
            let found = threshold(wanted, &truth, &probabilities);
            assert!((found - 0.3).abs() < 1e-12, "{wanted:?}");
        }
        let given = threshold(Threshold::Fixed(0.7), &truth, &probabilities);
        assert!((given - 0.7).abs() < 1e-12);
    }

    #[test]
    fn a_dear_miss_lowers_the_threshold() {
        let truth = Truth::Classes {
            classes: Classes::Boolean(vec![false, true]),
            codes: vec![0, 1, 0, 1],
        };
        let probabilities: Vec<f64> = [0.1, 0.2, 0.3, 0.6]
            .iter()
            .flat_map(|p| [1.0 - p, *p])
            .collect();
        let cheapest = |false_negative, false_positive| {
            let wanted = Threshold::Cheapest {
                false_negative,
                false_positive,
            };
            threshold(wanted, &truth, &probabilities)
        };
        assert!((cheapest(500.0, 5.0) - 0.2).abs() < 1e-12);
        assert!(cheapest(5.0, 500.0) > 0.3);
    }

    /// In noise there is nothing to find: on the rows that it was found on a threshold still seems to gain.
    #[test]
    fn what_a_threshold_gains_is_measured_on_rows_that_it_has_not_seen() {
        const ROWS: usize = 300;
        let wanted = Threshold::Best(Metric::BalancedAccuracy);
        for folds in [1, 5] {
            let (mut naive, mut honest) = (0.0, 0.0);
            let draws = 60;
            for draw in 0..draws {
                let mut random = Random::new(draw, 3);
                let codes: Vec<u32> = (0..ROWS).map(|_| random.below(2) as u32).collect();
                let truth = Truth::Classes {
                    classes: Classes::Boolean(vec![false, true]),
                    codes: codes.clone(),
                };
                let shares: Vec<f64> = (0..ROWS).map(|_| random.share()).collect();
                let values: Vec<f64> = shares.iter().flat_map(|p| [1.0 - p, *p]).collect();
                let parts: Vec<u32> = (0..ROWS).map(|row| row as u32 % folds).collect();
                let found = threshold(wanted, &truth, &values);
                let score = |called: &[u32]| {
                    Metric::BalancedAccuracy.of_classes(&codes, called, &values, 2) / draws as f64
                };
                naive += score(&called(&truth, &values, found));
                honest += score(&honestly_called(wanted, &truth, &values, &parts));
            }
            assert!(naive > 0.53, "{folds} folds: {naive}");
            assert!((honest - 0.5).abs() < 0.01, "{folds} folds: {honest}");
        }
    }
}
