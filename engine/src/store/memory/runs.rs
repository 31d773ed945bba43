//! The history in memory.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;

use super::{Content, MemoryStore, RunEntry, changes::ends};
use crate::{
    id::{RunId, TaskKey},
    operator::PastOutcome,
    state::{RunState, TaskState},
    store::{
        AttemptRecord, CachedOutput, Change, Claim, Created, EventRecord, NewRun, PipelineVersion,
        RunFilter, RunKind, RunRecord, RunStore, RunWrite, StoreError, TaskRecord, WriteOutcome,
    },
    time::Timestamp,
};

#[async_trait]
impl RunStore for MemoryStore {
    async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError> {
        let mut content = self.lock();
        let known = content.versions.shift_remove(&version.hash);
        content.versions.insert(
            version.hash.clone(),
            known.unwrap_or_else(|| version.clone()),
        );
        Ok(())
    }

    async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError> {
        Ok(self.lock().versions.get(hash).cloned())
    }

    async fn create_run(&self, run: &NewRun) -> Result<Created, StoreError> {
        let created = self.lock().create(run);
        if created == Created::New && run.enqueued {
            self.changed.notify_waiters();
        }
        Ok(created)
    }

    async fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let now = self.clock.now();
        self.lock().claim(run, owner, now, lease)
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let until = now + lease;
        for entry in self.lock().runs.values_mut() {
            let mine = entry.record.owner.as_deref() == Some(owner) && entry.leased_until.is_some();
            // What has gone back to the queue meanwhile is anybody's again: others may have taken its turn.
            if mine && !entry.record.state.is_final() && !entry.in_queue(now) {
                entry.leased_until = Some(until);
            }
        }
        Ok(())
    }

    async fn release(&self, run: RunId, fence: u64) -> Result<(), StoreError> {
        match self.lock().fenced(run, fence) {
            Some(entry) => entry.leased_until = None,
            None => return Err(StoreError::Stale),
        }
        Ok(())
    }

    async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        let now = self.clock.now();
        let mut content = self.lock();
        let outcomes = writes.iter().map(|write| content.apply(write, now));
        let outcomes = outcomes.collect();
        if writes.iter().flat_map(|write| &write.changes).any(ends) {
            self.changed.notify_waiters();
        }
        Ok(outcomes)
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.lock().runs.get(&run).map(|entry| entry.record.clone()))
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        let content = self.lock();
        let wanted = |record: &RunRecord| {
            filter
                .pipeline
                .as_ref()
                .is_none_or(|pipeline| *pipeline == record.run.pipeline)
                && filter.state.is_none_or(|state| state == record.state)
                && filter.before.is_none_or(|before| record.run.id < before)
        };
        let newest_first = content.runs.values().rev().map(|entry| &entry.record);
        Ok(newest_first
            .filter(|record| wanted(record))
            .take(filter.limit as usize)
            .cloned()
            .collect())
    }

    async fn tasks(&self, run: RunId) -> Result<Vec<TaskRecord>, StoreError> {
        Ok(self
            .lock()
            .runs
            .get(&run)
            .map(|entry| entry.tasks.values().cloned().collect())
            .unwrap_or_default())
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        let content = self.lock();
        let mut attempts: Vec<_> = content
            .runs
            .get(&run)
            .map(|entry| entry.attempts.values().cloned().collect())
            .unwrap_or_default();
        attempts.sort_by_key(|attempt| attempt.started);
        Ok(attempts)
    }

    async fn events(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let content = self.lock();
        let events = content
            .runs
            .get(&run)
            .into_iter()
            .flat_map(|entry| entry.events.values());
        Ok(events
            .filter(|event| event.number > after)
            .take(limit as usize)
            .cloned()
            .collect())
    }

    async fn successes(
        &self,
        pipeline: &str,
        key: &TaskKey,
        limit: u32,
    ) -> Result<Vec<PastOutcome>, StoreError> {
        let content = self.lock();
        let runs = content
            .runs
            .iter()
            .rev()
            .filter(|(_, entry)| entry.record.run.pipeline == pipeline);
        let successes = runs.filter_map(|(run, entry)| {
            let task = entry
                .tasks
                .get(key)
                .filter(|task| task.state == TaskState::Success)?;
            let output = task.output.as_ref();
            Some(PastOutcome {
                run: *run,
                ended: task.ended?,
                metrics: output
                    .map(|output| output.metrics.clone())
                    .unwrap_or_default(),
                rows: output.and_then(|output| Some(output.datasets.first()?.rows)),
            })
        });
        Ok(successes.take(limit as usize).collect())
    }

    async fn warnings(&self, runs: &[RunId]) -> Result<HashMap<RunId, u64>, StoreError> {
        let content = self.lock();
        let entries = runs.iter().filter_map(|run| content.runs.get(run));
        let counts = entries.map(|entry| {
            let outputs = entry.tasks.values().filter_map(|task| task.output.as_ref());
            let count: usize = outputs.map(|output| output.warnings.len()).sum();
            (entry.record.run.id, count as u64)
        });
        Ok(counts.filter(|(_, count)| *count > 0).collect())
    }

    async fn previous_state(
        &self,
        pipeline: &str,
        run: RunId,
    ) -> Result<Option<RunState>, StoreError> {
        let content = self.lock();
        let others = content
            .runs
            .values()
            .map(|entry| &entry.record)
            .filter(|record| {
                record.run.pipeline == pipeline
                    && record.run.id != run
                    && record.state.is_final()
                    && record.ended.is_some()
            });
        Ok(others
            .max_by_key(|record| (record.ended, record.run.id))
            .map(|record| record.state))
    }

    async fn cached(&self, cache: &str) -> Result<Option<CachedOutput>, StoreError> {
        let content = self.lock();
        let found = content.runs.iter().flat_map(|(run, entry)| {
            entry.tasks.values().filter_map(|task| {
                let output = task.output.as_ref()?;
                (output.cache.as_deref() == Some(cache)).then_some(CachedOutput {
                    run: *run,
                    written: task.ended?,
                    output: output.clone(),
                })
            })
        });
        Ok(found.max_by_key(|found| found.written))
    }

    async fn checkpoint(&self, run: RunId, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        Ok(self
            .lock()
            .runs
            .get(&run)
            .and_then(|entry| entry.checkpoints.get(key).cloned()))
    }

    async fn put_checkpoint(
        &self,
        run: RunId,
        fence: u64,
        key: &TaskKey,
        value: &Value,
    ) -> Result<(), StoreError> {
        match self.lock().fenced(run, fence) {
            Some(entry) => entry.checkpoints.insert(key.clone(), value.clone()),
            None => return Err(StoreError::Stale),
        };
        Ok(())
    }

    async fn state(&self, pipeline: &str, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        let of = (pipeline.to_owned(), key.clone());
        Ok(self.lock().states.get(&of).cloned())
    }
}

