//! `load: json`: writes JSON, as one array of records or with a record on each line.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext, Takes,
        TaskContext, TaskError, ValueType,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::support::{
    files::io_error,
    frame::{batches, only_dataset, polars_error},
    location::{check_write, probe_place},
    target::{Target, WriteMode},
    text::count,
    values::not_finite,
};

/// `load: json`.
pub(crate) struct Json;

/// Where, and how. The file appears whole or not at all.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`; directories are made where they are missing.
    path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    connection: Option<ConnectionName>,
    /// Whether the rows take the place of those that are there, or come after them. Objects cannot be appended to.
    #[serde(default)]
    mode: WriteMode,
    /// How the records are arranged.
    #[serde(default)]
    format: Format,
}

/// How records are arranged in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// One array of records.
    #[default]
    Array,
    /// A record on each line.
    Lines,
}

impl Operator for Json {
    type Config = Config;
    const KIND: Kind = Kind::Load;
    const NAME: &'static str = "json";
    const SUMMARY: &'static str = "Writes JSON: an array of records, or a record on each line.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("path", ValueType::String, "the file")
            .value("rows", ValueType::Integer, "its rows")
    }

    fn check(config: &Config, found: &mut Complaints) {
        check_write(&config.path, found);
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        probe_place(config.connection.as_ref(), &config.path, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let dataset = only_dataset(context)?;
        let (connection, path) = (config.connection.as_ref(), &config.path);
        let target = Target::read(context, connection, path, config.mode).await?;
        let shown = target.shown().to_owned();
        let counted = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&counted);
        target
            .write(context, move |writing| {
                let begun = match writing.old {
                    None => Begun::Nothing,
                    Some(old) => begin(config.format, &shown, old, writing.file)?,
                };
                write(
                    config.format,
                    &shown,
                    &dataset,
                    begun,
                    writing.file,
                    &counting,
                )
            })
            .await?;
        let rows = counted.load(Ordering::Relaxed);
        let path = target.shown();
        context
            .log
            .info(format!("{} in {path}", count(rows, "row")));
        Ok(Outcome::Done(
            Output::default().value("path", path).value("rows", rows),
        ))
    }
}

/// What is in the file already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// Nothing.
    Nothing,
    /// Records, or an array of none that is still open.
    Open { records: bool },
}

fn write(
    format: Format,
    shown: &str,
    dataset: &Dataset,
    begun: Begun,
    file: &File,
    rows: &Arc<AtomicU64>,
) -> Result<(), TaskError> {
    let doing = format!("write `{shown}`");
    let fail = {
        let shown = shown.to_owned();
        move |error| io_error("write", &shown, error)
    };
    let mut buffer = BufWriter::with_capacity(1 << 20, file.try_clone().map_err(&fail)?);
    if format == Format::Array && begun == Begun::Nothing {
        buffer.write_all(b"[").map_err(&fail)?;
        buffer.flush().map_err(&fail)?;
    }
    let mut first = begun != Begun::Open { records: true };
    let (rows, unwritten, of_rows) = (Arc::clone(rows), fail.clone(), doing.clone());
    batches(dataset, &doing, move |mut frame| {
        if frame.height() == 0 {
            return Ok(());
        }
        let before = rows.fetch_add(frame.height() as u64, Ordering::Relaxed);
        all_finite(&frame, before)?;
        let wrong = |error: PolarsError| polars_error(&of_rows, &error);
        if format == Format::Lines {
            let mut writer = JsonWriter::new(&mut buffer).with_json_format(JsonFormat::JsonLines);
            writer.finish(&mut frame).map_err(wrong)?;
        } else {
            let mut array = Vec::new();
            let mut writer = JsonWriter::new(&mut array).with_json_format(JsonFormat::Json);
            writer.finish(&mut frame).map_err(wrong)?;
            let records = array.trim_ascii();
            let records = records.strip_prefix(b"[").unwrap_or(records);
            let records = records.strip_suffix(b"]").unwrap_or(records);
            if !std::mem::take(&mut first) {
                buffer.write_all(b",").map_err(&unwritten)?;
            }
            buffer.write_all(records).map_err(&unwritten)?;
        }
        buffer.flush().map_err(&unwritten)
    })?;
    if format == Format::Array {
        let mut file = file;
        file.write_all(b"]").map_err(&fail)?;
    }
    Ok(())
}

