//! The files of a set: written apart, then moved to where they belong.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use pipectl_connections::io_failure;
use pipectl_engine::{
    dataset::{Dataset, rows_of},
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;

use super::Partitioning;
use crate::support::{files::io_error, manifest::Member, spill::dataset_error};

/// A file on its way: where it is, and where it belongs within the directory.
pub(super) struct Fresh {
    pub(super) from: PathBuf,
    pub(super) member: Member,
}

/// What the files of a task in a run are called.
#[derive(Clone, Debug)]
pub(super) struct Own {
    /// Run, task and element, and how often it was done again on purpose.
    pub(super) name: String,
    attempt: u32,
}

impl Own {
    /// Those of an attempt.
    pub(super) fn of(context: &TaskContext) -> Self {
        let (run, key) = (context.run.id, &context.task.key);
        let element = key
            .element
            .map_or_else(String::new, |element| format!("-{element}"));
        Self {
            name: format!("{run}-{}{element}-{}", key.task, context.run.redo),
            attempt: context.task.attempt,
        }
    }

    /// Whether a file is one of them, of whatever attempt.
    pub(super) fn wrote(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.strip_prefix(&*self.name)
            .is_some_and(|rest| rest.starts_with('-'))
    }

    /// The hidden directory where they are until they are complete.
    pub(super) fn hidden(&self) -> String {
        format!(".{}-{}.part", self.name, self.attempt)
    }

    fn file(&self, number: usize) -> String {
        format!("{}-{}-{number:05}.parquet", self.name, self.attempt)
    }
}

/// A hidden directory that is removed when this is dropped.
pub(super) struct Unfinished(pub(super) PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It may not have been made.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// Writes the files into a directory of their own.
///
/// # Errors
/// When the plan behind the dataset fails, or the disk refuses.
pub(super) fn written(
    directory: &Path,
    shown: &str,
    dataset: &Dataset,
    partitioning: &Partitioning,
    own: &Own,
) -> Result<Vec<Fresh>, TaskError> {
    let doing = format!("write `{shown}`");
    let fail = |error: PolarsError| dataset_error(dataset, &doing, &error);
    fs::create_dir_all(directory).map_err(|error| {
        io_failure(
            &format!("make the directory {}", directory.display()),
            error,
        )
    })?;
    let strategy = if partitioning.by.is_empty() {
        PartitionStrategy::FileSize
    } else {
        PartitionStrategy::Keyed {
            keys: partitioning.by.iter().map(col).collect(),
            include_keys: false,
            keys_pre_grouped: false,
        }
    };
    let destination = SinkDestination::Partitioned {
        base_path: PlRefPath::try_from_path(directory).map_err(fail)?,
        file_path_provider: None,
        partition_strategy: strategy,
        max_rows_per_file: IdxSize::MAX,
        approximate_bytes_per_file: partitioning.file_size.unwrap_or(u64::MAX),
    };
    let format = FileWriteFormat::Parquet(Arc::new(partitioning.options.clone()));
    let arguments = UnifiedSinkArgs {
        mkdir: true,
        ..UnifiedSinkArgs::default()
    };
    let plan = dataset
        .lazy()
        .and_then(|plan| plan.sink(destination, format, arguments));
    plan.and_then(LazyFrame::collect).map_err(fail)?;
    let mut files = Vec::new();
    found(directory, &mut files).map_err(|error| io_error("write", shown, error))?;
    files.sort();
    let fresh = files.into_iter().enumerate().map(|(number, from)| {
        let within = from
            .strip_prefix(directory)
            .unwrap_or(&from)
            .with_file_name(own.file(number));
        let bytes = fs::metadata(&from)
            .map_err(|error| io_error("write", shown, error))?
            .len();
        Ok(Fresh {
            member: Member {
                path: within.to_string_lossy().into_owned(),
                rows: rows_of(&from).map_err(fail)?,
                bytes,
            },
            from,
        })
    });
    fresh.collect()
}

fn found(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Makes files durable and moves them.
///
/// # Errors
/// When the disk refuses.
pub(super) fn moved(moves: &[(PathBuf, PathBuf)]) -> io::Result<()> {
    let mut directories = Vec::new();
    for (from, to) in moves {
        File::open(from)?.sync_all()?;
        let directory = to.parent().unwrap_or(to);
        fs::create_dir_all(directory)?;
        fs::rename(from, to)?;
        directories.push(directory);
    }
    directories.dedup();
    for directory in directories {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
