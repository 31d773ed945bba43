//! `load: json`: writes JSON, as one array of records or with a record on each line.

use std::io::{BufWriter, Write as _};

use pipectl_engine::operator::{
    Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError, ValueType,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    files::io_error,
    frame::{only_input, polars_error},
    text::count,
    whole::Whole,
};

/// `load: json`.
pub(crate) struct Json;

/// Where, and how. The file appears whole or not at all and replaces what was there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project; directories are made where they are missing.
    path: String,
    /// How the records are arranged.
    #[serde(default)]
    format: Format,
}

/// How records are arranged in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
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

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (_, mut frame) = only_input(context).await?;
        let (rows, path, inner) = (frame.height(), config.path.clone(), context.clone());
        context
            .compute(move || {
                let (whole, file) = Whole::create(&inner, &config.path)?;
                let mut buffer = BufWriter::new(file);
                let format = if config.format == Format::Array {
                    JsonFormat::Json
                } else {
                    JsonFormat::JsonLines
                };
                JsonWriter::new(&mut buffer)
                    .with_json_format(format)
                    .finish(&mut frame)
                    .map_err(|error| polars_error(&format!("write `{}`", config.path), &error))?;
                buffer
                    .flush()
                    .map_err(|error| io_error("write", &config.path, error))?;
                let file = buffer
                    .into_inner()
                    .map_err(|error| io_error("write", &config.path, error.into_error()))?;
                whole.publish(&inner, file)
            })
            .await?;
        context
            .log
            .info(format!("{} in {path}", count(rows as u64, "row")));
        Ok(Outcome::Done(
            Output::default().value("path", path).value("rows", rows),
        ))
    }
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
}
