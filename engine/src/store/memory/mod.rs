//! A store that forgets everything when it is dropped: simple and obvious, for tests and dry runs.
//!
//! It is also the model that the databases are compared with, so it does everything in the plainest way.

mod again;
mod changes;
mod history;
mod models;
mod outbox;
mod queue;
mod runs;
mod triggers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use indexmap::IndexMap;
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    AliasChange, AttemptRecord, Backfill, EventRecord, NewMail, PipelineVersion, RegisterModel,
    RunRecord, ScheduleRecord, SensorKey, SensorRecord, TaskRecord, ThingRecord,
};
use crate::{
    id::{RunId, TaskKey},
    state::RunState,
    time::{Clock, SystemClock, Timestamp},
};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    content: Mutex<Content>,
    changed: Notify,
}

impl MemoryStore {
    /// An empty store whose leases go by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            content: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

#[derive(Debug, Default)]
struct Content {
    /// The newest last.
    versions: IndexMap<String, PipelineVersion>,
    runs: BTreeMap<RunId, RunEntry>,
    /// The runs that have a trigger key, by pipeline and key.
    triggers: HashMap<(String, String), RunId>,
    /// What tasks have left for their next run, by pipeline and task.
    states: HashMap<(String, TaskKey), Value>,
    daemons: BTreeMap<String, DaemonEntry>,
    pools: BTreeMap<(String, RunId, TaskKey), u32>,
    /// When the next turn of each rate limit is.
    turns: BTreeMap<String, Timestamp>,
    schedules: BTreeMap<String, ScheduleRecord>,
    sensors: BTreeMap<SensorKey, SensorRecord>,
    things: BTreeMap<SensorKey, IndexMap<String, ThingRecord>>,
    backfills: BTreeMap<Uuid, Backfill>,
    models: BTreeMap<String, ModelEntry>,
    mails: BTreeMap<Uuid, MailEntry>,
}

/// A daemon that has been heard of.
#[derive(Debug)]
struct DaemonEntry {
    started: Timestamp,
    heard: Timestamp,
    /// The end of its lease; `None` when it has left.
    alive_until: Option<Timestamp>,
}

#[derive(Debug)]
struct RunEntry {
    record: RunRecord,
    leased_until: Option<Timestamp>,
    /// What it was before it was put into the queue to be done again.
    before: Option<Before>,
    tasks: BTreeMap<TaskKey, TaskRecord>,
    attempts: BTreeMap<(TaskKey, u32), AttemptRecord>,
    events: BTreeMap<u64, EventRecord>,
    checkpoints: BTreeMap<TaskKey, Value>,
}

/// What a run was that is to be done again.
#[derive(Debug)]
struct Before {
    state: RunState,
    ended: Option<Timestamp>,
    error: Option<String>,
    backfill: Option<Uuid>,
    version: String,
}

#[derive(Debug, Default)]
struct ModelEntry {
    versions: BTreeMap<u32, ModelSlot>,
    aliases: BTreeMap<String, u32>,
    /// The oldest first.
    changes: Vec<AliasChange>,
}

/// A version that is reserved and, once `registered` is there, registered.
#[derive(Debug)]
struct ModelSlot {
    run: RunId,
    key: TaskKey,
    /// Whether the task gets this version again when it asks.
    reserved: bool,
    registered: Option<RegisterModel>,
}

#[derive(Debug)]
struct MailEntry {
    mail: NewMail,
    state: &'static str,
    attempts: u32,
    due: Timestamp,
}
