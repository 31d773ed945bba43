//! `extract: json`: reads JSON, as one array of records or with a record on each line.

mod array;
mod flaws;
mod kinds;

use std::{
    fs::File,
    io::{BufReader, Cursor, Read as _},
    num::NonZeroUsize,
    sync::Arc,
};

use pipectl_engine::{
    dataset::Explain,
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext,
        SizeText, Takes, TaskContext, TaskError, ValueType,
    },
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{array::in_lines, flaws::check, kinds::Kinds};
use crate::support::{
    csv::without_mark,
    files::io_error,
    frame::polars_error,
    gather::{Gathering, Rules, SchemaRule},
    location::{Files, Wanted, check_read, open_files, probe_place},
    partitions::Partitions,
    plain::{Plain, decoded, marked, unpacked},
    spill::{LARGE, Reading},
    text::count,
};

/// `extract: json`.
pub(crate) struct Json;

/// Which files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`, or `s3://bucket/key` (also `gs://`, `az://`); `*` stands for
    /// any name, `**` for any directories. `https://host/key` is one file of a web server. Several files become one table, in
    /// the order of their paths. What is packed (gzip, zstd, zip) is unpacked.
    path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    connection: Option<ConnectionName>,
    /// How the records are arranged.
    #[serde(default)]
    format: Format,
    /// The columns to keep, in this order; all when it is left out.
    #[serde(default)]
    columns: Vec<String>,
    /// What the columns of several files have to do with each other.
    #[serde(default)]
    schema: SchemaRule,
    /// Whether directories like `day=2026-03-01` in the files' paths become columns. When it is left out, those that
    /// wildcards of `path` stand for.
    hive: Option<bool>,
    /// A column that gets the path of the file that each row comes from.
    file_column: Option<String>,
    /// How much may be in a packed file, as in `20GiB`. When it is left out: two hundred times its size, and 1 GiB at the
    /// least.
    max_unpacked: Option<SizeText>,
}

/// How records are arranged in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl Config {
    fn rules(&self) -> Rules {
        Rules {
            columns: self.columns.clone(),
            schema: self.schema,
            file_column: self.file_column.clone(),
        }
    }
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

    fn check(config: &Config, found: &mut Complaints) {
        check_read(&config.path, found);
        config.rules().check(found);
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        probe_place(config.connection.as_ref(), &config.path, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let wanted = Wanted {
            connection: config.connection.as_ref(),
            path: &config.path,
            hive: config.hive,
            condition: None,
        };
        let files = open_files(context, wanted).await?;
        let inner = context.clone();
        context
            .compute(move || read(&inner, &config, &files).map(Outcome::Done))
            .await
    }
}

/// A file that is ready to be read.
struct Source {
    plain: Plain,
    format: Format,
    partitions: Partitions,
    kinds: Arc<Kinds>,
}

/// How many names a warning is given for that are text for a part of their values.
const DOUBTS: usize = 5;

fn read(context: &TaskContext, config: &Config, files: &Files) -> Result<Output, TaskError> {
    let mut sources = Vec::new();
    for (found, partitions) in &files.found {
        for plain in unpacked(context, found.clone(), config.max_unpacked)? {
            sources.push(prepared(context, config, plain, partitions.clone())?);
        }
    }
    let large = sources
        .iter()
        .map(|source| source.plain.file.size)
        .sum::<u64>()
        >= LARGE;
    let mut gathering = Gathering::new(config.rules());
    let total = sources.len();
    for (index, source) in sources.iter_mut().enumerate() {
        let (plan, schema) = if large {
            source.plan(context)?
        } else {
            source.frame(context)?
        };
        let shown = &source.plain.file.shown;
        gathering.add(shown, plan, schema, source.partitions.clone())?;
        context.progress.set(index as u64 + 1, Some(total as u64));
    }
    let wanted = |column: &str| {
        config.columns.is_empty() || config.columns.iter().any(|name| name == column)
    };
    let doubts: Vec<String> = sources
        .first()
        .map(|source| source.kinds.doubts(wanted))
        .unwrap_or_default();
    let kinds: Vec<(String, Arc<Kinds>)> = sources
        .iter()
        .map(|source| (source.plain.file.shown.clone(), Arc::clone(&source.kinds)))
        .collect();
    let columns = config.columns.clone();
    let explain: Explain = Arc::new(move |error: &PolarsError| {
        if matches!(error, PolarsError::IO { .. }) {
            return None;
        }
        let wanted = |column: &str| columns.is_empty() || columns.iter().any(|name| name == column);
        let conflict = kinds
            .iter()
            .find_map(|(shown, kinds)| kinds.conflict(shown, wanted));
        conflict.map(|error| Box::new(error) as _)
    });
    let reading = Reading {
        plan: gathering.finish()?,
        large,
        kept: Arc::new((
            sources
                .into_iter()
                .map(|source| source.plain)
                .collect::<Vec<_>>(),
            files.kept(),
        )),
        explain: Some(explain),
    };
    let table = reading.table(context, &format!("read `{}`", config.path))?;
    let output = Output::table(table).value("files", total);
    Ok(doubts
        .into_iter()
        .take(DOUBTS)
        .fold(output, Output::warning))
}

