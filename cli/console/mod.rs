//! What a person sees while a run is under way: a live graph on a terminal, plain lines elsewhere.

mod failure;
mod live;
mod plain;
mod summary;

use std::sync::Arc;

use anstyle::Style;
use pipectl_engine::{
    event::Listener,
    plan::Plan,
    state::{RunState, TaskState},
};

pub(crate) use failure::failures;
pub(crate) use summary::{next, summary};

use crate::output::{CYAN, DIM, GREEN, Output, RED, YELLOW};

/// Shows a run of `plan` on stderr.
pub(crate) fn listener(output: &Output, plan: &Plan, verbose: bool) -> Arc<dyn Listener> {
    if output.is_live() {
        Arc::new(live::Live::new(output.clone(), plan))
    } else {
        Arc::new(plain::Plain::new(output.clone(), plan, verbose))
    }
}

/// The colour of a task's state.
pub(crate) fn task_style(state: TaskState) -> Style {
    match state {
        TaskState::Success => GREEN,
        TaskState::Failed => RED,
        TaskState::Running => CYAN,
        TaskState::UpForRetry | TaskState::UpstreamFailed | TaskState::Cancelled => YELLOW,
        _ => DIM,
    }
}

/// What a task's state is called for people: one of which nothing has been decided waits as long as its run goes on.
pub(crate) fn state_word(task: TaskState, run: RunState) -> &'static str {
    match task {
        TaskState::None if run.is_final() => "not run",
        TaskState::None => "waiting",
        other => other.name(),
    }
}

/// The colour of a run's state.
pub(crate) fn run_style(state: RunState) -> Style {
    match state {
        RunState::Success => GREEN,
        RunState::Failed => RED,
        RunState::Running => CYAN,
        RunState::Queued | RunState::Cancelled => YELLOW,
    }
}
