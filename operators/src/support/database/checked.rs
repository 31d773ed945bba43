//! What is looked at before the first row is written, the same for both databases.

use pipectl_engine::operator::{TaskContext, TaskError};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::table::{Holds, TableColumn, TableName};
use crate::support::{
    frame::polars_error,
    settings::type_name,
    text::{count, hint_for_name, list, shortened},
};

/// How new rows meet those that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// They are added.
    #[default]
    Append,
    /// They take the place of all rows.
    Replace,
    /// A row whose key is there replaces it, others are added.
    Upsert,
    /// All rows whose key is among the new ones are deleted, then the new ones are added.
    DeleteInsert,
}

/// Rows for a table.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The dataset's name.
    pub(crate) name: String,
    /// The rows.
    pub(crate) frame: DataFrame,
    /// Where they go.
    pub(crate) table: TableName,
    /// How they meet the rows that are there.
    pub(crate) mode: Mode,
    /// The columns that tell rows apart.
    pub(crate) key: Vec<String>,
    /// Whether a missing table is made.
    pub(crate) create: bool,
}

/// What the ledger knows a load by. A retry has the same identity, a redo on purpose has another.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The run.
    pub(crate) run: String,
    /// The task.
    pub(crate) task: String,
    /// The element of `foreach`, -1 without one.
    pub(crate) element: i32,
    /// How often a person has had the run done again.
    pub(crate) redo: i32,
}

impl Identity {
    /// The identity of an attempt's task.
    pub(crate) fn of(context: &TaskContext) -> Self {
        let element = context
            .task
            .key
            .element
            .and_then(|element| i32::try_from(element).ok());
        Self {
            run: context.run.id.to_string(),
            task: context.task.key.task.clone(),
            element: element.unwrap_or(-1),
            redo: i32::try_from(context.run.redo).unwrap_or(i32::MAX),
        }
    }
}

/// How a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// So many rows were written.
    Now(u64),
    /// An earlier attempt has written so many rows and was lost before it could say so.
    Before(u64),
}

/// The ledger's name.
pub(super) const LEDGER: &str = "pipectl_ledger";

impl Job {
    /// What can be said without the database.
    ///
    /// # Errors
    /// When a key column is missing, empty or not unique, or a number is not finite.
    pub(crate) fn check_rows(&self) -> Result<(), TaskError> {
        for column in self.frame.columns() {
            if column.dtype().is_float()
                && let Some(row) = not_finite(column)?
            {
                let value = column
                    .get(row)
                    .map_or_else(|_| String::new(), |value| value.to_string());
                return Err(TaskError::user(format!(
                    "row {} of `{}`: `{}` is {value}, which tables do not hold",
                    row + 1,
                    self.name,
                    column.name()
                ))
                .hint("turn it into null in a `transform: sql`"));
            }
        }
        if matches!(self.mode, Mode::Upsert | Mode::DeleteInsert) {
            self.check_key()?;
        }
        Ok(())
    }

    fn check_key(&self) -> Result<(), TaskError> {
        for name in &self.key {
            let column = self.frame.column(name).map_err(|_| {
                let known = self
                    .frame
                    .get_column_names()
                    .into_iter()
                    .map(PlSmallStr::as_str);
                TaskError::user(format!(
                    "`{}` has no column `{name}`, which is named under `key`",
                    self.name
                ))
                .hint(hint_for_name(name, "its columns are", known))
            })?;
            if let Some(row) = column.is_null().iter().position(|null| null == Some(true)) {
                return Err(TaskError::user(format!(
                    "row {} of `{}` has no `{name}`, which is part of the key",
                    row + 1,
                    self.name
                ))
                .hint("leave such rows out in a `transform: sql`"));
            }
        }
        if self.mode == Mode::DeleteInsert {
            return Ok(());
        }
        let fail = |error: PolarsError| polars_error("look for duplicate keys", &error);
        let keys = self.frame.select(self.key.iter()).map_err(fail)?;
        let duplicated = keys.is_duplicated().map_err(fail)?;
        let Some(first) = duplicated.iter().position(|twice| twice == Some(true)) else {
            return Ok(());
        };
        let shown: Vec<_> = keys
            .columns()
            .iter()
            .map(|column| {
                format!(
                    "`{}` = {}",
                    column.name(),
                    column
                        .get(first)
                        .map(|value| plain(&value))
                        .unwrap_or_default()
                )
            })
            .collect();
        Err(TaskError::user(format!(
            "{} of `{}` share their key with another row, the first with {}",
            count(duplicated.sum().unwrap_or(0).into(), "row"),
            self.name,
            shown.join(", ")
        ))
        .hint("keep one row a key in a `transform: sql`, or choose another `key`"))
    }

