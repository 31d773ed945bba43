//! What starts a pipeline, and which interval a run is about. Pure.

use std::time::Duration;

use chrono_tz::Tz;

/// What starts a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The trigger itself.
    pub trigger: Trigger,
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

/// A repetition in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Cadence {
    /// A cron line in a zone.
    Cron {
        /// The line.
        line: String,
        /// The zone.
        zone: Tz,
    },
    /// Every so often, counted from midnight of 1970-01-01 UTC.
    Every(Duration),
}
