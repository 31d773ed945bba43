//! Why an attempt failed: whose fault it is and whether another try can help. The scheduler reads no message text.

use std::{collections::BTreeMap, error::Error, fmt};

use serde::{Deserialize, Serialize};

use super::Artifact;
use crate::failure::full_message;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The pipeline's or its data's: another try gives the same.
    User,
    /// Something outside: a network, a database, a full disk.
    External,
    /// Ours.
    Bug,
}

/// What is kept with a failure.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Files, such as the rows that broke a rule.
    pub artifacts: Vec<Artifact>,
    /// Measures, such as how many rows broke it.
    pub metrics: BTreeMap<String, f64>,
}

/// Why an attempt failed.
#[derive(Debug)]
pub struct TaskError {
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether another try can help.
    pub retryable: bool,
    /// A lower-case fragment that says what is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The cause.
    pub source: Option<Box<dyn Error + Send + Sync>>,
    /// What is kept with the failure.
    pub evidence: Evidence,
}

impl TaskError {
    /// The pipeline or its data is wrong; another try gives the same.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Fault::User, false, message.into())
    }

    /// Something outside failed; another try may help.
    pub fn external(message: impl Into<String>) -> Self {
        Self::new(Fault::External, true, message.into())
    }

    /// We are wrong.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Fault::Bug, false, message.into())
    }

    fn new(fault: Fault, retryable: bool, message: String) -> Self {
        Self {
            fault,
            retryable,
            message,
            hint: None,
            source: None,
            evidence: Evidence::default(),
        }
    }

    /// Names the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says whether another try can help.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Keeps `evidence` with the failure.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// The message and all its causes in one line.
    pub fn full_message(&self) -> String {
        full_message(self)
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
