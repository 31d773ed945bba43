//! Hands on what daemons share.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::{Hooks, Wrapped};
use crate::{
    id::{RunId, TaskKey},
    operator::Interval,
    state::RunState,
    store::{
        Backfill, BackfillState, Cancelled, Claimed, Created, Daemon, History, NewRun,
        PipelineVersion, PoolRequest, Progress, PruneRule, Queue, Redo, RunRecord, ScheduleRecord,
        SensorKey, SensorRecord, StoreError, Thing, ThingRecord, Triggers, Turn,
    },
    time::Timestamp,
};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: Hooks> Queue for Wrapped<H> {
    async fn create_runs(&self, runs: &[NewRun]) -> Result<Vec<Created>, StoreError> {
        self.0.through(self.0.inner().create_runs(runs)).await
    }

    async fn beat(
        &self,
        name: &str,
        started: Timestamp,
        lease: Duration,
    ) -> Result<Vec<RunId>, StoreError> {
        self.0
            .through(self.0.inner().beat(name, started, lease))
            .await
    }

    async fn leave(&self, name: &str) -> Result<(), StoreError> {
        self.0.through(self.0.inner().leave(name)).await
    }

    async fn daemons(&self) -> Result<Vec<Daemon>, StoreError> {
        self.0.through(self.0.inner().daemons()).await
    }

    async fn owned(&self, daemon: &str) -> Result<Vec<Claimed>, StoreError> {
        self.0.through(self.0.inner().owned(daemon)).await
    }

    async fn claim_queued(
        &self,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.0
            .through(self.0.claim_queued(daemon, lease, backfill, limit))
            .await
    }

    async fn claim_lost(
        &self,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.0
            .through(self.0.claim_lost(daemon, lease, gone, limit))
            .await
    }

    async fn claim_in_turn(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
        most: u32,
        gone: &[String],
    ) -> Result<Turn, StoreError> {
        let claim = self.0.inner().claim_in_turn(run, owner, lease, most, gone);
        self.0.through(claim).await
    }

    async fn foreground_runs(&self) -> Result<Vec<(RunId, String, bool)>, StoreError> {
        self.0.through(self.0.inner().foreground_runs()).await
    }

    async fn requeue(
        &self,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
    ) -> Result<bool, StoreError> {
        self.0.through(self.0.requeue(run, redo, backfill)).await
    }

    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<Cancelled, StoreError> {
        self.0.through(self.0.inner().cancel(run, now)).await
    }

    async fn unfinished(&self) -> Result<BTreeMap<(String, RunState), u64>, StoreError> {
        self.0.through(self.0.inner().unfinished()).await
    }

    async fn take_pool(&self, request: &PoolRequest) -> Result<bool, StoreError> {
        self.0.through(self.0.inner().take_pool(request)).await
    }

    async fn give_pool(&self, pool: &str, run: RunId, key: &TaskKey) -> Result<(), StoreError> {
        self.0
            .through(self.0.inner().give_pool(pool, run, key))
            .await
    }

    async fn take_turns(&self, limit: &str, time: Duration) -> Result<Duration, StoreError> {
        self.0.through(self.0.inner().take_turns(limit, time)).await
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.0.inner().changed()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: Hooks> Triggers for Wrapped<H> {
    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        self.0.through(self.0.inner().schedules()).await
    }

    async fn schedule(
        &self,
        pipeline: &str,
        cursor: Timestamp,
    ) -> Result<ScheduleRecord, StoreError> {
        self.0
            .through(self.0.inner().schedule(pipeline, cursor))
            .await
    }

    async fn advance(&self, pipeline: &str, cursor: Timestamp) -> Result<(), StoreError> {
        self.0
            .through(self.0.inner().advance(pipeline, cursor))
            .await
    }

    async fn pause(&self, pipeline: &str, paused: bool, now: Timestamp) -> Result<(), StoreError> {
        self.0
            .through(self.0.inner().pause(pipeline, paused, now))
            .await
    }

    async fn successes_since(
        &self,
        pipelines: &[String],
        since: Timestamp,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let successes = self
            .0
            .inner()
            .successes_since(pipelines, since, after, limit);
        self.0.through(successes).await
    }

    async fn success_of(
        &self,
        pipeline: &str,
        interval: Interval,
    ) -> Result<Option<RunId>, StoreError> {
        self.0
            .through(self.0.inner().success_of(pipeline, interval))
            .await
    }

    async fn sensor(&self, key: &SensorKey, now: Timestamp) -> Result<SensorRecord, StoreError> {
        self.0.through(self.0.inner().sensor(key, now)).await
    }

    async fn sensors(&self) -> Result<Vec<SensorRecord>, StoreError> {
        self.0.through(self.0.inner().sensors()).await
    }

    async fn looked(
        &self,
        key: &SensorKey,
        now: Timestamp,
        error: Option<&str>,
    ) -> Result<u32, StoreError> {
        self.0.through(self.0.inner().looked(key, now, error)).await
    }

    async fn unseen(
        &self,
        key: &SensorKey,
        identities: &[String],
    ) -> Result<Vec<String>, StoreError> {
        self.0.through(self.0.inner().unseen(key, identities)).await
    }

    async fn ignore(
        &self,
        key: &SensorKey,
        things: &[Thing],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.0
            .through(self.0.inner().ignore(key, things, now))
            .await
    }

    async fn sense(
        &self,
        key: &SensorKey,
        things: &[(Thing, NewRun)],
        now: Timestamp,
    ) -> Result<Vec<Created>, StoreError> {
        self.0.through(self.0.inner().sense(key, things, now)).await
    }

    async fn to_settle(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError> {
        self.0.through(self.0.inner().to_settle(key, limit)).await
    }

    async fn settled(&self, key: &SensorKey, identity: &str) -> Result<(), StoreError> {
        self.0.through(self.0.inner().settled(key, identity)).await
    }

    async fn things(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError> {
        self.0.through(self.0.inner().things(key, limit)).await
    }

    async fn forget(&self, key: &SensorKey, identity: Option<&str>) -> Result<u64, StoreError> {
        self.0.through(self.0.inner().forget(key, identity)).await
    }

    async fn create_backfill(
        &self,
        backfill: &Backfill,
        runs: &[NewRun],
        again: &[(RunId, Redo)],
        version: &str,
    ) -> Result<(), StoreError> {
        let inner = self.0.inner();
        let create = inner.create_backfill(backfill, runs, again, version);
        self.0.through(create).await
    }

    async fn backfills(&self, limit: u32) -> Result<Vec<(Backfill, Progress)>, StoreError> {
        self.0.through(self.0.inner().backfills(limit)).await
    }

    async fn backfill(&self, id: Uuid) -> Result<Option<(Backfill, Progress)>, StoreError> {
        self.0.through(self.0.inner().backfill(id)).await
    }

    async fn set_backfill(
        &self,
        id: Uuid,
        state: BackfillState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.0
            .through(self.0.inner().set_backfill(id, state, now))
            .await
    }

    async fn triggered(
        &self,
        pipeline: &str,
        trigger_key: &str,
    ) -> Result<Option<RunRecord>, StoreError> {
        self.0
            .through(self.0.inner().triggered(pipeline, trigger_key))
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: Hooks> History for Wrapped<H> {
    async fn prunable(&self, rule: &PruneRule, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.0.through(self.0.inner().prunable(rule, limit)).await
    }

    async fn pipelines(&self) -> Result<Vec<String>, StoreError> {
        self.0.through(self.0.inner().pipelines()).await
    }

    async fn last_version(&self, pipeline: &str) -> Result<Option<PipelineVersion>, StoreError> {
        self.0.through(self.0.inner().last_version(pipeline)).await
    }

    async fn remove_runs(&self, runs: &[RunId]) -> Result<u64, StoreError> {
        self.0.through(self.0.inner().remove_runs(runs)).await
    }
}
