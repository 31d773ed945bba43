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
    use super::threshold;
    use crate::data::{Classes, Truth};
    use crate::metrics::Metric;
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
}
