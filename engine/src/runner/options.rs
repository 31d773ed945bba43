//! How a run is to be worked on.

use std::collections::{HashMap, HashSet};

use tokio_util::sync::CancellationToken;

pub use crate::store::Redo;
use crate::{dataset::Dataset, id::RunId, store::OutputRecord};

/// How a run is to be worked on.
#[derive(Debug, Default)]
pub struct Options {
    /// Told when the run is to stop.
    pub cancel: CancellationToken,
    /// Told when this process wants to be rid of the run: what is under way is stopped and written down as to be tried
    /// again, so that the next owner goes on without loss.
    pub leave: CancellationToken,
    /// Tasks that are not run, because what they put out is there already.
    pub reuse: HashMap<String, Reuse>,
    /// Tasks that are left out: they are skipped.
    pub leave_out: HashSet<String>,
    /// Start over with what has failed or was not reached; with `all`, with everything.
    pub redo: Option<Redo>,
    /// The pipelines whose runs wait for this one, the outermost first.
    pub ancestors: Vec<String>,
}

/// What a task put out elsewhere.
#[derive(Clone, Debug)]
pub enum Reuse {
    /// In an earlier run: the task itself, or the elements that it was repeated for.
    Earlier(RunId, Box<OutputRecord>, Vec<(u32, OutputRecord)>),
    /// Given by a test.
    Given(
        Vec<(String, Dataset)>,
        serde_json::Map<String, serde_json::Value>,
    ),
}
