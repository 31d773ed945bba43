//! The types of a plan.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use indexmap::IndexMap;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Backoff, ParamSpec, TestCase, TriggerRule};
use crate::{
    alert::Alert,
    operator::{DynOperator, Outputs},
    retention::Retention,
    spec::{Expression, Place, Template},
    time::{Interval, Timestamp},
};

/// A task's node in the plan's graph.
pub type TaskIndex = NodeIndex<u32>;

/// A checked pipeline.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pipeline's name.
    pub name: Arc<str>,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The file it comes from.
    pub source: Source,
    /// Its parameters, in the order of the file.
    pub params: IndexMap<String, ParamSpec>,
    /// Its tasks; an edge points from a task to one that needs it.
    pub graph: DiGraph<PlannedTask, (), u32>,
    /// Who gets mail, and when.
    pub alerts: Vec<Alert>,
    /// How long after the interval's end, or the run's creation, the run may be unfinished.
    pub deadline: Option<Duration>,
    /// How many runs of it may be under way at once.
    pub max_active_runs: u32,
    /// How long its runs are kept: what it says itself, else what the project says.
    pub history: Option<Retention>,
    /// What a parent run sees.
    pub outputs: IndexMap<String, OutputSource>,
    /// What starts it.
    pub schedule: Option<crate::trigger::Schedule>,
    /// The interval of a pipeline that is started by others.
    pub interval: Option<crate::trigger::Cadence>,
    /// Where an expression names `interval`, when one does: then a run must have one.
    pub reads_interval: Option<Place>,
    /// Its tests, by name.
    pub tests: IndexMap<String, TestCase>,
    /// Its tasks by name, gathered when the first one is looked for.
    pub names: NameIndex,
}

/// The tasks of a plan by name.
#[derive(Clone, Debug, Default)]
pub struct NameIndex(OnceLock<HashMap<Arc<str>, TaskIndex>>);

/// The file that a plan comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path relative to the project, for messages.
    pub path: Arc<str>,
    /// Its path on this machine.
    pub file: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// SHA-256 of the text: the pipeline's version.
    pub hash: String,
}

/// A task of a plan.
#[derive(Clone, Debug)]
pub struct PlannedTask {
    /// Its name.
    pub name: Arc<str>,
    /// What it is for.
    pub description: Option<String>,
    /// What does the work.
    pub operator: &'static dyn DynOperator,
    /// Its settings, with expressions to be resolved.
    pub with: Template,
    /// What it reads.
    pub from: Vec<InputBinding>,
    /// Whether it runs at all.
    pub condition: Option<Expression>,
    /// Whether it is repeated.
    pub foreach: Option<Foreach>,
    /// What its upstream tasks must have come to.
    pub trigger_rule: TriggerRule,
    /// When it is tried again.
    pub retry: RetryPolicy,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// The pool whose slots it uses, and how many.
    pub pool: Option<(String, u32)>,
    /// Greater starts earlier; without it, the longest way to the end decides.
    pub priority: Option<i64>,
    /// Whether the run may succeed although it failed.
    pub allow_failure: bool,
    /// How long after the interval's end, or the run's creation, the task may be unfinished.
    pub deadline: Option<Duration>,
    /// Where it runs, and how much memory it may take.
    pub isolation: Isolation,
    /// Whether what an earlier run has put out may be taken.
    pub cache: Option<Cache>,
    /// Whether its datasets are kept; else they are passed on as plans to the one task that reads them, which computes
    /// them as part of its own work.
    pub persist: bool,
    /// Who gets mail about it, beside the pipeline's own.
    pub alerts: Vec<Alert>,
    /// The settings that name models, as paths under `with`: their names are pinned to versions before the first attempt.
    pub models: Vec<Vec<String>>,
    /// The connections that its settings name, as far as no expression names them.
    pub connections: Vec<String>,
    /// What it puts out, as far as its settings tell.
    pub outputs: Outputs,
    /// Where it stands.
    pub place: Place,
}

/// A dataset that a task reads.
#[derive(Clone, Debug)]
pub struct InputBinding {
    /// The name under which the task reads it.
    pub name: String,
    /// The tasks that may put it out; more than one for `{first: [a, b]}`, of which the first that ran is taken.
    pub tasks: Vec<TaskIndex>,
    /// The dataset's name in those tasks; `None` for the main one.
    pub dataset: Option<String>,
}

/// How a task is repeated.
#[derive(Clone, Debug)]
pub struct Foreach {
    /// The list.
    pub items: Template,
    /// How many elements may run at once.
    pub parallel: Option<u32>,
}

