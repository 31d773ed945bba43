//! Columns of dates, times or whole numbers as numbers on one scale, so that tables can be compared in time.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{frame::polars_error, keys::NONE, settings::type_name};

/// What the numbers of a column of times count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Nothing but themselves.
    Numbers,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl Scale {
    /// A stretch of time on this scale.
    pub(crate) fn stretch(self, of: std::time::Duration) -> i64 {
        let length = match self {
            Self::Nanoseconds => of.as_nanos(),
            _ => of.as_micros(),
        };
        i64::try_from(length).unwrap_or(i64::MAX)
    }
}

/// The scale that columns share, each of them with the name of its table.
///
/// # Errors
/// When they are no times, or some of them have a time zone and others not.
pub(crate) fn scale(columns: &[(&str, &Column)]) -> Result<Scale, TaskError> {
    let mut zoned: Option<(bool, &str, &Column)> = None;
    let mut scale: Option<Scale> = None;
    for (table, column) in columns {
        let of = match column.dtype() {
            of if of.is_integer() => Scale::Numbers,
            DataType::Datetime(TimeUnit::Nanoseconds, _) => Scale::Nanoseconds,
            DataType::Date | DataType::Datetime(_, _) => Scale::Microseconds,
            other => {
                return Err(TaskError::user(format!(
                    "`{}` of `{table}` is {}, not a date or a time",
                    column.name(),
                    type_name(other)
                ))
                .hint("cast it in a `transform: sql`, as in `cast(day as date)`"));
            }
        };
        scale = Some(match (scale, of) {
            (None, of) => of,
            (Some(one), other) if one == other => one,
            (Some(Scale::Numbers), _) | (_, Scale::Numbers) => {
                return Err(TaskError::user(format!(
                    "`{}` of `{table}` is {}, and another time is not",
                    column.name(),
                    type_name(column.dtype())
                ))
                .hint("either all times are whole numbers, or none"));
            }
            _ => Scale::Nanoseconds,
        });
        if let DataType::Datetime(_, zone) = column.dtype() {
            match zoned {
                Some((before, other, first)) if before != zone.is_some() => {
                    return Err(TaskError::user(format!(
                        "`{}` of `{other}` is {} and `{}` of `{table}` is {}",
                        first.name(),
                        type_name(first.dtype()),
                        column.name(),
                        type_name(column.dtype())
                    ))
                    .hint("a moment with a time zone cannot be compared with one without: cast one of them in a `transform: sql`, as in `cast(at as timestamp)`"));
                }
                _ => zoned = Some((zone.is_some(), table, column)),
            }
        }
    }
    Ok(scale.unwrap_or(Scale::Microseconds))
}

/// A column on a scale, in one piece.
///
/// # Errors
/// When polars cannot cast it.
pub(crate) fn instants(column: &Column, scale: Scale) -> Result<Int64Chunked, TaskError> {
    let fail = |error: PolarsError| polars_error(&format!("read `{}`", column.name()), &error);
    let unit = match scale {
        Scale::Numbers => None,
        Scale::Microseconds => Some(TimeUnit::Microseconds),
        Scale::Nanoseconds => Some(TimeUnit::Nanoseconds),
    };
    let series = column.as_materialized_series();
    let series = match (unit, series.dtype()) {
        (None, _) => series.clone(),
        (Some(unit), DataType::Datetime(_, zone)) => series
            .cast(&DataType::Datetime(unit, zone.clone()))
            .map_err(fail)?,
        (Some(unit), _) => series.cast(&DataType::Datetime(unit, None)).map_err(fail)?,
    };
    let numbers = series
        .to_physical_repr()
        .cast(&DataType::Int64)
        .map_err(fail)?;
    Ok(numbers.i64().map_err(fail)?.rechunk().into_owned())
}

/// Takes the key from rows that have no time.
pub(crate) fn without(keys: &mut [u32], times: &Int64Chunked) {
    if times.null_count() == 0 {
        return;
    }
    for (key, missing) in keys.iter_mut().zip(times.is_null().iter()) {
        if missing == Some(true) {
            *key = NONE;
        }
    }
}

/// The numbers of a column in one piece; what stands where one is missing means nothing.
pub(crate) fn raw(times: &Int64Chunked) -> &[i64] {
    times.downcast_as_array().values().as_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(of: &DataType) -> Column {
        let column = Column::new("t".into(), [Some(1_i64), None]);
        column.cast(of).unwrap()
    }

    #[test]
    fn days_and_moments_share_a_scale() {
        let micros = DataType::Datetime(TimeUnit::Microseconds, None);
        let nanos = DataType::Datetime(TimeUnit::Nanoseconds, None);
        let (day, moment, fine) = (
            times(&DataType::Int32).cast(&DataType::Date).unwrap(),
            times(&micros),
            times(&nanos),
        );
        assert_eq!(
            scale(&[("a", &day), ("b", &moment)]).unwrap(),
            Scale::Microseconds
        );
        assert_eq!(
            scale(&[("a", &fine), ("b", &moment)]).unwrap(),
            Scale::Nanoseconds
        );
        assert_eq!(
            instants(&day, Scale::Microseconds).unwrap().get(0),
            Some(86_400_000_000)
        );
        assert_eq!(
            instants(&moment, Scale::Nanoseconds).unwrap().get(0),
            Some(1_000)
        );
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let micros = times(&DataType::Datetime(TimeUnit::Microseconds, None));
        let zoned = times(&DataType::Datetime(
            TimeUnit::Microseconds,
            Some(TimeZone::UTC),
        ));
        let text = times(&DataType::String);
        let number = times(&DataType::Int64);
        for (columns, message) in [
            (
                [("a", &micros), ("b", &zoned)],
                "`t` of `a` is datetime and `t` of `b` is timestamp",
            ),
            (
                [("a", &micros), ("b", &text)],
                "`t` of `b` is string, not a date or a time",
            ),
            (
                [("a", &micros), ("b", &number)],
                "`t` of `b` is integer, and another time is not",
            ),
        ] {
            assert_eq!(scale(&columns).unwrap_err().message, message);
        }
    }
}
