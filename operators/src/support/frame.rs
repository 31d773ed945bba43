//! polars' frames: its errors as ours, and reading a dataset away from the threads that wait.

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::prelude::{DataFrame, PolarsError};

/// A failure of polars: the data's or the query's fault, unless a file could not be read.
pub(crate) fn polars_error(doing: &str, error: &PolarsError) -> TaskError {
    match root(error) {
        PolarsError::IO { error, .. } => TaskError::external(format!("cannot {doing}: {error}")),
        other => TaskError::user(format!("cannot {doing}: {}", plain(&other.to_string()))),
    }
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
