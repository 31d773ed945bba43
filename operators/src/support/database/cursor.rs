//! How far rows have been read.

use chrono::{DateTime, SecondsFormat};
use pipectl_engine::{dataset::Dataset, operator::TaskError};
use polars::prelude::*;
use serde_json::Value;

use super::{fit::plain, sqlite_column::Cell};
use crate::support::{frame::polars_error, settings::type_name};

/// The greatest value of a column of a table, as [`greatest`]. Computes: call it where blocking is allowed.
///
/// # Errors
/// As [`greatest`]; when the table cannot be read.
pub(super) fn greatest_of(rows: &Dataset, name: &str) -> Result<Option<Value>, TaskError> {
    if let Some(frame) = rows.in_memory() {
        return greatest(frame, name);
    }
    greatest(&DataFrame::empty_with_schema(rows.schema()), name)?;
    let one = rows
        .lazy()
        .and_then(|plan| plan.select([col(name).max()]).collect());
    let fail = |error: PolarsError| polars_error(&format!("find the greatest `{name}`"), &error);
    greatest(&one.map_err(fail)?, name)
}

/// The greatest value of a column, as a value that a query can be given; `None` when there is none.
///
/// # Errors
/// When the column's values have no order.
pub(super) fn greatest(frame: &DataFrame, name: &str) -> Result<Option<Value>, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("find the greatest `{name}`"), &error);
    let column = frame.column(name).map_err(fail)?;
    let of = column.dtype();
    let ordered = of.is_integer() || of.is_float() || of.is_decimal() || of.is_temporal();
    if !ordered && *of != DataType::String {
        return Err(TaskError::user(format!(
            "`{name}` is {}, which tells no earlier rows from later ones",
            type_name(of)
        ))
        .hint("name a column of numbers, dates, times or text under `incremental`"));
    }
    let greatest = column.max_reduce().map_err(fail)?;
    Ok(Some(json_value(greatest.value())).filter(|value| !value.is_null()))
}

/// A value as JSON says it: moments, days and decimal numbers as text.
pub(crate) fn json_value(value: &AnyValue<'_>) -> Value {
    let number = |value: &AnyValue<'_>| value.extract::<i64>().map(Value::from);
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(truth) => Value::from(*truth),
        AnyValue::Datetime(micros, TimeUnit::Microseconds, zone) => moment(*micros, zone.is_some()),
        AnyValue::DatetimeOwned(micros, TimeUnit::Microseconds, zone) => {
            moment(*micros, zone.is_some())
        }
        AnyValue::String(text) => Value::from(*text),
        AnyValue::StringOwned(text) => Value::from(text.as_str()),
        AnyValue::Float64(number) => Value::from(*number),
        AnyValue::Float32(number) => Value::from(f64::from(*number)),
        whole if whole.dtype().is_integer() => number(whole).unwrap_or_default(),
        other => Value::from(plain(other)),
    }
}

fn moment(micros: i64, zoned: bool) -> Value {
    let Some(moment) = DateTime::from_timestamp_micros(micros) else {
        return Value::Null;
    };
    Value::from(if zoned {
        moment.to_rfc3339_opts(SecondsFormat::Micros, true)
    } else {
        moment
            .naive_utc()
            .format("%Y-%m-%dT%H:%M:%S%.6f")
            .to_string()
    })
}

/// The greatest value of a column in SQLite's own order: numbers before texts.
#[derive(Default)]
pub(super) struct Greatest {
    text: Option<String>,
    number: Option<f64>,
    integer: Option<i64>,
}

impl Greatest {
    /// Takes note of a value.
    pub(super) fn see(&mut self, cell: &Cell) {
        match cell {
            Cell::Text(text) if self.text.as_ref().is_none_or(|before| before < text) => {
                self.text = Some(text.clone());
            }
            Cell::Integer(value) => {
                self.integer = self.integer.max(Some(*value));
                #[expect(clippy::cast_precision_loss, reason = "SQLite itself compares them so")]
                self.see_number(*value as f64);
            }
            Cell::Real(value) => self.see_number(*value),
            _ => {}
        }
    }

    fn see_number(&mut self, value: f64) {
        let less = |before: f64| before.total_cmp(&value).is_lt();
        if self.number.is_none_or(less) {
            self.number = Some(value);
        }
    }

    /// The greatest value, if there was one.
    pub(super) fn value(self) -> Option<Value> {
        if let Some(text) = self.text {
            return Some(Value::from(text));
        }
        let greatest = self.number?;
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let whole = self.integer.filter(|whole| *whole as f64 >= greatest);
        Some(whole.map_or_else(|| Value::from(greatest), Value::from))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_greatest_value_is_one_that_a_query_can_be_given() {
        let moments = |zone| {
            Series::new("c".into(), [Some(1_772_366_400_000_001_i64), None])
                .cast(&DataType::Datetime(TimeUnit::Microseconds, zone))
                .unwrap()
        };
        let days = Series::new("c".into(), [20_513_i32, 3]);
        for (values, expected) in [
            (
                Series::new("c".into(), [Some(3_i32), None, Some(7)]),
                json!(7),
            ),
            (Series::new("c".into(), [0.5, 0.25]), json!(0.5)),
            (Series::new("c".into(), ["a", "b"]), json!("b")),
            (moments(None), json!("2026-03-01T12:00:00.000001")),
            (
                moments(Some(TimeZone::UTC)),
                json!("2026-03-01T12:00:00.000001Z"),
            ),
            (days.cast(&DataType::Date).unwrap(), json!("2026-03-01")),
            (Series::new("c".into(), [None::<i64>]), json!(null)),
        ] {
            let frame = DataFrame::new(values.len(), vec![values.into()]).unwrap();
            let found = greatest(&frame, "c").unwrap();
            assert_eq!(found.unwrap_or_default(), expected);
        }
        let frame = df!["c" => [true]].unwrap();
        let error = greatest(&frame, "c").unwrap_err();
        assert_eq!(
            error.message,
            "`c` is boolean, which tells no earlier rows from later ones"
        );
    }

    #[test]
    fn the_greatest_value_is_told_as_sqlite_orders_them() {
        let text = |text: &str| Cell::Text(text.to_owned());
        for (values, expected) in [
            (vec![Cell::Null], None),
            (
                vec![Cell::Integer(3), Cell::Integer(7)],
                Some(Value::from(7)),
            ),
            (
                vec![Cell::Integer(3), Cell::Real(3.5)],
                Some(Value::from(3.5)),
            ),
            (
                vec![Cell::Real(3.5), Cell::Integer(4)],
                Some(Value::from(4)),
            ),
            (
                vec![text("b"), Cell::Integer(9), text("a")],
                Some(Value::from("b")),
            ),
        ] {
            let mut greatest = Greatest::default();
            values.iter().for_each(|cell| greatest.see(cell));
            assert_eq!(greatest.value(), expected);
        }
    }
}
