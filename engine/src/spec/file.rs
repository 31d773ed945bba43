//! The authored file: what somebody wrote, with places, before it is known to make sense.

use std::{sync::Arc, time::Duration};

use super::{
    Diagnostics, Mark, SourceFile,
    words::{Backoff, ParamSpec, TriggerRule},
    yaml::Node,
};
use crate::{
    alert::Alert,
    kind::Kind,
    retention::Retention,
    trigger::{Cadence, Schedule},
};

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub mark: Mark,
}

/// A pipeline as it was written.
#[derive(Clone, Debug)]
pub struct PipelineFile {
    /// Its text.
    pub source: SourceFile,
    /// Its name.
    pub name: Option<Placed<Arc<str>>>,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What starts it.
    pub schedule: Option<Placed<Schedule>>,
    /// The pipelines or sensors that `schedule` names.
    pub schedule_names: Vec<Placed<Arc<str>>>,
    /// Its parameters.
    pub params: Vec<(Placed<Arc<str>>, ParamSpec)>,
    /// Settings of all tasks that do not say otherwise.
    pub defaults: Defaults,
    /// Who gets mail, and when.
    pub alerts: Vec<Alert>,
    /// How long a run may be unfinished.
    pub deadline: Option<Duration>,
    /// How many runs may be under way at once.
    pub max_active_runs: Option<u32>,
    /// How long its runs are kept.
    pub history: Option<Retention>,
    /// The interval of a pipeline that is started by others.
    pub interval: Option<Placed<Cadence>>,
    /// What a parent run sees.
    pub outputs: Vec<(Placed<Arc<str>>, OutputFile)>,
    /// Its tasks.
    pub tasks: Vec<TaskFile>,
    /// The names of tasks that could not be read.
    pub unreadable: Vec<Arc<str>>,
    /// The names of parameters that could not be read.
    pub unreadable_params: Vec<Arc<str>>,
    /// Its tests.
    pub tests: Vec<TestFile>,
    /// What is wrong with it as far as reading shows.
    pub complaints: Diagnostics,
}

/// A retry policy of which some parts may be left to the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryFile {
    /// How many tries after the first.
    pub limit: Option<u32>,
    /// How long to wait before the second try.
    pub delay: Option<Duration>,
    /// How the wait grows.
    pub backoff: Option<Backoff>,
    /// How long to wait at most.
    pub max_delay: Option<Duration>,
}

/// Settings of all tasks that do not say otherwise.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// When a task is tried again.
    pub retry: RetryFile,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// The pool.
    pub pool: Option<Placed<PoolFile>>,
    /// The priority.
    pub priority: Option<i64>,
}

/// A pool with the slots that a task takes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolFile {
    /// Its name.
    pub name: String,
    /// How many slots.
    pub slots: u32,
}

/// A task as it was written.
#[derive(Clone, Debug)]
pub struct TaskFile {
    /// Its name.
    pub name: Placed<Arc<str>>,
    /// The kind of work.
    pub kind: Placed<Kind>,
    /// The operator's name.
    pub operator: Placed<Arc<str>>,
    /// Its settings, and where their key stands.
    pub with: Option<Placed<Node>>,
    /// What it reads.
    pub from: Vec<FromFile>,
    /// Whether `from` gives names to its inputs.
    pub from_is_map: bool,
    /// Where `from` stands.
    pub from_mark: Option<Mark>,
    /// The tasks it waits for without reading from them.
    pub needs: Vec<Placed<Arc<str>>>,
    /// Whether it runs at all: a bare expression.
    pub condition: Option<Placed<Arc<str>>>,
    /// Whether it is repeated.
    pub foreach: Option<ForeachFile>,
    /// What its upstream tasks must have come to.
    pub trigger_rule: Option<TriggerRule>,
    /// When it is tried again.
    pub retry: RetryFile,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// The pool.
    pub pool: Option<Placed<PoolFile>>,
    /// Greater starts earlier.
    pub priority: Option<i64>,
    /// Whether the run may succeed although it failed.
    pub allow_failure: bool,
    /// How long it may be unfinished.
    pub deadline: Option<Duration>,
    /// Where it runs.
    pub isolation: Option<IsolationFile>,
    /// How many bytes of memory it may take.
    pub memory: Option<u64>,
    /// Whether what an earlier run has put out may be taken.
    pub cache: Option<CacheFile>,
    /// Whether its datasets are kept.
    pub persist: Option<Placed<bool>>,
    /// Who gets mail about it.
    pub alerts: Vec<Alert>,
    /// What it is for.
    pub description: Option<String>,
}

/// Whether what an earlier run has put out may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheFile {
    /// For how long; for ever without it.
    pub keep: Option<Duration>,
}

/// Where a task runs, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationFile {
    /// In a process of its own.
    Process,
}

/// An input as it was written.
#[derive(Clone, Debug)]
pub struct FromFile {
    /// The name that the map form gives it.
    pub name: Option<Placed<Arc<str>>>,
    /// Where it comes from: one, or the candidates of `first`.
    pub sources: Vec<DatasetRef>,
}

impl FromFile {
    /// The name under which its reader knows it.
    pub fn called(&self) -> Option<&Arc<str>> {
        let first = self.sources.first()?;
        let by_itself = first.dataset.as_ref().unwrap_or(&first.task);
        Some(self.name.as_ref().map_or(by_itself, |name| &name.value))
    }
}

/// A dataset as it was written: `task` or `task.dataset`.
#[derive(Clone, Debug)]
pub struct DatasetRef {
    /// The task.
    pub task: Arc<str>,
    /// The dataset, when it is not the main one.
    pub dataset: Option<Arc<str>>,
    /// Where it stands.
    pub mark: Mark,
}

/// How a task is repeated, as it was written.
#[derive(Clone, Debug)]
pub struct ForeachFile {
    /// The list, or the expression that gives it.
    pub items: Node,
    /// How many elements may run at once.
    pub parallel: Option<u32>,
}

/// A top-level output as it was written.
#[derive(Clone, Debug)]
pub enum OutputFile {
    /// A value.
    Value(Node),
    /// A dataset.
    Dataset(DatasetRef),
}

/// A test as it was written.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Its name.
    pub name: Placed<Arc<str>>,
    /// The parameters of its run.
    pub params: Vec<(Placed<Arc<str>>, Node)>,
    /// Outputs that replace those of tasks.
    pub given: Vec<(Placed<Arc<str>>, Node)>,
    /// What tasks must have come to.
    pub expect: Vec<(Placed<Arc<str>>, Node)>,
}
