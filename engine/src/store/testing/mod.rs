//! A store between a store and its users, for tests: what passes through it may be watched, late, lost or refused.

mod artifacts;
mod daemons;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use super::{
    AliasChange, AttemptRecord, CachedOutput, Claim, Claimed, Created, EventRecord, ImportedModel,
    MailState, ModelRegistry, ModelVersion, NewMail, NewRun, Outbox, PendingMail, PipelineVersion,
    Queue, Redo, RunFilter, RunRecord, RunStore, RunWrite, Store, StoreError, TaskRecord,
    WriteOutcome,
};
use crate::{
    id::{RunId, TaskKey},
    operator::PastOutcome,
    state::RunState,
    time::Timestamp,
};

pub use artifacts::NoArtifacts;

/// What a wrapper does with the calls that its store gets. What is not said is handed on as it is.
pub trait Hooks: Send + Sync {
    /// The store that is wrapped.
    type Inner: Store;

    /// The store that is wrapped.
    fn inner(&self) -> &Self::Inner;

    /// Stands round every call, those below too.
    fn through<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        call
    }

    /// In place of [`RunStore::claim`].
    fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> impl Future<Output = Result<Option<Claim>, StoreError>> + Send {
        async move { self.inner().claim(run, owner, lease).await }
    }

    /// In place of [`RunStore::commit`].
    fn commit(
        &self,
        writes: &[RunWrite],
    ) -> impl Future<Output = Result<Vec<WriteOutcome>, StoreError>> + Send {
        async move { self.inner().commit(writes).await }
    }

    /// In place of [`Queue::claim_queued`].
    fn claim_queued(
        &self,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Claimed>, StoreError>> + Send {
        async move {
            self.inner()
                .claim_queued(daemon, lease, backfill, limit)
                .await
        }
    }

    /// In place of [`Queue::claim_lost`].
    fn claim_lost(
        &self,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Claimed>, StoreError>> + Send {
        async move { self.inner().claim_lost(daemon, lease, gone, limit).await }
    }

    /// In place of [`Queue::requeue`].
    fn requeue(
        &self,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        async move { self.inner().requeue(run, redo, backfill).await }
    }
}

/// A store whose calls go by its hooks.
#[derive(Debug)]
pub struct Wrapped<H>(pub H);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: Hooks> RunStore for Wrapped<H> {
    async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError> {
        self.0.through(self.0.inner().put_version(version)).await
    }

    async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError> {
        self.0.through(self.0.inner().version(hash)).await
    }

    async fn create_run(&self, run: &NewRun) -> Result<Created, StoreError> {
        self.0.through(self.0.inner().create_run(run)).await
    }

    async fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        self.0.through(self.0.claim(run, owner, lease)).await
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        self.0.through(self.0.inner().renew(owner, lease)).await
    }

    async fn release(&self, run: RunId, fence: u64) -> Result<(), StoreError> {
        self.0.through(self.0.inner().release(run, fence)).await
    }

    async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.0.through(self.0.commit(writes)).await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.0.through(self.0.inner().run(run)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        self.0.through(self.0.inner().runs(filter)).await
    }

    async fn tasks(&self, run: RunId) -> Result<Vec<TaskRecord>, StoreError> {
        self.0.through(self.0.inner().tasks(run)).await
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.0.through(self.0.inner().attempts(run)).await
    }

    async fn events(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        self.0
            .through(self.0.inner().events(run, after, limit))
            .await
    }

    async fn successes(
        &self,
        pipeline: &str,
        key: &TaskKey,
        limit: u32,
    ) -> Result<Vec<PastOutcome>, StoreError> {
        self.0
            .through(self.0.inner().successes(pipeline, key, limit))
            .await
    }

    async fn previous_state(
        &self,
        pipeline: &str,
        run: RunId,
    ) -> Result<Option<RunState>, StoreError> {
        self.0
            .through(self.0.inner().previous_state(pipeline, run))
            .await
    }

    async fn warnings(&self, runs: &[RunId]) -> Result<HashMap<RunId, u64>, StoreError> {
        self.0.through(self.0.inner().warnings(runs)).await
    }

    async fn cached(&self, cache: &str) -> Result<Option<CachedOutput>, StoreError> {
        self.0.through(self.0.inner().cached(cache)).await
    }

    async fn checkpoint(&self, run: RunId, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        self.0.through(self.0.inner().checkpoint(run, key)).await
    }

    async fn put_checkpoint(
        &self,
        run: RunId,
        fence: u64,
        key: &TaskKey,
        value: &Value,
    ) -> Result<(), StoreError> {
        self.0
            .through(self.0.inner().put_checkpoint(run, fence, key, value))
            .await
    }

    async fn state(&self, pipeline: &str, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        self.0.through(self.0.inner().state(pipeline, key)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: Hooks> ModelRegistry for Wrapped<H> {
    async fn reserve_version(
        &self,
        name: &str,
        run: RunId,
        key: &TaskKey,
    ) -> Result<u32, StoreError> {
        self.0
            .through(self.0.inner().reserve_version(name, run, key))
            .await
    }

    async fn models(&self) -> Result<Vec<String>, StoreError> {
        self.0.through(self.0.inner().models()).await
    }

    async fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, StoreError> {
        self.0.through(self.0.inner().versions(name)).await
    }

    async fn model(&self, name: &str, version: u32) -> Result<Option<ModelVersion>, StoreError> {
        self.0.through(self.0.inner().model(name, version)).await
    }

    async fn aliased(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>, StoreError> {
        self.0.through(self.0.inner().aliased(name, alias)).await
    }

    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: u32,
        note: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.0
            .through(self.0.inner().set_alias(name, alias, version, note, now))
            .await
    }

    async fn remove_alias(
        &self,
        name: &str,
        alias: &str,
        note: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.0
            .through(self.0.inner().remove_alias(name, alias, note, now))
            .await
    }

    async fn alias_changes(&self, name: &str, limit: u32) -> Result<Vec<AliasChange>, StoreError> {
        self.0
            .through(self.0.inner().alias_changes(name, limit))
            .await
    }

    async fn import_model(&self, model: &ImportedModel) -> Result<u32, StoreError> {
        self.0.through(self.0.inner().import_model(model)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: Hooks> Outbox for Wrapped<H> {
    async fn take_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<PendingMail>, StoreError> {
        self.0
            .through(self.0.inner().take_due(now, lease, limit))
            .await
    }

    async fn post(&self, mail: &NewMail) -> Result<(), StoreError> {
        self.0.through(self.0.inner().post(mail)).await
    }

    async fn settle(
        &self,
        mail: Uuid,
        state: &MailState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.0
            .through(self.0.inner().settle(mail, state, now))
            .await
    }

    async fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.0.through(self.0.inner().counts()).await
    }
}
