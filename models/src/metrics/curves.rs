//! Curves of a two-class model, thinned to what a chart can show.

use crate::metrics::ranking::steps;
use crate::onnx::{Curve, ThresholdCurves};

/// Points of a curve.
const POINTS: usize = 100;
/// Steps between the thresholds of a threshold curve.
const THRESHOLDS: u8 = 50;
/// Groups of a calibration curve.
const GROUPS: usize = 10;
/// Bars of the histogram of probabilities.
const BARS: usize = 20;

fn thinned(points: Vec<(f64, f64)>) -> Curve {
    let last = points.len().saturating_sub(1);
    let step = points.len().div_ceil(POINTS).max(1);
    let (x, y) = points
        .into_iter()
        .enumerate()
        .filter(|(index, _)| index % step == 0 || *index == last)
        .map(|(_, point)| point)
        .unzip();
    Curve { x, y }
}

/// True positive rate over false positive rate.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub fn roc_curve(hits: &[bool], scores: &[f64]) -> Curve {
    let positives = hits.iter().filter(|hit| **hit).count() as f64;
    let negatives = hits.len() as f64 - positives;
    let mut points = vec![(0.0, 0.0)];
    points.extend(
        steps(hits, scores)
            .into_iter()
            .map(|(_, right, wrong)| (wrong as f64 / negatives, right as f64 / positives)),
    );
    thinned(points)
}

/// Precision over recall, from recall 0 with precision 1, where no row is called positive yet, as scikit-learn's
/// `precision_recall_curve` has it.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub fn precision_recall_curve(hits: &[bool], scores: &[f64]) -> Curve {
    let positives = hits.iter().filter(|hit| **hit).count() as f64;
    let mut points = vec![(0.0, 1.0)];
    points.extend(steps(hits, scores).into_iter().map(|(_, right, wrong)| {
        (
            right as f64 / positives,
            right as f64 / (right + wrong) as f64,
        )
    }));
    thinned(points)
}

/// Precision, recall and F1 at fifty thresholds, up to the last one from which on a row is called positive.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
pub fn threshold_curves(hits: &[bool], scores: &[f64]) -> ThresholdCurves {
    let positives = hits.iter().filter(|hit| **hit).count() as f64;
    let mut sorted: Vec<(f64, bool)> = scores.iter().copied().zip(hits.iter().copied()).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut curves = ThresholdCurves::default();
    let (mut called, mut right) = (0, 0);
    for place in (0..=THRESHOLDS).rev() {
        let threshold = f64::from(place) / f64::from(THRESHOLDS);
        while let Some((_, hit)) = sorted.get(called).filter(|(score, _)| *score >= threshold) {
            called += 1;
            right += usize::from(*hit);
        }
        if called > 0 && positives > 0.0 {
            curves.thresholds.push(threshold);
            curves.precision.push(right as f64 / called as f64);
            curves.recall.push(right as f64 / positives);
            curves
                .f1
                .push(2.0 * right as f64 / (called as f64 + positives));
        }
    }
    for list in [
        &mut curves.thresholds,
        &mut curves.precision,
        &mut curves.recall,
        &mut curves.f1,
    ] {
        list.reverse();
    }
    curves
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a probability times a small number"
)]
fn group(score: f64, groups: usize) -> usize {
    ((score * groups as f64) as usize).min(groups - 1)
}

/// The share of hits over the mean score, in ten groups of equal width; empty ones are left out.
pub fn calibration(hits: &[bool], scores: &[f64]) -> Curve {
    let mut sums = [(0.0, 0.0, 0.0); GROUPS];
    for (hit, score) in hits.iter().zip(scores) {
        let sum = &mut sums[group(*score, GROUPS)];
        sum.0 += 1.0;
        sum.1 += score;
        sum.2 += f64::from(u8::from(*hit));
    }
    let (x, y) = sums
        .into_iter()
        .filter(|(rows, ..)| *rows > 0.0)
        .map(|(rows, scores, hits)| (scores / rows, hits / rows))
        .unzip();
    Curve { x, y }
}

/// How many misses and hits have a score in each of 20 groups.
pub fn probability_histogram(hits: &[bool], scores: &[f64]) -> [Vec<usize>; 2] {
    let mut counts = [vec![0; BARS], vec![0; BARS]];
    for (hit, score) in hits.iter().zip(scores) {
        counts[usize::from(*hit)][group(*score, BARS)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::{calibration, precision_recall_curve, probability_histogram, roc_curve};

    #[test]
    fn curves_end_where_they_must_and_stay_small() {
        let hits: Vec<bool> = (0..5000).map(|row| row % 3 == 0).collect();
        let scores: Vec<f64> = (0..5000)
            .map(|row| f64::from(row * 7919 % 5000) / 5000.0)
            .collect();
        let roc = roc_curve(&hits, &scores);
        assert!(roc.x.len() <= 102);
        assert_eq!((roc.x.first(), roc.y.first()), (Some(&0.0), Some(&0.0)));
        assert_eq!((roc.x.last(), roc.y.last()), (Some(&1.0), Some(&1.0)));
        let recall = precision_recall_curve(&hits, &scores);
        assert_eq!(
            (recall.x.first(), recall.y.first()),
            (Some(&0.0), Some(&1.0))
        );
        assert_eq!(recall.x.last(), Some(&1.0));
        // Also where the highest score is a miss.
        let recall = precision_recall_curve(&[false, true], &[0.9, 0.1]);
        assert_eq!(
            (recall.x, recall.y),
            (vec![0.0, 0.0, 1.0], vec![1.0, 0.0, 0.5])
        );
        assert_eq!(calibration(&hits, &scores).x.len(), 10);
        let [misses, hits] = probability_histogram(&hits, &scores);
        assert_eq!(
            misses.iter().sum::<usize>() + hits.iter().sum::<usize>(),
            5000
        );
    }

    #[test]
    fn at_every_threshold_rows_are_counted() {
        let curves = super::threshold_curves(&[true, false, true], &[0.9, 0.5, 0.3]);
        let at = |threshold: f64| {
            let known = curves.thresholds.iter();
            let place = known.clone().position(|one| *one == threshold).unwrap();
            [
                curves.precision[place],
                curves.recall[place],
                curves.f1[place],
            ]
        };
        assert_eq!(at(0.0), [2.0 / 3.0, 1.0, 0.8]);
        assert_eq!(at(0.5), [0.5, 0.5, 0.5]);
        assert_eq!(at(0.52), [1.0, 0.5, 2.0 / 3.0]);
        // From there on nothing is called positive.
        assert_eq!(curves.thresholds.last(), Some(&0.9));
    }
}
