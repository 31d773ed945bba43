//! What daemons share: the queue of runs, who is alive, who has been lost, what is to be stopped.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Claim, Created, NewRun};
use crate::{
    failure::StoreError,
    id::{RunId, TaskKey},
    state::RunState,
    time::Timestamp,
};

/// What is done again of a run that has been worked on before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redo {
    /// What has not succeeded, and what comes after it.
    Unfinished,
    /// Everything: a person wants the effects again.
    All,
    /// Everything, by what the pipeline says now: settings of earlier attempts are not used again.
    Anew,
}

impl Redo {
    /// Whether tasks that have succeeded are done again too.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::All | Self::Anew)
    }
}

/// A daemon as it has last been heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Its name as the owner of runs.
    pub name: String,
    /// When it started.
    pub started: Timestamp,
    /// Whether it has been heard of within its lease, on the store's own clock.
    pub alive: bool,
}

/// A run that a daemon may work on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The run.
    pub run: RunId,
    /// Its claim.
    pub claim: Claim,
}

/// Whether it is a run's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is, and the run is the asker's.
    Given(Claim),
    /// As many other runs of its pipeline are under way as may be.
    Full,
    /// Somebody else has it.
    Held,
}

/// What has become of the wish to stop a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Nobody worked on it: it is cancelled.
    AtOnce,
    /// It was to be done again and nobody had begun: it is what it was before.
    Restored(RunState),
    /// Its owner will hear of it.
    Asked,
    /// It was over already.
    Over(RunState),
}

/// How many slots of a pool a task wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRequest {
    /// The pool.
    pub pool: String,
    /// How many slots the pool has in all.
    pub capacity: u32,
    /// How many of them are wanted.
    pub slots: u32,
    /// Who wants them: the run, whose lease keeps them, and the task.
    pub run: RunId,
    /// The task and element.
    pub key: TaskKey,
}

/// The queue of runs.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Makes runs in their order, in one transaction, each as [`create_run`](super::RunStore::create_run) does.
    async fn create_runs(&self, runs: &[NewRun]) -> Result<Vec<Created>, StoreError>;

    /// Says that the daemon `name` is alive for another `lease`, and with it the leases of its unfinished runs. Answers
    /// with those of its runs that somebody wants to be cancelled. A row that somebody else has locked is passed over.
    async fn beat(
        &self,
        name: &str,
        started: Timestamp,
        lease: Duration,
    ) -> Result<Vec<RunId>, StoreError>;
    /// The daemon ends: it is forgotten. Runs that are still its own count as lost at once.
    async fn leave(&self, name: &str) -> Result<(), StoreError>;
    /// All daemons that have not left, those that are alive first, then by name. One that has been silent for a day is
    /// not listed.
    async fn daemons(&self) -> Result<Vec<Daemon>, StoreError>;
    /// The unfinished runs that a daemon holds by lease: it may not know of one, when the answer to its claim was lost on
    /// the way.
    async fn owned(&self, daemon: &str) -> Result<Vec<Claimed>, StoreError>;

    /// Gives `daemon` up to `limit` runs of those that were enqueued, are `queued` and leased to nobody.
    ///
    /// No pipeline gets more runs under way than the run's own `max_active` says (`running` runs of its pipeline, and
    /// `queued` ones that are leased, both without child runs, count); no backfill more than its own limit; a backfill
    /// that is not `running` gets none. A pipeline with fewer runs under way comes first, then what was made first: a run
    /// by itself, or a backfill, whose runs come by their intervals, the last one first if it goes backwards. With
    /// `backfill`, only runs of that one and those that they have started. A row that somebody else has locked is passed over.
    async fn claim_queued(
        &self,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError>;
    /// Gives `daemon` up to `limit` unfinished runs of daemons that are lost: the leases of daemon and run are over, or
    /// the daemon is among `gone`, or has left; also runs that their daemon has released. Runs of processes that are no
    /// daemons are never given; nor are enqueued ones that nobody has begun and whose lease is over, for these are in the
    /// queue. A locked row is passed over.
    async fn claim_lost(
        &self,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError>;
    /// Claims a run, as [`claim`](super::RunStore::claim) does, if fewer than `most` other runs of its pipeline are under
    /// way (as [`claim_queued`](Self::claim_queued) counts them); those of owners who are `gone` are not. Of many who ask at
    /// once no more than `most` get theirs.
    async fn claim_in_turn(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
        most: u32,
        gone: &[String],
    ) -> Result<Turn, StoreError>;
    /// Unfinished runs that have an owner that is no daemon, with that owner and whether its lease is over; those that
    /// are back in the queue left out.
    async fn foreground_runs(&self) -> Result<Vec<(RunId, String, bool)>, StoreError>;

    /// Has a run that is over done again: it is `queued`, and `redo` stands in its record until work on it begins (the
    /// first change of the run to another state). It gets a new fencing token, and may be claimed at once. Without
    /// `backfill` it stays in the one that it is in if that is running, and leaves it otherwise. Says no when it is not
    /// over.
    async fn requeue(
        &self,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
    ) -> Result<bool, StoreError>;
    /// Wishes a run to be stopped. One that is queued and leased to nobody is `cancelled` at once, with its event; older
    /// tokens are stale then. One that is so because of [`requeue`](Self::requeue) is what it was before: its state, when
    /// it was over, its error, its backfill, its version. Asking twice is asking once.
    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<Cancelled, StoreError>;

    /// How many runs there are in each state that is not final, by pipeline: `(pipeline, state) → count`.
    async fn unfinished(&self) -> Result<BTreeMap<(String, RunState), u64>, StoreError>;

    /// Takes slots of a pool that all daemons share; `false` while there are not enough. Taking again what one has is
    /// taking it once. Slots of a run whose lease is over, or that is over itself, are free.
    async fn take_pool(&self, request: &PoolRequest) -> Result<bool, StoreError>;
    /// Gives the slots back.
    async fn give_pool(&self, pool: &str, run: RunId, key: &TaskKey) -> Result<(), StoreError>;

    /// Reserves a stretch of time of a rate limit that all processes share, after all that were reserved before, on the
    /// store's own clock. Answers how long it is until the stretch begins.
    async fn take_turns(&self, limit: &str, time: Duration) -> Result<Duration, StoreError>;

    /// Waits until somebody may have enqueued, requeued or cancelled a run, finished one, or changed a backfill. What
    /// happens from the call on counts, also before the future is first polled: call it, look, then wait. May never
    /// answer (behind a pooler of transactions; on a store without such messages): those who wait look again from time
    /// to time anyway.
    fn changed(&self) -> BoxFuture<'_, ()>;
}
