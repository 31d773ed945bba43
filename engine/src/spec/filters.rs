//! The filters, tests and functions that expressions may use: a closed list.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

/// The filters.
pub const FILTERS: &[&str] = &[
    "abs", "bool", "date", "default", "first", "float", "int", "items", "join", "last", "length",
    "list", "lower", "map", "max", "min", "replace", "reverse", "round", "sort", "split", "string",
    "sum", "title", "tojson", "trim", "unique", "upper",
];

/// The tests, as in `x is defined`.
pub const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "even",
    "false",
    "float",
    "in",
    "integer",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "string",
    "true",
    "undefined",
];

/// The functions.
pub const FUNCTIONS: &[&str] = &["range"];

/// The environment in which expressions are compiled and run.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("date", date);
    environment.add_filter("tojson", |value: minijinja::Value| {
        serde_json::to_string(&value)
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    environment
}

/// A date or moment in the format of `strftime`, in the zone that it is written in.
fn date(text: &str, format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    let wrong = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    let mut shown = String::new();
    let written = if let Ok(moment) = text.parse::<DateTime<FixedOffset>>() {
        write!(shown, "{}", moment.format(format))
    } else if let Ok(moment) = text.parse::<NaiveDateTime>() {
        write!(shown, "{}", moment.format(format))
    } else if let Ok(date) = text.parse::<NaiveDate>() {
        write!(shown, "{}", date.format(format))
    } else {
        return Err(wrong(format!("`{text}` is not a date or moment")));
    };
    written.map_err(|_| wrong(format!("`{format}` is not a format of dates")))?;
    Ok(shown)
}
