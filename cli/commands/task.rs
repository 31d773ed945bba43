//! `pipectl __task`: one task in a process of its own, for the process that watches over its run.

use std::{process::ExitCode, sync::Arc};

use async_trait::async_trait;
use pipectl_engine::{
    env::Env,
    id::{RunId, TaskKey},
    operator::{
        Checkpoint, CheckpointStore, Past, PastOutcome, PastStore, State, StateStore, TaskError,
    },
    project::{Overrides, Project},
    store::{Store, StoreError},
};
use pipectl_operators::{ChildHouse, ChildProject};
use serde_json::Value;

use crate::{
    project::registry,
    wire::{House, block_on},
};

/// Runs the task that standard input names.
pub(crate) fn run(env: &Env) -> ExitCode {
    let registry = registry();
    let work = async { Ok(pipectl_operators::child(&registry, |child| open(child, env)).await) };
    block_on(work).unwrap_or(ExitCode::FAILURE)
}

async fn open(child: ChildProject, env: &Env) -> Result<ChildHouse, TaskError> {
    let overrides = Overrides {
        root: Some(child.root.clone()),
        state_dir: Some(child.state_dir.clone()),
    };
    let (project, _) = Project::load(&child.root, &child.root, &overrides, env.clone())
        .map_err(|_| TaskError::user("pipectl.yaml has been broken while the run was under way"))?;
    let house = House::open(Arc::new(project))
        .await
        .map_err(|error| TaskError::external(format!("{error:#}")))?;
    let memory = Arc::new(Memory {
        store: Arc::clone(&house.store),
        pipeline: child.pipeline,
        run: child.run,
        fence: child.fence,
        key: child.key,
    });
    Ok(ChildHouse {
        clock: house.clock_of_all(),
        services: house.services(),
        project: house.project,
        artifacts: house.artifacts,
        models: house.store,
        checkpoint: Checkpoint::new(Arc::clone(&memory) as _),
        state: State::new(Arc::clone(&memory) as _),
        past: Past::new(memory),
    })
}

/// The memory of one task of one run.
struct Memory {
    store: Arc<dyn Store>,
    pipeline: String,
    run: RunId,
    fence: u64,
    key: TaskKey,
}

#[async_trait]
impl CheckpointStore for Memory {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        self.store.checkpoint(self.run, &self.key).await
    }

    async fn save(&self, value: &Value) -> Result<(), StoreError> {
        let (run, key) = (self.run, &self.key);
        self.store.put_checkpoint(run, self.fence, key, value).await
    }
}

#[async_trait]
impl PastStore for Memory {
    async fn successes(&self, limit: u32) -> Result<Vec<PastOutcome>, StoreError> {
        self.store.successes(&self.pipeline, &self.key, limit).await
    }
}

#[async_trait]
impl StateStore for Memory {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        self.store.state(&self.pipeline, &self.key).await
    }
}
