//! How far columns move scores on average.

use crate::estimators::Fitted;
use crate::estimators::ensemble::Combine;
use crate::explain::linear::Lines;
use crate::explain::trees::Forest;
use crate::explain::{Parts, Scores, owners};
use crate::matrix::Matrix;
use crate::onnx::{Background, Effect};

/// Rows of which the mean effect of a column is told.
const MEAN_ROWS: usize = 200;
/// Fewer rows would not tell it.
const FEWEST_ROWS: usize = 20;
/// Steps that may be spent on it, about a second's work.
const MEAN_STEPS: f64 = 3e8;

/// How far columns move the scores of training rows on average, largest first; nothing of what is neither linear nor
/// made of trees, reads principal components, or takes too long.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a number of rows"
)]
pub(crate) fn mean_effects(
    fitted: &Fitted,
    cover: &[u32],
    background: &Background,
    rows: &Matrix,
) -> Vec<Effect> {
    if background.projected.is_some() {
        return Vec::new();
    }
    let (sets, fitted) = match fitted {
        Fitted::Categories { sets, inner } => (Some(sets), &**inner),
        other => (None, other),
    };
    let (scores, targets, limit) = match fitted {
        Fitted::Trees { ensemble, .. } => {
            let cover: Vec<f64> = cover.iter().map(|rows| f64::from(*rows)).collect();
            let Ok(forest) = Forest::new(ensemble, Combine::Sum, &cover) else {
                return Vec::new();
            };
            let limit = (MEAN_STEPS / forest.steps().max(1.0)) as usize;
            (Scores::Trees(forest), ensemble.targets, limit)
        }
        Fitted::Linear { linear, .. } => {
            let weights = |target| linear.weights.iter().skip(target).step_by(linear.outputs);
            let lines = Lines {
                weights: (0..linear.outputs)
                    .map(|target| weights(target).copied().collect())
                    .collect(),
                intercepts: linear.intercepts.clone(),
                means: background
                    .columns
                    .iter()
                    .flat_map(|column| column.means.clone())
                    .collect(),
            };
            (Scores::Linear(lines), linear.outputs, MEAN_ROWS)
        }
        _ => return Vec::new(),
    };
    let limit = limit.min(MEAN_ROWS).min(rows.rows);
    if limit < FEWEST_ROWS.min(rows.rows) {
        return Vec::new();
    }
    let picked = spread(rows, limit);
    let picked = match sets {
        Some(sets) => sets.extend(&picked, 0, picked.rows),
        None => picked,
    };
    let (names, owners) = owners(background);
    let explainer = Parts {
        scores,
        width: picked.width,
        names,
        owners,
    };
    let answers = fitted.answer(&picked);
    let width = answers.len() / picked.rows.max(1);
    let chosen: Vec<usize> = answers
        .chunks_exact(width.max(1))
        .map(|row| match targets {
            1 => 0,
            _ => (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best }),
        })
        .collect();
    let effects = explainer.effects(&picked.values, &chosen);
    let mut found: Vec<Effect> = effects
        .names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let column = effects
                .values
                .iter()
                .skip(place)
                .step_by(effects.names.len());
            let sum: f64 = column.map(|effect| effect.abs()).sum();
            Effect {
                column: name.clone(),
                effect: sum / picked.rows.max(1) as f64,
            }
        })
        .collect();
    found.sort_by(|a, b| b.effect.total_cmp(&a.effect).then(a.column.cmp(&b.column)));
    found
}

/// So many rows, spread evenly.
fn spread(rows: &Matrix, limit: usize) -> Matrix {
    let step = rows.rows.div_ceil(limit.max(1)).max(1);
    let values: Vec<f64> = (0..rows.rows)
        .step_by(step)
        .flat_map(|row| rows.row(row))
        .copied()
        .collect();
    Matrix {
        width: rows.width,
        rows: values.len() / rows.width.max(1),
        values,
    }
}
