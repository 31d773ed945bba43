//! What has happened since the last write: changes for the store, events for the listeners.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    event::{RunEvent, What},
    id::{RunId, TaskKey},
    state::{RunState, TaskState},
    store::{Change, EventRecord, TaskChange},
    time::Timestamp,
};

/// The changes and events of one run that wait to be written together.
#[derive(Debug)]
pub(super) struct Journal {
    run: RunId,
    pipeline: Arc<str>,
    /// The number of the last event.
    number: u64,
    changes: Vec<Change>,
    events: Vec<RunEvent>,
}

/// What an event says about a task beside its new state.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) took: Option<Duration>,
    pub(super) hint: Option<String>,
    pub(super) rows: Option<u64>,
}

impl Journal {
    pub(super) fn new(run: RunId, pipeline: Arc<str>, last_event: u64) -> Self {
        Self {
            run,
            pipeline,
            number: last_event,
            changes: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// A task's new state: the row and its event.
    pub(super) fn task(&mut self, change: TaskChange, at: Timestamp, details: Details) {
        let key = TaskKey {
            task: change.task.clone(),
            element: change.element,
        };
        let note = change
            .error
            .as_ref()
            .map(|error| error.message.clone())
            .or_else(|| change.note.clone());
        let mut data = json!({"state": change.state, "attempt": change.attempt});
        if let Some(note) = &note {
            data["note"] = json!(note);
        }
        self.record(at, "task", Some(key.clone()), data);
        let (state, attempt) = (change.state, change.attempt);
        self.changes.push(Change::Task(change));
        let Details { took, hint, rows } = details;
        self.tell(
            at,
            What::Task {
                key,
                state,
                attempt,
                took,
                note,
                hint,
                rows,
            },
        );
    }

    /// The run's new state, as an event.
    pub(super) fn run(&mut self, state: RunState, error: Option<String>, at: Timestamp) {
        self.record(at, "run", None, json!({"state": state, "error": error}));
        self.tell(at, What::Run { state, error });
    }

    pub(super) fn expanded(&mut self, task: &str, elements: u32, at: Timestamp) {
        self.record(
            at,
            "expanded",
            Some(TaskKey::task(task)),
            json!({"elements": elements}),
        );
        self.tell(
            at,
            What::Expanded {
                task: task.to_owned(),
                elements,
            },
        );
    }

    pub(super) fn warning(&mut self, key: &TaskKey, text: &str, at: Timestamp) {
        self.record(at, "warning", Some(key.clone()), json!({"text": text}));
        self.tell(
            at,
            What::Warning {
                key: key.clone(),
                text: text.to_owned(),
            },
        );
    }

    /// All that waits, and an empty journal.
    pub(super) fn take(&mut self) -> (Vec<Change>, Vec<RunEvent>) {
        (
            std::mem::take(&mut self.changes),
            std::mem::take(&mut self.events),
        )
    }

    fn record(&mut self, at: Timestamp, kind: &str, key: Option<TaskKey>, data: Value) {
        self.number += 1;
        self.changes.push(Change::Event(EventRecord {
            number: self.number,
            at,
            kind: kind.to_owned(),
            key,
            data,
        }));
    }

    fn tell(&mut self, at: Timestamp, what: What) {
        self.events.push(RunEvent {
            run: self.run,
            pipeline: Arc::clone(&self.pipeline),
            at,
            what,
        });
    }
}

/// A task's row in `state`; the rest is empty.
pub(super) fn row(key: &TaskKey, state: TaskState) -> TaskChange {
    TaskChange {
        task: key.task.clone(),
        element: key.element,
        state,
        ..TaskChange::default()
    }
}
