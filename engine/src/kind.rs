//! The kinds of work.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What kind of work an operator does. It is the first key of a task: `<kind>: <operator>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Waits for something to be there.
    Sensor,
    /// Brings a table in.
    Extract,
    /// Makes tables out of tables.
    Transform,
    /// Says whether a table can be trusted.
    Check,
    /// Learns a model.
    Train,
    /// Scores a table with a model.
    Predict,
    /// Takes a table out.
    Load,
    /// Writes a document.
    Report,
    /// Runs something else.
    Run,
}

impl Kind {
    /// All kinds, in the order in which data flows.
    pub const ALL: [Self; 9] = [
        Self::Sensor,
        Self::Extract,
        Self::Transform,
        Self::Check,
        Self::Train,
        Self::Predict,
        Self::Load,
        Self::Report,
        Self::Run,
    ];

    /// The kind as it is written in a pipeline.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::Extract => "extract",
            Self::Transform => "transform",
            Self::Check => "check",
            Self::Train => "train",
            Self::Predict => "predict",
            Self::Load => "load",
            Self::Report => "report",
            Self::Run => "run",
        }
    }

    /// Whether its tasks act on the world outside, so that they start only when what they read is durable.
    pub fn acts_outside(self) -> bool {
        matches!(self, Self::Load | Self::Report | Self::Run)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(())
    }
}
