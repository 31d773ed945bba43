//! How an attempt ends.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{dataset::Dataset, id::RunId, state::RunState, time::Timestamp};

/// How an attempt ends when it does not fail.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one an attempt")]
pub enum Outcome {
    /// The work is done.
    Done(Output),
    /// There was nothing to do, and why.
    Skipped(String),
    /// It waits; the slot is free, and `run` is called again when the wait is over.
    Wait(Wait),
}

/// What an attempt puts out. All of it is committed with the task's success, or none.
#[derive(Debug, Default)]
pub struct Output {
    /// Tables by name, the main one first.
    pub datasets: Vec<(String, Dataset)>,
    /// Files.
    pub artifacts: Vec<Artifact>,
    /// Measures.
    pub metrics: BTreeMap<String, f64>,
    /// Values for expressions.
    pub values: Map<String, Value>,
    /// Warnings; they alert without failing the run.
    pub warnings: Vec<String>,
    /// A model to register.
    pub model: Option<NewModel>,
    /// What the task leaves for its next run; without it, what an earlier run has left stays.
    pub state: Option<Value>,
}

impl Output {
    /// One dataset under the main name.
    pub fn table(dataset: Dataset) -> Self {
        Self::default().dataset(super::Outputs::MAIN, dataset)
    }

    /// Adds a dataset.
    #[must_use]
    pub fn dataset(mut self, name: impl Into<String>, dataset: Dataset) -> Self {
        self.datasets.push((name.into(), dataset));
        self
    }

    /// Adds a measure.
    #[must_use]
    pub fn metric(mut self, name: impl Into<String>, value: f64) -> Self {
        self.metrics.insert(name.into(), value);
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// Adds a warning.
    #[must_use]
    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }

    /// Leaves `state` for the task's next run, which finds it as [`TaskContext::state`](super::TaskContext::state).
    #[must_use]
    pub fn remember(mut self, state: impl Into<Value>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn artifact(mut self, artifact: Artifact) -> Self {
        self.artifacts.push(artifact);
        self
    }
}

/// A file that belongs to a task, kept in the artifact store.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its name within the task, such as `failing_rows.csv`.
    pub name: String,
    /// Its media type, such as `text/html`.
    pub media_type: String,
    /// Its content.
    pub content: Bytes,
    /// Where the task has also written it for people, such as `reports/churn.html`.
    pub path: Option<PathBuf>,
}

/// A model that a task wants registered.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// The registered name. The runner reserves the version and puts the value `model` out as `name:version`.
    pub name: String,
    /// The `.onnx` file.
    pub content: Bytes,
    /// Its measures; promotion reads them.
    pub metrics: BTreeMap<String, f64>,
    /// What the registry shows of it: columns, classes, parameters, data fingerprint.
    pub card: Value,
    /// When it becomes champion.
    pub promote: Promote,
}

/// When a new version becomes champion. The first version always does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promote {
    /// Only by hand.
    Never,
    /// When this measure is better than the champion's.
    Best {
        /// The measure's name.
        metric: String,
        /// Whether more of it is better.
        greater_is_better: bool,
    },
    /// When this expression over the new version's measures and `champion.<measure>` is true.
    If(String),
}

/// What a task waits for: stored data that the engine acts on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// A moment.
    Until(Timestamp),
    /// Things that appear in a place.
    Things {
        /// The connection, or `None` for the project's directory.
        connection: Option<String>,
        /// A path or pattern within it.
        pattern: String,
        /// How often to look.
        poll: Duration,
        /// How long a thing must have been unchanged.
        settle: Duration,
    },
    /// Another pipeline's run has succeeded, or none of its runs is under way any more.
    Run {
        /// The pipeline.
        pipeline: String,
        /// The interval whose run is to have succeeded: start and end. Without it the pipeline is to be idle.
        interval: Option<(Timestamp, Timestamp)>,
    },
    /// A registered model.
    Model(String),
    /// A child run, which the engine starts.
    Child {
        /// The pipeline.
        pipeline: String,
        /// Its parameters.
        params: Map<String, Value>,
        /// Its interval, when it is not the parent's: start and end.
        interval: Option<(Timestamp, Timestamp)>,
    },
}

/// How a child run ended, for the task that waited for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChildResult {
    /// The child run.
    pub run: RunId,
    /// How it ended.
    pub state: RunState,
    /// Why it failed, when it did.
    pub error: Option<String>,
    /// Its top-level `outputs:` that are values.
    pub values: Map<String, Value>,
    /// Its top-level `outputs:` that are datasets.
    #[serde(skip)]
    pub datasets: Vec<(String, Dataset)>,
}
