//! The words of `schedule:`.

use super::Cadence;
use crate::time::Timestamp;

/// What starts a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The trigger itself.
    pub trigger: Trigger,
    /// Which of the intervals that were missed get a run.
    pub catchup: Catchup,
    /// The first moment from which intervals count.
    pub start: Option<Timestamp>,
    /// The moment from which no interval counts any more.
    pub end: Option<Timestamp>,
    /// What happens when a run is due while as many as allowed are under way.
    pub overlap: Overlap,
}

impl Schedule {
    /// A schedule with this trigger and the usual options.
    pub fn new(trigger: Trigger) -> Self {
        Self {
            trigger,
            catchup: Catchup::default(),
            start: None,
            end: None,
            overlap: Overlap::default(),
        }
    }

    /// Whether it starts anything at this moment: from `start` on, before `end`.
    pub fn includes(&self, moment: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= moment) && self.end.is_none_or(|end| moment < end)
    }

    /// Its repetition in time, when it has one.
    pub fn cadence(&self) -> Option<&Cadence> {
        match &self.trigger {
            Trigger::Time(cadence) => Some(cadence),
            Trigger::After { .. } | Trigger::Sensor(_) => None,
        }
    }
}

/// A trigger.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// Moments.
    Time(Cadence),
    /// Other pipelines' successes.
    After {
        /// Their names.
        pipelines: Vec<String>,
        /// Whether all of them, of the same interval, or any.
        all: bool,
    },
    /// Root sensors of the pipeline itself.
    Sensor(Vec<String>),
}

/// Which of the intervals that were missed get a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Catchup {
    /// None.
    None,
    /// The last one.
    #[default]
    Latest,
    /// All.
    All,
}

/// What happens when a run is due while as many as allowed are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It waits.
    #[default]
    Queue,
    /// It is left out.
    Skip,
    /// The one under way is cancelled.
    Replace,
}
