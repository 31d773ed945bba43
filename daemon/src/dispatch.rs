//! Takes runs from the queue and works on them; adopts those of daemons that are gone.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use pipectl_engine::{
    failpoint,
    id::RunId,
    runner::{LEASE, Options, RunnerError},
    state::RunState,
    store::{Change, Claim, Claimed, EventRecord, RunChange, RunRecord, RunWrite, StoreError},
};
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    active::{Active, Work},
    desk::Desk,
    pulse::Pulse,
    sensed::superseded,
};

/// How often the queue is looked at when nobody says that it has changed.
const POLL: Duration = Duration::from_secs(1);
/// The pause before a run is taken up again that could not be written down.
const PAUSE: Duration = Duration::from_secs(2);
/// How many runs one process may have under way, most of them waiting.
const MOST: usize = 5_000;

/// Takes runs from the queue as long as there are slots.
#[derive(Clone, Debug)]
pub(crate) struct Dispatcher {
    pub(crate) desk: Desk,
    pub(crate) active: Arc<Active>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) tasks: TaskTracker,
    /// Only runs of this backfill.
    pub(crate) backfill: Option<Uuid>,
    /// Told when no more runs are to be taken.
    pub(crate) stop: CancellationToken,
    /// Told when those under way are to be left.
    pub(crate) leave: CancellationToken,
}

