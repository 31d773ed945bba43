//! `extract: parquet`: reads Parquet files.

use std::{path::PathBuf, sync::Arc};

use pipectl_engine::{
    dataset::Explain,
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext,
        SqlText, Takes, TaskContext, TaskError, ValueType,
    },
};
use polars::prelude::*;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    files::Found,
    frame::polars_error,
    gather::{Gathering, Rules, SchemaRule},
    location::{Files, Wanted, check_read, open_files, probe_place},
    pages, polars_sql,
    spill::{LARGE, Reading},
    text::count,
};

/// `extract: parquet`.
pub(crate) struct Parquet;

/// Which files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`, or `s3://bucket/key` (also `gs://`, `az://`); `*` stands for
    /// any name, `**` for any directories. `https://host/key` is one file of a web server. Several files become one table, in
    /// the order of their paths.
    path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    connection: Option<ConnectionName>,
    /// The columns to keep, in this order; all when it is left out. The others are not read.
    #[serde(default)]
    columns: Vec<String>,
    /// A condition in SQL on the rows to keep. Parts of the files in which it can hold nowhere, by their statistics or
    /// by their directories, are not read.
    r#where: Option<SqlText>,
    /// What the columns of several files have to do with each other.
    #[serde(default)]
    schema: SchemaRule,
    /// Whether directories like `day=2026-03-01` in the files' paths become columns. When it is left out, those that
    /// wildcards of `path` stand for.
    hive: Option<bool>,
    /// A column that gets the path of the file that each row comes from.
    file_column: Option<String>,
}

impl Config {
    fn rules(&self) -> Rules {
        Rules {
            columns: Vec::new(),
            schema: self.schema,
            file_column: self.file_column.clone(),
        }
    }
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

