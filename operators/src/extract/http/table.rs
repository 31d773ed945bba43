//! Records of JSON as a table: maps within them become columns, lists become text.

use indexmap::IndexMap;
use pipectl_engine::operator::TaskError;
use polars::prelude::*;
use serde_json::{Map, Value};

use crate::support::{
    iso,
    settings::{ColumnType, type_name},
    text::shortened,
};

/// The columns that say which slice and page a row is of; they are kept with the pages and left out of the table.
pub(crate) const SLICE: &str = "__pipectl_slice";
/// See [`SLICE`].
pub(crate) const PAGE: &str = "__pipectl_page";

/// Stands for the type of a column in which nothing but null was seen. No other column gets it.
pub(crate) const UNKNOWN: DataType = DataType::UInt32;

/// Records that become a table.
#[derive(Debug, Default)]
pub(crate) struct Records {
    columns: IndexMap<String, Vec<Value>>,
    rows: usize,
    /// Slice, page and place in the page of each row.
    tags: Vec<(u32, u32, u32)>,
}

impl Records {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the records of a page.
    ///
    /// # Errors
    /// When one is no map, two of its names come to the same column, or it lacks one of `key`.
    pub(crate) fn add(
        &mut self,
        (slice, page): (u32, u32),
        records: Vec<Value>,
        key: &[String],
    ) -> Result<(), TaskError> {
        for (number, record) in records.into_iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let Value::Object(record) = record else {
                return Err(TaskError::user(format!(
                    "{} is {}, where a map was expected",
                    row_name(page, number),
                    kind(&record)
                ))
                .hint("say with `records` where the list of records is"));
            };
            self.flat("", record).map_err(|name| {
                TaskError::user(format!("{} has two values for the column `{name}`", row_name(page, number)))
                    .hint("a map within a record gives columns of both names, as in `site_name` for `name` in `site`")
            })?;
            self.rows += 1;
            for column in self.columns.values_mut() {
                column.resize(self.rows, Value::Null);
            }
            if let Some(missing) = key.iter().find(|name| {
                self.columns
                    .get(*name)
                    .and_then(|column| column.last())
                    .is_none_or(Value::is_null)
            }) {
                return Err(TaskError::user(format!(
                    "{} has no `{missing}`, which `key` names",
                    row_name(page, number)
                )));
            }
            self.tags.push((slice, page, number));
        }
        Ok(())
    }

    fn flat(&mut self, prefix: &str, record: Map<String, Value>) -> Result<(), String> {
        for (name, value) in record {
            let name = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}_{name}")
            };
            match value {
                Value::Object(inner) => self.flat(&name, inner)?,
                value => {
                    let value = match value {
                        Value::Array(_) => Value::String(value.to_string()),
                        plain => plain,
                    };
                    let rows = self.rows;
                    let column = self.columns.entry(name);
                    let name = column.key().clone();
                    let column = column.or_insert_with(|| vec![Value::Null; rows]);
                    if column.len() > rows {
                        return Err(name);
                    }
                    column.push(value);
                }
            }
        }
        Ok(())
    }

    /// The table, with its tags. Types that are not declared are those of its values.
    ///
    /// # Errors
    /// When a value does not fit its declared type.
    pub(crate) fn tagged(
        self,
        types: &IndexMap<String, ColumnType>,
    ) -> Result<DataFrame, TaskError> {
        let tag = |of: fn(&(u32, u32, u32)) -> u32| self.tags.iter().map(of).collect::<Vec<u32>>();
        let mut columns = vec![
            Column::new(SLICE.into(), tag(|tag| tag.0)),
            Column::new(PAGE.into(), tag(|tag| tag.1)),
        ];
        let height = self.rows;
        for (name, values) in self.columns {
            columns.push(column(
                &name,
                values,
                types.get(&name).copied(),
                &self.tags,
            )?);
        }
        DataFrame::new(height, columns)
            .map_err(|error| TaskError::bug("the records make no table").because(error))
    }

    /// The table without tags.
    ///
    /// # Errors
    /// As [`tagged`](Self::tagged).
    pub(crate) fn table(self) -> Result<DataFrame, TaskError> {
        let mut frame = self.tagged(&IndexMap::new())?;
        for name in [SLICE, PAGE] {
            frame
                .drop_in_place(name)
                .map_err(|error| TaskError::bug("the records have no tags").because(error))?;
        }
        Ok(frame)
    }
}

