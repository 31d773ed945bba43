//! The estimators: what learns from a matrix of numbers.
//!
//! [`Estimator`] is a choice with its parameters, [`Fitted`] what it has learned. Another estimator is another variant
//! of both; a fitted one answers class probabilities and can be written as ONNX nodes (`onnx::export`).

mod bayes;
pub(crate) mod bins;
mod boosting;
mod boosting_sums;
mod boosting_tree;
pub(crate) mod ensemble;
mod forest;
mod histogram;
mod lbfgs;
mod linear_algebra;
mod logistic;
mod parameters;

use crate::error::{ModelError, Result};
use crate::matrix::Matrix;
pub(crate) use bayes::Gaussian;
use bins::Binned;
use ensemble::{Combine, Ensemble};
pub(crate) use logistic::Linear;
pub(crate) use parameters::Parameters;
#[cfg(test)]
pub(crate) use parameters::known_names;

/// Asks whether to stop.
pub(crate) struct Cancel<'a>(pub(crate) &'a (dyn Fn() -> bool + Sync));

impl Cancel<'_> {
    /// An error once the caller wants to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if (self.0)() {
            Err(ModelError::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// Class codes and weights of the training rows.
#[derive(Debug, Clone)]
pub(crate) struct Targets<'a> {
    pub(crate) codes: &'a [u32],
    pub(crate) classes: usize,
    /// The weight of every class; 1 when there are none.
    pub(crate) class_weights: Option<Vec<f32>>,
}

impl<'a> Targets<'a> {
    /// Targets in which every row counts the same, or every class when `balanced` (scikit-learn's formula
    /// `rows / (classes · rows of the class)`).
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a ratio of row counts"
    )]
    pub(crate) fn new(codes: &'a [u32], classes: usize, balanced: bool) -> Self {
        let class_weights = balanced.then(|| {
            let mut counts = vec![0usize; classes];
            for &code in codes {
                counts[code as usize] += 1;
            }
            counts
                .iter()
                .map(|&count| (codes.len() as f64 / (classes * count.max(1)) as f64) as f32)
                .collect()
        });
        Self {
            codes,
            classes,
            class_weights,
        }
    }

    pub(crate) fn weight(&self, row: usize) -> f32 {
        match &self.class_weights {
            None => 1.0,
            Some(weights) => weights[self.codes[row] as usize],
        }
    }
}

/// An estimator with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Estimator {
    /// The shares of the classes, whatever the row: the baseline.
    Dummy,
    Logistic {
        settings: logistic::LogisticSettings,
        balanced: bool,
    },
    Forest {
        settings: forest::ForestSettings,
        features: MaxFeatures,
        balanced: bool,
    },
    Boosting {
        settings: boosting::BoostingSettings,
        stopping: Stopping,
        balanced: bool,
    },
    Bayes {
        var_smoothing: f64,
    },
}

/// scikit-learn's `max_features`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MaxFeatures {
    SquareRoot,
    Logarithm,
    All,
    Count(usize),
    Share(f64),
}

/// scikit-learn's `early_stopping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// On from 10,000 rows.
    Auto,
    Always,
    Never,
}

/// Rows from which `early_stopping: auto` stops early.
const STOPPING_ROWS: usize = 10_000;

/// The rows to learn from.
pub(crate) struct Training<'a> {
    pub(crate) matrix: &'a Matrix,
    /// The same, binned, when the estimator wants bins.
    pub(crate) binned: Option<&'a Binned>,
    /// Features that a linear model standardises.
    pub(crate) scaled: &'a [bool],
    pub(crate) codes: &'a [u32],
    pub(crate) classes: usize,
    pub(crate) seed: u64,
    pub(crate) cancel: &'a Cancel<'a>,
}

impl Estimator {
    /// Whether it learns from bins.
    pub(crate) fn wants_bins(&self) -> bool {
        matches!(self, Self::Forest { .. } | Self::Boosting { .. })
    }

    /// Whether it learns from missing values as they are; the others get them imputed.
    pub(crate) fn reads_missing(&self) -> bool {
        matches!(self, Self::Boosting { .. })
    }

