//! Training rows as numbers, in the forms that estimators ask for.

use crate::data::{Table, Truth};
use crate::error::{ModelError, Result};
use crate::estimators::bins::Binned;
use crate::estimators::{Cancel, Estimator, Fitted, Training};
use crate::matrix::Matrix;
use crate::prepare::{Pca, Preparation, Projection, Style};
use crate::train::Settings;

/// Training rows as numbers.
pub(crate) struct Prepared {
    /// Numbers imputed, a feature for every level.
    pub(crate) preparation: Preparation,
    truth: Truth,
    pca: Option<Pca>,
    forms: Vec<Form>,
}

/// The rows in the style of some estimators.
struct Form {
    style: Style,
    preparation: Preparation,
    scaled: Vec<bool>,
    /// What makes the matrix of the features, when it is their principal components.
    projection: Option<Projection>,
    matrix: Matrix,
    binned: Option<Binned>,
}

impl Prepared {
    /// Learns the preparation from the table and applies it, for these estimators.
    pub(crate) fn new(
        table: &Table,
        truth: Truth,
        settings: &Settings,
        estimators: &[&Estimator],
        warn: &mut dyn FnMut(String),
    ) -> Result<Self> {
        let preparation = Preparation::fit(
            table,
            &truth,
            &settings.preprocess,
            settings.ignore_case,
            warn,
        )?;
        let pca = settings.pca;
        let mut forms: Vec<Form> = Vec::new();
        for estimator in estimators {
            let style = style(&preparation, pca, estimator);
            if forms.iter().any(|form| form.style == style) {
                continue;
            }
            let styled = preparation.styled(&style)?;
            let mut matrix = styled.transform_training(table, &truth)?;
            let mut scaled = styled.scaled();
            let projection = match &pca {
                Some(pca) => Some(Projection::fit(&matrix, &scaled, pca)?),
                None => None,
            };
            if let Some(projection) = &projection {
                matrix = projection.apply(&matrix);
                scaled = vec![false; matrix.width];
            }
            let bins = estimators
                .iter()
                .any(|other| other.wants_bins() && self::style(&preparation, pca, other) == style);
            forms.push(Form {
                scaled,
                projection,
                binned: bins.then(|| Binned::fit(&matrix)),
                style,
                preparation: styled,
                matrix,
            });
        }
        Ok(Self {
            preparation,
            truth,
            pca,
            forms,
        })
    }

    /// The bytes of the rows in all forms.
    pub(crate) fn bytes(&self) -> usize {
        let bytes =
            |form: &Form| form.matrix.bytes() + form.binned.as_ref().map_or(0, Binned::bytes);
        self.forms.iter().map(bytes).sum()
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
        let style = style(&self.preparation, self.pca, estimator);
        let mut forms = self.forms.iter();
        forms
            .position(|form| form.style == style)
            .ok_or_else(|| ModelError::internal("rows are not prepared for this estimator"))
    }

    /// The preparation in the style of an estimator.
    pub(crate) fn styled(&self, estimator: &Estimator) -> Result<&Preparation> {
        Ok(&self.form(estimator)?.preparation)
    }

    /// What makes principal components for an estimator.
    pub(crate) fn projection(&self, estimator: &Estimator) -> Result<Option<&Projection>> {
        Ok(self.form(estimator)?.projection.as_ref())
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
                .map(|form| form.transform(table))
                .collect::<Result<_>>()?,
        })
    }

    /// The features of the training rows, for an estimator.
    pub(crate) fn rows(&self, estimator: &Estimator) -> Result<&Matrix> {
        Ok(&self.form(estimator)?.matrix)
    }

    /// The features of other rows, for an estimator.
    pub(crate) fn transform(&self, table: &Table, estimator: &Estimator) -> Result<Matrix> {
        self.form(estimator)?.transform(table)
    }
}

impl Form {
    /// The features of other rows.
    fn transform(&self, table: &Table) -> Result<Matrix> {
        let matrix = self.preparation.transform(table)?;
        Ok(match &self.projection {
            Some(projection) => projection.apply(&matrix),
            None => matrix,
        })
    }
}

/// The features of rows in every style.
pub(crate) struct Matrices<'a> {
    prepared: &'a Prepared,
    matrices: Vec<Matrix>,
}

impl Matrices<'_> {
    /// The bytes of all.
    pub(crate) fn bytes(&self) -> usize {
        self.matrices.iter().map(Matrix::bytes).sum()
    }

    /// Those for an estimator.
    pub(crate) fn of(&self, estimator: &Estimator) -> Result<&Matrix> {
        Ok(&self.matrices[self.prepared.place(estimator)?])
    }
}

/// The style that an estimator wants, as far as the rows give reason.
fn style(preparation: &Preparation, pca: Option<Pca>, estimator: &Estimator) -> Style {
    // There are no mixtures of what is missing.
    if pca.is_some() {
        return Style::default();
    }
    let mut style = estimator.style();
    style.keep_missing &= preparation.saw_missing();
    style
}
