//! The queue in memory.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use async_trait::async_trait;
use futures::{FutureExt as _, future::BoxFuture};
use uuid::Uuid;

use super::{Content, DaemonEntry, MemoryStore, RunEntry};
use crate::{
    id::{RunId, TaskKey},
    state::RunState,
    store::{
        BackfillState, Cancelled, Claim, Claimed, Created, Daemon, NewRun, PoolRequest, Queue,
        Redo, RunKind, StoreError, Turn,
    },
    time::Timestamp,
};

/// How long a silent daemon is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

#[async_trait]
impl Queue for MemoryStore {
    async fn create_runs(&self, runs: &[NewRun]) -> Result<Vec<Created>, StoreError> {
        let mut content = self.lock();
        let created = runs.iter().map(|run| content.create(run)).collect();
        self.changed.notify_waiters();
        Ok(created)
    }

    async fn beat(
        &self,
        name: &str,
        started: Timestamp,
        lease: Duration,
    ) -> Result<Vec<RunId>, StoreError> {
        let now = self.clock.now();
        let mut content = self.lock();
        content.forget_silent(now);
        let alive = DaemonEntry {
            started,
            heard: now,
            alive_until: Some(now + lease),
        };
        content.daemons.insert(name.to_owned(), alive);
        let mut cancelling = Vec::new();
        for entry in content.held_by(name, now) {
            entry.leased_until = Some(now + lease);
            if entry.record.cancelling {
                cancelling.push(entry.record.run.id);
            }
        }
        Ok(cancelling)
    }

    async fn leave(&self, name: &str) -> Result<(), StoreError> {
        if let Some(daemon) = self.lock().daemons.get_mut(name) {
            daemon.alive_until = None;
        }
        self.changed.notify_waiters();
        Ok(())
    }

    async fn daemons(&self) -> Result<Vec<Daemon>, StoreError> {
        let now = self.clock.now();
        let content = self.lock();
        let known = content
            .daemons
            .iter()
            .filter(|(_, daemon)| daemon.heard + REMEMBERED > now);
        let known = known.filter_map(|(name, daemon)| {
            Some(Daemon {
                name: name.clone(),
                started: daemon.started,
                alive: daemon.alive_until? > now,
            })
        });
        let mut known: Vec<_> = known.collect();
        known.sort_by_key(|daemon| !daemon.alive);
        Ok(known)
    }

    async fn owned(&self, daemon: &str) -> Result<Vec<Claimed>, StoreError> {
        let now = self.clock.now();
        let mut content = self.lock();
        let owned = content.held_by(daemon, now).map(|entry| Claimed {
            run: entry.record.run.id,
            claim: Claim {
                fence: entry.record.fence,
            },
        });
        Ok(owned.collect())
    }

    async fn claim_queued(
        &self,
        daemon: &str,
        lease: Duration,
        backfill: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let now = self.clock.now();
        let mut content = self.lock();
        let mut chosen = content.queue(now, backfill);
        chosen.truncate(limit as usize);
        let claims = chosen.into_iter();
        Ok(claims
            .filter_map(|run| content.give(run, daemon, now + lease))
            .collect())
    }

    async fn claim_lost(
        &self,
        daemon: &str,
        lease: Duration,
        gone: &[String],
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let now = self.clock.now();
        let mut content = self.lock();
        let lost = content.runs.iter().filter(|(_, entry)| {
            !entry.record.state.is_final()
                && !entry.in_queue(now)
                && content.is_lost(entry, now, gone)
        });
        let lost: Vec<_> = lost.map(|(run, _)| *run).take(limit as usize).collect();
        let claims = lost.into_iter();
        Ok(claims
            .filter_map(|run| content.give(run, daemon, now + lease))
            .collect())
    }

    async fn claim_in_turn(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
        most: u32,
        gone: &[String],
    ) -> Result<Turn, StoreError> {
        let now = self.clock.now();
        let mut content = self.lock();
        if content.others_under_way(run, now, gone) >= most as usize {
            return Ok(Turn::Full);
        }
        let claim = content.claim(run, owner, now, lease)?;
        Ok(claim.map_or(Turn::Held, Turn::Given))
    }

