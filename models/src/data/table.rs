//! A table: the typed columns of a frame.

use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use crate::data::column::{Column, ColumnKind, Values};
use crate::error::{ModelError, Result};

/// A column that a model reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSpec {
    /// Its name in the frame and as input of the graph.
    pub name: String,
    /// Its kind.
    pub kind: ColumnKind,
}

/// Typed columns of equal length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Number of rows.
    pub rows: usize,
    /// The columns, in the frame's order.
    pub columns: Vec<Column>,
}

impl Table {
    /// Every column of the frame except the `skipped` ones; a type that no model can read is an error that says so.
    pub fn from_frame(frame: &DataFrame, skipped: &[&str]) -> Result<Self> {
        let mut columns = Vec::new();
        for column in frame.columns() {
            let name = column.name().as_str();
            if skipped.contains(&name) {
                continue;
            }
            let kind = ColumnKind::of(column.dtype()).ok_or_else(|| {
                ModelError::data(format!(
                    "column `{name}` holds {}, which a model cannot read: exclude it or convert it in a transform",
                    column.dtype()
                ))
            })?;
            columns.push(Column::read(column.as_materialized_series(), kind)?);
        }
        Ok(Self {
            rows: frame.height(),
            columns,
        })
    }

    /// The columns that a model wants, in its order; one that the frame lacks is all null and so imputed.
    pub fn for_model(frame: &DataFrame, wanted: &[ColumnSpec]) -> Result<Self> {
        let rows = frame.height();
        let columns = wanted
            .iter()
            .map(|spec| match frame.column(&spec.name) {
                Ok(column) => Column::read(column.as_materialized_series(), spec.kind),
                Err(_) => Ok(Column {
                    name: spec.name.clone(),
                    kind: spec.kind,
                    values: Values::nulls(spec.kind, rows),
                }),
            })
            .collect::<Result<_>>()?;
        Ok(Self { rows, columns })
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Names and kinds.
    pub fn specs(&self) -> Vec<ColumnSpec> {
        self.columns
            .iter()
            .map(|column| ColumnSpec {
                name: column.name.clone(),
                kind: column.kind,
            })
            .collect()
    }

    /// The named rows of every column.
    pub(crate) fn take(&self, rows: &[u32]) -> Self {
        Self {
            rows: rows.len(),
            columns: self
                .columns
                .iter()
                .map(|column| Column {
                    name: column.name.clone(),
                    kind: column.kind,
                    values: column.values.take(rows),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::{ColumnSpec, Table};
    use crate::data::{ColumnKind, Values};

    #[test]
    fn a_frame_becomes_typed_columns() {
        let frame =
            df!("id" => [1i64, 2], "ok" => [Some(true), None], "city" => [Some("Bern"), None])
                .unwrap();
        let table = Table::from_frame(&frame, &["id"]).unwrap();
        let kinds: Vec<ColumnKind> = table.columns.iter().map(|column| column.kind).collect();
        assert_eq!(kinds, [ColumnKind::Boolean, ColumnKind::Text]);
    }

    #[test]
    fn a_column_that_is_left_out_is_null() {
        let frame = df!("a" => [1.0f64]).unwrap();
        let wanted = [ColumnSpec {
            name: "b".into(),
            kind: ColumnKind::Number,
        }];
        let table = Table::for_model(&frame, &wanted).unwrap();
        let Values::Number(values) = &table.columns[0].values else {
            panic!("numbers")
        };
        assert!(values[0].is_nan());
    }
}
