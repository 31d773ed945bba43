//! The history in memory.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{Content, MailEntry, MemoryStore, RunEntry};
use crate::{
    id::{RunId, TaskKey},
    operator::PastOutcome,
    state::{RunState, TaskState},
    store::{
        AttemptRecord, Change, Claim, Created, EventRecord, NewRun, PipelineVersion, RunChange,
        RunFilter, RunRecord, RunStore, RunWrite, StoreError, TaskChange, TaskRecord, WriteOutcome,
    },
};

#[async_trait]
impl RunStore for MemoryStore {
    async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError> {
        self.lock()
            .versions
            .entry(version.hash.clone())
            .or_insert_with(|| version.clone());
        Ok(())
    }

    async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError> {
        Ok(self.lock().versions.get(hash).cloned())
    }

    async fn create_run(&self, run: &NewRun) -> Result<Created, StoreError> {
        let mut content = self.lock();
        let existing = content
            .runs
            .values()
            .map(|entry| &entry.record.run)
            .find(|other| {
                other.id == run.id
                    || (run.trigger_key.is_some()
                        && other.pipeline == run.pipeline
                        && other.trigger_key == run.trigger_key)
            });
        match existing {
            Some(other) if other.id == run.id => Ok(Created::New),
            Some(other) => Ok(Created::Existing(other.id)),
            None => {
                content.runs.insert(run.id, RunEntry::new(run));
                Ok(Created::New)
            }
        }
    }

    async fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let now = self.clock.now();
        let mut content = self.lock();
        let entry = content
            .runs
            .get_mut(&run)
            .ok_or_else(|| StoreError::NotFound(format!("run {run}")))?;
        let taken = entry.leased_until.is_some_and(|until| until > now);
        if taken && entry.record.owner.as_deref() != Some(owner) {
            return Ok(None);
        }
        entry.record.owner = Some(owner.to_owned());
        entry.record.fence += 1;
        entry.leased_until = Some(now + lease);
        Ok(Some(Claim {
            fence: entry.record.fence,
        }))
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        let until = self.clock.now() + lease;
        for entry in self.lock().runs.values_mut() {
            let mine = entry.record.owner.as_deref() == Some(owner) && entry.leased_until.is_some();
            if mine && !entry.record.state.is_final() {
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
        let mut content = self.lock();
        Ok(writes.iter().map(|write| content.apply(write)).collect())
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
}

impl Content {
    /// The run, if `fence` is its present token.
    fn fenced(&mut self, run: RunId, fence: u64) -> Option<&mut RunEntry> {
        self.runs
            .get_mut(&run)
            .filter(|entry| entry.record.fence == fence)
    }

    fn apply(&mut self, write: &RunWrite) -> WriteOutcome {
        if self.fenced(write.run, write.fence).is_none() {
            return WriteOutcome::Stale;
        }
        for change in &write.changes {
            match change {
                Change::Mail(mail) => {
                    self.mails.entry(mail.id).or_insert_with(|| MailEntry {
                        mail: mail.clone(),
                        state: "pending",
                        attempts: 0,
                        due: mail.created,
                    });
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

impl RunEntry {
    fn new(run: &NewRun) -> Self {
        let record = RunRecord {
            run: run.clone(),
            state: RunState::Queued,
            started: None,
            ended: None,
            error: None,
            outputs: None,
            owner: None,
            fence: 0,
            redo: 0,
            last_event: 0,
        };
        Self {
            record,
            leased_until: None,
            tasks: BTreeMap::new(),
            attempts: BTreeMap::new(),
            events: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
        }
    }

    fn task(&mut self, key: &TaskKey) -> &mut TaskRecord {
        self.tasks
            .entry(key.clone())
            .or_insert_with(|| untouched(key))
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Run(change) => apply_run(&mut self.record, change),
            Change::Task(change) => {
                let key = TaskKey {
                    task: change.task.clone(),
                    element: change.element,
                };
                apply_task(self.task(&key), change);
            }
            Change::Settings { key, settings } => self.task(key).settings = Some(settings.clone()),
            Change::Output { key, output, .. } => self.task(key).output = Some(output.clone()),
            Change::Attempt(attempt) => {
                self.attempts
                    .insert((attempt.key.clone(), attempt.number), attempt.clone());
            }
            Change::Event(event) => {
                self.events.insert(event.number, event.clone());
                self.record.last_event = self.record.last_event.max(event.number);
            }
            Change::Mail(_) | Change::Register(_) | Change::Reset { .. } => {}
        }
    }

    fn reset(&mut self, task: &str) {
        for (key, record) in self.tasks.iter_mut().filter(|(key, _)| key.task == task) {
            let TaskRecord {
                attempt, settings, ..
            } = record.clone();
            *record = TaskRecord {
                attempt,
                settings,
                ..untouched(key)
            };
        }
        self.checkpoints.retain(|key, _| key.task != task);
    }
}

fn untouched(key: &TaskKey) -> TaskRecord {
    TaskRecord {
        key: key.clone(),
        state: TaskState::None,
        attempt: 0,
        tries: 0,
        started: None,
        ended: None,
        note: None,
        elements: None,
        error: None,
        wait: None,
        retry_at: None,
        settings: None,
        output: None,
    }
}

fn apply_run(record: &mut RunRecord, change: &RunChange) {
    record.state = change.state;
    record.started = change.started.or(record.started);
    record.ended = change
        .ended
        .or(record.ended)
        .filter(|_| change.state.is_final());
    let error = change.error.clone().or_else(|| record.error.take());
    record.error = error.filter(|_| change.state == RunState::Failed);
    record.outputs = change.outputs.clone().or_else(|| record.outputs.take());
    record.redo = change.redo.unwrap_or(record.redo);
}

fn apply_task(record: &mut TaskRecord, change: &TaskChange) {
    record.state = change.state;
    record.attempt = change.attempt;
    record.tries = change.tries;
    record.started = change.started;
    record.ended = change.ended;
    record.note.clone_from(&change.note);
    record.elements = change.elements;
    record.error.clone_from(&change.error);
    record.wait.clone_from(&change.wait);
    record.retry_at = change.retry_at;
}
