//! Values in the types that a table's columns hold.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::table::{Holds, TableColumn};
use crate::support::{frame::polars_error, text::shortened};

/// A slice of a dataset's column, and where it is from.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    /// The values.
    pub(super) column: &'a Column,
    /// The dataset.
    pub(super) dataset: &'a str,
    /// How many rows of the dataset stand before the first one.
    pub(super) before: usize,
}

impl Piece<'_> {
    /// The values in the type in which they are written into `target`, every one of them.
    ///
    /// # Errors
    /// Names the first value that does not fit.
    pub(super) fn fitted(&self, target: &TableColumn) -> Result<Column, TaskError> {
        let column = self.column;
        let empty = column.null_count() == column.len() && !target.takes(column.dtype());
        let have = if empty {
            &DataType::Null
        } else {
            column.dtype()
        };
        let to = match (target.array_of, have) {
            (Some(_), DataType::List(have)) => DataType::List(Box::new(given(target.holds, have))),
            (Some(_), _) => DataType::List(Box::new(given(target.holds, &DataType::Null))),
            (None, have) => given(target.holds, have),
        };
        if column.dtype() == &to {
            return Ok(column.clone());
        }
        let fail =
            |error: PolarsError| polars_error(&format!("convert `{}`", column.name()), &error);
        let cast = column.cast(&to).map_err(fail)?;
        match lost(column, &cast).map_err(fail)? {
            None => Ok(cast),
            Some((row, value)) => Err(TaskError::user(format!(
                "row {} of `{}`: `{}` is {value}, which does not fit into {}",
                self.before + row + 1,
                self.dataset,
                column.name(),
                target.type_name
            ))),
        }
    }
}

/// The first value that was there before a cast and is not any more, with its row.
fn lost(before: &Column, after: &Column) -> PolarsResult<Option<(usize, String)>> {
    let flat = |column: &Column| match column.dtype() {
        DataType::List(_) => Ok::<_, PolarsError>(column.list()?.get_inner().into_column()),
        _ => Ok(column.clone()),
    };
    let (old, new) = (flat(before)?, flat(after)?);
    if old.null_count() == new.null_count() {
        return Ok(None);
    }
    let (was, is) = (old.is_not_null(), new.is_null());
    let place =
        (0..old.len()).find(|place| was.get(*place) == Some(true) && is.get(*place) == Some(true));
    let Some(place) = place else { return Ok(None) };
    let row = match before.dtype() {
        DataType::List(_) => {
            let lists = before.list()?;
            let lengths = lists
                .downcast_iter()
                .flat_map(|array| array.offsets().lengths());
            let mut end = 0;
            let mut ends = lengths.map(|length| {
                end += length;
                end
            });
            ends.position(|end| place < end).unwrap_or(0)
        }
        _ => place,
    };
    Ok(Some((row, plain(&old.get(place)?))))
}

/// The type that a column's values are given in when they are written into `holds`.
fn given(holds: Holds, have: &DataType) -> DataType {
    match holds {
        Holds::Boolean => DataType::Boolean,
        Holds::Int16 => DataType::Int16,
        Holds::Int32 => DataType::Int32,
        Holds::Int64 => DataType::Int64,
        Holds::Float32 => DataType::Float32,
        Holds::Float64 => DataType::Float64,
        Holds::Text | Holds::Json | Holds::Jsonb | Holds::Uuid | Holds::Enum | Holds::Other => {
            DataType::String
        }
        Holds::Interval if have.is_duration() => DataType::Duration(TimeUnit::Microseconds),
        Holds::Interval => DataType::String,
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
        Holds::Numeric if *have == DataType::Null => DataType::Int64,
        Holds::Numeric | Holds::Anything => have.clone(),
    }
}

/// A value without polars' quotes.
pub(super) fn plain(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::String(text) => shortened(text, 60),
        AnyValue::StringOwned(text) => shortened(text, 60),
        other => other.to_string(),
    }
}
