//! `load: parquet`: writes a Parquet file.

use std::{fs::File, path::Path};

use pipectl_engine::operator::{
    ConnectionName, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
    ValueType,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    files::io_error,
    frame::{only_input, polars_error},
    settings::type_name,
    target::{Target, WriteMode},
    text::count,
};

/// `load: parquet`.
pub(crate) struct Parquet;

/// Where. The file appears whole or not at all.
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
    /// How the columns are compressed.
    #[serde(default)]
    compression: Compression,
}

/// A way of compressing.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// Small and fast.
    #[default]
    Zstd,
    /// Faster, understood by everything.
    Snappy,
    /// Not at all.
    None,
}

impl Operator for Parquet {
    type Config = Config;
    const KIND: Kind = Kind::Load;
    const NAME: &'static str = "parquet";
    const SUMMARY: &'static str = "Writes a Parquet file.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("path", ValueType::String, "the file")
            .value("rows", ValueType::Integer, "its rows")
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (_, mut frame) = only_input(context).await?;
        let rows = frame.height();
        let (connection, path) = (config.connection.as_ref(), &config.path);
        let target = Target::read(context, connection, path, config.mode).await?;
        let shown = target.shown().to_owned();
        target
            .write(context, move |file, old| {
                if let Some(old) = old {
                    frame = after(old, &shown, &frame)?;
                }
                let compression = match config.compression {
                    Compression::Zstd => ParquetCompression::Zstd(None),
                    Compression::Snappy => ParquetCompression::Snappy,
                    Compression::None => ParquetCompression::Uncompressed,
                };
                ParquetWriter::new(file)
                    .with_compression(compression)
                    .finish(&mut frame)
                    .map(drop)
                    .map_err(|error| polars_error(&format!("write `{shown}`"), &error))
            })
            .await?;
        let path = target.shown();
        context
            .log
            .info(format!("{} in {path}", count(rows as u64, "row")));
        Ok(Outcome::Done(
            Output::default().value("path", path).value("rows", rows),
        ))
    }
}

/// The rows that are there, then the new ones.
fn after(old: &Path, shown: &str, new: &DataFrame) -> Result<DataFrame, TaskError> {
    let doing = format!("append to `{shown}`");
    let file = File::open(old).map_err(|error| io_error("append to", shown, error))?;
    let there = ParquetReader::new(file)
        .finish()
        .map_err(|error| polars_error(&doing, &error).hint("is it a Parquet file?"))?;
    let columns = |frame: &DataFrame| {
        let columns = frame.columns().iter();
        let named =
            columns.map(|column| format!("`{}` {}", column.name(), type_name(column.dtype())));
        named.collect::<Vec<_>>().join(", ")
    };
    let (have, want) = (columns(&there), columns(new));
    if have != want {
        return Err(TaskError::user(format!(
            "the columns of `{shown}` are {have}, those of the rows {want}"
        ))
        .hint("bring them into the same order and types in a `transform: sql`, or write `mode: replace`"));
    }
    there
        .vstack(new)
        .map_err(|error| polars_error(&doing, &error))
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_file_is_written_with_each_compression() {
        let project = TestProject::new();
        let rows = df!["id" => [1i64, 2], "tags" => [Series::new("".into(), ["a"]), Series::new("".into(), ["b"])]].unwrap();
        for compression in ["zstd", "snappy", "none"] {
            let settings = json!({"path": "out/a.parquet", "compression": compression});
            let output = project
                .run_on::<Parquet>(rows.clone(), settings)
                .await
                .unwrap();
            assert_eq!(output.values["rows"], json!(2));
            let file = std::fs::File::open(project.root().join("out/a.parquet")).unwrap();
            assert!(ParquetReader::new(file).finish().unwrap().equals(&rows));
        }
        assert_eq!(project.list("out"), ["a.parquet"]);
    }

    #[tokio::test]
    async fn rows_are_appended_to_the_same_columns() {
        let project = TestProject::new();
        let settings = json!({"path": "a.parquet", "mode": "append"});
        let rows = df!["id" => [1i64, 2]].unwrap();
        for _ in 0..2 {
            project
                .run_on::<Parquet>(rows.clone(), settings.clone())
                .await
                .unwrap();
        }
        let read =
            || ParquetReader::new(File::open(project.root().join("a.parquet")).unwrap()).finish();
        assert!(
            read()
                .unwrap()
                .equals(&df!["id" => [1i64, 2, 1, 2]].unwrap())
        );
        let other = df!["id" => ["x"]].unwrap();
        let error = project
            .run_on::<Parquet>(other, settings.clone())
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "the columns of `a.parquet` are `id` integer, those of the rows `id` string"
        );
        assert_eq!(read().unwrap().height(), 4);
        project.write("a.parquet", "id\n1\n");
        let error = project.run_on::<Parquet>(rows, settings).await.unwrap_err();
        assert!(
            error.message.starts_with("cannot append to `a.parquet`"),
            "{error}"
        );
    }
}