/// Where a task runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// Whether it runs in a process of its own; with `memory` it does.
    pub process: bool,
    /// How many bytes of memory that process may take.
    pub memory: Option<u64>,
}

/// What an earlier run has put out is taken when operator, settings and inputs are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// How old it may be.
    pub keep: Option<Duration>,
}

/// When a task is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How many tries after the first.
    pub limit: u32,
    /// How long to wait before the second try.
    pub delay: Duration,
    /// How the wait grows.
    pub backoff: Backoff,
    /// How long to wait at most.
    pub max_delay: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            limit: 0,
            delay: Duration::from_secs(10),
            backoff: Backoff::Fixed,
            max_delay: None,
        }
    }
}

/// Where a top-level output comes from.
#[derive(Clone, Debug)]
pub enum OutputSource {
    /// A value.
    Value(Template),
    /// A dataset.
    Dataset(InputBinding),
}

/// Why a plan cannot run with what it was given.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A parameter that the pipeline does not have.
    #[error("`{pipeline}` has no parameter `{name}`")]
    UnknownParam {
        /// The pipeline.
        pipeline: String,
        /// The parameter.
        name: String,
        /// One that looks like it.
        similar: Option<String>,
    },
    /// A parameter without a default that was not given.
    #[error("the parameter `{name}` of `{pipeline}` has no default and was not given")]
    MissingParam {
        /// The pipeline.
        pipeline: String,
        /// The parameter.
        name: String,
    },
    /// A parameter of the wrong type.
    #[error("the parameter `{name}` of `{pipeline}` must be {expected}, not {found}")]
    WrongParam {
        /// The pipeline.
        pipeline: String,
        /// The parameter.
        name: String,
        /// What it must be.
        expected: String,
        /// What it was.
        found: String,
    },
    /// An expression names `interval`, and the run would have none.
    #[error("`{pipeline}` names `interval` ({place}), and a run by hand has none")]
    NoInterval {
        /// The pipeline.
        pipeline: String,
        /// Where: file and line.
        place: String,
    },
}

impl Plan {
    /// The zone in which its intervals are shown.
    pub fn zone(&self) -> chrono_tz::Tz {
        self.cadence()
            .map_or(chrono_tz::UTC, crate::trigger::Cadence::zone)
    }

    /// The repetition that its intervals follow, when it has one of its own.
    pub fn cadence(&self) -> Option<&crate::trigger::Cadence> {
        let scheduled = self
            .schedule
            .as_ref()
            .and_then(crate::trigger::Schedule::cadence);
        scheduled.or(self.interval.as_ref())
    }

    /// The interval of a run that a person or the API starts: the last complete one, where the pipeline has intervals
    /// of its own.
    ///
    /// # Errors
    /// When it has none, and an expression names it.
    pub fn manual_interval(&self, now: Timestamp) -> Result<Option<Interval>, PlanError> {
        let interval = self
            .cadence()
            .and_then(|cadence| cadence.last_complete_interval(now));
        match &self.reads_interval {
            Some(place) if interval.is_none() => Err(PlanError::NoInterval {
                pipeline: self.name.to_string(),
                place: format!("{}:{}", place.file, place.line),
            }),
            _ => Ok(interval),
        }
    }

    /// The task called `name`.
    pub fn find(&self, name: &str) -> Option<TaskIndex> {
        let names = self.names.0.get_or_init(|| {
            self.tasks()
                .map(|(index, task)| (task.name.clone(), index))
                .collect()
        });
        match names.get(name) {
            Some(index) => Some(*index),
            // A plan made by hand may have grown since the names were gathered.
            None if names.len() != self.graph.node_count() => self
                .tasks()
                .find(|(_, task)| &*task.name == name)
                .map(|(index, _)| index),
            None => None,
        }
    }

    /// All tasks in the order of the file.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskIndex, &PlannedTask)> {
        self.graph
            .node_indices()
            .map(|index| (index, &self.graph[index]))
    }

    /// The tasks that a task waits for.
    pub fn upstream(&self, task: TaskIndex) -> impl Iterator<Item = TaskIndex> {
        self.graph
            .neighbors_directed(task, petgraph::Direction::Incoming)
    }

    /// The tasks that wait for a task.
    pub fn downstream(&self, task: TaskIndex) -> impl Iterator<Item = TaskIndex> {
        self.graph
            .neighbors_directed(task, petgraph::Direction::Outgoing)
    }
}