    /// Learns.
    pub(crate) fn fit(&self, training: &Training<'_>) -> Result<Fitted> {
        let matrix = training.matrix;
        let targets = |balanced| Targets::new(training.codes, training.classes, balanced);
        let bins = || {
            training
                .binned
                .ok_or_else(|| ModelError::internal("trees without bins"))
        };
        match self {
            Self::Dummy => Ok(Fitted::Constant(shares(&targets(false)))),
            Self::Logistic { settings, balanced } => {
                let targets = targets(*balanced);
                logistic::fit(matrix, training.scaled, &targets, settings, training.cancel)
                    .map(Fitted::Linear)
            }
            Self::Forest {
                settings,
                features,
                balanced,
            } => {
                let settings = forest::ForestSettings {
                    max_features: features.of(matrix.width),
                    seed: training.seed,
                    ..settings.clone()
                };
                forest::fit(bins()?, &targets(*balanced), &settings, training.cancel).map(
                    |ensemble| Fitted::Trees {
                        ensemble,
                        link: Link::Identity,
                    },
                )
            }
            Self::Boosting {
                settings,
                stopping,
                balanced,
            } => {
                let settings = boosting::BoostingSettings {
                    early_stopping: match stopping {
                        Stopping::Auto => matrix.rows > STOPPING_ROWS,
                        Stopping::Always => true,
                        Stopping::Never => false,
                    },
                    seed: training.seed,
                    ..settings.clone()
                };
                boosting::fit(bins()?, &targets(*balanced), &settings, training.cancel).map(
                    |ensemble| Fitted::Trees {
                        ensemble,
                        link: Link::LogOdds,
                    },
                )
            }
            Self::Bayes { var_smoothing } => {
                bayes::fit(matrix, training.codes, training.classes, *var_smoothing)
                    .map(Fitted::Gaussian)
            }
        }
    }
}

impl MaxFeatures {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of features"
    )]
    fn of(self, width: usize) -> usize {
        let count = match self {
            Self::SquareRoot => (width as f64).sqrt() as usize,
            Self::Logarithm => (width as f64).log2() as usize,
            Self::All => width,
            Self::Count(count) => count,
            Self::Share(share) => (share * width as f64) as usize,
        };
        count.clamp(1, width.max(1))
    }
}

/// How scores become probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// They are shares already.
    Identity,
    /// Sigmoid, or soft-max of several.
    LogOdds,
}

/// What an estimator has learned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fitted {
    Constant(Vec<f64>),
    Linear(Linear),
    Trees { ensemble: Ensemble, link: Link },
    Gaussian(Gaussian),
}

impl Fitted {
    /// Class probabilities, row after row.
    pub(crate) fn probabilities(&self, matrix: &Matrix) -> Vec<f64> {
        match self {
            Self::Constant(shares) => shares.repeat(matrix.rows),
            Self::Linear(linear) => log_odds(&linear.scores(matrix), linear.outputs),
            Self::Trees { ensemble, link } => {
                let mut scores = ensemble.scores(&matrix.values, Combine::Sum);
                scores
                    .iter_mut()
                    .for_each(|score| *score = single_precision(*score));
                match (link, ensemble.targets) {
                    (Link::Identity, 1) => scores.iter().flat_map(|p| [1.0 - p, *p]).collect(),
                    (Link::Identity, _) => scores,
                    (Link::LogOdds, outputs) => log_odds(&scores, outputs),
                }
            }
            Self::Gaussian(gaussian) => gaussian.probabilities(matrix),
        }
    }
}

/// ONNX's tree operators answer in single precision, so the scores in memory are rounded the same way.
#[allow(clippy::cast_possible_truncation, reason = "this is the rounding")]
pub(crate) fn single_precision(score: f64) -> f64 {
    f64::from(score as f32)
}

fn shares(targets: &Targets<'_>) -> Vec<f64> {
    let mut counts = vec![0.0; targets.classes];
    for &code in targets.codes {
        counts[code as usize] += 1.0;
    }
    let total: f64 = counts.iter().sum();
    counts.iter_mut().for_each(|count| *count /= total);
    counts
}

