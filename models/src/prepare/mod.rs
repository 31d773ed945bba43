//! Preparation: typed columns become numbers, as learned from the training rows.
//!
//! Numbers, booleans and dates: a missing or infinite value becomes the training rows' median (of booleans the more
//! frequent value; a date is counted in days since 1970). Text: one column of 0 and 1 for every level; missing text
//! becomes the most frequent level, a level that was not seen in training is all zeros. Of a text column with more than
//! 100 levels the 100 most frequent get a column, the rest counts as not seen; a text column in which most rows differ
//! is an identifier and refused. A [`Recipe`] says otherwise; of free text it makes words.

mod encoding;
mod learn;
mod parts;
mod projection;
mod recipe;
mod target;
mod words;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::data::{ColumnKind, Table, Truth, Values, lowered};
use crate::error::{ModelError, Result};
use crate::matrix::Matrix;
pub(crate) use encoding::{Encoding, Meaning};
use parts::Memory;
pub use parts::Part;
pub(crate) use parts::{Arithmetic, DAY, parts};
pub use projection::Pca;
pub(crate) use projection::Projection;
pub use recipe::{Encode, Impute, Recipe, Recipes, Scale};
pub(crate) use words::{Vocabulary, WORD};

/// What an estimator wants otherwise than imputed numbers and a feature for every level.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Style {
    /// Missing numbers stay missing where training had some too.
    pub(crate) keep_missing: bool,
    /// Which text columns are one feature that numbers their levels.
    pub(crate) categories: Categories,
}

/// Which text columns an estimator takes as categories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Categories {
    /// None.
    #[default]
    None,
    /// All.
    Text,
    /// Some.
    Named(Vec<String>),
}

impl Categories {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Text => true,
            Self::Named(names) => names.iter().any(|other| other == name),
        }
    }
}

/// A prepared column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prepared {
    /// The column's name.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) kind: ColumnKind,
    /// How it becomes numbers.
    pub(crate) encoding: Encoding,
}

/// The preparation of a table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Preparation {
    /// The columns in the table's order; one without any value in training is left out.
    pub(crate) columns: Vec<Prepared>,
    /// Whether text is read in small letters, as the levels are then.
    pub(crate) ignore_case: bool,
}

