//! Directories that are columns: `day=2026-03-01/country=de/a.parquet`, as Hive and Spark write them.

use chrono::{NaiveDate, TimeDelta};
use pipectl_engine::operator::{SqlText, TaskError};
use polars::prelude::*;

use super::{
    frame::polars_error,
    iso::{Form, form},
    polars_sql,
};

/// What stands for a missing value.
pub(crate) const MISSING: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns that a file has by its directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partitions(Vec<(String, Value)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Missing,
    Integer(i64),
    Date(NaiveDate),
    Text(String),
}

impl Value {
    fn read(text: &str) -> Self {
        if text == MISSING {
            return Self::Missing;
        }
        let text = unescaped(text);
        // `007` is a name, not a number.
        match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => return Self::Integer(number),
            _ => {}
        }
        if form(&text) == Some(Form::Date)
            && let Ok(date) = text.parse()
        {
            return Self::Date(date);
        }
        Self::Text(text)
    }

    fn of(&self) -> DataType {
        match self {
            Self::Missing => DataType::Null,
            Self::Integer(_) => DataType::Int64,
            Self::Date(_) => DataType::Date,
            Self::Text(_) => DataType::String,
        }
    }
}

impl Partitions {
    /// Those of a path; none when they are not `wanted`.
    pub(crate) fn of(path: &str, wanted: bool) -> Self {
        let directories = path
            .rsplit_once('/')
            .map_or("", |(directories, _)| directories);
        let pairs = directories
            .split('/')
            .filter_map(|part| part.split_once('='));
        let pairs = pairs.filter(|(name, _)| wanted && !name.is_empty());
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), Value::read(value)))
                .collect(),
        )
    }

    /// Their names and types.
    pub(crate) fn types(&self) -> impl Iterator<Item = (PlSmallStr, DataType)> {
        self.0.iter().map(|(name, value)| (name.into(), value.of()))
    }

    /// The value of one of them.
    pub(crate) fn value(&self, name: &str) -> Option<Expr> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        Some(match value {
            Value::Missing => lit(NULL),
            Value::Integer(number) => lit(*number),
            Value::Date(date) => {
                let days: TimeDelta = *date - NaiveDate::default();
                lit(days.num_days())
                    .cast(DataType::Int32)
                    .cast(DataType::Date)
            }
            Value::Text(text) => lit(text.as_str()),
        })
    }

    /// Brings the values of all files to one type each: text where they differ.
    pub(crate) fn agreed(all: &mut [Self]) {
        let names: Vec<String> = all
            .iter()
            .flat_map(|one| &one.0)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let of = |one: &Self| {
                one.0
                    .iter()
                    .find(|(own, _)| *own == name)
                    .map(|(_, value)| value.of())
            };
            let mut types = all.iter().filter_map(of).filter(|of| *of != DataType::Null);
            let Some(first) = types.next() else { continue };
            if types.all(|of| of == first) {
                continue;
            }
            for (_, value) in all
                .iter_mut()
                .flat_map(|one| &mut one.0)
                .filter(|(own, _)| *own == name)
            {
                *value = match &*value {
                    Value::Integer(number) => Value::Text(number.to_string()),
                    Value::Date(date) => Value::Text(date.to_string()),
                    other => other.clone(),
                };
            }
        }
    }
}

/// `%3A` is `:`, as Hive writes what a directory's name cannot hold.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut position) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(position) {
        let code = (*byte == b'%')
            .then(|| text.get(position + 1..position + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(code.unwrap_or(*byte));
        position += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

/// Which of the files can hold rows that `condition` wants, as far as their directories tell.
///
/// # Errors
/// When the condition cannot be read.
pub(crate) fn possible(all: &[Partitions], condition: &SqlText) -> Result<Vec<bool>, TaskError> {
    let mut possible = vec![true; all.len()];
    let Some(first) = all.first().filter(|first| !first.0.is_empty()) else {
        return Ok(possible);
    };
    let names: Vec<&str> = first.0.iter().map(|(name, _)| name.as_str()).collect();
    let Some(condition) = polars_sql::condition_on(condition, &names)? else {
        return Ok(possible);
    };
    for (one, possible) in all.iter().zip(&mut possible) {
        let row = names
            .iter()
            .map(|name| one.value(name).unwrap_or(lit(NULL)).alias(*name));
        let one_row = DataFrame::empty_with_height(1).lazy();
        let kept = one_row
            .select(row.collect::<Vec<_>>())
            .filter(condition.clone())
            .collect()
            .map_err(|error| polars_error("look at the files' directories", &error))?;
        *possible = kept.height() > 0;
    }
    Ok(possible)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_the_type_that_they_look_like() {
        let of = |path: &str| Partitions::of(path, true).0;
        let pair = |name: &str, value: Value| (name.to_owned(), value);
        assert_eq!(
            of("in/n=7/day=2026-03-01/t=a%3Ab/a=b.csv"),
            [
                pair("n", Value::Integer(7)),
                pair(
                    "day",
                    Value::Date(NaiveDate::from_ymd_opt(2026, 3, 1).unwrap())
                ),
                pair("t", Value::Text("a:b".to_owned())),
            ]
        );
        assert_eq!(of("n=007/a"), [pair("n", Value::Text("007".to_owned()))]);
        assert_eq!(Partitions::of("n=7/a", false), Partitions::default());
        let mut two = [Partitions::of("n=7/a", true), Partitions::of("n=x/a", true)];
        Partitions::agreed(&mut two);
        assert_eq!(two[0].0, [pair("n", Value::Text("7".to_owned()))]);
    }

    #[test]
    fn directories_that_cannot_match_are_left_out() {
        let all = ["day=2026-03-01/n=1/a", "day=2026-03-02/n=2/a"];
        let all = all.map(|path| Partitions::of(path, true));
        let text = |sql: &str| SqlText {
            sql: sql.to_owned(),
            values: vec![json!(2)],
        };
        for (sql, expected) in [
            ("n = $1", [false, true]),
            ("x > 5 and n = 1", [true, false]),
            ("x > 5 or n = 1", [true, true]),
            ("day >= date '2026-03-02'", [false, true]),
            ("x > 5", [true, true]),
        ] {
            assert_eq!(possible(&all, &text(sql)).unwrap(), expected, "{sql}");
        }
    }
}
