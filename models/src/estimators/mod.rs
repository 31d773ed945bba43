//! The estimators: what learns from a matrix of numbers.
//!
//! [`Estimator`] is a choice with its parameters, [`Fitted`] what it has learned. Another estimator is another variant
//! of the first, and of the second only when it answers in a way of its own; a fitted one answers rows and can be written
//! as ONNX nodes (`onnx::export`).

mod bayes;
pub(crate) mod bins;
mod boosting;
mod boosting_cells;
mod boosting_split;
mod boosting_sums;
mod boosting_tree;
mod category_sets;
mod clusters;
pub(crate) mod ensemble;
mod fitted;
mod forest;
mod histogram;
mod isolation;
mod lbfgs;
mod least_squares;
mod linear;
mod linear_algebra;
mod logistic;
pub(crate) mod memory;
mod neighbours;
mod parameters;
mod proximal;
mod reader;
mod scaling;
mod svm;
mod targets;

use indexmap::IndexMap;

use crate::data::{ColumnKind, Truth};
use crate::error::{ModelError, Result};
use crate::matrix::Matrix;
use crate::prepare::{Categories, Encoding, Meaning, Preparation, Prepared, Style};
pub(crate) use bayes::Gaussian;
use bins::Binned;
use boosting_split::Nature;
pub(crate) use category_sets::{CategorySet, CategorySets};
pub(crate) use clusters::Centres;
pub(crate) use fitted::{Fitted, Link, sigmoid, soft_max};
pub(crate) use linear::Linear;
pub(crate) use linear_algebra::dot;
pub(crate) use neighbours::{NEAREST, Neighbours};
pub(crate) use parameters::Parameters;
#[cfg(test)]
pub(crate) use parameters::known_names;
pub(crate) use scaling::Scaling;
pub(crate) use svm::platt;
use targets::{ClassWeight, Lesson, Targets};

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

/// An estimator with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Estimator {
    /// Always the same, whatever the row: the baseline.
    Dummy,
    Logistic {
        settings: logistic::LogisticSettings,
        weight: ClassWeight,
    },
    Svm {
        settings: svm::SvmSettings,
        weight: ClassWeight,
    },
    /// Linear regression with and without penalties.
    Linear(least_squares::Penalty),
    Neighbours(neighbours::NeighbourSettings),
    /// Forests, extra trees and a single tree.
    Forest {
        settings: forest::ForestSettings,
        features: MaxFeatures,
        weight: ClassWeight,
    },
    Boosting {
        settings: boosting::BoostingSettings,
        stopping: Stopping,
        weight: ClassWeight,
        categories: Categories,
        /// By column the sign with which the score may only change as it grows.
        monotone: IndexMap<String, i8>,
    },
    Bayes {
        var_smoothing: f64,
    },
    KMeans(clusters::KMeansSettings),
    Dbscan(clusters::DbscanSettings),
    Isolation(isolation::IsolationSettings),
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
    /// What the features are.
    pub(crate) preparation: &'a Preparation,
    /// Features that are standardised where distances or weights are compared.
    pub(crate) scaled: &'a [bool],
    pub(crate) truth: &'a Truth,
    pub(crate) seed: u64,
    pub(crate) cancel: &'a Cancel<'a>,
}

impl Training<'_> {
    fn bins(&self) -> Result<&Binned> {
        self.binned
            .ok_or_else(|| ModelError::internal("trees without bins"))
    }

    fn quantities(&self) -> Result<&[f64]> {
        match self.truth {
            Truth::Quantity(values) => Ok(values),
            _ => Err(ModelError::internal("a regressor without quantities")),
        }
    }
}

impl Estimator {
    /// Whether it learns from bins.
    pub(crate) fn wants_bins(&self) -> bool {
        matches!(self, Self::Forest { .. } | Self::Boosting { .. })
    }

    /// How it wants the features: some learn from missing values and categories as they are.
    pub(crate) fn style(&self) -> Style {
        match self {
            Self::Boosting { categories, .. } => Style {
                keep_missing: true,
                categories: categories.clone(),
            },
            _ => Style::default(),
        }
    }

    /// Whether its parameters name columns, which a mixture of all does not have.
    pub(crate) fn names_columns(&self) -> bool {
        match self {
            Self::Boosting {
                categories,
                monotone,
                ..
            } => *categories != Categories::None || !monotone.is_empty(),
            _ => false,
        }
    }

    /// Of anomalies: the share of rows that are odd.
    pub(crate) fn contamination(&self) -> Option<f64> {
        match self {
            Self::Isolation(settings) => settings.contamination,
            _ => None,
        }
    }

