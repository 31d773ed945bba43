//! What is due later: retries, waits, deadlines.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::{plan::TaskIndex, scheduler::Unit, time::Timestamp};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The next try of a unit.
    Retry(Unit),
    /// A unit's wait of this attempt may be over.
    Wake(Unit, u32),
    /// A pool that was full may have free slots.
    Pool,
    /// The run should be over.
    Deadline,
    /// A task should be over.
    TaskDeadline(TaskIndex),
}

/// Timers, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Timestamp, Due)>>);

impl Timers {
    pub(super) fn set(&mut self, at: Timestamp, due: Due) {
        self.0.push(Reverse((at, due)));
    }

    /// How long until the next one, at most an hour: a clock can be moved.
    pub(super) fn wait(&self, now: Timestamp) -> Duration {
        let longest = Duration::from_hours(1);
        self.0.peek().map_or(longest, |Reverse((at, _))| {
            (*at - now).to_std().unwrap_or(Duration::ZERO).min(longest)
        })
    }

    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Due> {
        if self.0.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            return self.0.pop().map(|Reverse((_, due))| due);
        }
        None
    }
}