    fn check(config: &Config, found: &mut Complaints) {
        check_read(&config.path, found);
        Rules {
            columns: config.columns.clone(),
            ..config.rules()
        }
        .check(found);
        if let Some(condition) = &config.r#where
            && let Err(flaw) = polars_sql::check_condition(condition)
        {
            let complaint = found.error(&["where"], flaw.message);
            if let Some(hint) = flaw.hint {
                complaint.hint(hint);
            }
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        probe_place(config.connection.as_ref(), &config.path, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let wanted = Wanted {
            connection: config.connection.as_ref(),
            path: &config.path,
            hive: config.hive,
            condition: config.r#where.as_ref(),
        };
        let files = open_files(context, wanted).await?;
        let inner = context.clone();
        context
            .compute(move || read(&inner, &config, &files).map(Outcome::Done))
            .await
    }
}

fn read(context: &TaskContext, config: &Config, files: &Files) -> Result<Output, TaskError> {
    let mut gathering = Gathering::new(config.rules());
    let total = files.found.len() as u64;
    // A condition may be on columns that are not kept.
    let all = config.r#where.is_some();
    let wanted = if all { &[] } else { config.columns.as_slice() };
    let checked = files.found.par_iter();
    let checked = checked.map(|(file, _)| pages::check(&file.path, &file.shown, wanted));
    checked.collect::<Result<(), _>>()?;
    for (index, (file, partitions)) in files.found.iter().enumerate() {
        let mut plan = scan(&file.path).map_err(|error| unread(file, &error))?;
        let schema = plan
            .collect_schema()
            .map_err(|error| unread(file, &error))?;
        gathering.add(&file.shown, plan, schema, partitions.clone())?;
        context.progress.set(index as u64 + 1, Some(total));
    }
    let mut plan = gathering.finish()?;
    if let Some(condition) = &config.r#where {
        plan = polars_sql::filtered(plan, condition)?;
    }
    if !config.columns.is_empty() {
        plan = chosen(plan, &config.columns, files)?;
    }
    let size: u64 = files.found.iter().map(|(file, _)| file.size).sum();
    let reading = Reading {
        plan,
        // Parquet is packed.
        large: size * 4 >= LARGE,
        kept: files.kept(),
        explain: Some(blame(files)),
    };
    let table = reading.table(context, &format!("read `{}`", config.path))?;
    let files = count(total, "file");
    match table.known_rows() {
        Some(rows) => context
            .log
            .info(format!("{} from {files}", count(rows, "row"))),
        None => context.log.info(files),
    }
    Ok(Output::table(table).value("files", total))
}

/// The columns to keep, among which are those of the rules.
fn chosen(mut plan: LazyFrame, columns: &[String], files: &Files) -> Result<LazyFrame, TaskError> {
    let fail = |error| polars_error("choose the columns", &error);
    let schema = plan.collect_schema().map_err(fail)?;
    if let Some(unknown) = columns.iter().find(|name| !schema.contains(name)) {
        let file = files.found.first().map_or("", |(file, _)| &file.shown);
        let known: Vec<&str> = schema.iter_names().map(PlSmallStr::as_str).collect();
        let hint = crate::support::text::hint_for_name(unknown, "its columns are", known);
        return Err(TaskError::user(format!("`{file}` has no column `{unknown}`")).hint(hint));
    }
    Ok(plan.select(columns.iter().map(col).collect::<Vec<_>>()))
}

fn scan(path: &std::path::Path) -> PolarsResult<LazyFrame> {
    let args = ScanArgsParquet {
        glob: false,
        hive_options: polars::io::HiveOptions::new_disabled(),
        ..ScanArgsParquet::default()
    };
    LazyFrame::scan_parquet(PlRefPath::try_from_path(path)?, args)
}

fn unread(file: &Found, error: &PolarsError) -> TaskError {
    polars_error(&format!("read `{}`", file.shown), error)
        .hint("is it a Parquet file, and was it written to its end?")
}

/// Finds the file that is damaged.
fn blame(files: &Files) -> Explain {
    let files: Vec<(PathBuf, Found)> = files
        .found
        .iter()
        .map(|(file, _)| (file.path.clone(), file.clone()))
        .collect();
    Arc::new(move |error: &PolarsError| {
        let damaged = |(path, _): &&(PathBuf, Found)| {
            let read = scan(path).and_then(|plan| {
                plan.select([all().as_expr().null_count()])
                    .collect_with_engine(Engine::Streaming)
            });
            read.is_err()
        };
        let (_, file) = files.iter().find(damaged)?;
        Some(Box::new(unread(file, error)) as _)
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

    #[tokio::test(flavor = "multi_thread")]
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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_that_is_damaged_is_named() {
        const SCRIPT: &str = "\
import pyarrow as pa, pyarrow.parquet as pq, sys
rows = pa.table({'id': list(range(100000)), 'name': [str(n) for n in range(100000)]})
for path, checksums in [(sys.argv[1], True), (sys.argv[2], False)]:
    pq.write_table(rows, path, compression='none', use_dictionary=False, write_page_checksum=checksums, data_page_size=65536)
";
        let project = TestProject::new();
        let [with, without] =
            ["with.parquet", "without.parquet"].map(|path| project.write(path, ""));
        let written = std::process::Command::new("python3")
            .args(["-c", SCRIPT])
            .args([&with, &without])
            .status()
            .unwrap();
        assert!(written.success(), "pip install pyarrow");
        let read = json!({"path": "with.parquet"});
        let table = project.run::<Parquet>(read.clone()).await.unwrap();
        assert_eq!(frame(&table).height(), 100_000);
        for path in [&with, &without] {
            let mut content = std::fs::read(path).unwrap();
            let place = content
                .windows(8)
                .position(|bytes| bytes == 70_000_i64.to_le_bytes())
                .unwrap();
            content[place] ^= 1;
            std::fs::write(path, content).unwrap();
        }
        let error = project.run::<Parquet>(read).await.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "`with.parquet` is damaged: a page of `id` is not what its checksum says"
            )
        );
        // Of the columns that are not read nobody asks; and a file without checksums does not tell.
        for read in [
            json!({"path": "with.parquet", "columns": ["name"]}),
            json!({"path": "without.parquet"}),
        ] {
            let table = project.run::<Parquet>(read).await.unwrap();
            assert_eq!(frame(&table).height(), 100_000);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
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
