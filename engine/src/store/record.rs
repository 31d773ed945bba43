//! What is stored of a run.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Redo;
use crate::{
    alert::AlertKind,
    dataset::StoredDataset,
    id::{RunId, TaskKey},
    operator::{Fault, Interval, Wait},
    plan::Plan,
    state::{RunState, TaskState},
    time::Timestamp,
};

/// A pipeline file as it was when a run was made of it. Content-addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineVersion {
    /// SHA-256 of the source.
    pub hash: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Where the file was, relative to the project.
    pub path: String,
    /// The file's text.
    pub source: String,
}

impl PipelineVersion {
    /// The version that `plan` was made of.
    pub fn of(plan: &Plan) -> Self {
        Self {
            hash: plan.source.hash.clone(),
            pipeline: plan.name.to_string(),
            path: plan.source.path.to_string(),
            source: plan.source.text.to_string(),
        }
    }
}

/// Why a run was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A person asked.
    Manual,
    /// Its schedule.
    Scheduled,
    /// A backfill.
    Backfill,
    /// Something was sensed.
    Sensor,
    /// Another pipeline succeeded.
    After,
    /// The API.
    Api,
    /// A task of another run.
    Child,
}

impl RunKind {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::Manual, "manual"),
        (Self::Scheduled, "scheduled"),
        (Self::Backfill, "backfill"),
        (Self::Sensor, "sensor"),
        (Self::After, "after"),
        (Self::Api, "api"),
        (Self::Child, "child"),
    ];

    /// The kind's name, as stored and as `run.kind` shows it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

impl fmt::Display for RunKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RunKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::NAMES
            .into_iter()
            .find(|(_, name)| *name == text)
            .map(|(kind, _)| kind)
            .ok_or_else(|| format!("unknown kind of run `{text}`"))
    }
}

/// The task that waits for a child run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentTask {
    /// The parent run.
    pub run: RunId,
    /// The task and element in it.
    pub key: TaskKey,
}

/// A run to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// Its identity.
    pub id: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// The version of the pipeline that it runs.
    pub version: String,
    /// Why it is made.
    pub kind: RunKind,
    /// What makes it unique within its pipeline: `interval:…`, `thing:…`, `child:…`; `None` for manual runs. A very long
    /// one may read back as its hash.
    pub trigger_key: Option<String>,
    /// What `trigger` shows in expressions; of a run that a person has asked for, the [`Part`](super::Part) that it is.
    pub trigger: Value,
    /// Its parameters, complete.
    pub params: Map<String, Value>,
    /// Its interval.
    pub interval: Option<Interval>,
    /// The task that waits for it.
    pub parent: Option<ParentTask>,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it waits for whoever takes runs from the queue. A run that its maker claims itself does not, and no daemon
    /// takes it before it is begun.
    pub enqueued: bool,
    /// How many runs of its pipeline may be under way when it is taken from the queue; `None` for any number.
    pub max_active: Option<u32>,
    /// The backfill that it belongs to.
    pub backfill: Option<Uuid>,
}

/// Whether a run was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was.
    New,
    /// There is one for this trigger already.
    Existing(RunId),
}

/// A run that an owner may work on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The fencing token: greater than that of every earlier owner.
    pub fence: u64,
}

/// A run as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// What it was made as.
    pub run: NewRun,
    /// Its state.
    pub state: RunState,
    /// When work on it began.
    pub started: Option<Timestamp>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its top-level outputs.
    pub outputs: Option<Value>,
    /// Who works or worked on it.
    pub owner: Option<String>,
    /// The present fencing token.
    pub fence: u64,
    /// How often a person has had it done again on purpose.
    pub redo: u32,
    /// The number of its last event; 0 when there is none.
    pub last_event: u64,
    /// What is to be done again of it, from its requeueing until work on it begins.
    pub requeued: Option<Redo>,
    /// Whether somebody has asked to cancel it; no longer when it is over.
    pub cancelling: bool,
}

