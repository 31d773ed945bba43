//! `load: csv`: writes a text file with separated values.

use std::io::{BufWriter, Write as _};

use pipectl_engine::operator::{
    Complaints, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError, ValueType,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    files::io_error,
    frame::{only_input, polars_error},
    text::{count, list},
    whole::Whole,
};

/// `load: csv`.
pub(crate) struct Csv;

/// Where, and how it is written. The file appears whole or not at all and replaces what was there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project; directories are made where they are missing.
    path: String,
    /// What stands between fields: one character, or `tab`.
    #[serde(default = "comma")]
    delimiter: String,
    /// Whether the first line names the columns.
    #[serde(default = "yes")]
    header: bool,
    /// What stands for a missing value.
    #[serde(default)]
    null_value: String,
}

fn comma() -> String {
    ",".to_owned()
}

fn yes() -> bool {
    true
}

impl Operator for Csv {
    type Config = Config;
    const KIND: Kind = Kind::Load;
    const NAME: &'static str = "csv";
    const SUMMARY: &'static str = "Writes a text file with separated values.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("path", ValueType::String, "the file")
            .value("rows", ValueType::Integer, "its rows")
    }

    fn check(config: &Config, found: &mut Complaints) {
        if delimiter(&config.delimiter).is_none() {
            found
                .error(&["delimiter"], "the delimiter is one ASCII character")
                .hint("write `;`, `|` or `tab`");
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (_, mut frame) = only_input(context).await?;
        refuse_nested(&frame)?;
        let rows = frame.height();
        let (path, inner) = (config.path.clone(), context.clone());
        context
            .compute(move || {
                let (whole, file) = Whole::create(&inner, &config.path)?;
                let mut buffer = BufWriter::new(file);
                CsvWriter::new(&mut buffer)
                    .with_separator(delimiter(&config.delimiter).unwrap_or(b','))
                    .include_header(config.header)
                    .with_null_value(PlSmallStr::from_str(&config.null_value))
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

fn delimiter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && *byte != b'\n' => Some(*byte),
        _ if text == "tab" => Some(b'\t'),
        _ => None,
    }
}

fn refuse_nested(frame: &DataFrame) -> Result<(), TaskError> {
    let nested = frame
        .columns()
        .iter()
        .filter(|column| column.dtype().is_nested())
        .map(|column| column.name().as_str());
    let nested: Vec<_> = nested.collect();
    if nested.is_empty() {
        return Ok(());
    }
    Err(TaskError::user(format!(
        "a CSV file cannot hold the lists or records in {}",
        list(nested)
    ))
    .hint("leave the columns out in a `transform: sql`, or write `load: parquet` or `load: json`"))
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{Fault, testing::TestProject};
    use serde_json::json;

    use super::*;

    fn rows() -> DataFrame {
        df!["name" => [Some("ada"), None, Some("o,\"x\"")], "age" => [Some(36), Some(1), None]]
            .unwrap()
    }

    #[tokio::test]
    async fn a_file_is_written_and_replaced() {
        let project = TestProject::new();
        let output = project
            .run_on::<Csv>(rows(), json!({"path": "out/deep/a.csv"}))
            .await
            .unwrap();
        assert_eq!(
            project.read("out/deep/a.csv"),
            "name,age\nada,36\n,1\n\"o,\"\"x\"\"\",\n"
        );
        assert_eq!(output.values["rows"], json!(3));
        let settings = json!({"path": "out/deep/a.csv", "delimiter": "tab", "header": false, "null_value": "NA"});
        project
            .run_on::<Csv>(rows().head(Some(2)), settings)
            .await
            .unwrap();
        assert_eq!(project.read("out/deep/a.csv"), "ada\t36\nNA\t1\n");
        assert_eq!(project.list("out/deep"), ["a.csv"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_leaves_the_old_file() {
        let project = TestProject::new();
        project.write("a.csv", "old");
        let lists = df!["l" => [Series::new("".into(), [1, 2])]].unwrap();
        let error = project
            .run_on::<Csv>(lists, json!({"path": "a.csv"}))
            .await
            .unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "a CSV file cannot hold the lists or records in `l`"
            )
        );
        assert_eq!(project.read("a.csv"), "old");
        let error = project
            .run_on::<Csv>(rows(), json!({"path": "a.csv/b.csv"}))
            .await
            .unwrap_err();
        assert!(
            error
                .full_message()
                .starts_with("cannot write `a.csv/b.csv`: "),
            "{}",
            error.full_message()
        );
    }
}
