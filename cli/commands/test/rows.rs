//! Tables of tests: read from files, written in the test, compared.

use std::{collections::BTreeMap, fs::File, io::Cursor, path::Path};

use pipectl_engine::{plan::GivenData, project::Project};
use polars::prelude::{
    AnyValue, CsvParseOptions, CsvReadOptions, DataFrame, JsonFormat, JsonReader, ParquetReader,
    PolarsResult, SerReader,
};
use serde_json::{Map, Number, Value};

/// A given table.
pub(super) fn frame(project: &Project, data: &GivenData) -> Result<DataFrame, String> {
    let named = |path: &str, frame: PolarsResult<DataFrame>| {
        frame.map_err(|error| format!("`{path}`: {error}"))
    };
    match data {
        GivenData::Csv(path) => named(path, csv(&project.path(path))),
        GivenData::Parquet(path) => named(path, parquet(&project.path(path))),
        GivenData::Json(path) => named(path, json_file(&project.path(path))),
        GivenData::Rows(rows) => written(rows).map_err(|error| error.to_string()),
    }
}

fn csv(path: &Path) -> PolarsResult<DataFrame> {
    CsvReadOptions::default()
        .with_infer_schema_length(None)
        .with_parse_options(CsvParseOptions::default().with_try_parse_dates(true))
        .try_into_reader_with_file_path(Some(path.to_owned()))?
        .finish()
}

pub(super) fn parquet(path: &Path) -> PolarsResult<DataFrame> {
    ParquetReader::new(File::open(path)?).finish()
}

fn json_file(path: &Path) -> PolarsResult<DataFrame> {
    let lines = path
        .extension()
        .is_some_and(|extension| extension != "json");
    let format = if lines {
        JsonFormat::JsonLines
    } else {
        JsonFormat::Json
    };
    JsonReader::new(File::open(path)?)
        .with_json_format(format)
        .infer_schema_len(None)
        .finish()
}

fn written(rows: &[Map<String, Value>]) -> PolarsResult<DataFrame> {
    let text = serde_json::to_vec(rows).map_err(std::io::Error::other)?;
    JsonReader::new(Cursor::new(text))
        .infer_schema_len(None)
        .finish()
}

/// The rows of a table as JSON.
pub(super) fn rows(frame: &DataFrame) -> Vec<Map<String, Value>> {
    (0..frame.height())
        .map(|row| {
            frame
                .columns()
                .iter()
                .map(|column| {
                    let value = column.get(row).map_or(Value::Null, |value| plain(&value));
                    (column.name().to_string(), value)
                })
                .collect()
        })
        .collect()
}

fn plain(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(value) => Value::Bool(*value),
        AnyValue::String(text) => Value::String((*text).to_owned()),
        AnyValue::StringOwned(text) => Value::String(text.to_string()),
        value if value.is_primitive_numeric() => value
            .extract::<i64>()
            .filter(|_| value.is_integer())
            .map(Number::from)
            .or_else(|| value.extract::<f64>().and_then(Number::from_f64))
            .map_or(Value::Null, Value::Number),
        value => Value::String(value.to_string()),
    }
}

/// How two tables differ in the columns that the expected one names; the order of rows does not count.
pub(super) fn difference(
    expected: &[Map<String, Value>],
    found: &[Map<String, Value>],
) -> Option<String> {
    let mut columns: Vec<&String> = expected.iter().flat_map(Map::keys).collect();
    columns.sort();
    columns.dedup();
    // How often a row is found more than it is expected.
    let mut surplus: BTreeMap<String, i64> = BTreeMap::new();
    for row in expected {
        *surplus.entry(line(row, &columns)).or_default() -= 1;
    }
    for row in found {
        *surplus.entry(line(row, &columns)).or_default() += 1;
    }
    let mut lines = Vec::new();
    for (row, count) in surplus {
        let sign = if count < 0 { '-' } else { '+' };
        for _ in 0..count.abs() {
            lines.push(format!("{sign} {row}"));
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn line(row: &Map<String, Value>, columns: &[&String]) -> String {
    let parts: Vec<String> = columns
        .iter()
        .map(|column| {
            format!(
                "{column}: {}",
                canonical(row.get(*column).unwrap_or(&Value::Null))
            )
        })
        .collect();
    format!("{{{}}}", parts.join(", "))
}

/// A value as it is compared: 1 equals 1.0, and floats equal up to twelve digits.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            let rounded: f64 = format!("{value:.11e}").parse().unwrap_or(value);
            rounded.to_string()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(value: Value) -> Vec<Map<String, Value>> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_order_of_rows_and_further_columns_do_not_count() {
        let expected = table(json!([{"a": 1, "b": "x"}, {"a": 2, "b": null}]));
        let found = table(json!([{"b": null, "a": 2.0, "c": 9}, {"a": 1, "b": "x", "c": 8}]));
        assert_eq!(difference(&expected, &found), None);
    }

    #[test]
    fn a_difference_shows_what_is_missing_and_what_is_too_much() {
        let expected = table(json!([{"a": 0.3}, {"a": 2}]));
        let found = table(json!([{"a": 0.300_000_000_000_000_04}, {"a": 3}, {"a": 3}]));
        assert_eq!(
            difference(&expected, &found).unwrap(),
            "- {a: 2}\n+ {a: 3}\n+ {a: 3}"
        );
    }

    #[test]
    fn written_rows_become_a_table() {
        let given = table(json!([{"a": 1, "b": "x"}, {"a": 2, "b": null}]));
        assert_eq!(rows(&written(&given).unwrap()), given);
    }
}
