//! A typed column: what a model sees of a frame's column.

use std::collections::HashMap;
use std::sync::Arc;

use polars::prelude::{DataType, NamedFrom, PolarsResult, Series, StringChunked, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};

/// The four kinds of column that a model can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Any number, as a double; null is NaN.
    Number,
    /// True or false, as 1.0 or 0.0; null is NaN.
    Boolean,
    /// Text; null and the empty text are the same.
    Text,
    /// A date or a time, as microseconds since 1970; null is the smallest integer.
    Date,
}

/// The null of a date column.
pub(crate) const NULL_DATE: i64 = i64::MIN;

impl ColumnKind {
    /// The kind of a polars type, when a model can read it.
    pub fn of(dtype: &DataType) -> Option<Self> {
        match dtype {
            DataType::Boolean => Some(Self::Boolean),
            DataType::String | DataType::Categorical(..) | DataType::Enum(..) => Some(Self::Text),
            DataType::Date | DataType::Datetime(..) => Some(Self::Date),
            DataType::Null => Some(Self::Number),
            other if other.is_numeric() => Some(Self::Number),
            _ => None,
        }
    }

    /// The kind's name, as in messages and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Date => "date",
        }
    }
}

/// Text by dictionary: the distinct values and a code for every row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextColumn {
    /// The distinct values, in the order of their first appearance.
    pub levels: Arc<Vec<Arc<str>>>,
    /// For every row the index of its value.
    pub codes: Vec<u32>,
}

impl TextColumn {
    /// Builds the dictionary; null is the empty text.
    pub fn new<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut levels: Vec<Arc<str>> = Vec::new();
        let codes = values
            .into_iter()
            .map(|value| {
                let value = value.unwrap_or("");
                *known.entry(value).or_insert_with(|| {
                    levels.push(Arc::from(value));
                    u32::try_from(levels.len() - 1).unwrap_or(u32::MAX)
                })
            })
            .collect();
        Self {
            levels: Arc::new(levels),
            codes,
        }
    }

    /// The text of a row.
    pub fn get(&self, row: usize) -> &str {
        &self.levels[self.codes[row] as usize]
    }

    /// The same with every level under another name; levels of the same name become one.
    pub(crate) fn renamed(&self, mut name: impl FnMut(&str) -> String) -> Self {
        let mut levels: Vec<Arc<str>> = Vec::new();
        let mut known: HashMap<Arc<str>, u32> = HashMap::new();
        let places: Vec<u32> = self
            .levels
            .iter()
            .map(|level| {
                let name: Arc<str> = name(level).into();
                *known.entry(Arc::clone(&name)).or_insert_with(|| {
                    levels.push(name);
                    u32::try_from(levels.len() - 1).unwrap_or(u32::MAX)
                })
            })
            .collect();
        Self {
            levels: Arc::new(levels),
            codes: self
                .codes
                .iter()
                .map(|code| places[*code as usize])
                .collect(),
        }
    }

    fn take(&self, rows: &[u32]) -> Self {
        Self {
            levels: Arc::clone(&self.levels),
            codes: rows.iter().map(|&row| self.codes[row as usize]).collect(),
        }
    }
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers and booleans; NaN is null.
    Number(Vec<f64>),
    /// Text; "" is null.
    Text(TextColumn),
    /// Microseconds since 1970; the smallest integer is null.
    Date(Vec<i64>),
}

impl Values {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(values) => values.len(),
            Self::Text(text) => text.codes.len(),
            Self::Date(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The named rows.
    pub(crate) fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::Number(values) => {
                Self::Number(rows.iter().map(|&row| values[row as usize]).collect())
            }
            Self::Text(text) => Self::Text(text.take(rows)),
            Self::Date(values) => {
                Self::Date(rows.iter().map(|&row| values[row as usize]).collect())
            }
        }
    }

    /// `rows` nulls of a kind.
    pub(crate) fn nulls(kind: ColumnKind, rows: usize) -> Self {
        match kind {
            ColumnKind::Number | ColumnKind::Boolean => Self::Number(vec![f64::NAN; rows]),
            ColumnKind::Text => Self::Text(TextColumn::new((0..rows).map(|_| None))),
            ColumnKind::Date => Self::Date(vec![NULL_DATE; rows]),
        }
    }
}

