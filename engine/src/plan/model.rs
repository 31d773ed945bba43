//! The types of a plan.

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use petgraph::graph::{DiGraph, NodeIndex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    alert::Alert,
    operator::{DynOperator, Outputs},
    spec::{Expression, Place, Template},
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
    /// What a parent run sees.
    pub outputs: IndexMap<String, OutputSource>,
    /// What starts it.
    pub schedule: Option<crate::trigger::Schedule>,
    /// The interval of a pipeline that is started by others.
    pub interval: Option<crate::trigger::Cadence>,
}

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

/// A parameter of a pipeline.
#[derive(Clone, Debug)]
pub struct ParamSpec {
    /// Its type.
    pub of: ParamType,
    /// Its value when none is given; without it, a value must be given.
    pub default: Option<Value>,
    /// What it is for.
    pub description: Option<String>,
    /// The only values it may have.
    pub choices: Option<Vec<Value>>,
    /// Where it stands.
    pub place: Place,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// A map.
    Object,
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
    /// Who gets mail about it, beside the pipeline's own.
    pub alerts: Vec<Alert>,
    /// The settings that name models, as paths under `with`: their names are pinned to versions before the first attempt.
    pub models: Vec<Vec<String>>,
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

/// What a task's upstream tasks must have come to. Names and meanings are Airflow's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    /// All succeeded.
    #[default]
    AllSuccess,
    /// All failed.
    AllFailed,
    /// All are done, however they ended.
    AllDone,
    /// One succeeded; does not wait for the others.
    OneSuccess,
    /// One failed; does not wait for the others.
    OneFailed,
    /// One succeeded or failed; does not wait for the others.
    OneDone,
    /// None failed.
    NoneFailed,
    /// None failed and one succeeded.
    NoneFailedMinOneSuccess,
    /// None was skipped.
    NoneSkipped,
    /// All were skipped.
    AllSkipped,
    /// All are done; nothing is asked.
    Always,
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

/// How the wait between tries grows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// It stays as it is.
    #[default]
    Fixed,
    /// It doubles.
    Exponential,
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
}

impl Plan {
    /// The zone in which its intervals are shown.
    pub fn zone(&self) -> chrono_tz::Tz {
        use crate::trigger::{Cadence, Trigger};
        let scheduled = self
            .schedule
            .as_ref()
            .and_then(|schedule| match &schedule.trigger {
                Trigger::Time(cadence) => Some(cadence),
                _ => None,
            });
        match scheduled.or(self.interval.as_ref()) {
            Some(Cadence::Cron { zone, .. }) => *zone,
            _ => chrono_tz::UTC,
        }
    }

    /// All parameters of a run: those given, and the defaults of the others.
    ///
    /// # Errors
    /// When one is unknown, missing or of the wrong type.
    pub fn params(
        &self,
        given: &serde_json::Map<String, Value>,
    ) -> Result<serde_json::Map<String, Value>, PlanError> {
        let pipeline = || self.name.to_string();
        if let Some(name) = given.keys().find(|name| !self.params.contains_key(*name)) {
            return Err(PlanError::UnknownParam {
                pipeline: pipeline(),
                name: name.clone(),
                similar: None,
            });
        }
        let value = |(name, spec): (&String, &ParamSpec)| {
            let value = given.get(name).or(spec.default.as_ref()).cloned();
            let value = value.ok_or_else(|| PlanError::MissingParam {
                pipeline: pipeline(),
                name: name.clone(),
            })?;
            Ok((name.clone(), value))
        };
        self.params.iter().map(value).collect()
    }

    /// The task called `name`.
    pub fn find(&self, name: &str) -> Option<TaskIndex> {
        self.graph
            .node_indices()
            .find(|index| &*self.graph[*index].name == name)
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

/// The type of a value, for messages.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