impl Dispatcher {
    /// Takes runs until it is told to stop.
    pub(crate) async fn run(&self) {
        let mut freed = self.desk.runner.parts().slots.freed();
        while !self.stop.is_cancelled() {
            self.pulse.dispatcher.next();
            failpoint::stall("queue_stalls").await;
            freed.mark();
            let changed = self.desk.store().changed();
            let room = self.room();
            let taken = if room == 0 { 0 } else { self.take(room).await };
            // A full hand: perhaps there are more.
            if taken > 0 && taken == room {
                continue;
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = freed.changed(), if room == 0 => {}
                () = changed => {}
                () = self.active.ended.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        self.pulse.dispatcher.end();
    }

    /// For how many runs there are free slots.
    fn room(&self) -> usize {
        let free = self.desk.runner.parts().slots.free() as usize;
        free.saturating_sub(self.active.starting())
            .min(MOST.saturating_sub(self.active.count()))
    }

    async fn take(&self, room: usize) -> usize {
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let owner = self.desk.owner().name();
        match self
            .desk
            .store()
            .claim_queued(owner, LEASE, self.backfill, limit)
            .await
        {
            Ok(claimed) => {
                let count = claimed.len();
                claimed.into_iter().for_each(|claimed| self.start(claimed));
                count
            }
            Err(error) => {
                self.desk.say("cannot take runs from the queue", &error);
                0
            }
        }
    }

    /// Takes up to `limit` runs of daemons that are lost.
    pub(crate) async fn adopt(&self, limit: u32) -> Result<usize, StoreError> {
        let (store, owner) = (self.desk.store(), self.desk.owner());
        let daemons = store.daemons().await?;
        let gone: Vec<String> = daemons
            .into_iter()
            .map(|daemon| daemon.name)
            .filter(|name| owner.is_gone(name))
            .collect();
        let claimed = store.claim_lost(owner.name(), LEASE, &gone, limit).await?;
        let count = claimed.len();
        if count > 0 {
            failpoint::hit("adopted");
        }
        for claimed in claimed {
            tracing::info!(run = %claimed.run, "adopted: the daemon that worked on it is gone");
            self.start(claimed);
        }
        Ok(count)
    }

    /// Takes up runs that are this process' own without its knowing: the answer to a claim was lost on the way. Only what
    /// was unknown at two looks in a row is one, for the answer may just be coming.
    pub(crate) async fn find_strays(&self) -> Result<(), StoreError> {
        let (store, name) = (self.desk.store(), self.desk.owner().name());
        let owned = store.owned(name).await?;
        let unknown: BTreeSet<RunId> = {
            let active = self.active.lock();
            let runs = owned.into_iter().map(|claimed| claimed.run);
            runs.filter(|run| !active.contains_key(run)).collect()
        };
        let strays: Vec<RunId> = {
            let before = &self.active.strays;
            let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
            let strays = unknown.intersection(&before).copied().collect();
            *before = unknown;
            strays
        };
        for run in strays {
            // A new token makes the answer that was lost stale, should it come after all.
            if let Some(claim) = store.claim(run, name, LEASE).await? {
                tracing::info!(%run, "taken up: the answer to its claim was lost");
                self.start(Claimed { run, claim });
            }
        }
        Ok(())
    }

    fn start(&self, claimed: Claimed) {
        failpoint::hit("claimed");
        let cancel = CancellationToken::new();
        let work = Work {
            cancel: cancel.clone(),
            starting: true,
        };
        self.active.lock().insert(claimed.run, work);
        let this = self.clone();
        self.tasks.spawn(async move {
            this.work(claimed, cancel).await;
            this.active.lock().remove(&claimed.run);
            this.active.ended.notify_one();
        });
    }

    /// Works on a run until it is over, left, or somebody else's.
    async fn work(&self, claimed: Claimed, cancel: CancellationToken) {
        let run = claimed.run;
        let mut claim = claimed.claim;
        loop {
            match self.attempt(run, claim, &cancel).await {
                Ok(_) => return,
                Err(RunnerError::Left(_)) => {
                    return tracing::info!(%run, "left for the next daemon");
                }
                Err(error @ (RunnerError::Lost(_) | RunnerError::Busy { .. })) => {
                    return tracing::warn!(%run, "{error}");
                }
                Err(RunnerError::Unknown(_)) => {
                    return tracing::warn!(%run, "the run is gone from the history");
                }
                Err(RunnerError::Store(error)) => self.desk.say(
                    "a run could not be written down; taking it up again",
                    &error,
                ),
            }
            let Some(again) = self.claim_again(run).await else {
                return;
            };
            claim = again;
        }
    }

    /// Claims one's own run again, as soon as the history can be reached.
    async fn claim_again(&self, run: RunId) -> Option<Claim> {
        loop {
            tokio::select! {
                biased;
                () = self.leave.cancelled() => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
            let (store, name) = (self.desk.store(), self.desk.owner().name());
            match store.run(run).await {
                // Somebody has put it back into the queue, where it has to wait for its turn.
                Ok(found)
                    if found
                        .as_ref()
                        .is_none_or(|found| found.owner.as_deref() != Some(name)) =>
                {
                    tracing::warn!(%run, "the run is not this daemon's any more");
                    return None;
                }
                Ok(_) => {}
                Err(_) => continue,
            }
            match store.claim(run, name, LEASE).await {
                Ok(Some(claim)) => return Some(claim),
                Ok(None) => {
                    tracing::warn!(%run, "another daemon has taken the run over");
                    return None;
                }
                Err(StoreError::Unavailable { .. }) => {}
                Err(error) => {
                    self.desk.say("cannot claim a run again", &error);
                    return None;
                }
            }
        }
    }

    async fn attempt(
        &self,
        run: RunId,
        claim: Claim,
        cancel: &CancellationToken,
    ) -> Result<RunState, RunnerError> {
        let record = self
            .desk
            .store()
            .run(run)
            .await?
            .ok_or(RunnerError::Unknown(run))?;
        if record.state.is_final() {
            self.desk.store().release(run, claim.fence).await?;
            return Ok(record.state);
        }
        let plan = match self.desk.plan_of(&record).await {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!(pipeline = record.run.pipeline, %run, "failed: {error}");
                return self.end(&record, claim, RunState::Failed, error).await;
            }
        };
        if record.state == RunState::Queued
            && record.requeued.is_none()
            && let Some(why) = superseded(&self.desk.project(), &plan, &record).await
        {
            tracing::warn!(pipeline = record.run.pipeline, %run, "cancelled: {why}");
            return self.end(&record, claim, RunState::Cancelled, why).await;
        }
        if record.cancelling {
            if record.state == RunState::Queued && record.requeued.is_some() {
                return self.put_back(run, claim).await;
            }
            cancel.cancel();
        }
        let options = Options {
            cancel: cancel.clone(),
            leave: self.leave.clone(),
            redo: record.requeued,
            ancestors: self.ancestors(&record).await?,
            ..Options::default()
        };
        let state = self
            .desk
            .runner_now()
            .execute_claimed(plan, run, claim, options)
            .await?;
        self.tell(&record, state).await;
        Ok(state)
    }

    /// Logs that a run is over; one that has failed with the first task that did, and why.
    async fn tell(&self, record: &RunRecord, state: RunState) {
        let (pipeline, run) = (&record.run.pipeline, record.run.id);
        if state != RunState::Failed {
            return tracing::info!(pipeline, %run, %state, "over");
        }
        let ended = self.desk.store().run(run).await.ok().flatten();
        let why = ended.and_then(|ended| ended.error).unwrap_or_default();
        tracing::warn!(pipeline, %run, %state, "over: {why}");
    }

    /// A run that was to be done again, and that nobody has begun, is left as it was before.
    async fn put_back(&self, run: RunId, claim: Claim) -> Result<RunState, RunnerError> {
        let store = self.desk.store();
        store.release(run, claim.fence).await?;
        store.cancel(run, self.desk.now()).await?;
        let record = store.run(run).await?.ok_or(RunnerError::Unknown(run))?;
        Ok(record.state)
    }

    /// The pipelines whose runs wait for this one, the outermost first.
    async fn ancestors(&self, record: &RunRecord) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        let mut parent = record.run.parent.clone();
        while let Some(task) = parent {
            let Some(record) = self.desk.store().run(task.run).await? else {
                break;
            };
            found.push(record.run.pipeline);
            parent = record.run.parent;
        }
        found.reverse();
        Ok(found)
    }

    /// Ends a run without work: its pipeline version is no plan for this program, or there is nothing to do.
    async fn end(
        &self,
        record: &RunRecord,
        claim: Claim,
        state: RunState,
        why: String,
    ) -> Result<RunState, RunnerError> {
        let (run, now) = (record.run.id, self.desk.now());
        let event = EventRecord {
            number: record.last_event + 1,
            at: now,
            kind: "run".to_owned(),
            key: None,
            data: json!({"state": state, "error": why}),
        };
        let change = RunChange {
            state,
            started: Some(record.started.unwrap_or(now)),
            ended: Some(now),
            error: Some(why),
            ..RunChange::default()
        };
        let write = RunWrite {
            run,
            fence: claim.fence,
            changes: vec![Change::Run(change), Change::Event(event)],
        };
        self.desk.runner.parts().writer.write(write).await?;
        self.desk.store().release(run, claim.fence).await?;
        Ok(state)
    }
}