    async fn foreground_runs(&self) -> Result<Vec<(RunId, String, bool)>, StoreError> {
        let now = self.clock.now();
        let content = self.lock();
        let unfinished = content
            .runs
            .iter()
            .filter(|(_, entry)| !entry.record.state.is_final() && !entry.in_queue(now));
        let owned = unfinished.filter_map(|(run, entry)| {
            let owner = entry.record.owner.clone()?;
            Some((*run, owner, !entry.leased(now)))
        });
        Ok(owned
            .filter(|(_, owner, _)| !content.daemons.contains_key(owner))
            .collect())
    }

    async fn requeue(
        &self,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
    ) -> Result<bool, StoreError> {
        let requeued = self.lock().requeue(run, redo, backfill, None)?;
        self.changed.notify_waiters();
        Ok(requeued)
    }

    async fn cancel(&self, run: RunId, now: Timestamp) -> Result<Cancelled, StoreError> {
        let present = self.clock.now();
        let mut content = self.lock();
        let entry = content
            .runs
            .get_mut(&run)
            .ok_or_else(|| StoreError::NotFound(format!("run {run}")))?;
        self.changed.notify_waiters();
        Ok(entry.cancel(present, now))
    }

    async fn unfinished(&self) -> Result<BTreeMap<(String, RunState), u64>, StoreError> {
        let mut counts = BTreeMap::new();
        for RunEntry { record, .. } in self.lock().runs.values() {
            if !record.state.is_final() {
                let key = (record.run.pipeline.clone(), record.state);
                *counts.entry(key).or_default() += 1;
            }
        }
        Ok(counts)
    }

    async fn take_pool(&self, request: &PoolRequest) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mut content = self.lock();
        let mut holdings = std::mem::take(&mut content.pools);
        holdings.retain(|(_, run, _), _| content.holds(*run, now));
        let mine = (request.pool.clone(), request.run, request.key.clone());
        let held = holdings.iter().filter(|((pool, ..), _)| *pool == mine.0);
        let held: u32 = held.map(|(_, slots)| slots).sum();
        let taken = holdings.contains_key(&mine) || held + request.slots <= request.capacity;
        if taken {
            holdings.entry(mine).or_insert(request.slots);
        }
        content.pools = holdings;
        Ok(taken)
    }

    async fn give_pool(&self, pool: &str, run: RunId, key: &TaskKey) -> Result<(), StoreError> {
        let holding = (pool.to_owned(), run, key.clone());
        self.lock().pools.remove(&holding);
        Ok(())
    }

    async fn take_turns(&self, limit: &str, time: Duration) -> Result<Duration, StoreError> {
        let (now, mut content) = (self.clock.now(), self.lock());
        let first = *content.turns.get(limit).unwrap_or(&now).max(&now);
        content.turns.insert(limit.to_owned(), first + time);
        Ok((first - now).to_std().unwrap_or_default())
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.changed.notified().boxed()
    }
}

impl Content {
    fn forget_silent(&mut self, now: Timestamp) {
        let unfinished = self.runs.values().map(|entry| &entry.record);
        let owners: Vec<_> = unfinished
            .filter(|record| !record.state.is_final())
            .filter_map(|record| record.owner.clone())
            .collect();
        self.daemons
            .retain(|name, daemon| daemon.heard + REMEMBERED > now || owners.contains(name));
    }

    /// The unfinished runs that `owner` holds by lease.
    fn held_by(&mut self, owner: &str, now: Timestamp) -> impl Iterator<Item = &mut RunEntry> {
        self.runs.values_mut().filter(move |entry| {
            entry.record.owner.as_deref() == Some(owner)
                && entry.leased_until.is_some()
                && !entry.record.state.is_final()
                && !entry.in_queue(now)
        })
    }

    fn is_alive(&self, daemon: &str, now: Timestamp) -> bool {
        let until = self
            .daemons
            .get(daemon)
            .and_then(|daemon| daemon.alive_until);
        until.is_some_and(|until| until > now)
    }

    fn is_lost(&self, entry: &RunEntry, now: Timestamp, gone: &[String]) -> bool {
        let Some(owner) = &entry.record.owner else {
            return false;
        };
        let Some(daemon) = self.daemons.get(owner) else {
            return false;
        };
        gone.contains(owner)
            || daemon.alive_until.is_none()
            || entry.leased_until.is_none()
            || !(entry.leased(now) || self.is_alive(owner, now))
    }

