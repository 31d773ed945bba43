//! What a store can do. Memory, SQLite and Postgres pass one conformance suite.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use super::{
    AttemptRecord, CachedOutput, Claim, Created, EventRecord, History, MailState, NewMail, NewRun,
    PendingMail, PipelineVersion, Queue, RunFilter, RunRecord, RunWrite, TaskRecord, Triggers,
    WriteOutcome,
};
use crate::{
    failure::StoreError,
    id::{RunId, TaskKey},
    model::ModelRegistry,
    operator::PastOutcome,
    time::Timestamp,
};

/// The history of runs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Keeps a pipeline version, once.
    async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError>;
    /// A pipeline version by its hash.
    async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError>;
    /// Makes a run, `queued`, unless its trigger has one already. Making the same run twice makes it once.
    async fn create_run(&self, run: &NewRun) -> Result<Created, StoreError>;
    /// Makes `owner` the run's owner for `lease`, on the store's own clock, and gives it the next fencing token.
    /// `None` while somebody else's lease holds; one's own lease is no hindrance, but one's older token is stale then.
    /// `None` too when the run waits in the queue again because nobody began it within a lease: only the queue gives it out.
    async fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError>;
    /// Renews the leases of all unfinished runs of `owner`.
    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError>;
    /// Ends the lease of a run that is given up, so that the next owner need not wait; `Stale` with an old token.
    async fn release(&self, run: RunId, fence: u64) -> Result<(), StoreError>;
    /// Makes all writes durable in one transaction. A stale write is left out, the others go through. Everything is kept
    /// under its key, so the same writes sent twice leave what one sending leaves.
    async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError>;
    /// A run as it stands.
    async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError>;
    /// Runs, the newest first.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError>;
    /// A run's tasks and elements as far as anything has happened to them, by task and element.
    async fn tasks(&self, run: RunId) -> Result<Vec<TaskRecord>, StoreError>;
    /// A run's attempts in the order of their start.
    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError>;
    /// A run's events whose number is greater than `after`, in order.
    async fn events(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError>;
    /// The successes of a task in the newest runs of its pipeline, the newest run first.
    async fn successes(
        &self,
        pipeline: &str,
        key: &TaskKey,
        limit: u32,
    ) -> Result<Vec<PastOutcome>, StoreError>;
    /// The verdict of the pipeline's last finished run but this one.
    async fn previous_state(
        &self,
        pipeline: &str,
        run: RunId,
    ) -> Result<Option<crate::state::RunState>, StoreError>;
    /// How many warnings the outputs of these runs hold; runs without any are left out.
    async fn warnings(&self, runs: &[RunId]) -> Result<HashMap<RunId, u64>, StoreError>;
    /// The newest output that was made of what `cache` stands for.
    async fn cached(&self, cache: &str) -> Result<Option<CachedOutput>, StoreError>;
    /// The checkpoint of a task.
    async fn checkpoint(&self, run: RunId, key: &TaskKey) -> Result<Option<Value>, StoreError>;
    /// Keeps a checkpoint; `Stale` with an old fencing token.
    async fn put_checkpoint(
        &self,
        run: RunId,
        fence: u64,
        key: &TaskKey,
        value: &Value,
    ) -> Result<(), StoreError>;
    /// What the last success of a task of this pipeline has left for its next run.
    async fn state(&self, pipeline: &str, key: &TaskKey) -> Result<Option<Value>, StoreError>;
}

/// The mails that wait to be sent.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// The mails that are due, the oldest first, taken for `lease` so that nobody else sends them.
    async fn take_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<PendingMail>, StoreError>;
    /// Writes down a mail that is about no change of a run. Twice the same is once.
    async fn post(&self, mail: &NewMail) -> Result<(), StoreError>;
    /// Says what has become of a mail. One that is sent, dead or expired stays so.
    async fn settle(&self, mail: Uuid, state: &MailState, now: Timestamp)
    -> Result<(), StoreError>;
    /// How many mails there are in each state: `pending`, `sent`, `dead`, `unconfigured`, `expired`.
    async fn counts(&self) -> Result<std::collections::BTreeMap<String, u64>, StoreError>;
}

/// A whole store.
pub trait Store: RunStore + Queue + Triggers + History + ModelRegistry + Outbox {}

impl<T: RunStore + Queue + Triggers + History + ModelRegistry + Outbox> Store for T {}
