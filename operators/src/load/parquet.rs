//! `load: parquet`: writes Parquet: one file, or a directory of files.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pipectl_engine::{
    dataset::{Dataset, rows_of},
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext, Takes,
        TaskContext, TaskError, ValueType,
    },
    size::parse_size,
};
use polars::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::support::{
    files::io_error,
    frame::{only_dataset, polars_error},
    location::{check_write, probe_place},
    set::{FileSet, Partitioning},
    settings::type_name,
    spill::{ROW_GROUP, as_it_is, copy, dataset_error, sink},
    target::{Target, WriteMode, Writing},
    text::count,
};

/// `load: parquet`.
pub(crate) struct Parquet;

/// Where. A file appears whole or not at all, and so does a directory of files for who reads it by its
/// `_manifest.json`, as `extract: parquet` does.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file, relative to the project, or `connection://key`, or `s3://bucket/key` (also `gs://`, `az://`); directories are
    /// made where they are missing. With `partition_by` or `file_size` the directory of the files.
    path: String,
    /// The connection that the path is below, when it is not the project: a bucket, or a directory that is used like one.
    connection: Option<ConnectionName>,
    /// Whether the rows take the place of those that are there, or come after them. Objects cannot be appended to;
    /// directories of them can.
    #[serde(default)]
    mode: WriteMode,
    /// How the columns are compressed.
    #[serde(default)]
    compression: Compression,
    /// Columns that become directories, `day=2026-03-01/country=de/…`, and are not in the files themselves.
    #[serde(default)]
    partition_by: Vec<String>,
    /// Begins another file when one would become larger than this, as in `128MiB`: a rough measure of the size in
    /// memory, that on the disk is smaller.
    file_size: Option<String>,
}

/// A way of compressing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
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

impl Compression {
    fn polars(self) -> ParquetCompression {
        match self {
            Self::Zstd => ParquetCompression::Zstd(None),
            Self::Snappy => ParquetCompression::Snappy,
            Self::None => ParquetCompression::Uncompressed,
        }
    }
}

impl Config {
    fn options(&self) -> ParquetWriteOptions {
        ParquetWriteOptions {
            compression: self.compression.polars(),
            row_group_size: Some(ROW_GROUP),
            ..ParquetWriteOptions::default()
        }
    }

    fn is_set(&self) -> bool {
        !self.partition_by.is_empty() || self.file_size.is_some()
    }
}