    /// The table's columns that are written, in the order of the dataset's.
    ///
    /// # Errors
    /// When columns are missing on either side, or types do not go together: all of them are named.
    pub(super) fn matched<'a>(
        &self,
        columns: &'a [TableColumn],
    ) -> Result<Vec<&'a TableColumn>, TaskError> {
        let of = |name: &str| columns.iter().find(|column| column.name == name);
        let missing: Vec<_> = self
            .frame
            .get_column_names()
            .into_iter()
            .map(PlSmallStr::as_str)
            .filter(|name| of(name).is_none())
            .collect();
        if let Some(first) = missing.first() {
            let noun = if missing.len() == 1 {
                "column"
            } else {
                "columns"
            };
            let known = columns.iter().map(|column| column.name.as_str());
            return Err(TaskError::user(format!(
                "table `{}` has no {noun} {}",
                self.table,
                list(missing.iter().copied())
            ))
            .hint(hint_for_name(first, "its columns are", known)));
        }
        let required = columns
            .iter()
            .filter(|column| column.required && self.frame.column(&column.name).is_err());
        let required: Vec<_> = required.map(|column| column.name.as_str()).collect();
        if !required.is_empty() {
            return Err(TaskError::user(format!(
                "table `{}` needs a value for {}",
                self.table,
                list(required)
            ))
            .hint("add the columns to the dataset, or give them a default in the table"));
        }
        let matched: Vec<_> = self
            .frame
            .columns()
            .iter()
            .filter_map(|column| of(column.name()))
            .collect();
        let wrong: Vec<_> = self
            .frame
            .columns()
            .iter()
            .zip(&matched)
            .filter(|(have, want)| !want.holds.takes(have.dtype()))
            .map(|(have, want)| {
                format!(
                    "`{}` is {} there and {} here",
                    have.name(),
                    want.type_name,
                    type_name(have.dtype())
                )
            })
            .collect();
        if wrong.is_empty() {
            return Ok(matched);
        }
        Err(TaskError::user(format!(
            "table `{}` does not fit `{}`: {}",
            self.table,
            self.name,
            wrong.join("; ")
        ))
        .hint("cast the columns in a `transform: sql`, or change the table"))
    }

    /// Refuses an upsert into a table that has no unique index on the key.
    ///
    /// # Errors
    /// When there is none, with the statement that makes one.
    pub(super) fn check_unique(&self, indexes: &[Vec<String>]) -> Result<(), TaskError> {
        let same = |index: &Vec<String>| {
            index.len() == self.key.len() && self.key.iter().all(|name| index.contains(name))
        };
        if self.mode != Mode::Upsert || indexes.iter().any(same) {
            return Ok(());
        }
        let columns = super::table::quoted_list(self.key.iter().map(String::as_str));
        Err(TaskError::user(format!(
            "table `{}` has no unique index on {}, so an upsert cannot tell its rows apart",
            self.table,
            list(self.key.iter().map(String::as_str))
        ))
        .hint(format!(
            "make one: create unique index on {} ({columns}); or use `mode: delete_insert`",
            self.table.quoted()
        )))
    }

    /// The statement that makes the table.
    ///
    /// # Errors
    /// When a column's type has no counterpart.
    pub(super) fn create_table(
        &self,
        type_of: impl Fn(&DataType) -> Option<String>,
    ) -> Result<String, TaskError> {
        let mut parts = Vec::new();
        for column in self.frame.columns() {
            let of = type_of(column.dtype()).ok_or_else(|| {
                TaskError::user(format!(
                    "`{}` of `{}` is {}, for which a table has no type",
                    column.name(),
                    self.name,
                    type_name(column.dtype())
                ))
                .hint("turn it into text or numbers in a `transform: sql`, or leave it out")
            })?;
            let required = if self.key.iter().any(|key| key == column.name()) {
                " not null"
            } else {
                ""
            };
            parts.push(format!(
                "{} {of}{required}",
                super::table::quoted(column.name())
            ));
        }
        if !self.key.is_empty() && self.mode != Mode::DeleteInsert {
            let key = super::table::quoted_list(self.key.iter().map(String::as_str));
            parts.push(format!("primary key ({key})"));
        }
        Ok(format!(
            "create table if not exists {} ({})",
            self.table.quoted(),
            parts.join(", ")
        ))
    }
}