/// An error as stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// Whose fault it is.
    pub fault: Fault,
    /// What is wrong, with its causes.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A task or element as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Which.
    pub key: TaskKey,
    /// Its state.
    pub state: TaskState,
    /// Its last attempt, counted from 1; 0 when there was none.
    pub attempt: u32,
    /// How many tries of its retry limit are used up.
    pub tries: u32,
    /// How many of its attempts were lost with the process that worked on them.
    pub losses: u32,
    /// When its last attempt began.
    pub started: Option<Timestamp>,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// A reason to skip; how many elements it has (`elements=3`) is in `elements`.
    pub note: Option<String>,
    /// How many elements it was repeated for.
    pub elements: Option<u32>,
    /// Why it failed.
    pub error: Option<ErrorRecord>,
    /// What it waits for.
    pub wait: Option<Wait>,
    /// When it will be tried again.
    pub retry_at: Option<Timestamp>,
    /// Its settings, resolved once before the first attempt.
    pub settings: Option<Value>,
    /// What it has put out.
    pub output: Option<OutputRecord>,
}

/// What a task has put out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Its datasets, the main one first.
    pub datasets: Vec<StoredDataset>,
    /// Its values.
    pub values: Map<String, Value>,
    /// Its measures.
    pub metrics: BTreeMap<String, f64>,
    /// Its files.
    pub artifacts: Vec<ArtifactRecord>,
    /// Its warnings.
    pub warnings: Vec<String>,
    /// What it was made of, when the task says `cache`: later runs find it by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
}

/// What a task of some run has put out.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedOutput {
    /// The run.
    pub run: RunId,
    /// When it was written.
    pub written: Timestamp,
    /// What it is.
    pub output: OutputRecord,
}

/// A file as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// Its name within the task.
    pub name: String,
    /// Its key in the artifact store.
    pub key: String,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where it was also written for people.
    pub path: Option<String>,
}

/// One try at a task.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// Which task and element.
    pub key: TaskKey,
    /// The attempt, counted from 1.
    pub number: u32,
    /// How it stands.
    pub state: TaskState,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<ErrorRecord>,
}

/// An event as stored. Its number counts the events of its run from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// Its number within the run.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// `run`, `task`, `expanded` or `warning`.
    pub kind: String,
    /// Which task and element it is about.
    pub key: Option<TaskKey>,
    /// The new state, or other details.
    pub data: Value,
}

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMail {
    /// Its identity; the Message-ID is made of it.
    pub id: Uuid,
    /// The run it is about.
    pub run: Option<RunId>,
    /// Its occasion.
    pub kind: AlertKind,
    /// To whom.
    pub to: Vec<String>,
    /// What the templates show.
    pub content: Value,
    /// When it was written.
    pub created: Timestamp,
}

/// A mail that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingMail {
    /// The mail.
    pub mail: NewMail,
    /// How often it was tried.
    pub attempts: u32,
}

/// What has become of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// The server has taken it.
    Sent,
    /// It will be tried again then.
    Retry {
        /// When.
        at: Timestamp,
        /// What the server said.
        error: String,
    },
    /// It is given up.
    Dead {
        /// What the server said.
        error: String,
    },
    /// There is no server to send it to. It is due again after [`UNCONFIGURED_PAUSE`], in case one has been set, and
    /// expires [`UNCONFIGURED_KEPT`] after it was written.
    Unconfigured,
}

/// How long a mail is kept for which there is no server.
pub const UNCONFIGURED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a mail rests for which there is no server, before it is due again.
pub const UNCONFIGURED_PAUSE: Duration = Duration::from_secs(60);

/// Which runs to list: the newest first, by pages.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only of this pipeline.
    pub pipeline: Option<String>,
    /// Only in this state.
    pub state: Option<RunState>,
    /// Only those made before this run (the last one of the page before).
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: u32,
}
