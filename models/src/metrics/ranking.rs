//! Metrics of a ranking; equal scores count as one step.

/// Rows in the order of falling scores.
pub(crate) fn ranked(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}

/// For every distinct score, from the highest: the score, and how many hits and misses score at least that.
#[allow(clippy::float_cmp, reason = "equal scores are one step")]
pub(crate) fn steps(hits: &[bool], scores: &[f64]) -> Vec<(f64, usize, usize)> {
    let mut steps: Vec<(f64, usize, usize)> = Vec::new();
    let (mut right, mut wrong) = (0, 0);
    for row in ranked(scores) {
        if hits[row] {
            right += 1;
        } else {
            wrong += 1;
        }
        match steps.last_mut() {
            Some(last) if last.0 == scores[row] => *last = (last.0, right, wrong),
            _ => steps.push((scores[row], right, wrong)),
        }
    }
    steps
}

/// The area under the receiver operating characteristic; NaN of one class.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub fn roc_auc(hits: &[bool], scores: &[f64]) -> f64 {
    let positives = hits.iter().filter(|hit| **hit).count();
    let negatives = hits.len() - positives;
    let mut area = 0.0;
    let (mut right, mut wrong) = (0, 0);
    for (_, next_right, next_wrong) in steps(hits, scores) {
        area += (next_wrong - wrong) as f64 * (next_right + right) as f64 / 2.0;
        (right, wrong) = (next_right, next_wrong);
    }
    area / (positives as f64 * negatives as f64)
}

/// Mean precision, weighted by the gain of recall; NaN without a hit.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub fn average_precision(hits: &[bool], scores: &[f64]) -> f64 {
    let positives = hits.iter().filter(|hit| **hit).count() as f64;
    let mut sum = 0.0;
    let mut right = 0;
    for (_, next_right, wrong) in steps(hits, scores) {
        let precision = next_right as f64 / (next_right + wrong) as f64;
        sum += (next_right - right) as f64 * precision;
        right = next_right;
    }
    sum / positives
}

#[cfg(test)]
mod tests {
    use super::{average_precision, roc_auc};

    #[test]
    fn ties_are_one_step() {
        let hits = [true, false, true, false];
        assert!((roc_auc(&hits, &[0.5; 4]) - 0.5).abs() < 1e-12);
        assert!((average_precision(&hits, &[0.5; 4]) - 0.5).abs() < 1e-12);
        assert!((roc_auc(&hits, &[0.9, 0.1, 0.8, 0.2]) - 1.0).abs() < 1e-12);
        assert!(roc_auc(&[true, true], &[0.1, 0.2]).is_nan());
    }
}
