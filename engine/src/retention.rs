//! How long the history of runs is kept.

use std::time::Duration;

/// How long runs that are over are kept. Where both are given, a run goes only when neither keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those that ended within this stretch stay.
    pub keep: Option<Duration>,
    /// So many of a pipeline's newest ones stay.
    pub runs: Option<u32>,
}