impl Preparation {
    /// Learns from the training rows; `warn` hears what the user should know.
    pub(crate) fn fit(
        table: &Table,
        truth: &Truth,
        recipes: &Recipes,
        ignore_case: bool,
        warn: &mut dyn FnMut(String),
    ) -> Result<Self> {
        let table = spelled(table, ignore_case);
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let mut recipe = recipes.get(&column.name).cloned().unwrap_or_default();
            if ignore_case {
                recipe.lower();
            }
            if let Some(encoding) = learn::learn(column, &recipe, truth, warn)? {
                columns.push(Prepared {
                    name: column.name.clone(),
                    kind: column.kind,
                    encoding,
                });
            }
        }
        if columns.is_empty() {
            return Err(ModelError::data("no column is left to learn from"));
        }
        Ok(Self {
            columns,
            ignore_case,
        })
    }

    /// Number of features.
    pub(crate) fn width(&self) -> usize {
        self.columns
            .iter()
            .map(|column| column.encoding.width())
            .sum()
    }

    /// For every feature whether a linear model standardises it.
    pub(crate) fn scaled(&self) -> Vec<bool> {
        let mut scaled = Vec::with_capacity(self.width());
        for column in &self.columns {
            let flag = match &column.encoding {
                Encoding::Number { scaled, .. } => *scaled,
                Encoding::Levels { meaning, .. } => *meaning != Meaning::Name,
                Encoding::Parts { .. } => true,
                Encoding::OneHot { .. } | Encoding::Words(_) => false,
            };
            scaled.resize(scaled.len() + column.encoding.width(), flag);
        }
        scaled
    }

    /// Whether training had missing numbers.
    pub(crate) fn saw_missing(&self) -> bool {
        self.columns.iter().any(|column| {
            matches!(
                column.encoding,
                Encoding::Number {
                    missing_seen: true,
                    ..
                }
            )
        })
    }

    /// The same in the style of an estimator.
    pub(crate) fn styled(&self, style: &Style) -> Result<Self> {
        if let Categories::Named(names) = &style.categories {
            for name in names {
                let column = self.columns.iter().find(|column| column.name == *name);
                if column.is_some_and(|column| column.kind != ColumnKind::Text) {
                    return Err(ModelError::settings(format!(
                        "`categorical_features` names `{name}`, which is no text: cast it in a transform before"
                    )));
                }
                if column.is_none() {
                    return Err(ModelError::settings(format!(
                        "`categorical_features` names `{name}`, which is no column that is learned from"
                    )));
                }
            }
        }
        let mut styled = self.clone();
        for column in &mut styled.columns {
            match &mut column.encoding {
                Encoding::Number {
                    fill, missing_seen, ..
                } if style.keep_missing && *missing_seen => *fill = f64::NAN,
                Encoding::OneHot { levels, .. } if style.categories.has(&column.name) => {
                    column.encoding = Encoding::Levels {
                        values: (0u32..).take(levels.len()).map(f64::from).collect(),
                        levels: std::mem::take(levels),
                        unknown: vec![f64::NAN],
                        missing: vec![f64::NAN],
                        meaning: Meaning::Name,
                    };
                }
                _ => (),
            }
        }
        Ok(styled)
    }

    /// For every feature the column that it is made of, and how.
    pub(crate) fn features(&self) -> impl Iterator<Item = &Prepared> {
        let columns = self.columns.iter();
        columns.flat_map(|column| std::iter::repeat_n(column, column.encoding.width()))
    }

    /// The features of the rows that this was learned from: a row has no say in the mean that its level becomes.
    pub(crate) fn transform_training(&self, table: &Table, truth: &Truth) -> Result<Matrix> {
        let table = &*spelled(table, self.ignore_case);
        let mut matrix = self.transform(table)?;
        let mut first = 0;
        for prepared in &self.columns {
            if let Encoding::Levels {
                levels,
                meaning: Meaning::Target,
                ..
            } = &prepared.encoding
                && let Some(column) = table.column(&prepared.name)
            {
                let means = target::honest_means(column, levels, truth)?;
                for (place, means) in means.into_iter().enumerate() {
                    for (row, mean) in means.into_iter().enumerate() {
                        matrix.row_mut(row)[first + place] = mean;
                    }
                }
            }
            first += prepared.encoding.width();
        }
        Ok(matrix)
    }

    /// The features.
    pub(crate) fn transform(&self, table: &Table) -> Result<Matrix> {
        let table = &*spelled(table, self.ignore_case);
        let mut matrix = Matrix::zeros(table.rows, self.width());
        let mut first = 0;
        for prepared in &self.columns {
            let column = table.column(&prepared.name).ok_or_else(|| {
                ModelError::internal(format!("column `{}` is gone", prepared.name))
            })?;
            match (&prepared.encoding, &column.values) {
                (
                    Encoding::Number {
                        fill, shift, unit, ..
                    },
                    values,
                ) => {
                    for row in 0..table.rows {
                        let value = number(values, row);
                        let value = if value.is_finite() { value } else { *fill };
                        matrix.row_mut(row)[first] = (value - shift) / unit;
                    }
                }
                (
                    Encoding::Parts {
                        parts: wanted,
                        fill,
                    },
                    Values::Date(moments),
                ) => {
                    for (row, moment) in moments.iter().enumerate() {
                        let moment = microseconds(*moment, *fill);
                        let found = parts(&mut Memory, &moment, wanted);
                        matrix.row_mut(row)[first..first + found.len()].copy_from_slice(&found);
                    }
                }
                (encoding, Values::Text(text)) => encoding.write(text, &mut matrix, first)?,
                _ => return Err(ModelError::internal("a text column became numbers")),
            }
            first += prepared.encoding.width();
        }
        Ok(matrix)
    }
}

/// The table as it is, or with all text in small letters.
fn spelled(table: &Table, ignore_case: bool) -> Cow<'_, Table> {
    if ignore_case {
        Cow::Owned(lowered(table))
    } else {
        Cow::Borrowed(table)
    }
}

/// A moment, or what a missing one becomes.
#[allow(clippy::cast_precision_loss, reason = "a date to the microsecond fits")]
fn microseconds(moment: i64, fill: f64) -> f64 {
    if moment == i64::MIN {
        fill
    } else {
        moment as f64
    }
}

