//! Values as parameters of a statement.

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, Timelike as _};
use odbc_api::{
    Bit, IntoParameter as _, Utf16String,
    parameter::{InputParameter, WithDataType},
    sys::{Date, Timestamp},
};
use pipectl_connections::OdbcValue;

/// How many digits of a second are given.
pub(crate) const DIGITS: i16 = 6;

/// A value as the driver takes it.
pub(crate) fn parameter(value: &OdbcValue) -> Box<dyn InputParameter> {
    match value {
        OdbcValue::Null => Box::new(None::<String>.into_parameter()),
        OdbcValue::Boolean(truth) => Box::new(Bit::from_bool(*truth).into_parameter()),
        OdbcValue::Integer(number) => Box::new(number.into_parameter()),
        OdbcValue::Number(number) => Box::new(number.into_parameter()),
        OdbcValue::Text(text) => Box::new(Utf16String::from_str(text).into_parameter()),
        OdbcValue::Date(day) => Box::new(date(*day).into_parameter()),
        OdbcValue::Moment(moment) => Box::new(WithDataType::new(
            timestamp(*moment),
            odbc_api::DataType::Timestamp { precision: DIGITS },
        )),
    }
}

/// A day as drivers write it.
pub(crate) fn date(day: NaiveDate) -> Date {
    Date {
        year: i16::try_from(day.year()).unwrap_or(i16::MAX),
        month: u16::try_from(day.month()).unwrap_or_default(),
        day: u16::try_from(day.day()).unwrap_or_default(),
    }
}

/// A moment as drivers write it, to the microsecond.
pub(crate) fn timestamp(moment: NaiveDateTime) -> Timestamp {
    let day = date(moment.date());
    let small = |number: u32| u16::try_from(number).unwrap_or_default();
    Timestamp {
        year: day.year,
        month: day.month,
        day: day.day,
        hour: small(moment.hour()),
        minute: small(moment.minute()),
        second: small(moment.second()),
        fraction: moment.nanosecond() / 1_000 * 1_000,
    }
}
