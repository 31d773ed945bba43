//! polars' frames: its errors as ours, and reading a dataset away from the threads that wait.

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::prelude::{DataFrame, PlSmallStr, PolarsError};

use super::{files::io_failure, settings::type_name, text::hint_for_name};

/// A failure of polars: the data's or the query's fault, unless a file could not be read.
pub(crate) fn polars_error(doing: &str, error: &PolarsError) -> TaskError {
    match root(error) {
        PolarsError::IO { error, .. } => {
            // It is shared, and so has to be made anew.
            io_failure(doing, std::io::Error::new(error.kind(), error.to_string()))
        }
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

/// Files that become one table.
#[derive(Debug)]
pub(crate) struct Gathering<'a> {
    columns: &'a [String],
    whole: Option<DataFrame>,
}

impl<'a> Gathering<'a> {
    /// Nothing yet; of each file `columns` are kept, all when none are named.
    pub(crate) fn new(columns: &'a [String]) -> Self {
        Self {
            columns,
            whole: None,
        }
    }

    /// Adds the rows of a file.
    ///
    /// # Errors
    /// When columns are missing or of another type than in the files before it.
    pub(crate) fn add(&mut self, file: &str, frame: &DataFrame) -> Result<(), TaskError> {
        let wanted: Vec<String> = match (&self.whole, self.columns) {
            (Some(whole), _) => whole
                .get_column_names()
                .into_iter()
                .map(ToString::to_string)
                .collect(),
            (None, []) => frame
                .get_column_names()
                .into_iter()
                .map(ToString::to_string)
                .collect(),
            (None, columns) => columns.to_vec(),
        };
        if let Some(missing) = wanted.iter().find(|name| frame.column(name).is_err()) {
            let known = frame.get_column_names().into_iter().map(PlSmallStr::as_str);
            return Err(
                TaskError::user(format!("`{file}` has no column `{missing}`")).hint(hint_for_name(
                    missing,
                    "its columns are",
                    known,
                )),
            );
        }
        let frame = frame
            .select(&wanted)
            .map_err(|error| polars_error(&format!("read `{file}`"), &error))?;
        let Some(whole) = &mut self.whole else {
            self.whole = Some(frame);
            return Ok(());
        };
        let columns = whole.columns().iter().zip(frame.columns());
        if let Some((before, now)) = columns
            .into_iter()
            .find(|(before, now)| before.dtype() != now.dtype())
        {
            return Err(TaskError::user(format!(
                "`{}` is {} in `{file}` and {} in the files before it",
                now.name(),
                type_name(now.dtype()),
                type_name(before.dtype())
            ))
            .hint("read the files in tasks of their own and bring them together in a `transform: sql`"));
        }
        whole
            .vstack_mut(&frame)
            .map(|_| ())
            .map_err(|error| polars_error("join the files", &error))
    }

    /// The table.
    ///
    /// # Errors
    /// When no file was added.
    pub(crate) fn finish(self) -> Result<DataFrame, TaskError> {
        self.whole.ok_or_else(|| TaskError::bug("no file was read"))
    }
}
