//! Who gets mail, and when.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who gets mail, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// On which occasions.
    pub when: Vec<AlertKind>,
    /// To whom.
    pub email: Vec<String>,
}

/// An occasion for mail.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A task or the run failed for good.
    Failure,
    /// The run succeeded after one that failed.
    Recovery,
    /// A check of severity warn, a drift verdict.
    Warning,
    /// The run is late.
    Deadline,
}

impl AlertKind {
    /// The occasion's name, as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Recovery => "recovery",
            Self::Warning => "warning",
            Self::Deadline => "deadline",
        }
    }
}

impl FromStr for AlertKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Failure, Self::Recovery, Self::Warning, Self::Deadline]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("unknown occasion `{text}`"))
    }
}
