//! Tables that are larger than memory should be: they are written as Parquet while they are computed.

use std::{
    any::Any,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use pipectl_engine::{
    dataset::{Dataset, Explain},
    operator::{Inputs, TaskContext, TaskError},
};
use polars::prelude::{
    FileWriteFormat, LazyFrame, ParquetCompression, ParquetReader, ParquetWriteOptions, PlRefPath,
    PolarsError, SerReader as _, SinkDestination, SinkTarget, UnifiedSinkArgs,
};

use super::{
    files::io_error,
    frame::{polars_error, system_failure},
    location::Temporary,
};

/// From this size of its files on a table is streamed.
pub(crate) const LARGE: u64 = 64 << 20;

/// How many rows stand together in a file: so many are held in memory, and statistics about them let readers pass them.
pub(crate) const ROW_GROUP: usize = 1 << 18;

/// A plan that reads files, with what has to stay while it is run.
#[derive(Clone)]
pub(crate) struct Reading {
    /// The plan.
    pub(crate) plan: LazyFrame,
    /// Whether it is too large to be held in memory.
    pub(crate) large: bool,
    /// The files.
    pub(crate) kept: Arc<dyn Any + Send + Sync>,
    /// Finds better words for its failures.
    pub(crate) explain: Option<Explain>,
}

impl Reading {
    /// The table: in memory when it is small, else a Parquet file that was written without ever holding it all.
    /// Computes: call it where blocking is allowed.
    ///
    /// # Errors
    /// When the plan fails, or there is no room for the file.
    pub(crate) fn table(self, context: &TaskContext, doing: &str) -> Result<Dataset, TaskError> {
        let fail = |error: PolarsError| {
            if system_failure(&error).is_some() {
                return polars_error(doing, &error);
            }
            let better = self.explain.as_ref().and_then(|explain| explain(&error));
            match better.map(<dyn std::error::Error + Send + Sync>::downcast::<TaskError>) {
                Some(Ok(better)) => *better,
                _ => polars_error(doing, &error),
            }
        };
        if !self.large {
            let frame = self.plan.clone().collect().map_err(fail)?;
            return Ok(Dataset::from_frame(frame));
        }
        if context.passes_on {
            let plan = Dataset::from_lazy(self.plan.clone()).map_err(fail)?;
            return Ok(plan.needing(self.kept, self.explain));
        }
        written(context, self.plan.clone(), fail)
    }
}

/// Computes a plan into a Parquet file near the artifact store.
///
/// # Errors
/// When the plan fails, in the words of `fail`; or the file cannot be made.
pub(crate) fn written(
    context: &TaskContext,
    plan: LazyFrame,
    fail: impl Fn(PolarsError) -> TaskError,
) -> Result<Dataset, TaskError> {
    // Removed when the writing fails; else it belongs to the dataset.
    let mut temporary = Temporary::new(context)?;
    let options = ParquetWriteOptions {
        row_group_size: Some(ROW_GROUP),
        ..ParquetWriteOptions::default()
    };
    sink(plan, &temporary.0, options).map_err(&fail)?;
    Dataset::from_file(std::mem::take(&mut temporary.0)).map_err(fail)
}

/// Computes a plan into a file.
///
/// # Errors
/// When the plan fails or the file cannot be written.
pub(crate) fn sink(
    plan: LazyFrame,
    path: &Path,
    options: ParquetWriteOptions,
) -> Result<(), PolarsError> {
    sink_as(plan, path, FileWriteFormat::Parquet(Arc::new(options)))
}

/// As [`sink`], in another format.
///
/// # Errors
/// As [`sink`].
pub(crate) fn sink_as(
    plan: LazyFrame,
    path: &Path,
    format: FileWriteFormat,
) -> Result<(), PolarsError> {
    let target = SinkDestination::File {
        target: SinkTarget::Path(PlRefPath::try_from_path(path)?),
    };
    plan.sink(target, format, UnifiedSinkArgs::default())?
        .collect()
        .map(drop)
        .map_err(|error| named(error, path))
}

/// An error that says which disk is full.
fn named(error: PolarsError, path: &Path) -> PolarsError {
    let full = |failure: &io::Error| {
        matches!(
            failure.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        )
    };
    let Some(failure) = system_failure(&error).filter(full) else {
        return error;
    };
    let directory = path.parent().unwrap_or(path).display();
    let text = format!("no space is left on the disk of {directory}: {failure}");
    io::Error::new(failure.kind(), text).into()
}

/// Whether the inputs are too large to compute with them in memory.
pub(crate) fn are_large(inputs: &Inputs) -> bool {
    let size = |dataset: &Dataset| match (dataset.in_memory(), dataset.file()) {
        (Some(frame), _) => frame.estimated_size() as u64 / 4,
        (None, Some(file)) => unpacked(file),
        (None, None) => LARGE,
    };
    inputs.iter().map(|(_, dataset)| size(dataset)).sum::<u64>() >= LARGE
}

/// About how much memory the rows of a Parquet file take: four times the file, or more when its end says so.
fn unpacked(path: &Path) -> u64 {
    let packed = std::fs::metadata(path).map_or(0, |about| about.len());
    let pages = std::fs::File::open(path).map_or(0, |file| {
        let mut reader = ParquetReader::new(file);
        let end = reader.get_metadata();
        let groups = end.map(|end| {
            end.row_groups
                .iter()
                .map(|group| group.total_byte_size() as u64)
        });
        groups.map_or(0, Iterator::sum)
    });
    pages.max(packed * 4)
}

/// The words for a failure of the plan behind a dataset.
pub(crate) fn dataset_error(dataset: &Dataset, doing: &str, error: &PolarsError) -> TaskError {
    if system_failure(error).is_some() {
        return polars_error(doing, error);
    }
    match dataset
        .explained(error)
        .map(<dyn std::error::Error + Send + Sync>::downcast::<TaskError>)
    {
        Some(Ok(better)) => *better,
        _ => polars_error(doing, error),
    }
}

/// A Parquet file that can be taken as it is, because it was written with our own options.
pub(crate) fn as_it_is(dataset: &Dataset, compression: ParquetCompression) -> Option<PathBuf> {
    (compression == ParquetCompression::default())
        .then(|| dataset.file().map(Path::to_owned))
        .flatten()
}

/// Copies a file over an open one.
///
/// # Errors
/// When one cannot be read or the other not be written.
pub(crate) fn copy(from: &Path, to: &mut std::fs::File, shown: &str) -> Result<(), TaskError> {
    let fail = |error| io_error("write", shown, error);
    let mut from = std::fs::File::open(from).map_err(fail)?;
    std::io::copy(&mut from, to).map(drop).map_err(fail)
}
