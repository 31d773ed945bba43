//! The elements of a task that is repeated by `foreach`.

use crate::state::{IllegalTransition, TaskEvent, TaskState, next};

/// The elements of one task.
#[derive(Clone, Debug)]
pub(super) struct Group {
    states: Vec<TaskState>,
    /// How many are not final.
    remaining: u32,
    /// The first element that has not been let go.
    upcoming: u32,
    /// How many have been let go and are not final.
    active: u32,
    parallel: u32,
    /// Whether no further element may start.
    stopped: bool,
}

impl Group {
    pub(super) fn new(elements: u32, parallel: Option<u32>) -> Self {
        Self {
            states: vec![TaskState::None; elements as usize],
            remaining: elements,
            upcoming: 0,
            active: 0,
            parallel: parallel.unwrap_or(u32::MAX),
            stopped: false,
        }
    }

    /// Lets no further element go.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// The next element that may start beside those that are under way.
    pub(super) fn release(&mut self) -> Option<u32> {
        while !self.stopped
            && self.active < self.parallel
            && (self.upcoming as usize) < self.states.len()
        {
            let element = self.upcoming;
            self.upcoming += 1;
            if self.states[element as usize] == TaskState::None {
                self.active += 1;
                return Some(element);
            }
        }
        None
    }

    pub(super) fn state(&self, element: u32) -> TaskState {
        self.states
            .get(element as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Takes over the final state that an element had before a restart.
    pub(super) fn restore(&mut self, element: u32, state: TaskState) {
        if state.is_final() && !self.state(element).is_final() {
            self.states[element as usize] = state;
            self.remaining -= 1;
        }
    }

    pub(super) fn apply(
        &mut self,
        element: u32,
        event: TaskEvent,
    ) -> Result<TaskState, IllegalTransition> {
        let state = next(self.state(element), event)?;
        self.states[element as usize] = state;
        if state.is_final() {
            self.remaining -= 1;
            if element < self.upcoming {
                self.active -= 1;
            }
        }
        Ok(state)
    }

    /// What the whole has come to, once every element is final: one failure fails it, nothing but skips skips it.
    pub(super) fn verdict(&self) -> Option<TaskState> {
        if self.remaining > 0 {
            return None;
        }
        let has = |state| self.states.contains(&state);
        Some(match () {
            () if has(TaskState::Failed) => TaskState::Failed,
            () if has(TaskState::Cancelled) => TaskState::Cancelled,
            () if has(TaskState::Success) => TaskState::Success,
            () => TaskState::Skipped,
        })
    }

    /// The elements that are not final.
    pub(super) fn open(&self) -> impl Iterator<Item = (u32, TaskState)> {
        (0_u32..)
            .zip(&self.states)
            .filter(|(_, state)| !state.is_final())
            .map(|(element, state)| (element, *state))
    }
}
