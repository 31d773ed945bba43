//! Changes of a run: what its owner writes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AttemptRecord, Contender, ErrorRecord, EventRecord, NewMail, OutputRecord};
use crate::{
    id::{RunId, TaskKey},
    model::ImportedModel,
    operator::{Promote, Wait},
    state::{RunState, TaskState},
    time::Timestamp,
};

/// A model to be registered with a task's success.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterModel {
    /// The registered name.
    pub name: String,
    /// The version that was reserved.
    pub version: u32,
    /// The task.
    pub key: TaskKey,
    /// Its key in the artifact store.
    pub artifact: String,
    /// SHA-256 of the file.
    pub digest: String,
    /// The file's size.
    pub bytes: u64,
    /// Its measures.
    pub metrics: BTreeMap<String, f64>,
    /// Columns, classes, parameters, data fingerprint.
    pub card: Value,
    /// When it becomes champion.
    pub promote: Promote,
    /// When it is registered.
    pub created: Timestamp,
}

/// What stands in the place of a run where there is none: a person has imported the version.
pub const NO_RUN: RunId = RunId::NONE;

impl RegisterModel {
    /// What decides whether it becomes champion.
    pub fn contender(&self) -> Contender<'_> {
        Contender {
            metrics: &self.metrics,
            card: &self.card,
        }
    }

    /// A version that comes from a file: it becomes champion only when it is the first.
    pub fn imported(model: &ImportedModel, version: u32) -> Self {
        Self {
            name: model.name.clone(),
            version,
            key: TaskKey::task(""),
            artifact: model.artifact.clone(),
            digest: model.digest.clone(),
            bytes: model.bytes,
            metrics: model.metrics.clone(),
            card: model.card.clone(),
            promote: Promote::Never,
            created: model.created,
        }
    }
}

/// Writes of one run that belong together.
#[derive(Clone, Debug)]
pub struct RunWrite {
    /// The run.
    pub run: RunId,
    /// The owner's fencing token; with an older one nothing is written.
    pub fence: u64,
    /// What to write, in order.
    pub changes: Vec<Change>,
}

/// What has become of a [`RunWrite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is durable.
    Done,
    /// The run has a newer owner: nothing of it was written.
    Stale,
}

/// One change of a run.
#[derive(Clone, Debug)]
pub enum Change {
    /// The run itself.
    Run(RunChange),
    /// A task's state.
    Task(TaskChange),
    /// A task's resolved settings.
    Settings {
        /// Which.
        key: TaskKey,
        /// The settings; secrets are references.
        settings: Value,
    },
    /// An attempt, new or ended.
    Attempt(AttemptRecord),
    /// What a task has put out: kept with the task, and its metrics, artifacts and datasets listed on their own.
    Output {
        /// Which.
        key: TaskKey,
        /// The attempt.
        attempt: u32,
        /// What.
        output: OutputRecord,
        /// When.
        at: Timestamp,
    },
    /// What a task has left for its next run. It belongs to the run's pipeline and stays when the run is removed.
    State {
        /// Which.
        key: TaskKey,
        /// What.
        state: Value,
    },
    /// An event.
    Event(EventRecord),
    /// A mail.
    Mail(NewMail),
    /// A model.
    Register(RegisterModel),
    /// A task and its elements start over: state, tries used, losses, output and checkpoint are cleared. The last attempt's
    /// number, the attempts and the settings stay; a model that it has registered stays too, the next one gets a new
    /// version.
    Reset {
        /// The task.
        task: String,
    },
}

/// A change of the run itself. What is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct RunChange {
    /// The new state.
    pub state: RunState,
    /// When work on it began.
    pub started: Option<Timestamp>,
    /// When it was over; taken away again when the state is not final.
    pub ended: Option<Timestamp>,
    /// Why it failed; taken away again when the state is not `failed`.
    pub error: Option<String>,
    /// Its top-level outputs.
    pub outputs: Option<Value>,
    /// How often a person has had it done again on purpose.
    pub redo: Option<u32>,
}

/// A change of a task: all of its columns but settings and output.
#[derive(Clone, Debug, Default)]
pub struct TaskChange {
    /// The task's name.
    pub task: String,
    /// The element.
    pub element: Option<u32>,
    /// The new state.
    pub state: TaskState,
    /// The last attempt.
    pub attempt: u32,
    /// How many tries are used up.
    pub tries: u32,
    /// How many attempts were lost with the process that worked on them.
    pub losses: u32,
    /// When the last attempt began.
    pub started: Option<Timestamp>,
    /// When the task was over.
    pub ended: Option<Timestamp>,
    /// A reason to skip.
    pub note: Option<String>,
    /// How many elements it was repeated for.
    pub elements: Option<u32>,
    /// Why it failed.
    pub error: Option<ErrorRecord>,
    /// What it waits for.
    pub wait: Option<Wait>,
    /// When it will be tried again.
    pub retry_at: Option<Timestamp>,
}