fn prepared(
    context: &TaskContext,
    config: &Config,
    mut plain: Plain,
    partitions: Partitions,
) -> Result<Source, TaskError> {
    if let Some(encoding) = marked(&plain.file)? {
        // The mark is taken off on the way.
        plain = decoded(context, &plain, encoding)?;
    }
    let fail = |error| io_error("read", &plain.file.shown, error);
    let mut first = None;
    let content = BufReader::new(File::open(&plain.file.path).map_err(fail)?);
    for byte in content.bytes() {
        let byte = byte.map_err(fail)?;
        if !byte.is_ascii_whitespace() {
            first = Some(byte);
            break;
        }
    }
    let format = match (config.format, first) {
        (_, None) => {
            return Err(TaskError::user(format!("`{}` is empty", plain.file.shown))
                .hint("a table without rows is `[]`"));
        }
        (Format::Auto, Some(b'[')) => Format::Array,
        (Format::Auto, Some(_)) => Format::Lines,
        (given, _) => given,
    };
    let kinds = Arc::new(check(&plain.file, format)?);
    Ok(Source {
        plain,
        format,
        partitions,
        kinds,
    })
}

impl Source {
    fn unread(&self, error: &PolarsError) -> TaskError {
        let shown = &self.plain.file.shown;
        self.kinds
            .conflict(shown, |_| true)
            .unwrap_or_else(|| polars_error(&format!("read `{shown}`"), error))
    }

    /// Its rows in memory.
    fn frame(&self, context: &TaskContext) -> Result<(LazyFrame, SchemaRef), TaskError> {
        let file = &self.plain.file;
        let content =
            std::fs::read(&file.path).map_err(|error| io_error("read", &file.shown, error))?;
        let format = if self.format == Format::Array {
            JsonFormat::Json
        } else {
            JsonFormat::JsonLines
        };
        let frame = JsonReader::new(Cursor::new(without_mark(&content).to_vec()))
            .with_json_format(format)
            // All records decide about the types: one that differs later would be an error or a silent null.
            .infer_schema_len(None::<NonZeroUsize>)
            .finish()
            .map_err(|error| self.unread(&error))?;
        let rows = count(frame.height() as u64, "row");
        context.log.info(format!("{}: {rows}", file.shown));
        let schema = frame.schema().clone();
        Ok((frame.lazy(), schema))
    }

    /// Its rows as a plan.
    fn plan(&mut self, context: &TaskContext) -> Result<(LazyFrame, SchemaRef), TaskError> {
        if self.format == Format::Array {
            self.plain = in_lines(context, &self.plain)?;
            self.format = Format::Lines;
        }
        let read = || {
            let path = PlRefPath::try_from_path(&self.plain.file.path)?;
            let mut plan = LazyJsonLineReader::new(path)
                .with_infer_schema_length(None)
                .finish()?;
            let schema = plan.collect_schema()?;
            Ok((plan, schema))
        };
        read().map_err(|error: PolarsError| self.unread(&error))
    }
}

#[cfg(test)]
mod tests;
