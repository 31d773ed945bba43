//! A store that forgets everything when it is dropped: simple and obvious, for tests and dry runs.
//!
//! It is also the model that the databases are compared with, so it does everything in the plainest way.

mod models;
mod outbox;
mod runs;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use uuid::Uuid;

use super::{
    AttemptRecord, EventRecord, NewMail, PipelineVersion, RegisterModel, RunRecord, TaskRecord,
};
use crate::{
    id::{RunId, TaskKey},
    time::{Clock, SystemClock, Timestamp},
};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    content: Mutex<Content>,
}

impl MemoryStore {
    /// An empty store whose leases go by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            content: Mutex::default(),
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
    versions: HashMap<String, PipelineVersion>,
    runs: BTreeMap<RunId, RunEntry>,
    models: BTreeMap<String, ModelEntry>,
    mails: BTreeMap<Uuid, MailEntry>,
}

#[derive(Debug)]
struct RunEntry {
    record: RunRecord,
    leased_until: Option<Timestamp>,
    tasks: BTreeMap<TaskKey, TaskRecord>,
    attempts: BTreeMap<(TaskKey, u32), AttemptRecord>,
    events: BTreeMap<u64, EventRecord>,
    checkpoints: BTreeMap<TaskKey, Value>,
}

#[derive(Debug, Default)]
struct ModelEntry {
    versions: BTreeMap<u32, ModelSlot>,
    aliases: BTreeMap<String, u32>,
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
