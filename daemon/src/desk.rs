//! What every part of the daemon has at hand.

use std::sync::Arc;

use pipectl_engine::{
    id::RunId,
    operator::Interval,
    plan::Plan,
    project::Project,
    runner::{Owner, Runner},
    store::{NewRun, PipelineVersion, RunKind, RunRecord, Store},
    time::{Clock, Timestamp},
};
use serde_json::{Map, Value};

use crate::catalogue::Catalogue;

/// What every part of the daemon has at hand.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) runner: Runner,
    pub(crate) catalogue: Arc<Catalogue>,
}

impl Desk {
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.runner.parts().store
    }

    pub(crate) fn project(&self) -> &Arc<Project> {
        &self.runner.parts().project
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.runner.parts().owner
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.runner.parts().clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// The plan that a run is made of.
    pub(crate) async fn plan_of(&self, record: &RunRecord) -> Result<Arc<Plan>, String> {
        let hash = &record.run.version;
        let kept = async || {
            let version = self
                .store()
                .version(hash)
                .await
                .map_err(|error| error.to_string())?;
            version.ok_or_else(|| format!("the pipeline version {hash} is gone from the history"))
        };
        self.catalogue.version(hash, kept).await
    }

    /// Keeps a plan's source, so that runs can be made of it.
    pub(crate) async fn keep(&self, plan: &Plan) -> Result<(), pipectl_engine::store::StoreError> {
        self.store().put_version(&PipelineVersion::of(plan)).await
    }
}

/// A run for the queue, of a plan with its parameters' defaults.
pub(crate) fn queued(
    plan: &Plan,
    kind: RunKind,
    trigger_key: String,
    interval: Option<Interval>,
    now: Timestamp,
) -> Result<NewRun, String> {
    if plan.reads_interval.is_some() && interval.is_none() {
        return Err("it names `interval`, but such a run has none".to_owned());
    }
    let params = plan
        .params(&Map::new())
        .map_err(|error| error.to_string())?;
    Ok(NewRun {
        id: RunId::new(now),
        pipeline: plan.name.to_string(),
        version: plan.source.hash.clone(),
        kind,
        trigger_key: Some(trigger_key),
        trigger: Value::Null,
        params,
        interval,
        parent: None,
        created: now,
        max_active: Some(plan.max_active_runs),
        backfill: None,
        enqueued: true,
    })
}

/// What makes the run of an interval the only one.
pub fn interval_key(interval: Interval) -> String {
    format!(
        "interval:{}/{}",
        interval.start.to_rfc3339(),
        interval.end.to_rfc3339()
    )
}
