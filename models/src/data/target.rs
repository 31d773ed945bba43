//! What is learned: the target column, as classes or as quantities.

use polars::prelude::{DataFrame, DataType, Series};

use crate::data::{Classes, Goal};
use crate::error::{ModelError, Result};

/// The truth about rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// Classes.
    Classes {
        /// The labels; of two, the second is the positive one.
        classes: Classes,
        /// For every row the index of its class.
        codes: Vec<u32>,
    },
    /// A number for every row.
    Quantity(Vec<f64>),
    /// Nothing is known about so many rows: groups and odd ones are found without.
    Unknown(usize),
}

/// What is learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The column's name; empty when there is none.
    pub name: String,
    /// Its values.
    pub truth: Truth,
}

impl Target {
    /// Reads the target column; clusters and anomalies have none.
    pub fn read(frame: &DataFrame, goal: Goal, name: &str, positive: Option<&str>) -> Result<Self> {
        if matches!(goal, Goal::Clusters | Goal::Anomalies) {
            if frame.height() == 0 {
                return Err(ModelError::data("there are no rows to learn from"));
            }
            return Ok(Self {
                name: String::new(),
                truth: Truth::Unknown(frame.height()),
            });
        }
        let column = frame.column(name).map_err(|_| {
            ModelError::data(format!(
                "there is no column `{name}` to learn (`target`); there are {}",
                column_names(frame)
            ))
        })?;
        let series = column.as_materialized_series();
        let nulls = series.null_count();
        if nulls > 0 {
            return Err(ModelError::data(format!(
                "the target `{name}` is null in {nulls} of {} rows: drop them in a transform before",
                series.len()
            )));
        }
        let truth = if goal == Goal::Quantity {
            Truth::Quantity(quantities(series)?)
        } else {
            let (classes, codes) = Classes::read(series, positive)?;
            Truth::Classes { classes, codes }
        };
        Ok(Self {
            name: name.to_owned(),
            truth,
        })
    }

    /// The class labels; none when it has no classes.
    pub fn classes(&self) -> Classes {
        match &self.truth {
            Truth::Classes { classes, .. } => classes.clone(),
            _ => Classes::none(),
        }
    }

    /// Rows of every class.
    pub fn counts(&self) -> Vec<usize> {
        let Truth::Classes { classes, codes } = &self.truth else {
            return Vec::new();
        };
        let mut counts = vec![0; classes.len()];
        for &code in codes {
            counts[code as usize] += 1;
        }
        counts
    }
}

impl Truth {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes { codes, .. } => codes.len(),
            Self::Quantity(values) => values.len(),
            Self::Unknown(rows) => *rows,
        }
    }

    /// The truth about some rows.
    pub(crate) fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::Classes { classes, codes } => Self::Classes {
                classes: classes.clone(),
                codes: rows.iter().map(|&row| codes[row as usize]).collect(),
            },
            Self::Quantity(values) => {
                Self::Quantity(rows.iter().map(|&row| values[row as usize]).collect())
            }
            Self::Unknown(_) => Self::Unknown(rows.len()),
        }
    }
}

/// The names of a table's columns; of many the first.
pub(crate) fn column_names(frame: &DataFrame) -> String {
    const SHOWN: usize = 30;
    let names = frame.get_column_names();
    let mut shown: Vec<&str> = names.iter().take(SHOWN).map(|name| name.as_str()).collect();
    if names.len() > SHOWN {
        shown.push("…");
    }
    shown.join(", ")
}

fn quantities(series: &Series) -> Result<Vec<f64>> {
    let name = series.name();
    if series.is_empty() {
        return Err(ModelError::data("there are no rows to learn from"));
    }
    if !series.dtype().is_numeric() && !matches!(series.dtype(), DataType::Decimal(..)) {
        return Err(ModelError::data(format!(
            "the target `{name}` holds {}: a regressor learns numbers; classes are learned by `train: classifier`",
            series.dtype()
        )));
    }
    let numbers = series.cast(&DataType::Float64)?;
    let values: Vec<f64> = numbers.f64()?.iter().flatten().collect();
    if let Some(row) = values.iter().position(|value| !value.is_finite()) {
        return Err(ModelError::data(format!(
            "the target `{name}` is {} in row {}: drop such rows in a transform before",
            values[row],
            row + 1
        )));
    }
    if values
        .iter()
        .all(|value| value.total_cmp(&values[0]).is_eq())
    {
        return Err(ModelError::data(format!(
            "the target `{name}` is always {}: there is nothing to learn",
            values[0]
        )));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::{Target, Truth};
    use crate::data::{Classes, Goal};

    #[test]
    fn the_last_class_is_positive_unless_said() {
        let frame = df!("churn" => ["Yes", "No", "No"]).unwrap();
        let read = |positive| Target::read(&frame, Goal::Classes, "churn", positive).unwrap();
        let text = |labels: [&str; 2]| Classes::Text(labels.map(str::to_owned).to_vec());
        let cases = [
            (None, text(["No", "Yes"]), vec![1, 0, 0]),
            (Some("No"), text(["Yes", "No"]), vec![0, 1, 1]),
        ];
        for (positive, classes, codes) in cases {
            assert_eq!(read(positive).truth, Truth::Classes { classes, codes });
        }
    }

    #[test]
    fn bad_targets_say_why() {
        let frame = df!(
            "one" => [1i64, 1], "part" => [0.5f64, 1.0], "gap" => [Some(1i64), None],
            "text" => ["a", "b"], "endless" => [1.0, f64::INFINITY],
        )
        .unwrap();
        let cases = [
            (
                Goal::Classes,
                "one",
                "the target `one` is always `1`: a classifier needs at least two classes",
            ),
            (
                Goal::Classes,
                "part",
                "the target `part` holds 0.5: that is a quantity, not a class label; quantities are learned by `train: regressor`",
            ),
            (
                Goal::Classes,
                "gap",
                "the target `gap` is null in 1 of 2 rows: drop them in a transform before",
            ),
            (
                Goal::Classes,
                "none",
                "there is no column `none` to learn (`target`); there are one, part, gap, text, endless",
            ),
            (
                Goal::Quantity,
                "one",
                "the target `one` is always 1: there is nothing to learn",
            ),
            (
                Goal::Quantity,
                "text",
                "the target `text` holds str: a regressor learns numbers; classes are learned by `train: classifier`",
            ),
            (
                Goal::Quantity,
                "endless",
                "the target `endless` is inf in row 2: drop such rows in a transform before",
            ),
        ];
        for (goal, name, message) in cases {
            let error = Target::read(&frame, goal, name, None).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
