//! The probability from which the positive class is predicted.

use crate::data::Classes;
use crate::metrics::Metric;
use crate::scorer::Prediction;
use crate::train::Threshold;

/// Thresholds that are tried.
const TRIED: usize = 200;

/// The threshold of the settings, or the best one on held-out rows; of equally good ones the nearest to one half.
pub(crate) fn threshold(
    wanted: Threshold,
    codes: &[u32],
    classes: &Classes,
    probabilities: &[f64],
) -> f64 {
    match wanted {
        Threshold::Fixed(threshold) => threshold,
        Threshold::Best(_) if classes.len() != 2 => 0.5,
        Threshold::Best(metric) => best(metric, codes, classes, probabilities),
    }
}

fn best(metric: Metric, codes: &[u32], classes: &Classes, probabilities: &[f64]) -> f64 {
    let mut scores: Vec<f64> = probabilities.iter().skip(1).step_by(2).copied().collect();
    scores.sort_unstable_by(f64::total_cmp);
    scores.dedup();
    let step = scores.len().div_ceil(TRIED).max(1);
    let mut tried: Vec<f64> = scores.into_iter().step_by(step).chain([0.5]).collect();
    tried.sort_unstable_by(|a, b| (a - 0.5).abs().total_cmp(&(b - 0.5).abs()));
    let value = |threshold: f64| {
        let prediction = Prediction::new(classes.clone(), probabilities.to_vec(), threshold);
        metric.of(codes, &prediction.codes, &prediction.probabilities, 2)
    };
    let mut best = (0.5, value(0.5));
    for threshold in tried {
        let value = value(threshold);
        if metric.better(value, best.1) {
            best = (threshold, value);
        }
    }
    // Six digits survive every writing and reading of the number.
    (best.0 * 1e6).floor() / 1e6
}

#[cfg(test)]
mod tests {
    use super::threshold;
    use crate::data::Classes;
    use crate::metrics::Metric;
    use crate::train::Threshold;

    #[test]
    fn the_best_threshold_separates() {
        let codes = [0, 0, 0, 1, 1];
        let classes = Classes::Boolean(vec![false, true]);
        let probabilities: Vec<f64> = [0.05, 0.1, 0.2, 0.3, 0.4]
            .iter()
            .flat_map(|p| [1.0 - p, *p])
            .collect();
        let found = threshold(
            Threshold::Best(Metric::F1),
            &codes,
            &classes,
            &probabilities,
        );
        assert!((found - 0.3).abs() < 1e-12);
        let given = threshold(Threshold::Fixed(0.7), &codes, &classes, &probabilities);
        assert!((given - 0.7).abs() < 1e-12);
    }
}