fn log_odds(scores: &[f64], outputs: usize) -> Vec<f64> {
    if outputs == 1 {
        return scores
            .iter()
            .flat_map(|score| {
                let share = sigmoid(*score);
                [1.0 - share, share]
            })
            .collect();
    }
    let mut answer = scores.to_vec();
    answer.chunks_exact_mut(outputs).for_each(soft_max);
    answer
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

#[cfg(test)]
pub(crate) mod testing {
    //! Small data sets for the tests of estimators.

    use super::{Cancel, Targets};
    use crate::matrix::Matrix;
    use crate::random::Random;

    pub(crate) fn cancel_never() -> Cancel<'static> {
        Cancel(&|| false)
    }

    pub(crate) fn targets(codes: &[u32], classes: usize) -> Targets<'_> {
        Targets::new(codes, classes, false)
    }

    fn uniform(random: &mut Random) -> f64 {
        random.below(1 << 30) as f64 / f64::from(1 << 29) - 1.0
    }

    /// A disc inside a ring: no line separates them.
    pub(crate) fn rings(rows: usize) -> (Matrix, Vec<u32>) {
        let mut random = Random::new(11, 0);
        let mut matrix = Matrix::zeros(rows, 2);
        let codes = (0..rows)
            .map(|row| {
                let point = [uniform(&mut random), uniform(&mut random)];
                matrix.row_mut(row).copy_from_slice(&point);
                u32::from(point[0] * point[0] + point[1] * point[1] > 0.5)
            })
            .collect();
        (matrix, codes)
    }

    /// Three clouds.
    pub(crate) fn three_classes(rows: usize) -> (Matrix, Vec<u32>) {
        let mut random = Random::new(12, 0);
        let mut matrix = Matrix::zeros(rows, 2);
        let codes = (0..rows)
            .map(|row| {
                let code = row % 3;
                let centre = [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]][code];
                let point = centre.map(|at| at + uniform(&mut random));
                matrix.row_mut(row).copy_from_slice(&point);
                code as u32
            })
            .collect();
        (matrix, codes)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{cancel_never, rings};
    use super::{Cancel, Estimator, MaxFeatures, Parameters, Targets, Training, bins::Binned};

    #[test]
    fn balanced_weights_are_scikit_learns() {
        let targets = Targets::new(&[0, 0, 0, 1], 2, true);
        assert_eq!(targets.class_weights, Some(vec![4.0 / 6.0, 2.0]));
    }

    #[test]
    fn max_features_are_counted_as_scikit_learn_does() {
        let cases = [
            (MaxFeatures::SquareRoot, 30, 5),
            (MaxFeatures::Logarithm, 30, 4),
            (MaxFeatures::Share(0.01), 30, 1),
            (MaxFeatures::Count(99), 30, 30),
        ];
        for (features, width, count) in cases {
            assert_eq!(features.of(width), count);
        }
    }

    #[test]
    fn cancelling_ends_a_fit() {
        let (matrix, codes) = rings(100);
        let binned = Binned::fit(&matrix);
        let cancel = Cancel(&|| true);
        for name in ["random_forest", "gradient_boosting", "logistic_regression"] {
            let estimator = Estimator::parse(name, &Parameters::default()).unwrap();
            let training = Training {
                matrix: &matrix,
                binned: Some(&binned),
                scaled: &[true, true],
                codes: &codes,
                classes: 2,
                seed: 0,
                cancel: &cancel,
            };
            assert!(estimator.fit(&training).is_err());
        }
    }

    #[test]
    fn probabilities_of_a_row_add_up_to_one() {
        let (matrix, codes) = rings(200);
        let binned = Binned::fit(&matrix);
        for name in super::known_names() {
            let estimator = Estimator::parse(name, &Parameters::default()).unwrap();
            let training = Training {
                matrix: &matrix,
                binned: Some(&binned),
                scaled: &[true, true],
                codes: &codes,
                classes: 2,
                seed: 0,
                cancel: &cancel_never(),
            };
            for row in estimator
                .fit(&training)
                .unwrap()
                .probabilities(&matrix)
                .chunks_exact(2)
            {
                assert!(
                    (row[0] + row[1] - 1.0).abs() < 1e-9 && row[0] >= 0.0,
                    "{name} {row:?}"
                );
            }
        }
    }
}