/// The number of a row; NaN when missing.
#[allow(clippy::cast_precision_loss, reason = "a date to the microsecond fits")]
fn number(values: &Values, row: usize) -> f64 {
    match values {
        Values::Number(values) => values[row],
        Values::Date(values) if values[row] == i64::MIN => f64::NAN,
        Values::Date(values) => values[row] as f64 / DAY,
        Values::Text(_) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::{Categories, Encoding, Preparation, Recipes, Style};
    use crate::data::{Table, Truth};

    fn fit(table: &Table) -> (Preparation, Vec<String>) {
        let mut warnings = Vec::new();
        let truth = Truth::Unknown(table.rows);
        let warn = &mut |text| warnings.push(text);
        let preparation = Preparation::fit(table, &truth, &Recipes::new(), false, warn).unwrap();
        (preparation, warnings)
    }

    #[test]
    fn missing_values_become_the_median_and_the_most_frequent() {
        let frame = df!(
            "age" => [Some(1.0), Some(5.0), None, Some(f64::INFINITY), Some(2.0)],
            "city" => [Some("b"), Some("a"), Some("b"), None, Some("")],
            "ok" => [Some(true), None, Some(true), Some(false), Some(true)],
        )
        .unwrap();
        let table = Table::from_frame(&frame, &[]).unwrap();
        let (preparation, _) = fit(&table);
        let matrix = preparation.transform(&table).unwrap();
        assert_eq!(matrix.row(0), [1.0, 0.0, 1.0, 1.0]);
        assert_eq!(matrix.row(1), [5.0, 1.0, 0.0, 1.0]);
        assert_eq!(matrix.row(2), [2.0, 0.0, 1.0, 1.0]);
        assert_eq!(matrix.row(3), [2.0, 0.0, 1.0, 0.0]);
        assert_eq!(matrix.row(4), [2.0, 0.0, 1.0, 1.0]);
        let style = Style {
            keep_missing: true,
            categories: Categories::Text,
        };
        let styled = preparation.styled(&style).unwrap();
        let matrix = styled.transform(&table).unwrap();
        assert_eq!(matrix.row(0), [1.0, 1.0, 1.0]);
        let [age, city, ok] = matrix.row(3) else {
            panic!("three features")
        };
        assert!(age.is_nan() && city.is_nan() && *ok == 0.0);
        assert_eq!(preparation.scaled(), [true, false, false, false]);
    }

    #[test]
    fn a_new_level_is_all_zeros() {
        let train = Table::from_frame(&df!("city" => ["a", "b"]).unwrap(), &[]).unwrap();
        let score = Table::from_frame(&df!("city" => ["c", "b"]).unwrap(), &[]).unwrap();
        let matrix = fit(&train).0.transform(&score).unwrap();
        assert_eq!(
            (matrix.row(0), matrix.row(1)),
            (&[0.0, 0.0][..], &[0.0, 1.0][..])
        );
    }

    #[test]
    fn identifiers_are_refused_and_many_levels_are_cut() {
        let ids: Vec<String> = (0..200).map(|row| format!("c{row}")).collect();
        let table = Table::from_frame(&df!("id" => &ids).unwrap(), &[]).unwrap();
        let (truth, recipes) = (Truth::Unknown(200), Recipes::new());
        let error = Preparation::fit(&table, &truth, &recipes, false, &mut |_| ())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("column `id` has 200 different texts in 200 rows"),
            "{error}"
        );
        let many: Vec<String> = (0..900).map(|row| format!("c{:03}", row % 150)).collect();
        let table = Table::from_frame(&df!("shop" => &many).unwrap(), &[]).unwrap();
        let (preparation, warnings) = fit(&table);
        assert_eq!((preparation.width(), warnings.len()), (100, 1));
    }

    #[test]
    fn a_column_without_values_is_left_out_with_a_warning() {
        let frame = df!("a" => [1.0, 2.0], "b" => [None::<f64>, None], "c" => ["", ""]).unwrap();
        let (preparation, warnings) = fit(&Table::from_frame(&frame, &[]).unwrap());
        assert_eq!(preparation.columns.len(), 1);
        assert!(matches!(
            preparation.columns[0].encoding,
            Encoding::Number { .. }
        ));
        assert_eq!(
            warnings,
            [
                "column `b` has no value and is left out",
                "column `c` has no value and is left out"
            ]
        );
    }
}
