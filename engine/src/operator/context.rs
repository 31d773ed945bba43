//! What an attempt has at hand. Nothing else: an operator never sees the run store.

use std::{collections::BTreeMap, fmt, sync::Arc};

use chrono::SecondsFormat;
use chrono_tz::Tz;
use indexmap::IndexMap;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Checkpoint, ChildResult, Logger, Past, Progress, State, TaskError};
use crate::{
    artifact::ArtifactStore,
    connection::Connection,
    dataset::Dataset,
    id::{RunId, TaskKey},
    model::ModelRegistry,
    project::Project,
    services::Services,
    time::{Clock, Interval, Timestamp},
};

/// The run that an attempt belongs to.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The run.
    pub id: RunId,
    /// Its pipeline.
    pub pipeline: Arc<str>,
    /// The hash of the pipeline's version that it was made with.
    pub version: Arc<str>,
    /// Its interval.
    pub interval: Option<Interval>,
    /// The time zone of its pipeline, in which its days begin.
    pub zone: Tz,
    /// How often a person has had it done again on purpose.
    pub redo: u32,
}

impl RunInfo {
    /// Start and end of its interval as expressions show them: RFC 3339 in the pipeline's zone.
    pub fn interval_text(&self) -> Option<(String, String)> {
        let Interval { start, end } = self.interval?;
        let text = |moment: Timestamp| {
            moment
                .with_timezone(&self.zone)
                .to_rfc3339_opts(SecondsFormat::AutoSi, true)
        };
        Some((text(start), text(end)))
    }
}

/// Which attempt this is.
#[derive(Clone, Debug)]
pub struct TaskIdentity {
    /// The task and its element.
    pub key: TaskKey,
    /// The attempt, counted from 1.
    pub attempt: u32,
    /// The attempt's fencing token: a later owner of the run has a greater one.
    pub fence: u64,
}

/// The datasets that a task reads, in the order of its `from:`.
#[derive(Clone, Debug, Default)]
pub struct Inputs(IndexMap<String, Dataset>);

impl Inputs {
    /// Inputs by name.
    pub fn new(inputs: impl IntoIterator<Item = (String, Dataset)>) -> Self {
        Self(inputs.into_iter().collect())
    }

    /// The input called `name`.
    pub fn get(&self, name: &str) -> Option<&Dataset> {
        self.0.get(name)
    }

    /// The only input.
    ///
    /// # Errors
    /// When there is none or more than one; the plan has seen to it that this does not happen.
    pub fn one(&self) -> Result<&Dataset, TaskError> {
        match self.0.len() {
            1 => Ok(&self.0[0]),
            count => Err(TaskError::bug(format!(
                "one input was expected, there are {count}"
            ))),
        }
    }

    /// All inputs with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Dataset)> {
        self.0
            .iter()
            .map(|(name, dataset)| (name.as_str(), dataset))
    }

    /// How many inputs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no input.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why `run` is called again in the same attempt.
#[derive(Clone, Debug)]
pub enum Woken {
    /// The time has come, or it is time to look again.
    Time,
    /// The child run has ended.
    Child(ChildResult),
    /// The run that was waited for has succeeded; nothing when the pipeline is idle.
    Run(Option<RunId>),
}

/// Everything that an attempt has at hand.
#[derive(Clone)]
pub struct TaskContext {
    /// The run.
    pub run: RunInfo,
    /// The attempt.
    pub task: TaskIdentity,
    /// The datasets to read.
    pub inputs: Inputs,
    /// The versions of the feature views that went into the datasets, by the views' names.
    pub feature_views: BTreeMap<String, String>,
    /// The value of `item` in a repeated task.
    pub item: Option<Value>,
    /// Set when the attempt has waited.
    pub woken: Option<Woken>,
    /// The project: paths and connections.
    pub project: Arc<Project>,
    /// What the binary has opened and shares: pools, watchers, loaded models.
    pub services: Services,
    /// The artifact store.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// The registered models.
    pub models: Arc<dyn ModelRegistry>,
    /// Told when the attempt is to stop.
    pub cancel: CancellationToken,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// A number that is the same in every run: a hash of pipeline, task and element.
    pub seed: u64,
    /// How far the work is.
    pub progress: Progress,
    /// The attempt's log.
    pub log: Logger,
    /// A small memory of this run, task and element, kept over attempts: a page number, a cursor.
    pub checkpoint: Checkpoint,
    /// What this task has left for its next run: how far it has read.
    pub state: State,
    /// What this task has done in earlier runs, read-only.
    pub past: Past,
    /// Whether its datasets are passed on as plans, to be computed by the task that reads them (`persist: false`).
    pub passes_on: bool,
    /// The attempt's slot: computing holds it even when the attempt is given up.
    pub slot: Option<Arc<crate::slot::Slot>>,
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("run", &self.run)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

/// The project's connection called `name`.
///
/// # Errors
/// When the project has none of that name, with the way to add it, or it cannot be used here.
pub fn connection_of<'a>(project: &'a Project, name: &str) -> Result<&'a Connection, TaskError> {
    if let Some(why) = project.connections.unset(name) {
        return Err(TaskError::user(format!(
            "the connection `{name}` cannot be used: {why}"
        )));
    }
    project.connections.get(name).ok_or_else(|| {
        TaskError::user(format!("there is no connection `{name}`")).hint(format!(
            "add it under `connections:` in pipectl.yaml, or set PIPECTL_CONNECTION_{}",
            name.to_uppercase()
        ))
    })
}

impl TaskContext {
    /// The connection called `name`.
    ///
    /// # Errors
    /// As [`connection_of`].
    pub fn connection(&self, name: &str) -> Result<&Connection, TaskError> {
        connection_of(&self.project, name)
    }

    /// What the keys begin with under which the attempt's outputs lie in the artifact store.
    pub fn prefix(&self) -> String {
        let (run, key, attempt) = (self.run.id, &self.task.key, self.task.attempt);
        match key.element {
            Some(element) => format!("runs/{run}/{}/{element}/{attempt}", key.task),
            None => format!("runs/{run}/{}/{attempt}", key.task),
        }
    }

    /// Runs work that computes, away from the threads that wait; a cancelled attempt does not wait for it.
    ///
    /// # Errors
    /// The work's own error; a panic in it is a bug with the panic's message.
    pub async fn compute<T, F>(&self, work: F) -> Result<T, TaskError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, TaskError> + Send + 'static,
    {
        let slot = self.slot.clone();
        let work = move || {
            let result = work();
            drop(slot);
            result
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(TaskError::bug(format!(
                "the operator panicked: {}",
                panic_message(&*error.into_panic())
            ))),
            Err(_) => Err(TaskError::external("the process is shutting down")),
        }
    }
}

/// The text of a panic.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| {
            payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
        })
        .unwrap_or_else(|| "no message".to_owned())
}
