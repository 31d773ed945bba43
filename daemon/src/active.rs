//! The runs that a process works on.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use pipectl_engine::{
    event::{Listener, RunEvent, What},
    id::RunId,
    state::TaskState,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The runs that this process works on.
#[derive(Debug, Default)]
pub(crate) struct Active {
    runs: Mutex<HashMap<RunId, Work>>,
    /// Runs that are this process' own by the history and that it did not know of when it last looked.
    pub(crate) strays: Mutex<BTreeSet<RunId>>,
    /// Told when one is over, or needs no slot any more.
    pub(crate) ended: Notify,
}

/// A run that this process works on.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) cancel: CancellationToken,
    /// Until its first task has taken a slot, or shown that it needs none.
    pub(crate) starting: bool,
}

impl Active {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Work>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn starting(&self) -> usize {
        self.lock().values().filter(|work| work.starting).count()
    }

    /// Stops those of `runs` that are here.
    pub(crate) fn cancel(&self, runs: &[RunId]) {
        let active = self.lock();
        runs.iter()
            .filter_map(|run| active.get(run))
            .for_each(|work| work.cancel.cancel());
    }
}

impl Listener for Active {
    fn hear(&self, event: &RunEvent) {
        let begun = match &event.what {
            What::Task { state, .. } => !matches!(
                state,
                TaskState::None | TaskState::Scheduled | TaskState::Queued
            ),
            What::Held => true,
            _ => false,
        };
        if !begun {
            return;
        }
        if let Some(work) = self.lock().get_mut(&event.run)
            && std::mem::take(&mut work.starting)
        {
            self.ended.notify_one();
        }
    }
}
