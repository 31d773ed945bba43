//! The care of history: what may go, and how it goes.

use async_trait::async_trait;

use super::PipelineVersion;
use crate::{failure::StoreError, id::RunId, time::Timestamp};

/// How long after a success one that ended earlier may still appear: clocks of daemons differ, and commits take time.
pub const LATE: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

/// Which runs may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneRule {
    /// Only of this pipeline.
    pub pipeline: Option<String>,
    /// Those that ended before this.
    pub before: Option<Timestamp>,
    /// Beyond so many newest ones that are over of each pipeline. With `before`, both must hold.
    pub keep: Option<u32>,
}

/// The care of history.
#[async_trait]
pub trait History: Send + Sync {
    /// Runs that may go by a rule, those that ended first first, at most `limit`: they are over, neither they nor a run
    /// that they are a descendant of has registered a model (its data may be theirs), they are not the run of a thing that is
    /// still to be settled, no unfinished run is their child or parent, and the success that they follow (`after`) can
    /// start no other. A rule without `before` and `keep` lets none go.
    async fn prunable(&self, rule: &PruneRule, limit: u32) -> Result<Vec<RunId>, StoreError>;
    /// The pipelines that have runs, by name: also those whose file is gone.
    async fn pipelines(&self) -> Result<Vec<String>, StoreError>;
    /// The version of a pipeline that was put last.
    async fn last_version(&self, pipeline: &str) -> Result<Option<PipelineVersion>, StoreError>;
    /// Removes runs with everything that hangs on them, in one transaction; also their pipeline versions that no run
    /// names any more, but never the one of a pipeline that was put last. A run that is not over stays. So do registered
    /// models, mails that are still to be sent, and the ledger of sensed things, which goes on to name the run. Answers
    /// how many runs were removed.
    async fn remove_runs(&self, runs: &[RunId]) -> Result<u64, StoreError>;
}