impl Operator for Parquet {
    type Config = Config;
    const KIND: Kind = Kind::Load;
    const NAME: &'static str = "parquet";
    const SUMMARY: &'static str = "Writes Parquet: one file, or a directory of files.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value(
                "path",
                ValueType::String,
                "the file, or the pattern of the files",
            )
            .value("rows", ValueType::Integer, "the rows that were written")
            .value("files", ValueType::Integer, "how many files were written")
    }

    fn check(config: &Config, found: &mut Complaints) {
        check_write(&config.path, found);
        if let Some(size) = &config.file_size
            && let Err(wrong) = parse_size(size)
        {
            found.error(&["file_size"], wrong);
        }
        for (index, name) in config.partition_by.iter().enumerate() {
            if config
                .partition_by
                .iter()
                .take(index)
                .any(|other| other == name)
            {
                found.error(&["partition_by"], format!("`{name}` is named twice"));
            }
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        probe_place(config.connection.as_ref(), &config.path, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let dataset = only_dataset(context)?;
        if config.is_set() {
            return set(config, context, dataset).await;
        }
        let (connection, path) = (config.connection.as_ref(), &config.path);
        let target = Target::read(context, connection, path, config.mode).await?;
        let shown = target.shown().to_owned();
        let rows = Arc::new(AtomicU64::new(0));
        let written = Arc::clone(&rows);
        target
            .write(context, move |mut writing| {
                let rows = write(&config, &shown, &dataset, &mut writing)?;
                written.store(rows, Ordering::Relaxed);
                Ok(())
            })
            .await?;
        let rows = rows.load(Ordering::Relaxed);
        let path = target.shown();
        context
            .log
            .info(format!("{} in {path}", count(rows, "row")));
        let output = Output::default().value("path", path).value("rows", rows);
        Ok(Outcome::Done(output.value("files", 1)))
    }
}

/// Writes the file; says how many of its rows are new.
fn write(
    config: &Config,
    shown: &str,
    dataset: &Dataset,
    writing: &mut Writing<'_>,
) -> Result<u64, TaskError> {
    let doing = format!("write `{shown}`");
    let fail = |error: PolarsError| dataset_error(dataset, &doing, &error);
    if let (None, Some(ours)) = (writing.old, as_it_is(dataset, config.compression.polars())) {
        copy(&ours, &mut *writing.file, shown)?;
        return dataset
            .known_rows()
            .map_or_else(|| rows_of(&ours).map_err(fail), Ok);
    }
    let mut plan = dataset.lazy().map_err(fail)?;
    let mut before = 0;
    if let Some(old) = writing.old {
        plan = after(old, shown, dataset, plan)?;
        before = rows_of(old).map_err(fail)?;
    }
    if let (None, Some(frame)) = (writing.old, dataset.in_memory()) {
        let mut frame = frame.as_ref().clone();
        ParquetWriter::new(&mut *writing.file)
            .with_compression(config.compression.polars())
            .with_row_group_size(Some(ROW_GROUP))
            .finish(&mut frame)
            .map_err(fail)?;
        return Ok(frame.height() as u64);
    }
    sink(plan, writing.path, config.options()).map_err(fail)?;
    Ok(rows_of(writing.path).map_err(fail)?.saturating_sub(before))
}

/// Writes a directory of files.
async fn set(
    config: Config,
    context: &TaskContext,
    dataset: Dataset,
) -> Result<Outcome, TaskError> {
    if let Some(missing) = config
        .partition_by
        .iter()
        .find(|name| !dataset.schema().contains(name))
    {
        let known: Vec<&str> = dataset
            .schema()
            .iter_names()
            .map(PlSmallStr::as_str)
            .collect();
        let hint = crate::support::text::hint_for_name(missing, "the columns are", known);
        return Err(
            TaskError::user(format!("there is no column `{missing}` to partition by")).hint(hint),
        );
    }
    if config.partition_by.len() == dataset.schema().len() {
        return Err(TaskError::user(
            "all columns are partitioned by: the files would hold none",
        ));
    }
    let size = config.file_size.as_deref().map(parse_size).transpose();
    let partitioning = Partitioning {
        by: config.partition_by.clone(),
        file_size: size.map_err(TaskError::user)?,
        options: config.options(),
    };
    let files = FileSet::read(context, config.connection.as_ref(), &config.path).await?;
    let written = files
        .write(context, dataset, partitioning, config.mode)
        .await?;
    let path = files.pattern();
    let (rows, number) = (count(written.rows, "row"), count(written.files, "file"));
    context.log.info(format!("{rows} in {number} of {path}"));
    let output = Output::default()
        .value("path", path)
        .value("rows", written.rows);
    Ok(Outcome::Done(output.value("files", written.files)))
}

/// The rows that are there, then the new ones.
fn after(old: &Path, shown: &str, new: &Dataset, plan: LazyFrame) -> Result<LazyFrame, TaskError> {
    let doing = format!("append to `{shown}`");
    let fail = |error: PolarsError| polars_error(&doing, &error).hint("is it a Parquet file?");
    std::fs::File::open(old).map_err(|error| io_error("append to", shown, error))?;
    let path = PlRefPath::try_from_path(old).map_err(fail)?;
    let mut there = LazyFrame::scan_parquet(path, ScanArgsParquet::default()).map_err(fail)?;
    let schema = there.collect_schema().map_err(fail)?;
    let columns = |schema: &Schema| {
        let named = schema
            .iter()
            .map(|(name, of)| format!("`{name}` {}", type_name(of)));
        named.collect::<Vec<_>>().join(", ")
    };
    let (have, want) = (columns(&schema), columns(new.schema()));
    if have != want {
        return Err(TaskError::user(format!(
            "the columns of `{shown}` are {have}, those of the rows {want}"
        ))
        .hint("bring them into the same order and types in a `transform: sql`, or write `mode: replace`"));
    }
    concat([there, plan], UnionArgs::default()).map_err(fail)
}

#[cfg(test)]
mod tests;