    /// Whether what a run holds is still its own.
    fn holds(&self, run: RunId, now: Timestamp) -> bool {
        self.runs.get(&run).is_some_and(|entry| {
            let owner = entry.record.owner.as_deref();
            !entry.record.state.is_final()
                && entry.leased_until.is_some()
                && (entry.leased(now) || owner.is_some_and(|owner| self.is_alive(owner, now)))
        })
    }

    /// The runs that may be taken from the queue, in their order.
    fn queue(&self, now: Timestamp, only: Option<Uuid>) -> Vec<RunId> {
        let mut pipelines: HashMap<&str, u32> = HashMap::new();
        let mut backfills: HashMap<Uuid, u32> = HashMap::new();
        let under_way = self.runs.values().filter(|entry| entry.under_way(now));
        for RunEntry { record, .. } in under_way {
            if record.run.kind != RunKind::Child {
                *pipelines.entry(&record.run.pipeline).or_default() += 1;
            }
            if let Some(backfill) = record.run.backfill {
                *backfills.entry(backfill).or_default() += 1;
            }
        }
        let mut waiting: Vec<_> = self
            .runs
            .values()
            .filter(|entry| entry.in_queue(now))
            .collect();
        waiting.sort_by_key(|entry| self.turn(entry));
        let mut open = Vec::new();
        for entry in waiting {
            let run = &entry.record.run;
            if only.is_some() && !self.is_for(run, only) {
                continue;
            }
            let pipeline = pipelines.entry(&run.pipeline).or_default();
            let counts = u32::from(run.kind != RunKind::Child);
            let place = *pipeline + counts;
            if run.max_active.is_some_and(|most| place > most) {
                continue;
            }
            if let Some(id) = run.backfill {
                let most = self.backfills.get(&id);
                let most = most.filter(|backfill| backfill.state == BackfillState::Running);
                let active = backfills.entry(id).or_default();
                if *active >= most.map_or(0, |backfill| backfill.max_active) {
                    continue;
                }
                *active += 1;
            }
            *pipeline = place;
            open.push((place, self.turn(entry)));
        }
        open.sort_unstable();
        open.into_iter().map(|(_, (.., run))| run).collect()
    }

    /// Whether a run, or one that it was started by, belongs to a backfill.
    fn is_for(&self, run: &NewRun, backfill: Option<Uuid>) -> bool {
        let mut line = std::iter::successors(Some(run), |run| {
            let parent = self.runs.get(&run.parent.as_ref()?.run)?;
            Some(&parent.record.run)
        });
        line.any(|run| run.backfill == backfill)
    }

    /// When it is a run's turn: after what was made earlier, within a backfill by its interval.
    fn turn(&self, entry: &RunEntry) -> (Timestamp, i64, RunId) {
        let run = &entry.record.run;
        let Some(backfill) = run.backfill.and_then(|id| self.backfills.get(&id)) else {
            return (run.created, 0, run.id);
        };
        let start = run
            .interval
            .map_or(0, |interval| interval.start.timestamp_micros());
        let turn = if backfill.backwards { -start } else { start };
        (backfill.created, turn, run.id)
    }

    fn give(&mut self, run: RunId, owner: &str, until: Timestamp) -> Option<Claimed> {
        let entry = self.runs.get_mut(&run)?;
        entry.record.owner = Some(owner.to_owned());
        entry.record.fence += 1;
        entry.leased_until = Some(until);
        let fence = entry.record.fence;
        Some(Claimed {
            run,
            claim: Claim { fence },
        })
    }
}

impl RunEntry {
    pub(super) fn leased(&self, now: Timestamp) -> bool {
        self.leased_until.is_some_and(|until| until > now)
    }

    /// Whether anybody may take it; who had it before can do nothing with it any more.
    pub(super) fn in_queue(&self, now: Timestamp) -> bool {
        self.record.state == RunState::Queued && self.record.run.enqueued && !self.leased(now)
    }

    pub(super) fn under_way(&self, now: Timestamp) -> bool {
        match self.record.state {
            RunState::Running => true,
            RunState::Queued => self.leased(now),
            _ => false,
        }
    }
}