fn row_name(page: u32, number: u32) -> String {
    format!("record {} of page {}", number + 1, page + 1)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn column(
    name: &str,
    values: Vec<Value>,
    declared: Option<ColumnType>,
    tags: &[(u32, u32, u32)],
) -> Result<Column, TaskError> {
    let Some(declared) = declared else {
        return Ok(inferred(name, values));
    };
    typed(name, &values, declared).map_err(|row| {
        let (_, page, number) = tags.get(row).copied().unwrap_or_default();
        let value = values
            .get(row)
            .map_or_else(String::new, ToString::to_string);
        TaskError::user(format!(
            "`{name}` of {} is {}, which is no {}",
            row_name(page, number),
            shortened(&value, 60),
            type_name(&declared.polars())
        ))
    })
}

/// The column as its values are: whole numbers and others become numbers, anything mixed becomes text.
fn inferred(name: &str, values: Vec<Value>) -> Column {
    let name: PlSmallStr = name.into();
    let all = |fits: fn(&Value) -> bool| values.iter().all(|value| value.is_null() || fits(value));
    if values.iter().all(Value::is_null) {
        return Column::full_null(name, values.len(), &UNKNOWN);
    }
    if all(Value::is_boolean) {
        return Column::new(name, values.iter().map(Value::as_bool).collect::<Vec<_>>());
    }
    if all(Value::is_i64) {
        return Column::new(name, values.iter().map(Value::as_i64).collect::<Vec<_>>());
    }
    if all(Value::is_number) {
        return Column::new(name, values.iter().map(Value::as_f64).collect::<Vec<_>>());
    }
    Column::new(name, values.into_iter().map(text).collect::<Vec<_>>())
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// The column as `declared`; else the first row whose value is none.
fn typed(name: &str, values: &[Value], declared: ColumnType) -> Result<Column, usize> {
    let name: PlSmallStr = name.into();
    let dtype = declared.polars();
    // Many APIs have an empty text where nothing is known.
    let known = |value: &Value| !value.is_null() && value.as_str() != Some("");
    let each = |read: &dyn Fn(&Value) -> Option<Value>| -> Result<Vec<Value>, usize> {
        let read = |(row, value): (usize, &Value)| {
            if known(value) {
                read(value).ok_or(row)
            } else {
                Ok(Value::Null)
            }
        };
        values.iter().enumerate().map(read).collect()
    };
    let column = match declared {
        ColumnType::String => {
            Column::new(name, values.iter().cloned().map(text).collect::<Vec<_>>())
        }
        ColumnType::Integer | ColumnType::Int32 => {
            let numbers = each(&|value| {
                whole(value)
                    .filter(|number| {
                        declared == ColumnType::Integer || i32::try_from(*number).is_ok()
                    })
                    .map(Value::from)
            })?;
            Column::new(name, numbers.iter().map(Value::as_i64).collect::<Vec<_>>())
        }
        ColumnType::Number | ColumnType::Float32 => {
            let numbers = each(&|value| match value {
                Value::String(text) => text.trim().parse::<f64>().ok().map(Value::from),
                number => number.as_f64().map(Value::from),
            })?;
            Column::new(name, numbers.iter().map(Value::as_f64).collect::<Vec<_>>())
        }
        ColumnType::Boolean => {
            let flags = each(&|value| match value {
                Value::Bool(flag) => Some(Value::Bool(*flag)),
                Value::String(text) => text.to_ascii_lowercase().parse().ok().map(Value::Bool),
                _ => None,
            })?;
            Column::new(name, flags.iter().map(Value::as_bool).collect::<Vec<_>>())
        }
        ColumnType::Date | ColumnType::Datetime | ColumnType::Timestamp | ColumnType::Time => {
            let texts = each(&|value| value.as_str().map(Value::from))?;
            let texts = StringChunked::from_iter_options(name, texts.iter().map(Value::as_str));
            return iso::converted(&texts, &dtype).map_err(|at| at.unwrap_or(0));
        }
    };
    column.cast(&dtype).map_err(|_| 0)
}

fn whole(value: &Value) -> Option<i64> {
    /// From here on a floating-point number is not exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?;
            let exact = number.fract() == 0.0 && number.abs() < EXACT;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is whole and small enough"
            )]
            exact.then_some(number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(records: &Value, types: Value) -> Result<DataFrame, TaskError> {
        let mut all = Records::default();
        all.add((0, 0), records.as_array().unwrap().clone(), &[])?;
        all.tagged(&serde_json::from_value(types).unwrap())
    }

    #[test]
    fn maps_become_columns_and_lists_text() {
        let records = json!([
            {"id": 1, "at": {"lat": 1.5, "name": {"en": "x"}}, "tags": ["a", 1]},
            {"id": 2.5, "at": null, "ok": true},
            {"id": null, "none": null, "mixed": 1},
            {"mixed": "a"},
        ]);
        let frame = table(&records, json!({})).unwrap();
        let expected = df![
            SLICE => [0_u32; 4],
            PAGE => [0_u32; 4],
            "id" => [Some(1.0), Some(2.5), None, None],
            "at_lat" => [Some(1.5), None, None, None],
            "at_name_en" => [Some("x"), None, None, None],
            "tags" => [Some("[\"a\",1]"), None, None, None],
            "at" => [None::<u32>; 4],
            "ok" => [None, Some(true), None, None],
            "none" => [None::<u32>; 4],
            "mixed" => [None, None, Some("1"), Some("a")],
        ];
        assert!(frame.equals_missing(&expected.unwrap()), "{frame:?}");
    }

    #[test]
    fn declared_types_are_kept_to() {
        let records = json!([
            {"s": 1, "i": "7", "n": "1.5", "b": "True", "d": "2026-03-01", "t": "2026-03-01T00:00:00+01:00", "f": 1},
            {"s": null, "i": 8.0, "n": "", "b": null, "d": "", "t": null, "f": 2.5},
        ]);
        let types = json!({"s": "string", "i": "integer", "n": "number", "b": "boolean", "d": "date", "t": "timestamp", "f": "float32"});
        let frame = table(&records, types).unwrap();
        let names: Vec<String> = frame
            .columns()
            .iter()
            .skip(2)
            .map(|column| type_name(column.dtype()))
            .collect();
        assert_eq!(
            names,
            [
                "string",
                "integer",
                "number",
                "boolean",
                "date",
                "timestamp",
                "float32"
            ]
        );
        assert_eq!(frame.column("i").unwrap().i64().unwrap().get(1), Some(8));
        assert_eq!(frame.column("n").unwrap().null_count(), 1);
        for (value, of, message) in [
            (
                json!("abc"),
                "number",
                "`x` of record 2 of page 1 is \"abc\", which is no number",
            ),
            (
                json!(1.5),
                "integer",
                "`x` of record 2 of page 1 is 1.5, which is no integer",
            ),
            (
                json!(3_000_000_000_i64),
                "int32",
                "`x` of record 2 of page 1 is 3000000000, which is no int32",
            ),
            (
                json!("01.03.2026"),
                "date",
                "`x` of record 2 of page 1 is \"01.03.2026\", which is no date",
            ),
            (
                json!(1),
                "timestamp",
                "`x` of record 2 of page 1 is 1, which is no timestamp",
            ),
        ] {
            let error = table(&json!([{"x": null}, {"x": value}]), json!({"x": of})).unwrap_err();
            assert_eq!(error.message, message);
        }
    }

    #[test]
    fn records_that_make_no_row_are_named() {
        let mut records = Records::default();
        let error = records
            .add((0, 2), vec![json!({"a": 1}), json!([1])], &[])
            .unwrap_err();
        assert_eq!(
            error.message,
            "record 2 of page 3 is a list, where a map was expected"
        );
        let error = Records::default()
            .add((0, 0), vec![json!({"a_b": 1, "a": {"b": 2}})], &[])
            .unwrap_err();
        assert_eq!(
            error.message,
            "record 1 of page 1 has two values for the column `a_b`"
        );
        let error = Records::default()
            .add((0, 0), vec![json!({"id": null})], &["id".to_owned()])
            .unwrap_err();
        assert_eq!(
            error.message,
            "record 1 of page 1 has no `id`, which `key` names"
        );
    }
}
