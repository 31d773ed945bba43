//! `extract: parquet`: reads Parquet files.

use std::fs::File;

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        ConnectionName, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
        ValueType,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    files::{Found, io_error},
    frame::{Gathering, polars_error},
    location::open_files,
    text::count,
};

/// `extract: parquet`.
pub(crate) struct Parquet;

/// Which files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`; `*` stands for any name, `**` for any directories.
    /// Several files with the same columns become one table, in the order of their paths.
    path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    connection: Option<ConnectionName>,
    /// The columns to keep, in this order; all when it is left out.
    #[serde(default)]
    columns: Vec<String>,
}

impl Operator for Parquet {
    type Config = Config;
    const KIND: Kind = Kind::Extract;
    const NAME: &'static str = "parquet";
    const SUMMARY: &'static str = "Reads Parquet files.";
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
                    let frame = read(file)?;
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

fn read(file: &Found) -> Result<DataFrame, TaskError> {
    let opened = File::open(&file.path).map_err(|error| io_error("read", &file.shown, error))?;
    ParquetReader::new(opened).finish().map_err(|error| {
        polars_error(&format!("read `{}`", file.shown), &error)
            .hint("is it a Parquet file, and was it written to its end?")
    })
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{
        Fault,
        testing::{TestProject, frame},
    };
    use serde_json::json;

    use super::*;
    use crate::load;

    fn rows(ids: [i64; 2]) -> DataFrame {
        df!["id" => ids, "name" => ["a", "b"]].unwrap()
    }

    #[tokio::test]
    async fn several_files_become_one_table() {
        let project = TestProject::new();
        for (path, ids) in [("in/b.parquet", [3, 4]), ("in/a.parquet", [1, 2])] {
            project
                .run_on::<load::parquet::Parquet>(rows(ids), json!({"path": path}))
                .await
                .unwrap();
        }
        let output = project
            .run::<Parquet>(json!({"path": "in/*.parquet", "columns": ["id"]}))
            .await
            .unwrap();
        assert!(frame(&output).equals(&df!["id" => [1i64, 2, 3, 4]].unwrap()));
        assert_eq!(output.values["files"], json!(2));
    }

    #[tokio::test]
    async fn what_is_no_parquet_or_has_other_columns_is_named() {
        let project = TestProject::new();
        project.write("in/a.parquet", "id,name\n1,x\n");
        let error = project
            .run::<Parquet>(json!({"path": "in/a.parquet"}))
            .await
            .unwrap_err();
        assert!(
            error.message.starts_with("cannot read `in/a.parquet`: "),
            "{}",
            error.message
        );
        project
            .run_on::<load::parquet::Parquet>(rows([1, 2]), json!({"path": "in/a.parquet"}))
            .await
            .unwrap();
        let other = df!["id" => ["x"], "name" => ["y"]].unwrap();
        project
            .run_on::<load::parquet::Parquet>(other, json!({"path": "in/b.parquet"}))
            .await
            .unwrap();
        let error = project
            .run::<Parquet>(json!({"path": "in/*"}))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "`id` is string in `in/b.parquet` and integer in the files before it"
        );
        let error = project
            .run::<Parquet>(json!({"path": "in/a.parquet", "columns": ["nme"]}))
            .await
            .unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, "`in/a.parquet` has no column `nme`")
        );
        assert!(error.hint.unwrap().starts_with("did you mean `name`?"));
    }
}
