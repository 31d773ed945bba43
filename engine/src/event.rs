//! What happens in a run: one stream that feeds the console, the store and the tests.

use std::{sync::Arc, time::Duration};

use crate::{
    id::{RunId, TaskKey},
    state::{RunState, TaskState},
    time::Timestamp,
};

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub struct RunEvent {
    /// The run.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: Arc<str>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The run has changed its state.
    Run {
        /// The new state.
        state: RunState,
        /// Why it failed.
        error: Option<String>,
    },
    /// A task has been repeated for each element of a list.
    Expanded {
        /// The task.
        task: String,
        /// How many elements there are.
        elements: u32,
    },
    /// A task or an element has changed its state.
    Task {
        /// Which.
        key: TaskKey,
        /// The new state.
        state: TaskState,
        /// The attempt, counted from 1; 0 when there was none.
        attempt: u32,
        /// How long the attempt took, when it has ended.
        took: Option<Duration>,
        /// Why: an error's message, a reason to skip.
        note: Option<String>,
        /// What to do about it.
        hint: Option<String>,
        /// The rows of the main dataset, when there is one.
        rows: Option<u64>,
    },
    /// What could start waits for the slots of pools alone. Said once, not stored.
    Held,
    /// A task has warned.
    Warning {
        /// Which.
        key: TaskKey,
        /// The warning.
        text: String,
    },
    /// How far an attempt is. Not stored.
    Progress {
        /// Which.
        key: TaskKey,
        /// What is done.
        done: u64,
        /// Of how much, when that is known.
        total: Option<u64>,
    },
    /// A line of an attempt's log. Not stored as an event: logs are files.
    Log {
        /// Which.
        key: TaskKey,
        /// `INFO`, `WARN` or `OUT`.
        level: String,
        /// The line.
        line: String,
    },
}

/// Hears of everything that happens, after it has been made durable.
pub trait Listener: Send + Sync {
    /// Called in order; must not block.
    fn hear(&self, event: &RunEvent);
}

impl<F: Fn(&RunEvent) + Send + Sync> Listener for F {
    fn hear(&self, event: &RunEvent) {
        self(event);
    }
}