impl Content {
    /// How many other runs of a run's pipeline are under way.
    pub(super) fn others_under_way(&self, run: RunId, now: Timestamp, gone: &[String]) -> usize {
        let pipeline = self.runs.get(&run).map(|entry| &entry.record.run.pipeline);
        let others = self.runs.values().filter(|other| {
            let is_gone = |owner: &String| gone.contains(owner);
            Some(&other.record.run.pipeline) == pipeline
                && other.record.run.id != run
                && other.record.run.kind != RunKind::Child
                && other.under_way(now)
                && !other.record.owner.as_ref().is_some_and(is_gone)
        });
        others.count()
    }

    /// Makes `owner` the run's owner, if nobody else is.
    pub(super) fn claim(
        &mut self,
        run: RunId,
        owner: &str,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let entry = self
            .runs
            .get_mut(&run)
            .ok_or_else(|| StoreError::NotFound(format!("run {run}")))?;
        let back_in_queue = entry.leased_until.is_some() && entry.in_queue(now);
        let others = entry.leased(now) && entry.record.owner.as_deref() != Some(owner);
        if back_in_queue || others {
            return Ok(None);
        }
        entry.record.owner = Some(owner.to_owned());
        entry.record.fence += 1;
        entry.leased_until = Some(now + lease);
        Ok(Some(Claim {
            fence: entry.record.fence,
        }))
    }

    /// Makes a run, unless its trigger has one already.
    pub(super) fn create(&mut self, run: &NewRun) -> Created {
        if self.runs.contains_key(&run.id) {
            return Created::New;
        }
        let trigger = run
            .trigger_key
            .clone()
            .map(|key| (run.pipeline.clone(), key));
        if let Some(trigger) = trigger {
            match self.triggers.entry(trigger) {
                Entry::Occupied(existing) => return Created::Existing(*existing.get()),
                Entry::Vacant(vacant) => *vacant.insert(run.id),
            };
        }
        self.runs.insert(run.id, RunEntry::new(run));
        Created::New
    }

    /// The run, if `fence` is its present token.
    fn fenced(&mut self, run: RunId, fence: u64) -> Option<&mut RunEntry> {
        self.runs
            .get_mut(&run)
            .filter(|entry| entry.record.fence == fence)
    }

    fn apply(&mut self, write: &RunWrite, now: Timestamp) -> WriteOutcome {
        let held = self.fenced(write.run, write.fence);
        if held.is_none_or(|entry| entry.in_queue(now)) {
            return WriteOutcome::Stale;
        }
        for change in &write.changes {
            match change {
                Change::Mail(mail) => self.post(mail),
                Change::State { key, state } => {
                    if let Some(entry) = self.runs.get(&write.run) {
                        let of = (entry.record.run.pipeline.clone(), key.clone());
                        self.states.insert(of, state.clone());
                    }
                }
                Change::Register(model) => self.register(write.run, model),
                Change::Reset { task } => {
                    self.free_versions(write.run, task);
                    if let Some(entry) = self.runs.get_mut(&write.run) {
                        entry.reset(task);
                    }
                }
                _ => {
                    if let Some(entry) = self.runs.get_mut(&write.run) {
                        entry.apply(change);
                    }
                }
            }
        }
        WriteOutcome::Done
    }
}
