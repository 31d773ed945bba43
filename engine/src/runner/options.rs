//! How a run is to be worked on.

use std::collections::{HashMap, HashSet};

use tokio_util::sync::CancellationToken;

use crate::{dataset::Dataset, id::RunId, store::OutputRecord};

/// How a run is to be worked on.
#[derive(Debug, Default)]
pub struct Options {
    /// Told when the run is to stop.
    pub cancel: CancellationToken,
    /// Tasks that are not run, because what they put out is there already.
    pub reuse: HashMap<String, Reuse>,
    /// Tasks that are left out: they are skipped.
    pub leave_out: HashSet<String>,
    /// Start over with what has failed or was not reached; with `all`, with everything.
    pub redo: Option<Redo>,
    /// The pipelines whose runs wait for this one, the outermost first.
    pub ancestors: Vec<String>,
}

/// What is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redo {
    /// What has not succeeded, and what comes after it.
    Unfinished,
    /// Everything: a person wants the effects again.
    All,
}

/// What a task put out elsewhere.
#[derive(Clone, Debug)]
pub enum Reuse {
    /// In an earlier run.
    Earlier(RunId, Box<OutputRecord>),
    /// Given by a test.
    Given(
        Vec<(String, Dataset)>,
        serde_json::Map<String, serde_json::Value>,
    ),
}
