//! A daemon's connection to the history: what passes through it may be late, fail before it takes effect, or take effect
//! and its answer be lost.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use pipectl_engine::{
    id::{RunId, TaskKey},
    model::{ModelRegistry, ModelVersion},
    operator::{BoxFuture, Interval, PastOutcome},
    state::RunState,
    store::{
        AttemptRecord, Backfill, BackfillState, Cancelled, Claim, Claimed, Created, Daemon,
        EventRecord, History, MailState, MemoryStore, NewMail, NewRun, Outbox, PendingMail,
        PipelineVersion, PoolRequest, Progress, PruneRule, Queue, Redo, RunFilter, RunRecord,
        RunStore, RunWrite, ScheduleRecord, SensorKey, SensorRecord, StoreError, TaskRecord, Thing,
        ThingRecord, Triggers, WriteOutcome,
    },
    time::Timestamp,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{chance::Chance, witness::Witness};

/// A daemon's connection to the history.
pub(crate) struct Connection {
    pub(crate) daemon: String,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) chance: Chance,
}

impl Connection {
    /// Lets `call` through, or not, or not its answer.
    async fn through<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let trouble = self.witness.trouble();
        if self.chance.one_in(trouble) {
            tokio::time::sleep(Duration::from_millis(self.chance.below(400))).await;
        }
        if self.chance.one_in(trouble) {
            return Err(StoreError::unavailable(
                "the connection was refused",
                "simulated",
            ));
        }
        let answer = call.await;
        if self.chance.one_in(trouble) {
            tokio::time::sleep(Duration::from_millis(self.chance.below(400))).await;
        }
        if self.chance.one_in(trouble) {
            return Err(StoreError::unavailable("the answer was lost", "simulated"));
        }
        answer
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RunStore for Connection {
    async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError> {
        self.through(self.store.put_version(version)).await
    }

    async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError> {
        self.through(self.store.version(hash)).await
    }

    async fn create_run(&self, run: &NewRun) -> Result<Created, StoreError> {
        self.through(self.store.create_run(run)).await
    }

    async fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        self.through(self.witness.claim(&self.store, run, owner, lease))
            .await
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        self.through(self.store.renew(owner, lease)).await
    }

    async fn release(&self, run: RunId, fence: u64) -> Result<(), StoreError> {
        self.through(self.store.release(run, fence)).await
    }

    async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.through(self.witness.commit(&self.daemon, &self.store, writes))
            .await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.through(self.store.run(run)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        self.through(self.store.runs(filter)).await
    }

    async fn tasks(&self, run: RunId) -> Result<Vec<TaskRecord>, StoreError> {
        self.through(self.store.tasks(run)).await
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.through(self.store.attempts(run)).await
    }

    async fn events(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        self.through(self.store.events(run, after, limit)).await
    }

    async fn successes(
        &self,
        pipeline: &str,
        key: &TaskKey,
        limit: u32,
    ) -> Result<Vec<PastOutcome>, StoreError> {
        self.through(self.store.successes(pipeline, key, limit))
            .await
    }

    async fn previous_state(
        &self,
        pipeline: &str,
        run: RunId,
    ) -> Result<Option<RunState>, StoreError> {
        self.through(self.store.previous_state(pipeline, run)).await
    }

    async fn checkpoint(&self, run: RunId, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        self.through(self.store.checkpoint(run, key)).await
    }

    async fn put_checkpoint(
        &self,
        run: RunId,
        fence: u64,
        key: &TaskKey,
        value: &Value,
    ) -> Result<(), StoreError> {
        self.through(self.store.put_checkpoint(run, fence, key, value))
            .await
    }

