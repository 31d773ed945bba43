//! `load: parquet`: writes a Parquet file.

use pipectl_engine::operator::{
    Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError, ValueType,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    frame::{only_input, polars_error},
    text::count,
    whole::Whole,
};

/// `load: parquet`.
pub(crate) struct Parquet;

/// Where. The file appears whole or not at all and replaces what was there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project; directories are made where they are missing.
    path: String,
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
        let (rows, path, inner) = (frame.height(), config.path.clone(), context.clone());
        context
            .compute(move || {
                let (whole, file) = Whole::create(&inner, &config.path)?;
                let compression = match config.compression {
                    Compression::Zstd => ParquetCompression::Zstd(None),
                    Compression::Snappy => ParquetCompression::Snappy,
                    Compression::None => ParquetCompression::Uncompressed,
                };
                ParquetWriter::new(&file)
                    .with_compression(compression)
                    .finish(&mut frame)
                    .map_err(|error| polars_error(&format!("write `{}`", config.path), &error))?;
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
}
