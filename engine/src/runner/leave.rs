//! How a run is left: by a process that ends, and for good when nobody goes on with it.

use serde_json::json;

use super::{
    RunnerError,
    drive::Drive,
    journal::{Details, row},
};
use crate::{
    operator::{Fault, TaskError},
    plan::{AlertKind, TaskIndex},
    scheduler::Unit,
    state::{RunState, TaskState},
    store::{Change, ErrorRecord, RunChange},
};

/// After so many losses a task is not tried again: perhaps it is what takes the process down.
pub(super) const LOSSES: u32 = 3;

/// With this begins the error of a run that nobody goes on with, because its process is gone.
pub const GONE: &str = "the process that worked on it is gone";

/// What an attempt has come to whose process is gone.
pub(super) fn lost() -> ErrorRecord {
    ErrorRecord {
        fault: Fault::External,
        message: "lost: the process that worked on it is gone".to_owned(),
        hint: None,
    }
}

impl Drive {
    /// Stops what is under way and starts nothing more.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        for state in self.units.values() {
            if let Some(cancel) = &state.cancel {
                cancel.cancel();
            }
        }
    }

    /// An attempt has ended because this process leaves: the next owner tries it again, and nothing is counted.
    pub(super) fn left(&mut self, unit: Unit) {
        let now = self.parts.clock.now();
        let mut change = self.change(unit, TaskState::UpForRetry);
        (change.retry_at, change.note) = (Some(now), Some("the daemon was shut down".to_owned()));
        self.journal.task(change, now, Details::default());
        let error = ErrorRecord {
            message: "stopped: the daemon was shut down".to_owned(),
            ..lost()
        };
        self.close_attempt(unit, TaskState::Failed, Some(error));
    }

    /// Why a unit is not tried again although its tries are not used up.
    pub(super) fn lost_too_often(&self, unit: Unit) -> Option<TaskError> {
        let losses = self.units.get(&unit)?.losses;
        (losses >= LOSSES).then(|| {
            TaskError::external(format!(
                "{losses} times the process that worked on it was gone before it ended"
            ))
            .hint("if it needs too much memory, `memory:` runs it in a process of its own and stops it at a limit; `pipectl retry RUN --failed` tries it again")
        })
    }

    /// A task is late, unless it is over.
    pub(super) fn task_is_late(&mut self, task: TaskIndex) {
        if !self.scheduler.state(task.into()).is_final() {
            let message = json!({"message": "the task is not over at its deadline"});
            self.mail(AlertKind::Deadline, Some(task), message);
        }
    }

    /// Ends a run that nobody goes on with.
    pub(super) async fn give_up(mut self) -> Result<(), RunnerError> {
        let now = self.parts.clock.now();
        // What was said about taking it up is not so.
        self.journal.take();
        let open: Vec<Unit> = self
            .units
            .iter()
            .filter(|(_, state)| state.was_running)
            .map(|(unit, _)| *unit)
            .collect();
        for unit in open {
            let mut change = row(&self.key(unit), TaskState::Failed);
            let state = &self.units[&unit];
            (change.attempt, change.tries, change.losses, change.started) =
                (state.attempt, state.tries, state.losses, state.started);
            (change.ended, change.error) = (Some(now), Some(lost()));
            self.journal.task(change, now, Details::default());
            self.close_attempt(unit, TaskState::Failed, Some(lost()));
        }
        let error = GONE.to_owned();
        let hint = format!("`pipectl run --resume {}` goes on with it", self.run.id);
        self.mail(
            AlertKind::Failure,
            None,
            json!({"message": error, "hint": hint}),
        );
        let state = RunState::Failed;
        self.journal.change(Change::Run(RunChange {
            state,
            ended: Some(now),
            error: Some(format!("{error}; {hint}")),
            ..RunChange::default()
        }));
        self.journal.run(state, Some(error), now);
        self.flush().await
    }
}