/// A named, typed column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The frame's name for it.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// The values.
    pub values: Values,
}

impl Column {
    /// Reads a series as a column of `kind`.
    pub(crate) fn read(series: &Series, kind: ColumnKind) -> Result<Self> {
        let name = series.name().to_string();
        let values = match kind {
            ColumnKind::Number | ColumnKind::Boolean => Values::Number(numbers(series)?),
            ColumnKind::Text => Values::Text(text(series)?),
            ColumnKind::Date => Values::Date(dates(series)?),
        };
        Ok(Self { name, kind, values })
    }
}

fn mismatch(series: &Series, wanted: &str) -> ModelError {
    ModelError::data(format!(
        "column `{}` holds {} where the model wants {wanted}",
        series.name(),
        series.dtype()
    ))
}

fn numbers(series: &Series) -> Result<Vec<f64>> {
    let series = match ColumnKind::of(series.dtype()) {
        Some(ColumnKind::Number | ColumnKind::Boolean) => series.cast(&DataType::Float64)?,
        Some(ColumnKind::Text) => parsed(series)?,
        _ => return Err(mismatch(series, "a number")),
    };
    let values = series.f64()?;
    Ok(values
        .iter()
        .map(|value| value.unwrap_or(f64::NAN))
        .collect())
}

/// A text column where numbers are wanted: blank is null, anything else has to be a number.
fn parsed(series: &Series) -> Result<Series> {
    let strings = series.cast(&DataType::String)?;
    let strings: &StringChunked = strings.str()?;
    let numbers: Vec<Option<f64>> = strings
        .iter()
        .map(|text| match text.map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                ModelError::data(format!(
                    "column `{}` holds the text \"{text}\" where the model wants a number",
                    series.name()
                ))
            }),
        })
        .collect::<Result<_>>()?;
    Ok(Series::new(series.name().clone(), numbers))
}

fn text(series: &Series) -> Result<TextColumn> {
    if matches!(
        ColumnKind::of(series.dtype()),
        None | Some(ColumnKind::Date)
    ) || series.dtype().is_float()
    {
        return Err(mismatch(series, "text"));
    }
    let strings = series.cast(&DataType::String)?;
    Ok(TextColumn::new(strings.str()?.iter()))
}

fn dates(series: &Series) -> Result<Vec<i64>> {
    if !matches!(
        series.dtype(),
        DataType::Date | DataType::Datetime(..) | DataType::Null
    ) {
        return Err(mismatch(series, "a date"));
    }
    let instants = microseconds(series)?;
    let instants = instants.i64()?;
    Ok(instants
        .iter()
        .map(|value| value.unwrap_or(NULL_DATE))
        .collect())
}

fn microseconds(series: &Series) -> PolarsResult<Series> {
    series
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))?
        .cast(&DataType::Int64)
}

#[cfg(test)]
mod tests {
    use polars::prelude::{NamedFrom, Series};

    use super::{Column, ColumnKind, Values};

    #[test]
    fn blanks_in_text_are_missing_numbers() {
        let series = Series::new("charge".into(), ["1.5", " ", ""]);
        let column = Column::read(&series, ColumnKind::Number).unwrap();
        let Values::Number(values) = column.values else {
            panic!("numbers")
        };
        assert_eq!(values[0].to_bits(), 1.5f64.to_bits());
        assert!(values[1].is_nan() && values[2].is_nan());
    }

    #[test]
    fn a_word_is_not_a_number() {
        let series = Series::new("charge".into(), ["abc"]);
        let error = Column::read(&series, ColumnKind::Number).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column `charge` holds the text \"abc\" where the model wants a number"
        );
    }

    #[test]
    fn whole_numbers_can_be_text() {
        let series = Series::new("code".into(), [Some(7i64), None]);
        let column = Column::read(&series, ColumnKind::Text).unwrap();
        let Values::Text(text) = column.values else {
            panic!("text")
        };
        assert_eq!((text.get(0), text.get(1)), ("7", ""));
    }
}