    /// Learns.
    pub(crate) fn fit(&self, training: &Training<'_>) -> Result<Fitted> {
        let Training {
            matrix,
            scaled,
            truth,
            seed,
            cancel,
            ..
        } = training;
        match self {
            Self::Dummy => Fitted::baseline(truth),
            Self::Logistic { settings, weight } => {
                let targets = Targets::new(truth, weight)?;
                let linear = logistic::fit(matrix, scaled, &targets, settings, cancel)?;
                let link = Link::LogOdds;
                Ok(Fitted::Linear { linear, link })
            }
            Self::Svm { settings, weight } => {
                let targets = Targets::new(truth, weight)?;
                let linear = svm::fit(matrix, scaled, &targets, settings, cancel)?;
                let link = Link::OneAgainstRest;
                Ok(Fitted::Linear { linear, link })
            }
            Self::Linear(penalty) => {
                let linear = least_squares::fit(matrix, scaled, training.quantities()?, penalty)?;
                let link = Link::Identity(0.0);
                Ok(Fitted::Linear { linear, link })
            }
            Self::Neighbours(settings) => {
                neighbours::fit(matrix, scaled, truth, settings).map(Fitted::Neighbours)
            }
            Self::Forest { .. } => self.fit_forest(training),
            Self::Boosting { .. } => self.fit_boosting(training),
            Self::Bayes { var_smoothing } => {
                let targets = Targets::new(truth, &ClassWeight::None)?;
                bayes::fit(matrix, targets.codes, targets.classes, *var_smoothing)
                    .map(Fitted::Gaussian)
            }
            Self::KMeans(settings) => {
                clusters::k_means(matrix, scaled, settings, *seed, cancel).map(Fitted::Centres)
            }
            Self::Dbscan(_) => Err(ModelError::settings(
                "dbscan assigns the rows that it is given and cannot predict others",
            )),
            Self::Isolation(settings) => {
                let ensemble = isolation::fit(matrix, settings, *seed, cancel)?;
                let link = Link::Isolation;
                Ok(Fitted::Trees { ensemble, link })
            }
        }
    }

    /// The groups of these rows, of an estimator that assigns and cannot predict; none of a lonely row.
    pub(crate) fn assign(&self, training: &Training<'_>) -> Option<Result<Vec<Option<u32>>>> {
        match self {
            Self::Dbscan(settings) => {
                Some(clusters::dbscan(training.matrix, training.scaled, settings))
            }
            _ => None,
        }
    }

    fn fit_forest(&self, training: &Training<'_>) -> Result<Fitted> {
        let Self::Forest {
            settings,
            features,
            weight,
        } = self
        else {
            return Err(ModelError::internal("no forest"));
        };
        let settings = forest::ForestSettings {
            max_features: features.of(training.matrix.width),
            seed: training.seed,
            ..settings.clone()
        };
        let lesson = Lesson::new(training.truth, weight)?;
        let ensemble = forest::fit(training.bins()?, &lesson, &settings, training.cancel)?;
        let link = match &lesson {
            Lesson::Classes(targets) if targets.outputs() == 1 => Link::Share,
            lesson => Link::Identity(lesson.centre()),
        };
        Ok(Fitted::Trees { ensemble, link })
    }

    fn fit_boosting(&self, training: &Training<'_>) -> Result<Fitted> {
        let Self::Boosting {
            settings,
            stopping,
            weight,
            monotone,
            ..
        } = self
        else {
            return Err(ModelError::internal("no boosting"));
        };
        let settings = boosting::BoostingSettings {
            early_stopping: match stopping {
                Stopping::Auto => training.matrix.rows > STOPPING_ROWS,
                Stopping::Always => true,
                Stopping::Never => false,
            },
            seed: training.seed,
            ..settings.clone()
        };
        let lesson = Lesson::new(training.truth, weight)?;
        let nature = nature(training.preparation, monotone, lesson.outputs())?;
        let (ensemble, sets) = boosting::fit(
            training.bins()?,
            &lesson,
            &nature,
            &settings,
            training.cancel,
        )?;
        let link = match &lesson {
            Lesson::Classes(_) => Link::LogOdds,
            Lesson::Quantity(_) => Link::Identity(lesson.centre()),
        };
        let trees = Fitted::Trees { ensemble, link };
        if sets.sets.is_empty() {
            return Ok(trees);
        }
        let inner = Box::new(trees);
        Ok(Fitted::Categories { sets, inner })
    }
}

