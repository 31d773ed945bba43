//! What a model reads: its raw columns, and what they become.

use indexmap::IndexMap;
use serde_json::Value;

use crate::data::{ColumnKind, ColumnSpec, Table};
use crate::error::{ModelError, Result};
use crate::estimators::Fitted;
use crate::matrix::Matrix;
use crate::onnx::{Background, ColumnMeans};
use crate::prepare::{DAY, Encoding, Preparation};
use crate::train::Problem;

/// What columns have become on average, by `means` or else by what the estimator reads; sets of categories follow, each
/// under the name of its column.
pub(super) fn background(
    matrix: String,
    preparation: &Preparation,
    fitted: &Fitted,
    rows: &Matrix,
    means: Option<&[f64]>,
) -> Background {
    let means = means.map_or_else(|| means_of(rows), <[f64]>::to_vec);
    let mut means = means.into_iter();
    let columns = preparation.columns.iter().map(|column| ColumnMeans {
        name: column.name.clone(),
        means: means.by_ref().take(column.encoding.width()).collect(),
    });
    let mut columns: Vec<ColumnMeans> = columns.collect();
    if let Fitted::Categories { sets, .. } = fitted {
        let owners = preparation.columns.iter();
        let owners: Vec<&str> = owners
            .flat_map(|column| std::iter::repeat_n(column.name.as_str(), column.encoding.width()))
            .collect();
        columns.extend(sets.sets.iter().map(|set| ColumnMeans {
            name: owners[set.feature].to_owned(),
            means: vec![set.share(rows)],
        }));
    }
    Background {
        matrix,
        projected: None,
        columns,
    }
}

/// The mean of every column of a matrix, of what is known of it.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn means_of(rows: &Matrix) -> Vec<f64> {
    (0..rows.width)
        .map(|feature| {
            let known = rows.column(feature).filter(|value| value.is_finite());
            let (sum, count) = known.fold((0.0, 0usize), |(sum, count), value| {
                (sum + value, count + 1)
            });
            sum / count.max(1) as f64
        })
        .collect()
}

/// The raw columns that the model reads, directly or through a feature.
pub(super) fn inputs(problem: &Problem<'_>, preparation: &Preparation) -> Vec<ColumnSpec> {
    let prepared = |name: &str| preparation.columns.iter().any(|column| column.name == name);
    let read = |name: &str| {
        problem
            .features
            .iter()
            .any(|feature| feature.columns().contains(&name))
    };
    let mut columns = problem.table.specs();
    columns.retain(|column| prepared(&column.name) || read(&column.name));
    columns
}

/// The table with the model's columns alone.
pub(super) fn narrowed(table: &Table, columns: &[ColumnSpec]) -> Result<Table> {
    let columns = columns
        .iter()
        .map(|spec| {
            table
                .column(&spec.name)
                .cloned()
                .ok_or_else(|| ModelError::internal("a column of the model is gone"))
        })
        .collect::<Result<_>>()?;
    Ok(Table {
        rows: table.rows,
        columns,
    })
}

/// What a missing value of every column becomes.
pub(super) fn imputed(preparation: &Preparation) -> IndexMap<String, Value> {
    preparation
        .columns
        .iter()
        .map(|column| {
            let value = match &column.encoding {
                Encoding::Number { fill, .. } if column.kind == ColumnKind::Boolean => {
                    Value::from(*fill != 0.0)
                }
                Encoding::Number { fill, .. } => Value::from(*fill),
                Encoding::OneHot { levels, fill } => Value::from(levels[*fill].as_str()),
                Encoding::Levels { missing, .. } => match missing.as_slice() {
                    [one] => Value::from(*one),
                    several => Value::from(several),
                },
                Encoding::Parts { fill, .. } => Value::from(fill / DAY),
                Encoding::Words(_) => Value::from(""),
            };
            (column.name.clone(), value)
        })
        .collect()
}
