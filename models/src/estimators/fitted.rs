//! What an estimator has learned, and how it answers.

use crate::data::Truth;
use crate::error::{ModelError, Result};
use crate::estimators::bayes::Gaussian;
use crate::estimators::category_sets::{BLOCK, CategorySets};
use crate::estimators::clusters::Centres;
use crate::estimators::ensemble::{Combine, Ensemble};
use crate::estimators::linear::Linear;
use crate::estimators::neighbours::Neighbours;
use crate::matrix::Matrix;

/// How scores become answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Link {
    /// They are answers already, counted from this number.
    Identity(f64),
    /// A score is the share of the second class.
    Share,
    /// Sigmoid, or soft-max of several.
    LogOdds,
    /// The sigmoid of every class, then brought to a sum of 1.
    OneAgainstRest,
    /// A depth becomes `2^(−depth)`.
    Isolation,
}

/// What an estimator has learned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fitted {
    Constant(Vec<f64>),
    Linear {
        linear: Linear,
        link: Link,
    },
    Trees {
        ensemble: Ensemble,
        link: Link,
    },
    /// What asks for sets of categories too.
    Categories {
        sets: CategorySets,
        inner: Box<Fitted>,
    },
    Gaussian(Gaussian),
    Neighbours(Neighbours),
    Centres(Centres),
}

impl Fitted {
    /// The baseline: shares of the classes, or the mean.
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    pub(crate) fn baseline(truth: &Truth) -> Result<Self> {
        Ok(Self::Constant(match truth {
            Truth::Classes { classes, codes } => {
                let mut shares = vec![0.0; classes.len()];
                for &code in codes {
                    shares[code as usize] += 1.0;
                }
                shares
                    .iter_mut()
                    .for_each(|share| *share /= codes.len() as f64);
                shares
            }
            Truth::Quantity(values) => vec![values.iter().sum::<f64>() / values.len() as f64],
            Truth::Unknown(_) => return Err(ModelError::internal("a baseline without a truth")),
        }))
    }

    /// Numbers that are told of a row: a probability of every class, a quantity, a distance to every centre, or a score.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Constant(values) => values.len(),
            Self::Linear { linear, link } => link.width(linear.outputs),
            Self::Trees { ensemble, link } => link.width(ensemble.targets),
            Self::Categories { inner, .. } => inner.width(),
            Self::Gaussian(gaussian) => gaussian.classes.len(),
            Self::Neighbours(neighbours) => neighbours.outputs,
            Self::Centres(centres) => centres.len(),
        }
    }

    /// Of trees: the rows that come through every node, tree after tree.
    pub(crate) fn cover(&self, rows: &Matrix) -> Vec<u32> {
        match self {
            Self::Trees { ensemble, .. } => ensemble.cover(&rows.values),
            Self::Categories { sets, inner } => {
                let mut cover: Vec<u32> = Vec::new();
                for from in (0..rows.rows).step_by(BLOCK) {
                    let to = (from + BLOCK).min(rows.rows);
                    let some = inner.cover(&sets.extend(rows, from, to));
                    cover.resize(some.len(), 0);
                    cover
                        .iter_mut()
                        .zip(some)
                        .for_each(|(all, rows)| *all += rows);
                }
                cover
            }
            _ => Vec::new(),
        }
    }

    /// Those numbers of every row, row after row.
    pub(crate) fn answer(&self, matrix: &Matrix) -> Vec<f64> {
        match self {
            Self::Constant(values) => values.repeat(matrix.rows),
            Self::Linear { linear, link } => link.apply(linear.scores(matrix), linear.outputs),
            Self::Trees { ensemble, link } => {
                let mut scores = ensemble.scores(&matrix.values, Combine::Sum);
                scores
                    .iter_mut()
                    .for_each(|score| *score = single_precision(*score));
                link.apply(scores, ensemble.targets)
            }
            Self::Categories { sets, inner } => (0..matrix.rows)
                .step_by(BLOCK)
                .flat_map(|from| {
                    let to = (from + BLOCK).min(matrix.rows);
                    inner.answer(&sets.extend(matrix, from, to))
                })
                .collect(),
            Self::Gaussian(gaussian) => gaussian.probabilities(matrix),
            Self::Neighbours(neighbours) => neighbours.answer(matrix),
            Self::Centres(centres) => centres.distances(matrix),
        }
    }
}

impl Link {
    fn width(self, outputs: usize) -> usize {
        match self {
            Self::Share | Self::LogOdds | Self::OneAgainstRest if outputs == 1 => 2,
            _ => outputs,
        }
    }

    fn apply(self, mut scores: Vec<f64>, outputs: usize) -> Vec<f64> {
        let both = |share: f64| [1.0 - share, share];
        match self {
            Self::Identity(start) => {
                scores.iter_mut().for_each(|score| *score += start);
                scores
            }
            Self::Share => scores.into_iter().flat_map(both).collect(),
            Self::LogOdds | Self::OneAgainstRest if outputs == 1 => scores
                .into_iter()
                .flat_map(|score| both(sigmoid(score)))
                .collect(),
            Self::LogOdds => {
                scores.chunks_exact_mut(outputs).for_each(soft_max);
                scores
            }
            Self::OneAgainstRest => {
                for row in scores.chunks_exact_mut(outputs) {
                    row.iter_mut().for_each(|score| *score = sigmoid(*score));
                    let total: f64 = row.iter().sum();
                    row.iter_mut().for_each(|share| *share /= total);
                }
                scores
            }
            Self::Isolation => {
                scores
                    .iter_mut()
                    .for_each(|depth| *depth = (-*depth * std::f64::consts::LN_2).exp());
                scores
            }
        }
    }
}

/// ONNX's tree operators answer in single precision, so the scores in memory are rounded the same way.
#[allow(clippy::cast_possible_truncation, reason = "this is the rounding")]
pub(crate) fn single_precision(score: f64) -> f64 {
    f64::from(score as f32)
}

/// 1 / (1 + e⁻ˣ) without overflow.
pub(crate) fn sigmoid(score: f64) -> f64 {
    let small = (-score.abs()).exp();
    if score >= 0.0 {
        1.0 / (1.0 + small)
    } else {
        small / (1.0 + small)
    }
}

/// Soft-max in place.
pub(crate) fn soft_max(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        total += *score;
    }
    scores.iter_mut().for_each(|score| *score /= total);
}
