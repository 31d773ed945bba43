//! `extract: json`: reads JSON, as one array of records or with a record on each line.

use std::{fmt, io::Cursor, num::NonZeroUsize};

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        ConnectionName, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
        ValueType,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::support::{
    csv::without_mark,
    files::{Found, io_error},
    frame::{Gathering, polars_error},
    location::open_files,
    text::count,
};

/// `extract: json`.
pub(crate) struct Json;

/// Which files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`; `*` stands for any name, `**` for any directories.
    /// Several files with the same columns become one table, in the order of their paths.
    path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    connection: Option<ConnectionName>,
    /// How the records are arranged.
    #[serde(default)]
    format: Format,
    /// The columns to keep, in this order; all when it is left out.
    #[serde(default)]
    columns: Vec<String>,
}

/// How records are arranged in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// As the file's first character tells.
    #[default]
    Auto,
    /// One array of records.
    Array,
    /// A record on each line.
    Lines,
}

impl Operator for Json {
    type Config = Config;
    const KIND: Kind = Kind::Extract;
    const NAME: &'static str = "json";
    const SUMMARY: &'static str = "Reads JSON: an array of records, or a record on each line.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table().value("files", ValueType::Integer, "how many files were read")
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let files = open_files(context, config.connection.as_ref(), &config.path).await?;
        let count_of_files = files.found.len();
        let log = context.log.clone();
        let frame = context
            .compute(move || {
                let mut whole = Gathering::new(&config.columns);
                for file in &files.found {
                    let frame = read(file, config.format)?;
                    log.info(format!(
                        "{}: {}",
                        file.shown,
                        count(frame.height() as u64, "row")
                    ));
                    whole.add(&file.shown, &frame)?;
                }
                whole.finish()
            })
            .await?;
        Ok(Outcome::Done(
            Output::table(Dataset::from_frame(frame)).value("files", count_of_files),
        ))
    }
}

fn read(file: &Found, format: Format) -> Result<DataFrame, TaskError> {
    let content =
        std::fs::read(&file.path).map_err(|error| io_error("read", &file.shown, error))?;
    let body = without_mark(&content);
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let format = match (format, first) {
        (_, None) => {
            return Err(TaskError::user(format!("`{}` is empty", file.shown))
                .hint("a table without rows is `[]`"));
        }
        (Format::Auto, Some(b'[')) => Format::Array,
        (Format::Auto, Some(_)) => Format::Lines,
        (given, _) => given,
    };
    check(body, format, &file.shown)?;
    let reader = JsonReader::new(Cursor::new(body.to_vec()))
        .with_json_format(if format == Format::Array {
            JsonFormat::Json
        } else {
            JsonFormat::JsonLines
        })
        // All records decide about the types: one that differs later would be an error or a silent null.
        .infer_schema_len(None::<NonZeroUsize>);
    reader
        .finish()
        .map_err(|error| polars_error(&format!("read `{}`", file.shown), &error))
}

/// Finds what is no JSON, with its place: polars names none.
fn check(body: &[u8], format: Format, file: &str) -> Result<(), TaskError> {
    let wrong = |line: usize, column: usize, text: &str| {
        let text = text.split(" at line ").next().unwrap_or(text).to_owned();
        TaskError::user(format!(
            "line {line}, column {column} of `{file}` is no JSON: {text}"
        ))
    };
    if format == Format::Array {
        return match serde_json::from_slice::<Vec<Record>>(body) {
            Ok(_) => Ok(()),
            Err(error) => Err(wrong(error.line(), error.column(), &error.to_string())),
        };
    }
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_slice::<Record>(line) {
            let hint = "each line is a record of its own; an array of records begins with `[`";
            return Err(wrong(index + 1, error.column(), &error.to_string()).hint(hint));
        }
    }
    Ok(())
}

/// A JSON object whose content does not matter here.
struct Record;

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyMap)
    }
}

struct AnyMap;

impl<'de> Visitor<'de> for AnyMap {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Record)
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{
        Fault,
        testing::{TestProject, frame},
    };
    use serde_json::json;

    use super::*;

    async fn extract(content: &str) -> Result<DataFrame, TaskError> {
        let project = TestProject::new();
        project.write("a.json", content);
        Ok(frame(
            &project.run::<Json>(json!({"path": "a.json"})).await?,
        ))
    }

    #[tokio::test]
    async fn both_arrangements_give_the_same() {
        let expected = df!["a" => [Some(1i64), Some(2)], "b" => [Some("x"), None]].unwrap();
        for text in [
            "[{\"a\": 1, \"b\": \"x\"}, {\"a\": 2, \"b\": null}]",
            "{\"a\": 1, \"b\": \"x\"}\n\n{\"a\": 2}\n",
            "\u{feff}[{\"a\":1,\"b\":\"x\"},{\"a\":2}]",
        ] {
            let table = extract(text).await.unwrap();
            assert!(table.equals_missing(&expected), "{text}: {table:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_json_is_named_with_its_place() {
        for (text, message) in [
            ("", "`a.json` is empty"),
            (
                "[{\"a\": 1},\n {\"a\": }]",
                "line 2, column 8 of `a.json` is no JSON: expected value",
            ),
            (
                "{\"a\": 1}\n{\"a\": 1\n",
                "line 2, column 7 of `a.json` is no JSON: EOF while parsing an object",
            ),
            (
                "{\"a\": 1}\n[2]\n",
                "line 2, column 0 of `a.json` is no JSON: invalid type: sequence, expected a record",
            ),
            (
                "a,b\n",
                "line 1, column 1 of `a.json` is no JSON: expected value",
            ),
        ] {
            let error = extract(text).await.unwrap_err();
            assert_eq!(
                (error.fault, error.message.as_str()),
                (Fault::User, message)
            );
        }
    }
}