    async fn state(&self, pipeline: &str, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        self.through(self.store.state(pipeline, key)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ModelRegistry for Connection {
    async fn reserve_version(
        &self,
        name: &str,
        run: RunId,
        key: &TaskKey,
    ) -> Result<u32, StoreError> {
        self.through(self.store.reserve_version(name, run, key))
            .await
    }

    async fn models(&self) -> Result<Vec<String>, StoreError> {
        self.through(self.store.models()).await
    }

    async fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, StoreError> {
        self.through(self.store.versions(name)).await
    }

    async fn model(&self, name: &str, version: u32) -> Result<Option<ModelVersion>, StoreError> {
        self.through(self.store.model(name, version)).await
    }

    async fn aliased(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>, StoreError> {
        self.through(self.store.aliased(name, alias)).await
    }

    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
        version: u32,
        note: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.through(self.store.set_alias(name, alias, version, note, now))
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Outbox for Connection {
    async fn take_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<PendingMail>, StoreError> {
        self.through(self.store.take_due(now, lease, limit)).await
    }

    async fn post(&self, mail: &NewMail) -> Result<(), StoreError> {
        self.through(self.store.post(mail)).await
    }

    async fn settle(
        &self,
        mail: Uuid,
        state: &MailState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.through(self.store.settle(mail, state, now)).await
    }

    async fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.through(self.store.counts()).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for Connection {
    async fn create_runs(&self, runs: &[NewRun]) -> Result<Vec<Created>, StoreError> {
        self.through(self.store.create_runs(runs)).await
    }

    async fn beat(
        &self,
        name: &str,
        started: Timestamp,
        lease: Duration,
    ) -> Result<Vec<RunId>, StoreError> {
        self.through(self.store.beat(name, started, lease)).await
    }

    async fn leave(&self, name: &str) -> Result<(), StoreError> {
        self.through(self.store.leave(name)).await
    }

    async fn daemons(&self) -> Result<Vec<Daemon>, StoreError> {
        self.through(self.store.daemons()).await
    }

    async fn owned(&self, daemon: &str) -> Result<Vec<Claimed>, StoreError> {
        self.through(self.store.owned(daemon)).await
    }

    async fn claim_queued(
        &self,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.through(
            self.witness
                .claim_queued(&self.store, daemon, lease, backfill, limit),
        )
        .await
    }

    async fn claim_lost(
        &self,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.through(
            self.witness
                .claim_lost(&self.store, daemon, lease, gone, limit),
        )
        .await
    }

    async fn foreground_runs(&self) -> Result<Vec<(RunId, String, bool)>, StoreError> {
        self.through(self.store.foreground_runs()).await
    }

    async fn requeue(
        &self,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
    ) -> Result<bool, StoreError> {
        self.through(self.witness.requeue(&self.store, run, redo, backfill))
            .await
    }

    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<Cancelled, StoreError> {
        self.through(self.store.cancel(run, now)).await
    }

    async fn unfinished(&self) -> Result<BTreeMap<(String, RunState), u64>, StoreError> {
        self.through(self.store.unfinished()).await
    }

    async fn take_pool(&self, request: &PoolRequest) -> Result<bool, StoreError> {
        self.through(self.store.take_pool(request)).await
    }

    async fn give_pool(&self, pool: &str, run: RunId, key: &TaskKey) -> Result<(), StoreError> {
        self.through(self.store.give_pool(pool, run, key)).await
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.store.changed()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Triggers for Connection {
    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        self.through(self.store.schedules()).await
    }

    async fn schedule(
        &self,
        pipeline: &str,
        cursor: Timestamp,
    ) -> Result<ScheduleRecord, StoreError> {
        self.through(self.store.schedule(pipeline, cursor)).await
    }

    async fn advance(&self, pipeline: &str, cursor: Timestamp) -> Result<(), StoreError> {
        self.through(self.store.advance(pipeline, cursor)).await
    }

    async fn pause(&self, pipeline: &str, paused: bool, now: Timestamp) -> Result<(), StoreError> {
        self.through(self.store.pause(pipeline, paused, now)).await
    }

    async fn successes_since(
        &self,
        pipelines: &[String],
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<RunRecord>, StoreError> {
        self.through(self.store.successes_since(pipelines, since, limit))
            .await
    }

    async fn success_of(
        &self,
        pipeline: &str,
        interval: Interval,
    ) -> Result<Option<RunId>, StoreError> {
        self.through(self.store.success_of(pipeline, interval))
            .await
    }

    async fn sensor(&self, key: &SensorKey, now: Timestamp) -> Result<SensorRecord, StoreError> {
        self.through(self.store.sensor(key, now)).await
    }

    async fn sensors(&self) -> Result<Vec<SensorRecord>, StoreError> {
        self.through(self.store.sensors()).await
    }

    async fn looked(
        &self,
        key: &SensorKey,
        now: Timestamp,
        error: Option<&str>,
    ) -> Result<u32, StoreError> {
        self.through(self.store.looked(key, now, error)).await
    }

    async fn unseen(
        &self,
        key: &SensorKey,
        identities: &[String],
    ) -> Result<Vec<String>, StoreError> {
        self.through(self.store.unseen(key, identities)).await
    }

    async fn ignore(
        &self,
        key: &SensorKey,
        things: &[Thing],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.through(self.store.ignore(key, things, now)).await
    }

    async fn sense(
        &self,
        key: &SensorKey,
        things: &[(Thing, NewRun)],
        now: Timestamp,
    ) -> Result<Vec<Created>, StoreError> {
        self.through(self.store.sense(key, things, now)).await
    }

    async fn to_settle(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError> {
        self.through(self.store.to_settle(key, limit)).await
    }

    async fn settled(&self, key: &SensorKey, identity: &str) -> Result<(), StoreError> {
        self.through(self.store.settled(key, identity)).await
    }

    async fn things(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError> {
        self.through(self.store.things(key, limit)).await
    }

    async fn forget(&self, key: &SensorKey, identity: Option<&str>) -> Result<u64, StoreError> {
        self.through(self.store.forget(key, identity)).await
    }

    async fn create_backfill(
        &self,
        backfill: &Backfill,
        runs: &[NewRun],
        again: &[(RunId, Redo)],
    ) -> Result<(), StoreError> {
        self.through(self.store.create_backfill(backfill, runs, again))
            .await
    }

    async fn backfills(&self, limit: u32) -> Result<Vec<(Backfill, Progress)>, StoreError> {
        self.through(self.store.backfills(limit)).await
    }

    async fn backfill(&self, id: Uuid) -> Result<Option<(Backfill, Progress)>, StoreError> {
        self.through(self.store.backfill(id)).await
    }

    async fn set_backfill(
        &self,
        id: Uuid,
        state: BackfillState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.through(self.store.set_backfill(id, state, now)).await
    }

    async fn triggered(
        &self,
        pipeline: &str,
        trigger_key: &str,
    ) -> Result<Option<RunRecord>, StoreError> {
        self.through(self.store.triggered(pipeline, trigger_key))
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl History for Connection {
    async fn prunable(&self, rule: &PruneRule, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.through(self.store.prunable(rule, limit)).await
    }

    async fn remove_runs(&self, runs: &[RunId]) -> Result<u64, StoreError> {
        self.through(self.store.remove_runs(runs)).await
    }
}
