//! What an attempt remembers: of this run, and of earlier ones.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

use super::TaskError;
use crate::{failure::StoreError, id::RunId, time::Timestamp};

/// Where a checkpoint is kept; the runner implements it over the run store, with the run's fence.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// The last checkpoint.
    async fn load(&self) -> Result<Option<Value>, StoreError>;
    /// Keeps `value`; a stale attempt is refused.
    async fn save(&self, value: &Value) -> Result<(), StoreError>;
}

/// A small memory of this run, task and element.
#[derive(Clone)]
pub struct Checkpoint(Arc<dyn CheckpointStore>);

impl Checkpoint {
    /// A checkpoint kept in `store`.
    pub fn new(store: Arc<dyn CheckpointStore>) -> Self {
        Self(store)
    }

    /// A checkpoint that forgets, for tests of operators.
    pub fn none() -> Self {
        Self(Arc::new(Forgetful))
    }

    /// The last checkpoint.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn load(&self) -> Result<Option<Value>, TaskError> {
        self.0
            .load()
            .await
            .map_err(|error| TaskError::external("cannot read the checkpoint").because(error))
    }

    /// Keeps `value` as the checkpoint.
    ///
    /// # Errors
    /// When the history cannot be written, or the attempt is no longer the current one.
    pub async fn save(&self, value: &Value) -> Result<(), TaskError> {
        self.0
            .save(value)
            .await
            .map_err(|error| TaskError::external("cannot keep the checkpoint").because(error))
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checkpoint")
    }
}

/// Where a task's state is read from; the runner implements it over the run store.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// What the task's last success has left.
    async fn load(&self) -> Result<Option<Value>, StoreError>;
}

/// What this task, or this element of it, has left for its next run: how far it has read.
///
/// It is written by [`Output::remember`](super::Output::remember), and commits with the task's success.
#[derive(Clone)]
pub struct State(Arc<dyn StateStore>);

impl State {
    /// The state as `store` knows it.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self(store)
    }

    /// No state yet, for tests of operators.
    pub fn none() -> Self {
        Self(Arc::new(Forgetful))
    }

    /// This state, for tests of operators.
    pub fn of(value: Value) -> Self {
        Self(Arc::new(Given(value)))
    }

    /// What the last success of this task has left, in whichever run.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn load(&self) -> Result<Option<Value>, TaskError> {
        self.0
            .load()
            .await
            .map_err(|error| TaskError::external("cannot read the task's state").because(error))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

struct Given(Value);

#[async_trait]
impl StateStore for Given {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        Ok(Some(self.0.clone()))
    }
}

struct Forgetful;

#[async_trait]
impl StateStore for Forgetful {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl CheckpointStore for Forgetful {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        Ok(None)
    }

    async fn save(&self, _: &Value) -> Result<(), StoreError> {
        Ok(())
    }
}

/// One earlier success of this task.
#[derive(Clone, Debug, PartialEq)]
pub struct PastOutcome {
    /// The run.
    pub run: RunId,
    /// When the task ended.
    pub ended: Timestamp,
    /// Its measures.
    pub metrics: BTreeMap<String, f64>,
    /// The rows of its main dataset.
    pub rows: Option<u64>,
}

/// Where the past is read from; the runner implements it over the run store.
#[async_trait]
pub trait PastStore: Send + Sync {
    /// The newest `limit` successes, the newest first.
    async fn successes(&self, limit: u32) -> Result<Vec<PastOutcome>, StoreError>;
}

/// What this task has done in earlier runs.
#[derive(Clone)]
pub struct Past(Arc<dyn PastStore>);

impl Past {
    /// The past as `store` knows it.
    pub fn new(store: Arc<dyn PastStore>) -> Self {
        Self(store)
    }

    /// No past, for tests of operators.
    pub fn none() -> Self {
        Self(Arc::new(Forgetful))
    }

    /// The newest `limit` successes of this task, the newest first.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn successes(&self, limit: u32) -> Result<Vec<PastOutcome>, TaskError> {
        self.0
            .successes(limit)
            .await
            .map_err(|error| TaskError::external("cannot read the history").because(error))
    }
}

#[async_trait]
impl PastStore for Forgetful {
    async fn successes(&self, _: u32) -> Result<Vec<PastOutcome>, StoreError> {
        Ok(Vec::new())
    }
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Past")
    }
}
