//! polars' frames: its errors as ours, and reading a dataset away from the threads that wait.

use std::{
    io::ErrorKind,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::prelude::{DataFrame, Engine, PlanCallback, PolarsError, PolarsResult, polars_err};

use super::{files::io_failure, spill::dataset_error};

/// A failure of polars: the data's or the query's fault, unless a file could not be read or written.
pub(crate) fn polars_error(doing: &str, error: &PolarsError) -> TaskError {
    let Some(failure) = system_failure(error) else {
        let text = root(error).to_string();
        return TaskError::user(format!("cannot {doing}: {}", plain(&text)));
    };
    let full = matches!(
        failure.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    );
    if full && !doing.starts_with("write ") {
        // Nobody shall look for the fault in what was read.
        let doing = format!("{doing}: its rows cannot be written");
        return io_failure(&doing, failure);
    }
    io_failure(doing, failure)
}

/// The refusal of the system behind an error: polars' reader and writer of Parquet tell of it only by its text.
pub(crate) fn system_failure(error: &PolarsError) -> Option<std::io::Error> {
    if let PolarsError::IO { error, .. } = root(error) {
        // It is shared, and so has to be made anew.
        return Some(std::io::Error::new(error.kind(), error.to_string()));
    }
    let text = root(error).to_string();
    let (_, after) = text.rsplit_once("(os error ")?;
    let (number, _) = after.split_once(')')?;
    number.parse().ok().map(std::io::Error::from_raw_os_error)
}

/// The error without polars' frames of context.
pub(crate) fn root(error: &PolarsError) -> &PolarsError {
    match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => root(error),
        other => other,
    }
}

/// The first paragraph of polars' text: what follows is advice about its Python interface.
fn plain(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or(text).trim()
}

/// The whole of a dataset in memory.
///
/// # Errors
/// When it cannot be read, or the plan behind it fails.
pub(crate) async fn collect(
    context: &TaskContext,
    name: &str,
    dataset: &Dataset,
) -> Result<DataFrame, TaskError> {
    if let Some(frame) = dataset.in_memory() {
        return Ok(frame.as_ref().clone());
    }
    let (dataset, doing) = (dataset.clone(), format!("read `{name}`"));
    context
        .compute(move || {
            dataset
                .collect()
                .map_err(|error| polars_error(&doing, &error))
        })
        .await
}

/// The only input in memory, with its name.
///
/// # Errors
/// As [`collect`].
pub(crate) async fn only_input(context: &TaskContext) -> Result<(String, DataFrame), TaskError> {
    let dataset = context.inputs.one()?;
    let name = context
        .inputs
        .iter()
        .next()
        .map_or_else(String::new, |(name, _)| name.to_owned());
    let frame = collect(context, &name, dataset).await?;
    Ok((name, frame))
}

/// How many rows are written at once.
const BATCH: usize = 50_000;

/// Gives all rows of a dataset to `each`, in parts and in order: at once what is in memory, else without ever holding
/// it all. Computes: call it where blocking is allowed.
///
/// # Errors
/// Those of `each`; when the plan behind the dataset fails.
pub(crate) fn batches(
    dataset: &Dataset,
    doing: &str,
    each: impl FnMut(DataFrame) -> Result<(), TaskError> + Send + 'static,
) -> Result<(), TaskError> {
    let fail = |error: PolarsError| dataset_error(dataset, doing, &error);
    let mut each = each;
    if let Some(frame) = dataset.in_memory() {
        return each(frame.as_ref().clone());
    }
    let (failed, each) = (Arc::new(Mutex::new(None)), Mutex::new(each));
    let kept = Arc::clone(&failed);
    let take = move |frame: DataFrame| -> PolarsResult<bool> {
        let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
        (*each)(frame).map(|()| false).map_err(|error| {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            polars_err!(ComputeError: "the rows could not be taken")
        })
    };
    let ran = dataset
        .lazy()
        .and_then(|plan| plan.sink_batches(PlanCallback::new(take), true, NonZeroUsize::new(BATCH)))
        .and_then(|plan| plan.collect_with_engine(Engine::Streaming));
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (failed, ran) {
        (Some(error), _) => Err(error),
        (None, ran) => ran.map(drop).map_err(fail),
    }
}

/// The only input, with its name.
///
/// # Errors
/// When there is none or more than one.
pub(crate) fn only_dataset(context: &TaskContext) -> Result<Dataset, TaskError> {
    context.inputs.one().cloned()
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::Fault;
    use polars::prelude::polars_err;

    use super::*;

    #[test]
    fn a_full_disk_is_not_the_fault_of_what_was_read() {
        let text = "parquet: File out of specification: underlying IO error: No space left on device (os error 28)";
        for (doing, message) in [
            (
                "read `a.csv`",
                "cannot read `a.csv`: its rows cannot be written",
            ),
            ("write `a.parquet`", "cannot write `a.parquet`"),
        ] {
            let error = polars_error(doing, &polars_err!(ComputeError: "{text}"));
            assert_eq!(
                (error.fault, error.retryable, &*error.message),
                (Fault::External, true, message)
            );
            assert_eq!(error.hint.as_deref(), Some("make room on the disk"));
        }
        let cut =
            "parquet: File out of specification: underlying IO error: failed to fill whole buffer";
        let error = polars_error("read `a`", &polars_err!(ComputeError: "{cut}"));
        assert_eq!(error.fault, Fault::User);
    }
}
