//! How far a metric may be from what other rows would have shown: 95 % intervals by the bootstrap.
//!
//! Efron, Tibshirani: An introduction to the bootstrap (1993), the normal interval: fewer draws settle a deviation than
//! its outer percentiles.

use rayon::prelude::*;

use crate::data::Truth;
use crate::metrics::Metric;
use crate::random::Random;
use crate::train::Problem;
use crate::train::search::{mean, measures};

/// Draws of all rows: many of few rows, few of many.
const DRAWN_ROWS: usize = 2_000_000;
/// The normal distribution's 97.5 % point.
const POINT: f64 = 1.959_963_984_540_054;

/// The interval of every metric, in the order of the goal's metrics; none where it is not defined.
pub(crate) fn intervals(
    problem: &Problem<'_>,
    (truth, values): (&Truth, &[f64]),
    called: &[u32],
    found: &[Option<f64>],
) -> Vec<Option<[f64; 2]>> {
    let rows = truth.rows();
    let width = values.len() / rows.max(1);
    let draws = (DRAWN_ROWS / rows.max(1)).clamp(20, 200);
    let drawn: Vec<Vec<f64>> = (0..draws)
        .into_par_iter()
        .map(|draw| {
            let mut random = Random::new(problem.settings.seed, 0xB007 + draw as u64);
            let picked: Vec<u32> = (0..rows)
                .map(|_| u32::try_from(random.below(rows)).unwrap_or(u32::MAX))
                .collect();
            let answers: Vec<f64> = picked
                .iter()
                .flat_map(|row| &values[*row as usize * width..(*row as usize + 1) * width])
                .copied()
                .collect();
            let called: Vec<u32> = picked
                .iter()
                .filter_map(|row| called.get(*row as usize).copied())
                .collect();
            measures(problem, &truth.take(&picked), &answers, &called)
        })
        .collect();
    Metric::of_goal(problem.settings.goal)
        .iter()
        .zip(found)
        .enumerate()
        .map(|(index, (metric, value))| {
            let value = (*value)?;
            let seen: Vec<f64> = drawn
                .iter()
                .map(|draw| draw[index])
                .filter(|value| value.is_finite())
                .collect();
            if seen.len() < 2 {
                return None;
            }
            let middle = mean(&seen);
            let squares: Vec<f64> = seen.iter().map(|value| (value - middle).powi(2)).collect();
            let half = POINT * mean(&squares).sqrt();
            let (least, most) = bounds(*metric);
            Some([(value - half).max(least), (value + half).min(most)])
        })
        .collect()
}

/// What a metric cannot be below or above.
fn bounds(metric: Metric) -> (f64, f64) {
    match metric {
        Metric::LogLoss | Metric::Mae | Metric::Rmse | Metric::Mape => (0.0, f64::INFINITY),
        Metric::R2 => (f64::NEG_INFINITY, 1.0),
        Metric::Mcc | Metric::Silhouette => (-1.0, 1.0),
        _ => (0.0, 1.0),
    }
}
