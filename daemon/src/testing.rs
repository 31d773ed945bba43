//! A daemon's desk over a history in memory, for tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use pipectl_engine::{
    plan::{Plan, testing},
    project::Project,
    runner::{Owner, Parts, Pipelines, Role, Runner, Slots},
    services::Services,
    state::RunState,
    store::{
        Change, MemoryStore, NewRun, PipelineVersion, RunChange, RunFilter, RunRecord,
        RunStore as _, RunWrite, Writer, conformance::run_at, testing::NoArtifacts,
    },
    time::{Clock as _, ManualClock, Timestamp},
    trigger::{Schedule, Trigger},
};
use tokio_util::task::TaskTracker;

use crate::{
    catalogue::{Entry, Library},
    desk::Desk,
};

/// Pipelines whose files can be edited.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) entries: Mutex<BTreeMap<String, Result<Arc<Plan>, String>>>,
    versions: Mutex<BTreeMap<String, Arc<Plan>>>,
}

impl Files {
    pub(crate) fn put(&self, plan: Plan) {
        let plan = Arc::new(plan);
        let mut versions = self.versions.lock().unwrap();
        versions.insert(plan.source.hash.clone(), Arc::clone(&plan));
        let mut entries = self.entries.lock().unwrap();
        entries.insert(plan.name.to_string(), Ok(plan));
    }

    pub(crate) fn break_(&self, name: &str) {
        let mut entries = self.entries.lock().unwrap();
        entries.insert(name.to_owned(), Err("broken".to_owned()));
    }
}

#[async_trait]
impl Library for Files {
    async fn entries(&self) -> Result<Vec<Entry>, String> {
        let entries = self.entries.lock().unwrap();
        let entry = |(name, plan): (&String, &Result<_, String>)| Entry {
            name: name.clone(),
            path: format!("pipelines/{name}.yaml"),
            plan: plan.clone(),
        };
        Ok(entries.iter().map(entry).collect())
    }

    async fn version(&self, version: PipelineVersion) -> Result<Arc<Plan>, String> {
        let versions = self.versions.lock().unwrap();
        versions
            .get(&version.hash)
            .cloned()
            .ok_or_else(|| "unknown".to_owned())
    }
}

struct Nothing;

#[async_trait]
impl Pipelines for Nothing {
    async fn plan(&self, _: &str) -> Result<Arc<Plan>, String> {
        Err("there is no such pipeline".to_owned())
    }
}

/// A daemon's surroundings.
pub(crate) struct Bench {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) files: Arc<Files>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) project: Project,
    directory: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        Self {
            store: Arc::default(),
            files: Arc::default(),
            clock: Arc::new(ManualClock::at(start)),
            project: Project {
                root: directory.path().to_owned(),
                state_dir: directory.path().join("state"),
                ..Project::default()
            },
            directory,
        }
    }

    /// The desk of a daemon that has just started.
    pub(crate) async fn desk(&self) -> Desk {
        let store = Arc::clone(&self.store);
        let owner = Owner::new(self.directory.path(), "here", Role::Daemon).unwrap();
        let runner = Runner::new(Parts {
            writer: Writer::start(Arc::clone(&store) as _),
            store: store as _,
            artifacts: Arc::new(NoArtifacts),
            project: Arc::new(self.project.clone()),
            services: Services::default(),
            clock: Arc::clone(&self.clock) as _,
            listeners: Vec::new(),
            pipelines: Arc::new(Nothing),
            owner: Arc::new(owner),
            slots: Slots::new(1, BTreeMap::new()),
            tasks: TaskTracker::new(),
        });
        let desk = Desk::new(runner, Arc::clone(&self.files) as _);
        desk.catalogue.refresh(&*self.store).await;
        desk
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A run that is over.
    pub(crate) async fn over(&self, run: NewRun, state: RunState, ended: Timestamp) {
        self.store.create_run(&run).await.unwrap();
        self.end(&run, state, ended).await;
    }

    /// Ends a run, one that was to be done again too.
    pub(crate) async fn end(&self, run: &NewRun, state: RunState, ended: Timestamp) {
        let lease = std::time::Duration::from_secs(60);
        let claim = self
            .store
            .claim(run.id, "one", lease)
            .await
            .unwrap()
            .unwrap();
        let record = self.store.run(run.id).await.unwrap().unwrap();
        let change = RunChange {
            state,
            ended: Some(ended),
            redo: record.requeued.map(|_| record.redo + 1),
            ..RunChange::default()
        };
        let write = RunWrite {
            run: run.id,
            fence: claim.fence,
            changes: vec![Change::Run(change)],
        };
        self.store.commit(&[write]).await.unwrap();
    }

    pub(crate) async fn runs(&self, pipeline: &str) -> Vec<RunRecord> {
        let filter = RunFilter {
            pipeline: Some(pipeline.to_owned()),
            limit: 10_000,
            ..RunFilter::default()
        };
        self.store.runs(&filter).await.unwrap()
    }
}

/// A run of `pipeline` made `seconds` ago.
pub(crate) fn made(bench: &Bench, pipeline: &str, seconds: i64) -> NewRun {
    run_at(pipeline, bench.now() - TimeDelta::seconds(seconds))
}

/// A plan without tasks that runs after `upstream`.
pub(crate) fn after(name: &str, upstream: &str) -> Plan {
    let mut plan = testing::plan(name);
    plan.schedule = Some(Schedule::new(Trigger::After {
        pipelines: vec![upstream.to_owned()],
        all: false,
    }));
    plan
}
