//! What is to be written, and by whom.

use pipectl_engine::operator::{TaskContext, TaskError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{given::Given, table::TableName};

/// How new rows meet those that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// They are added.
    #[default]
    Append,
    /// They take the place of all rows.
    Replace,
    /// A row whose key is there replaces it, others are added.
    Upsert,
    /// The rows of the run's interval are deleted, by `interval_column`, or those whose `key` is among the new ones; then
    /// the new ones are added.
    DeleteInsert,
}

/// Rows for a table.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The dataset's name.
    pub(crate) name: String,
    /// The rows.
    pub(crate) rows: Given,
    /// Where they go.
    pub(crate) table: TableName,
    /// How they meet the rows that are there.
    pub(crate) mode: Mode,
    /// The columns that tell rows apart.
    pub(crate) key: Vec<String>,
    /// The column that tells which interval a row belongs to, and the run's interval.
    pub(crate) interval: Option<RowsInterval>,
    /// Whether a missing table is made.
    pub(crate) create: bool,
    /// Whether columns that the table lacks are added to it.
    pub(crate) add_columns: bool,
    /// The columns that an upsert compares, in this order: a row that is there stays unless the new one's are greater.
    /// None for an upsert that always replaces.
    pub(crate) newer: Vec<String>,
}

/// The column that tells which interval a row belongs to, and the run's interval.
#[derive(Clone, Debug)]
pub(crate) struct RowsInterval {
    /// The column.
    pub(crate) column: String,
    /// The interval's first moment, RFC 3339 in the pipeline's zone.
    pub(crate) start: String,
    /// The first moment after it.
    pub(crate) end: String,
}

impl RowsInterval {
    /// The interval of an attempt's run, by `column`.
    ///
    /// # Errors
    /// When the run has none.
    pub(crate) fn of(context: &TaskContext, column: &str) -> Result<Self, TaskError> {
        let (start, end) = context.run.interval_text().ok_or_else(|| {
            TaskError::user("the run has no interval, and `interval_column` asks for it")
                .hint("give the pipeline a `schedule` with `cron` or `every`, or `interval: 1d`")
        })?;
        Ok(Self {
            column: column.to_owned(),
            start,
            end,
        })
    }
}

/// What the ledger knows a piece of work by. A retry has the same identity, a redo on purpose has another.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The run.
    pub(crate) run: String,
    /// The task.
    pub(crate) task: String,
    /// The element of `foreach`, -1 without one.
    pub(crate) element: i32,
    /// How often a person has had the run done again.
    pub(crate) redo: i32,
}

impl Identity {
    /// The identity of an attempt's task.
    pub(crate) fn of(context: &TaskContext) -> Self {
        let element = context
            .task
            .key
            .element
            .and_then(|element| i32::try_from(element).ok());
        Self {
            run: context.run.id.to_string(),
            task: context.task.key.task.clone(),
            element: element.unwrap_or(-1),
            redo: i32::try_from(context.run.redo).unwrap_or(i32::MAX),
        }
    }
}

/// How a piece of work that counts once has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Once<T> {
    /// It was done.
    Now(T),
    /// An earlier attempt has written so many rows and was lost before it could say so.
    Before(u64),
    /// It was done, and there is no ledger that could tell a later attempt.
    Unkept(T),
}

/// The ledger's name.
pub(super) const LEDGER: &str = "pipectl_ledger";
