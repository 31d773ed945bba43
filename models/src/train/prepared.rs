//! Training rows as numbers, in the forms that estimators ask for.

use crate::data::{Table, Truth};
use crate::error::Result;
use crate::estimators::bins::Binned;
use crate::estimators::{Cancel, Estimator, Fitted, Training};
use crate::matrix::Matrix;
use crate::prepare::Preparation;

/// Training rows as numbers.
pub(crate) struct Prepared {
    pub(crate) preparation: Preparation,
    scaled: Vec<bool>,
    truth: Truth,
    imputed: Form,
    /// Only when the rows have missing numbers and an estimator reads them.
    missing: Option<Form>,
}

/// A matrix and its bins.
struct Form {
    matrix: Matrix,
    binned: Option<Binned>,
}

impl Form {
    fn new(matrix: Matrix, bins: bool) -> Self {
        let binned = bins.then(|| Binned::fit(&matrix));
        Self { matrix, binned }
    }
}

impl Prepared {
    /// Learns the preparation from the table and applies it, for these estimators.
    pub(crate) fn new(
        table: &Table,
        truth: Truth,
        estimators: &[&Estimator],
        warn: &mut dyn FnMut(String),
    ) -> Result<Self> {
        let preparation = Preparation::fit(table, warn)?;
        let any = |test: &dyn Fn(&Estimator) -> bool| estimators.iter().any(|one| test(one));
        let split = preparation.saw_missing() && any(&Estimator::reads_missing);
        let bins = any(&|one| one.wants_bins() && !(split && one.reads_missing()));
        let imputed = Form::new(preparation.transform(table, false)?, bins);
        let missing = if split {
            Some(Form::new(
                preparation.transform(table, true)?,
                any(&|one| one.wants_bins() && one.reads_missing()),
            ))
        } else {
            None
        };
        let scaled = preparation.scaled();
        Ok(Self {
            preparation,
            scaled,
            truth,
            imputed,
            missing,
        })
    }

    /// Fits an estimator.
    pub(crate) fn fit(
        &self,
        estimator: &Estimator,
        seed: u64,
        cancel: &Cancel<'_>,
    ) -> Result<Fitted> {
        estimator.fit(&self.training(estimator, seed, cancel))
    }

    /// What an estimator learns from.
    pub(crate) fn training<'a>(
        &'a self,
        estimator: &Estimator,
        seed: u64,
        cancel: &'a Cancel<'a>,
    ) -> Training<'a> {
        let form = self.form(estimator);
        Training {
            matrix: &form.matrix,
            binned: form.binned.as_ref(),
            scaled: &self.scaled,
            truth: &self.truth,
            seed,
            cancel,
        }
    }

    /// The features of the training rows, for an estimator.
    pub(crate) fn rows(&self, estimator: &Estimator) -> &Matrix {
        &self.form(estimator).matrix
    }

    fn form(&self, estimator: &Estimator) -> &Form {
        match &self.missing {
            Some(missing) if estimator.reads_missing() => missing,
            _ => &self.imputed,
        }
    }

    /// The features of other rows, for an estimator.
    pub(crate) fn transform(&self, table: &Table, estimator: &Estimator) -> Result<Matrix> {
        self.preparation.transform(table, estimator.reads_missing())
    }
}
