//! What changes do to a run in memory.

use std::collections::BTreeMap;

use super::RunEntry;
use crate::{
    id::TaskKey,
    state::{RunState, TaskState},
    store::{Change, NewRun, RunChange, RunRecord, TaskChange, TaskRecord},
};

impl RunEntry {
    pub(super) fn new(run: &NewRun) -> Self {
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
            requeued: None,
            cancelling: false,
        };
        Self {
            record,
            leased_until: None,
            before: None,
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

    pub(super) fn apply(&mut self, change: &Change) {
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
            Change::Mail(_) | Change::Register(_) | Change::Reset { .. } | Change::State { .. } => {
            }
        }
    }

    pub(super) fn reset(&mut self, task: &str) {
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

/// Whether a change ends its run.
pub(super) fn ends(change: &Change) -> bool {
    matches!(change, Change::Run(run) if run.state.is_final())
}

fn untouched(key: &TaskKey) -> TaskRecord {
    TaskRecord {
        key: key.clone(),
        state: TaskState::None,
        attempt: 0,
        tries: 0,
        losses: 0,
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
    if change.state != RunState::Queued {
        record.requeued = None;
    }
    record.cancelling &= !change.state.is_final();
}

fn apply_task(record: &mut TaskRecord, change: &TaskChange) {
    record.state = change.state;
    record.attempt = change.attempt;
    record.tries = change.tries;
    record.losses = change.losses;
    record.started = change.started;
    record.ended = change.ended;
    record.note.clone_from(&change.note);
    record.elements = change.elements;
    record.error.clone_from(&change.error);
    record.wait.clone_from(&change.wait);
    record.retry_at = change.retry_at;
}
