//! What an attempt remembers, over the run store.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    id::{RunId, TaskKey},
    operator::{CheckpointStore, PastOutcome, PastStore, StateStore},
    store::{Store, StoreError},
};

/// The memory of one task of one run.
pub(super) struct Memory {
    pub(super) store: Arc<dyn Store>,
    pub(super) pipeline: Arc<str>,
    pub(super) run: RunId,
    pub(super) fence: u64,
    pub(super) key: TaskKey,
}

#[async_trait]
impl CheckpointStore for Memory {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        self.store.checkpoint(self.run, &self.key).await
    }

    async fn save(&self, value: &Value) -> Result<(), StoreError> {
        self.store
            .put_checkpoint(self.run, self.fence, &self.key, value)
            .await
    }
}

#[async_trait]
impl PastStore for Memory {
    async fn successes(&self, limit: u32) -> Result<Vec<PastOutcome>, StoreError> {
        self.store.successes(&self.pipeline, &self.key, limit).await
    }
}

#[async_trait]
impl StateStore for Memory {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        self.store.state(&self.pipeline, &self.key).await
    }
}