/// A column as another type of numbers, every value in it.
///
/// # Errors
/// Names the first value that does not fit.
pub(super) fn fitted(
    column: &Column,
    to: &DataType,
    dataset: &str,
    want: &str,
) -> Result<Column, TaskError> {
    if column.dtype() == to {
        return Ok(column.clone());
    }
    let fail = |error: PolarsError| polars_error(&format!("convert `{}`", column.name()), &error);
    let cast = column.cast(to).map_err(fail)?;
    if cast.null_count() == column.null_count() {
        return Ok(cast);
    }
    let (now, before) = (cast.is_null(), column.is_null());
    let row = (0..column.len())
        .find(|row| now.get(*row) == Some(true) && before.get(*row) == Some(false))
        .unwrap_or(0);
    let value = column
        .get(row)
        .map(|value| plain(&value))
        .unwrap_or_default();
    Err(TaskError::user(format!(
        "row {} of `{dataset}`: `{}` is {value}, which does not fit into {want}",
        row + 1,
        column.name()
    )))
}

/// The type that a column's values are given in when they are written into `holds`.
pub(super) fn given(holds: Holds, have: &DataType) -> DataType {
    match holds {
        Holds::Boolean => DataType::Boolean,
        Holds::Int16 => DataType::Int16,
        Holds::Int32 => DataType::Int32,
        Holds::Int64 => DataType::Int64,
        Holds::Float32 => DataType::Float32,
        Holds::Float64 => DataType::Float64,
        Holds::Text | Holds::Json | Holds::Jsonb | Holds::Uuid | Holds::Enum => DataType::String,
        Holds::Date => DataType::Date,
        Holds::Timestamp => DataType::Datetime(TimeUnit::Microseconds, None),
        Holds::TimestampTz => match have {
            DataType::Datetime(_, Some(zone)) => {
                DataType::Datetime(TimeUnit::Microseconds, Some(zone.clone()))
            }
            _ => DataType::Datetime(TimeUnit::Microseconds, None),
        },
        Holds::Time => DataType::Time,
        Holds::Bytes => DataType::Binary,
        Holds::Numeric if have.is_integer() => DataType::Int64,
        Holds::Numeric if have.is_float() => DataType::Float64,
        Holds::Numeric | Holds::Anything | Holds::Other => have.clone(),
    }
}

fn not_finite(column: &Column) -> Result<Option<usize>, TaskError> {
    let numbers = column
        .cast(&DataType::Float64)
        .map_err(|error| polars_error("look at the numbers", &error))?;
    let numbers = numbers
        .f64()
        .map_err(|error| polars_error("look at the numbers", &error))?;
    Ok(numbers
        .iter()
        .position(|value| value.is_some_and(|value| !value.is_finite())))
}

/// A value without polars' quotes.
pub(super) fn plain(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::String(text) => shortened(text, 60),
        AnyValue::StringOwned(text) => shortened(text, 60),
        other => other.to_string(),
    }
}
