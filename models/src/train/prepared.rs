//! Training rows as numbers, in the forms that estimators ask for.

use crate::data::{Table, Truth};
use crate::error::{ModelError, Result};
use crate::estimators::bins::Binned;
use crate::estimators::{Cancel, Estimator, Fitted, Training};
use crate::matrix::Matrix;
use crate::prepare::{Preparation, Recipes, Style};

/// Training rows as numbers.
pub(crate) struct Prepared {
    /// Numbers imputed, a feature for every level.
    pub(crate) preparation: Preparation,
    truth: Truth,
    forms: Vec<Form>,
}

/// The rows in the style of some estimators.
struct Form {
    style: Style,
    preparation: Preparation,
    scaled: Vec<bool>,
    matrix: Matrix,
    binned: Option<Binned>,
}

impl Prepared {
    /// Learns the preparation from the table and applies it, for these estimators.
    pub(crate) fn new(
        table: &Table,
        truth: Truth,
        recipes: &Recipes,
        estimators: &[&Estimator],
        warn: &mut dyn FnMut(String),
    ) -> Result<Self> {
        let preparation = Preparation::fit(table, &truth, recipes, warn)?;
        let mut forms: Vec<Form> = Vec::new();
        for estimator in estimators {
            let style = style(&preparation, estimator);
            if forms.iter().any(|form| form.style == style) {
                continue;
            }
            let styled = preparation.styled(&style)?;
            let matrix = styled.transform_training(table, &truth)?;
            let bins = estimators
                .iter()
                .any(|other| other.wants_bins() && self::style(&preparation, other) == style);
            forms.push(Form {
                scaled: styled.scaled(),
                binned: bins.then(|| Binned::fit(&matrix)),
                style,
                preparation: styled,
                matrix,
            });
        }
        Ok(Self {
            preparation,
            truth,
            forms,
        })
    }

    /// Fits an estimator.
    pub(crate) fn fit(
        &self,
        estimator: &Estimator,
        seed: u64,
        cancel: &Cancel<'_>,
    ) -> Result<Fitted> {
        estimator.fit(&self.training(estimator, seed, cancel)?)
    }

    fn form(&self, estimator: &Estimator) -> Result<&Form> {
        Ok(&self.forms[self.place(estimator)?])
    }

    fn place(&self, estimator: &Estimator) -> Result<usize> {
        let style = style(&self.preparation, estimator);
        let mut forms = self.forms.iter();
        forms
            .position(|form| form.style == style)
            .ok_or_else(|| ModelError::internal("rows are not prepared for this estimator"))
    }

    /// The preparation in the style of an estimator.
    pub(crate) fn styled(&self, estimator: &Estimator) -> Result<&Preparation> {
        Ok(&self.form(estimator)?.preparation)
    }

    /// What an estimator learns from.
    pub(crate) fn training<'a>(
        &'a self,
        estimator: &Estimator,
        seed: u64,
        cancel: &'a Cancel<'a>,
    ) -> Result<Training<'a>> {
        let form = self.form(estimator)?;
        Ok(Training {
            matrix: &form.matrix,
            binned: form.binned.as_ref(),
            preparation: &form.preparation,
            scaled: &form.scaled,
            truth: &self.truth,
            seed,
            cancel,
        })
    }

    /// The features of other rows, for every estimator.
    pub(crate) fn matrices(&self, table: &Table) -> Result<Matrices<'_>> {
        let forms = self.forms.iter();
        Ok(Matrices {
            prepared: self,
            matrices: forms
                .map(|form| form.preparation.transform(table))
                .collect::<Result<_>>()?,
        })
    }

    /// The features of the training rows, for an estimator.
    pub(crate) fn rows(&self, estimator: &Estimator) -> Result<&Matrix> {
        Ok(&self.form(estimator)?.matrix)
    }

    /// The features of other rows, for an estimator.
    pub(crate) fn transform(&self, table: &Table, estimator: &Estimator) -> Result<Matrix> {
        self.form(estimator)?.preparation.transform(table)
    }
}

/// The features of rows in every style.
pub(crate) struct Matrices<'a> {
    prepared: &'a Prepared,
    matrices: Vec<Matrix>,
}

impl Matrices<'_> {
    /// Those for an estimator.
    pub(crate) fn of(&self, estimator: &Estimator) -> Result<&Matrix> {
        Ok(&self.matrices[self.prepared.place(estimator)?])
    }
}

/// The style that an estimator wants, as far as the rows give reason.
fn style(preparation: &Preparation, estimator: &Estimator) -> Style {
    let mut style = estimator.style();
    style.keep_missing &= preparation.saw_missing();
    style
}
