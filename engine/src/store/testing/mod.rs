//! A store whose commits can be made to fail, for tests.

mod daemons;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use super::{
    AttemptRecord, Claim, Created, EventRecord, MailState, ModelRegistry, ModelVersion, NewMail,
    NewRun, Outbox, PendingMail, PipelineVersion, RunFilter, RunRecord, RunStore, RunWrite, Store,
    StoreError, TaskRecord, WriteOutcome,
};
use crate::{
    id::{RunId, TaskKey},
    operator::PastOutcome,
    state::RunState,
    time::Timestamp,
};

type Fault = dyn Fn(&[RunWrite]) -> Option<StoreError> + Send + Sync;

/// A store that asks before each commit whether it is to fail.
pub(crate) struct Wrapped<S> {
    inner: S,
    fault: Box<Fault>,
}

impl<S: Store> Wrapped<S> {
    /// `inner`, whose commits fail when `fault` says so.
    pub(crate) fn new(
        inner: S,
        fault: impl Fn(&[RunWrite]) -> Option<StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            fault: Box::new(fault),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> RunStore for Wrapped<S> {
    async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError> {
        self.inner.put_version(version).await
    }

    async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError> {
        self.inner.version(hash).await
    }

    async fn create_run(&self, run: &NewRun) -> Result<Created, StoreError> {
        self.inner.create_run(run).await
    }

    async fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        self.inner.claim(run, owner, lease).await
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        self.inner.renew(owner, lease).await
    }

    async fn release(&self, run: RunId, fence: u64) -> Result<(), StoreError> {
        self.inner.release(run, fence).await
    }

    async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        if let Some(error) = (self.fault)(writes) {
            return Err(error);
        }
        self.inner.commit(writes).await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.inner.run(run).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        self.inner.runs(filter).await
    }

    async fn tasks(&self, run: RunId) -> Result<Vec<TaskRecord>, StoreError> {
        self.inner.tasks(run).await
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.inner.attempts(run).await
    }

    async fn events(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        self.inner.events(run, after, limit).await
    }

    async fn successes(
        &self,
        pipeline: &str,
        key: &TaskKey,
        limit: u32,
    ) -> Result<Vec<PastOutcome>, StoreError> {
        self.inner.successes(pipeline, key, limit).await
    }

    async fn previous_state(
        &self,
        pipeline: &str,
        run: RunId,
    ) -> Result<Option<RunState>, StoreError> {
        self.inner.previous_state(pipeline, run).await
    }

    async fn checkpoint(&self, run: RunId, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        self.inner.checkpoint(run, key).await
    }

    async fn put_checkpoint(
        &self,
        run: RunId,
        fence: u64,
        key: &TaskKey,
        value: &Value,
    ) -> Result<(), StoreError> {
        self.inner.put_checkpoint(run, fence, key, value).await
    }

    async fn state(&self, pipeline: &str, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        self.inner.state(pipeline, key).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> ModelRegistry for Wrapped<S> {
    async fn reserve_version(
        &self,
        name: &str,
        run: RunId,
        key: &TaskKey,
    ) -> Result<u32, StoreError> {
        self.inner.reserve_version(name, run, key).await
    }

    async fn models(&self) -> Result<Vec<String>, StoreError> {
        self.inner.models().await
    }

    async fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, StoreError> {
        self.inner.versions(name).await
    }

    async fn model(&self, name: &str, version: u32) -> Result<Option<ModelVersion>, StoreError> {
        self.inner.model(name, version).await
    }

    async fn aliased(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>, StoreError> {
        self.inner.aliased(name, alias).await
    }

    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: u32,
        note: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner.set_alias(name, alias, version, note, now).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Outbox for Wrapped<S> {
    async fn take_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<PendingMail>, StoreError> {
        self.inner.take_due(now, lease, limit).await
    }

    async fn post(&self, mail: &NewMail) -> Result<(), StoreError> {
        self.inner.post(mail).await
    }

    async fn settle(
        &self,
        mail: Uuid,
        state: &MailState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.inner.settle(mail, state, now).await
    }

    async fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.inner.counts().await
    }
}
