//! Class labels, in the type of the column that they come from.

use polars::prelude::{DataType, Series};
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};

/// More classes than this is a number to predict or an identifier.
const MOST_CLASSES: usize = 100;

/// The class labels, in the order of their codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "values", rename_all = "snake_case")]
pub enum Classes {
    /// Labels that are text.
    Text(Vec<String>),
    /// Labels that are whole numbers.
    Integer(Vec<i64>),
    /// `false` and `true`.
    Boolean(Vec<bool>),
}

impl Classes {
    /// Number of classes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(labels) => labels.len(),
            Self::Integer(labels) => labels.len(),
            Self::Boolean(labels) => labels.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels as text, for column names, tables and charts.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Text(labels) => labels.clone(),
            Self::Integer(labels) => labels.iter().map(ToString::to_string).collect(),
            Self::Boolean(labels) => labels.iter().map(ToString::to_string).collect(),
        }
    }

    /// The labels of `codes` as a series of the target's own type.
    pub fn series(&self, name: &str, codes: &[u32]) -> Series {
        use polars::prelude::NamedFrom;
        let name = name.into();
        let pick = |code: &u32| *code as usize;
        match self {
            Self::Text(labels) => {
                let values: Vec<&str> = codes
                    .iter()
                    .map(|code| labels[pick(code)].as_str())
                    .collect();
                Series::new(name, values)
            }
            Self::Integer(labels) => {
                let values: Vec<i64> = codes.iter().map(|code| labels[pick(code)]).collect();
                Series::new(name, values)
            }
            Self::Boolean(labels) => {
                let values: Vec<bool> = codes.iter().map(|code| labels[pick(code)]).collect();
                Series::new(name, values)
            }
        }
    }

    fn move_last(&mut self, index: usize) {
        match self {
            Self::Text(labels) => labels[index..].rotate_left(1),
            Self::Integer(labels) => labels[index..].rotate_left(1),
            Self::Boolean(labels) => labels[index..].rotate_left(1),
        }
    }
}

impl Classes {
    /// No classes: what a model of quantities has.
    pub fn none() -> Self {
        Self::Text(Vec::new())
    }

    /// Reads class labels: the sorted labels, and for every row the index of its own. The positive class, which stands
    /// last, is the last in sort order, or `positive`.
    pub fn read(series: &Series, positive: Option<&str>) -> Result<(Self, Vec<u32>)> {
        let name = series.name().as_str();
        let (mut classes, mut codes) = labels(series)?;
        check_count(name, &classes)?;
        let Some(positive) = positive else {
            return Ok((classes, codes));
        };
        let names = classes.names();
        let index = names
            .iter()
            .position(|label| label == positive)
            .ok_or_else(|| {
                ModelError::settings(format!(
                    "`positive: {positive}` is no class of `{name}`: it has {}",
                    names.join(", ")
                ))
            })?;
        let last = u32::try_from(names.len() - 1).unwrap_or(u32::MAX);
        classes.move_last(index);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        for code in &mut codes {
            if *code == index {
                *code = last;
            } else if *code > index {
                *code -= 1;
            }
        }
        Ok((classes, codes))
    }
}

fn check_count(name: &str, classes: &Classes) -> Result<()> {
    match classes.len() {
        0 => Err(ModelError::data("there are no rows to learn from")),
        1 => Err(ModelError::data(format!(
            "the target `{name}` is always `{}`: a classifier needs at least two classes",
            classes.names()[0]
        ))),
        count if count > MOST_CLASSES => Err(ModelError::data(format!(
            "the target `{name}` has {count} different values: that is no class label (at most {MOST_CLASSES} classes)"
        ))),
        _ => Ok(()),
    }
}

fn labels(series: &Series) -> Result<(Classes, Vec<u32>)> {
    match series.dtype() {
        DataType::Boolean => {
            let values: Vec<bool> = series.bool()?.iter().flatten().collect();
            let (labels, codes) = coded(&values);
            Ok((Classes::Boolean(labels), codes))
        }
        DataType::String | DataType::Categorical(..) | DataType::Enum(..) => {
            let strings = series.cast(&DataType::String)?;
            let values: Vec<&str> = strings.str()?.iter().flatten().collect();
            let (labels, codes) = coded(&values);
            let labels = labels.into_iter().map(str::to_owned).collect();
            Ok((Classes::Text(labels), codes))
        }
        dtype if dtype.is_integer() || dtype.is_float() => {
            let values = whole_numbers(series)?;
            let (labels, codes) = coded(&values);
            Ok((Classes::Integer(labels), codes))
        }
        other => Err(ModelError::data(format!(
            "the target `{}` holds {other}; a class label is text, a whole number or a boolean",
            series.name()
        ))),
    }
}

fn whole_numbers(series: &Series) -> Result<Vec<i64>> {
    if series.dtype().is_float() {
        let numbers = series.cast(&DataType::Float64)?;
        if let Some(odd) = numbers
            .f64()?
            .iter()
            .flatten()
            .find(|value| value.fract() != 0.0 || !value.is_finite())
        {
            return Err(ModelError::data(format!(
                "the target `{}` holds {odd}: that is a quantity, not a class label; quantities are learned by `train: regressor`",
                series.name()
            )));
        }
    }
    Ok(series
        .cast(&DataType::Int64)?
        .i64()?
        .iter()
        .flatten()
        .collect())
}

fn coded<T: Ord + Copy>(values: &[T]) -> (Vec<T>, Vec<u32>) {
    let mut labels = values.to_vec();
    labels.sort_unstable();
    labels.dedup();
    let codes = values
        .iter()
        .map(|value| {
            let index = labels.partition_point(|label| label < value);
            u32::try_from(index).unwrap_or(u32::MAX)
        })
        .collect();
    (labels, codes)
}
