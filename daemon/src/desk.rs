//! What every part of the daemon has at hand.

use std::sync::{Arc, PoisonError, RwLock};

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

use crate::{
    away::Away,
    catalogue::{Catalogue, Library},
};

/// The project's settings as they are now: a daemon may read them anew.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<RwLock<Arc<Project>>>);

impl Current {
    pub(crate) fn get(&self) -> Arc<Project> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, project: Arc<Project>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = project;
    }
}

/// What every part of the daemon has at hand.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// What is the same for as long as the daemon works.
    pub(crate) runner: Runner,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) current: Current,
    /// Whether the history answers.
    pub(crate) away: Arc<Away>,
}

impl Desk {
    pub(crate) fn new(runner: Runner, library: Arc<dyn Library>) -> Self {
        let project = Arc::clone(&runner.parts().project);
        Self {
            away: Arc::new(Away::new(&project)),
            runner,
            catalogue: Arc::new(Catalogue::new(library)),
            current: Current(Arc::new(RwLock::new(project))),
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.runner.parts().store
    }

    /// The project as it is now.
    pub(crate) fn project(&self) -> Arc<Project> {
        self.current.get()
    }

    /// The runner for what begins now.
    pub(crate) fn runner_now(&self) -> Runner {
        self.runner.with_project(self.project())
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
