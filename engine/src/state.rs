//! The states of tasks and runs, and all legal changes on one screen.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The state of a task in a run. Names and meanings are Airflow's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Nothing has been decided yet.
    #[default]
    None,
    /// Its upstream tasks allow it to start.
    Scheduled,
    /// It waits for a slot.
    Queued,
    /// An attempt is under way.
    Running,
    /// It ended well.
    Success,
    /// It ended badly and will not be tried again.
    Failed,
    /// It will be tried again.
    UpForRetry,
    /// It was decided not to run it.
    Skipped,
    /// Something before it failed.
    UpstreamFailed,
    /// It waits for a thing, a time or another run, holding no slot.
    Deferred,
    /// It was stopped.
    Cancelled,
    /// It is no longer in the pipeline.
    Removed,
}

impl TaskState {
    /// All states, in the order of the declaration.
    pub const ALL: [Self; 12] = [
        Self::None,
        Self::Scheduled,
        Self::Queued,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::UpForRetry,
        Self::Skipped,
        Self::UpstreamFailed,
        Self::Deferred,
        Self::Cancelled,
        Self::Removed,
    ];

    /// Whether nothing will change any more without a person's doing.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::Failed
                | Self::Skipped
                | Self::UpstreamFailed
                | Self::Cancelled
                | Self::Removed
        )
    }

    /// The state's name, as stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::UpForRetry => "up_for_retry",
            Self::Skipped => "skipped",
            Self::UpstreamFailed => "upstream_failed",
            Self::Deferred => "deferred",
            Self::Cancelled => "cancelled",
            Self::Removed => "removed",
        }
    }

    /// The state's glyph, always shown beside its name somewhere near.
    pub fn glyph(self) -> &'static str {
        match self {
            Self::None => "◌",
            Self::Scheduled => "◷",
            Self::Queued => "○",
            Self::Running => "◔",
            Self::Success => "✓",
            Self::Failed => "✕",
            Self::UpForRetry => "↻",
            Self::Skipped => "–",
            Self::UpstreamFailed => "∅",
            Self::Deferred => "⧗",
            Self::Cancelled => "⊘",
            Self::Removed => "⌫",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A stored name that is no state.
#[derive(Debug, thiserror::Error)]
#[error("unknown state `{0}`")]
pub struct UnknownState(String);

impl FromStr for TaskState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// The state of a run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Nobody works on it yet.
    #[default]
    Queued,
    /// It is under way.
    Running,
    /// Every task that counts ended well.
    Success,
    /// A task failed that does not say `allow_failure`.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl RunState {
    /// All states, in the order of the declaration.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether the run is over.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// The state's name, as stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RunState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What can happen to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// Its trigger rule is met.
    Schedule,
    /// It found no free slot.
    Queue,
    /// An attempt starts.
    Start,
    /// The attempt ended well.
    Succeed,
    /// The attempt ended badly; no further try.
    Fail,
    /// The attempt ended badly; there will be another.
    Retry,
    /// It is not run: by its `if`, its trigger rule or its operator.
    Skip,
    /// It is not run because something before it failed.
    UpstreamFail,
    /// The attempt waits for something, its slot is free.
    Defer,
    /// It is stopped.
    Cancel,
    /// It is no longer in the pipeline.
    Remove,
    /// A person runs it again, or a resumed run starts over where it stood.
    Reset,
}

/// A change that the table of [`next`] does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {state} cannot {event:?}")]
pub struct IllegalTransition {
    /// The state it was in.
    pub state: TaskState,
    /// What was to happen.
    pub event: TaskEvent,
}

/// The state after `event`: all legal changes.
///
/// # Errors
/// When the change is not legal.
pub fn next(state: TaskState, event: TaskEvent) -> Result<TaskState, IllegalTransition> {
    use TaskEvent as E;
    use TaskState as S;
    Ok(match (state, event) {
        (S::None | S::UpForRetry | S::Deferred, E::Schedule) => S::Scheduled,
        (S::Scheduled, E::Queue) => S::Queued,
        (S::Scheduled | S::Queued | S::Deferred | S::UpForRetry, E::Start) => S::Running,
        (S::Running | S::Deferred, E::Succeed) => S::Success,
        (
            S::None | S::Scheduled | S::Queued | S::Running | S::Deferred | S::UpForRetry,
            E::Fail,
        ) => S::Failed,
        (S::Running | S::Deferred, E::Retry) => S::UpForRetry,
        (S::None | S::Scheduled | S::Queued | S::Running | S::Deferred, E::Skip) => S::Skipped,
        (S::None, E::UpstreamFail) => S::UpstreamFailed,
        (S::Running, E::Defer) => S::Deferred,
        (from, E::Cancel) if !from.is_final() => S::Cancelled,
        (_, E::Remove) => S::Removed,
        (_, E::Reset) => S::None,
        (state, event) => return Err(IllegalTransition { state, event }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for state in TaskState::ALL {
            assert_eq!(state.name().parse::<TaskState>().unwrap(), state);
        }
        for state in RunState::ALL {
            assert_eq!(state.name().parse::<RunState>().unwrap(), state);
        }
        assert!("done".parse::<TaskState>().is_err());
    }

    #[test]
    fn final_states_change_only_by_reset_or_removal() {
        for state in TaskState::ALL.into_iter().filter(|state| state.is_final()) {
            for event in [
                TaskEvent::Start,
                TaskEvent::Succeed,
                TaskEvent::Fail,
                TaskEvent::Cancel,
                TaskEvent::Skip,
            ] {
                assert!(next(state, event).is_err(), "{state} {event:?}");
            }
            assert_eq!(next(state, TaskEvent::Reset), Ok(TaskState::None));
        }
    }

    #[test]
    fn an_attempt_goes_its_ways() {
        use TaskEvent as E;
        for (events, end) in [
            (vec![E::Schedule, E::Start, E::Succeed], TaskState::Success),
            (
                vec![E::Schedule, E::Queue, E::Start, E::Retry, E::Start, E::Fail],
                TaskState::Failed,
            ),
            (
                vec![E::Schedule, E::Start, E::Defer, E::Start, E::Succeed],
                TaskState::Success,
            ),
            (vec![E::UpstreamFail], TaskState::UpstreamFailed),
            (vec![E::Schedule, E::Start, E::Cancel], TaskState::Cancelled),
        ] {
            let mut state = TaskState::None;
            for event in events {
                state = next(state, event).unwrap();
            }
            assert_eq!(state, end);
        }
    }
}