/// What boosting must know of the features.
fn nature(
    preparation: &Preparation,
    monotone: &IndexMap<String, i8>,
    outputs: usize,
) -> Result<Nature> {
    let mut nature = Nature::default();
    let category = |column: &Prepared| {
        matches!(
            column.encoding,
            Encoding::Levels {
                meaning: Meaning::Name,
                ..
            }
        )
    };
    if preparation.columns.iter().any(category) {
        nature.categories = preparation.features().map(category).collect();
    }
    if monotone.is_empty() {
        return Ok(nature);
    }
    if outputs > 1 {
        return Err(ModelError::settings(
            "`monotonic_cst` of `gradient_boosting` goes with numbers and with two classes, not with more",
        ));
    }
    for name in monotone.keys() {
        let column = preparation
            .columns
            .iter()
            .find(|column| column.name == *name);
        let column = column.ok_or_else(|| {
            ModelError::settings(format!(
                "`monotonic_cst` names `{name}`, which is no column that is learned from"
            ))
        })?;
        if column.kind == ColumnKind::Text {
            return Err(ModelError::settings(format!(
                "`monotonic_cst` names `{name}`, which is text: only of numbers and dates there is more and less"
            )));
        }
    }
    let direction = |column: &Prepared| monotone.get(&column.name).copied().unwrap_or(0);
    nature.monotone = preparation.features().map(direction).collect();
    Ok(nature)
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

#[cfg(test)]
pub(crate) mod testing {
    //! Small data sets for the tests of estimators.

    use super::Cancel;
    use crate::data::{Classes, Truth};
    use crate::matrix::Matrix;
    use crate::random::Random;

    pub(crate) fn cancel_never() -> Cancel<'static> {
        Cancel(&|| false)
    }

    pub(crate) fn truth(codes: &[u32], classes: usize) -> Truth {
        Truth::Classes {
            classes: Classes::Integer((0..classes as i64).collect()),
            codes: codes.to_vec(),
        }
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
    use super::testing::{cancel_never, rings, truth};
    use super::{Cancel, Estimator, MaxFeatures, Parameters, Training, bins::Binned};
    use crate::data::{Goal, Truth};
    use crate::matrix::Matrix;
    use crate::prepare::Preparation;

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

    fn training<'a>(
        matrix: &'a Matrix,
        binned: &'a Binned,
        truth: &'a Truth,
        cancel: &'a Cancel<'a>,
        preparation: &'a Preparation,
    ) -> Training<'a> {
        Training {
            matrix,
            binned: Some(binned),
            preparation,
            scaled: &[true, true],
            truth,
            seed: 0,
            cancel,
        }
    }

    #[test]
    fn cancelling_ends_a_fit() {
        let (matrix, codes) = rings(100);
        let (binned, truth) = (Binned::fit(&matrix), truth(&codes, 2));
        let preparation = Preparation::default();
        let cancel = Cancel(&|| true);
        let training = training(&matrix, &binned, &truth, &cancel, &preparation);
        for name in [
            "random_forest",
            "gradient_boosting",
            "logistic_regression",
            "linear_svm",
        ] {
            let estimator = Estimator::parse(Goal::Classes, name, &Parameters::default()).unwrap();
            assert!(estimator.fit(&training).is_err());
        }
    }

    #[test]
    fn probabilities_of_a_row_add_up_to_one() {
        let (matrix, codes) = rings(200);
        let (binned, truth) = (Binned::fit(&matrix), truth(&codes, 2));
        let (cancel, preparation) = (cancel_never(), Preparation::default());
        let training = training(&matrix, &binned, &truth, &cancel, &preparation);
        for name in super::known_names(Goal::Classes) {
            let estimator = Estimator::parse(Goal::Classes, name, &Parameters::default()).unwrap();
            let fitted = estimator.fit(&training).unwrap();
            assert_eq!(fitted.width(), 2);
            for row in fitted.answer(&matrix).chunks_exact(2) {
                assert!(
                    (row[0] + row[1] - 1.0).abs() < 1e-9 && row[0] >= 0.0,
                    "{name} {row:?}"
                );
            }
        }
    }

    #[test]
    fn every_regressor_is_better_than_the_mean() {
        let (matrix, _) = rings(300);
        let values: Vec<f64> = (0..300)
            .map(|row| 100.0 + 3.0 * matrix.row(row)[0] - matrix.row(row)[1])
            .collect();
        let (binned, truth) = (Binned::fit(&matrix), Truth::Quantity(values.clone()));
        let (cancel, preparation) = (cancel_never(), Preparation::default());
        let training = training(&matrix, &binned, &truth, &cancel, &preparation);
        for name in super::known_names(Goal::Quantity) {
            let parameters = if matches!(*name, "lasso" | "elastic_net") {
                [("alpha".to_owned(), 0.01.into())].into()
            } else {
                Parameters::default()
            };
            let estimator = Estimator::parse(Goal::Quantity, name, &parameters).unwrap();
            let fitted = estimator.fit(&training).unwrap();
            let r2 = crate::metrics::Metric::R2.of_numbers(&values, &fitted.answer(&matrix));
            assert!(r2 > 0.9, "{name} {r2}");
        }
    }
}