/// Copies what is there, as far as records may follow.
fn begin(format: Format, shown: &str, old: &Path, file: &mut File) -> Result<Begun, TaskError> {
    let fail = |error| io_error("append to", shown, error);
    let there = std::fs::read(old).map_err(fail)?;
    let there = there.trim_ascii_end();
    let is_array = there.trim_ascii_start().first() == Some(&b'[');
    if there.is_empty() {
        return Ok(Begun::Nothing);
    }
    if is_array != (format == Format::Array) {
        let (is, write) = if is_array {
            ("an array of records", "format: array")
        } else {
            ("a record on each line", "format: lines")
        };
        return Err(
            TaskError::user(format!("`{shown}` holds {is}")).hint(format!("write `{write}`"))
        );
    }
    if format == Format::Lines {
        file.write_all(there).map_err(fail)?;
        file.write_all(b"\n").map_err(fail)?;
        return Ok(Begun::Open { records: true });
    }
    let records: Vec<serde::de::IgnoredAny> = serde_json::from_slice(there)
        .map_err(|error| TaskError::user(format!("`{shown}` is no JSON: {error}")))?;
    let (_, open) = there.split_last().unwrap_or((&b']', b"["));
    file.write_all(open).map_err(fail)?;
    let records = !records.is_empty();
    Ok(Begun::Open { records })
}

/// Refuses numbers that JSON does not have; `before` rows come before these.
fn all_finite(frame: &DataFrame, before: u64) -> Result<(), TaskError> {
    let numbers = frame.columns().iter();
    for column in numbers.filter(|column| column.dtype().is_float()) {
        if let Some(row) = not_finite(column)? {
            let value = column.get(row);
            let value = value.map_or_else(|_| String::new(), |value| value.to_string());
            return Err(TaskError::user(format!(
                "row {}: `{}` is {value}, and JSON has no such number",
                before + row as u64 + 1,
                column.name()
            ))
            .hint("turn it into null in a `transform: sql`, as in `a / nullif(b, 0)`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn both_arrangements_are_written() {
        let project = TestProject::new();
        let rows = df!["a" => [Some(1i64), None], "b" => ["x", "y\""]].unwrap();
        project
            .run_on::<Json>(rows.clone(), json!({"path": "out/a.json"}))
            .await
            .unwrap();
        let read: Value = serde_json::from_str(&project.read("out/a.json")).unwrap();
        assert_eq!(read, json!([{"a": 1, "b": "x"}, {"a": null, "b": "y\""}]));
        project
            .run_on::<Json>(rows, json!({"path": "out/a.json", "format": "lines"}))
            .await
            .unwrap();
        assert_eq!(
            project.read("out/a.json"),
            "{\"a\":1,\"b\":\"x\"}\n{\"a\":null,\"b\":\"y\\\"\"}\n"
        );
        assert_eq!(project.list("out"), ["a.json"]);
    }

    #[tokio::test]
    async fn records_are_appended() {
        let project = TestProject::new();
        let rows = df!["a" => [1i64]].unwrap();
        for (format, there, expected) in [
            ("array", "", "[{\"a\":1}]"),
            ("array", "[]\n", "[{\"a\":1}]"),
            ("array", "[{\"a\": 0}]\n", "[{\"a\": 0},{\"a\":1}]"),
            ("lines", "", "{\"a\":1}\n"),
            ("lines", "{\"a\": 0}", "{\"a\": 0}\n{\"a\":1}\n"),
        ] {
            project.write("a.json", there);
            let settings = json!({"path": "a.json", "format": format, "mode": "append"});
            project
                .run_on::<Json>(rows.clone(), settings)
                .await
                .unwrap();
            assert_eq!(project.read("a.json"), expected, "{there:?}");
        }
    }

    #[tokio::test]
    async fn numbers_that_json_does_not_have_are_refused() {
        let project = TestProject::new();
        let rows = df!["a" => [1.5, f64::INFINITY]].unwrap();
        for format in ["array", "lines"] {
            let settings = json!({"path": "a.json", "format": format});
            let refused = project.run_on::<Json>(rows.clone(), settings).await;
            assert_eq!(
                refused.unwrap_err().message,
                "row 2: `a` is inf, and JSON has no such number"
            );
            assert!(!project.root().join("a.json").exists());
        }
    }

    #[tokio::test]
    async fn what_is_otherwise_arranged_is_not_appended_to() {
        let project = TestProject::new();
        for (format, there, message) in [
            (
                "array",
                "{\"a\": 0}\n",
                "`a.json` holds a record on each line",
            ),
            (
                "lines",
                "[{\"a\": 0}]\n",
                "`a.json` holds an array of records",
            ),
            (
                "array",
                "[{\"a\": 0},",
                "`a.json` is no JSON: EOF while parsing a value at line 1 column 10",
            ),
        ] {
            project.write("a.json", there);
            let settings = json!({"path": "a.json", "format": format, "mode": "append"});
            let rows = df!["a" => [1i64]].unwrap();
            let error = project.run_on::<Json>(rows, settings).await.unwrap_err();
            assert_eq!(error.message, message);
            assert_eq!(project.read("a.json"), there);
        }
    }
}
