//! A project in a temporary directory and a context to run an operator in, for the tests of operators.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use polars::prelude::DataFrame;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Checkpoint, Inputs, Logger, Operator, Outcome, Output, Past, Progress, RunInfo, State,
    TaskContext, TaskError, TaskIdentity,
};
use crate::{
    connection::{Connection, Origin},
    dataset::Dataset,
    env::Env,
    id::{RunId, TaskKey},
    project::Project,
    secret::Secret,
    services::Services,
    store::{ArtifactStore, MemoryStore, StoreError},
    time::{ManualClock, Timestamp},
};

/// A project in a directory of its own, which is removed when this is dropped.
#[derive(Debug)]
pub struct TestProject {
    project: Project,
    services: Services,
    models: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    run: RunId,
    log: Arc<Mutex<Vec<String>>>,
}

impl Default for TestProject {
    fn default() -> Self {
        Self::new()
    }
}

impl TestProject {
    /// An empty project. Its clock stands at 2026-03-01 12:00 UTC.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    pub fn new() -> Self {
        let root = std::env::temp_dir().join(format!("pipectl-test-{}", Uuid::new_v4().simple()));
        let state_dir = root.join(".pipectl");
        std::fs::create_dir_all(&state_dir)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", root.display()));
        let now = Timestamp::default() + chrono::TimeDelta::seconds(1_772_366_400);
        Self {
            project: Project {
                root,
                state_dir,
                env: Env::system(),
                ..Project::default()
            },
            services: Services::default(),
            models: Arc::default(),
            clock: Arc::new(ManualClock::at(now)),
            run: RunId::new(now),
            log: Arc::default(),
        }
    }

    /// The same project with a connection.
    #[must_use]
    pub fn with_connection(mut self, name: &str, url: &str) -> Self {
        self.project.connections.insert(Connection {
            name: name.to_owned(),
            url: Secret::new(url.to_owned()),
            settings: std::collections::BTreeMap::new(),
            origin: Origin::File,
        });
        self
    }

    /// The same project with an MLflow server, and settings beside its address.
    #[must_use]
    pub fn with_mlflow(mut self, url: &str, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter();
        self.project.mlflow = Some(Connection {
            name: "mlflow".to_owned(),
            url: Secret::new(url.to_owned()),
            settings: settings
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            origin: Origin::File,
        });
        self
    }

    /// The same project with further variables in its environment.
    #[must_use]
    pub fn with_environment(mut self, variables: &[(String, String)]) -> Self {
        self.project.env = self.project.env.clone().with(variables.to_vec());
        self
    }

    /// The same project with a service.
    #[must_use]
    pub fn with_service<T: std::any::Any + Send + Sync>(mut self, service: Arc<T>) -> Self {
        self.services = self.services.clone().with(service);
        self
    }

    /// The project's directory.
    pub fn root(&self) -> &Path {
        &self.project.root
    }

    /// The project's clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The project's registered models, none at first.
    pub fn models(&self) -> &Arc<MemoryStore> {
        &self.models
    }

    /// Writes a file of the project.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project.path(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
        }
        std::fs::write(&path, content)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Reads a file of the project as text.
    ///
    /// # Panics
    /// When it is not there.
    pub fn read(&self, path: &str) -> String {
        let path = self.project.path(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The names in a directory of the project, sorted, hidden ones too.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn list(&self, path: &str) -> Vec<String> {
        let path = self.project.path(path);
        let entries =
            std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut names: Vec<_> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// What operators have written to the log, each line with its level.
    pub fn log(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A context without inputs: the first attempt of the task `task`.
    pub fn context(&self) -> TaskContext {
        let log = self.log.clone();
        TaskContext {
            run: RunInfo {
                id: self.run,
                pipeline: "pipeline".into(),
                version: "version".into(),
                interval: None,
                zone: chrono_tz::UTC,
                redo: 0,
            },
            task: TaskIdentity {
                key: TaskKey::task("task"),
                attempt: 1,
                fence: 1,
            },
            inputs: Inputs::default(),
            feature_views: std::collections::BTreeMap::new(),
            item: None,
            woken: None,
            project: Arc::new(self.project.clone()),
            services: self.services.clone(),
            artifacts: artifacts(&self.project.state_dir),
            models: self.models.clone(),
            cancel: CancellationToken::new(),
            clock: self.clock.clone(),
            seed: 42,
            progress: Progress::none(),
            log: Logger::new(move |level, line| {
                log.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(format!("{level} {line}"));
            }),
            checkpoint: Checkpoint::none(),
            state: State::none(),
            past: Past::none(),
            passes_on: false,
            slot: None,
        }
    }

    /// A context with inputs.
    pub fn context_with<'a>(
        &self,
        inputs: impl IntoIterator<Item = (&'a str, DataFrame)>,
    ) -> TaskContext {
        let inputs = inputs
            .into_iter()
            .map(|(name, frame)| (name.to_owned(), Dataset::from_frame(frame)));
        TaskContext {
            inputs: Inputs::new(inputs),
            ..self.context()
        }
    }

    /// Runs an operator without inputs.
    ///
    /// # Errors
    /// The operator's.
    ///
    /// # Panics
    /// When the settings cannot be read, or the outcome is not `Done`.
    pub async fn run<O: Operator>(&self, settings: Value) -> Result<Output, TaskError> {
        run_in::<O>(&self.context(), settings).await
    }

    /// Runs an operator on one input called `rows`.
    ///
    /// # Errors
    /// The operator's.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub async fn run_on<O: Operator>(
        &self,
        frame: DataFrame,
        settings: Value,
    ) -> Result<Output, TaskError> {
        run_in::<O>(&self.context_with([("rows", frame)]), settings).await
    }
}

impl Drop for TestProject {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary directory.
        let _removed = std::fs::remove_dir_all(&self.project.root);
    }
}

/// Runs an operator in a context.
///
/// # Errors
/// The operator's.
///
/// # Panics
/// When the settings cannot be read, or the outcome is not `Done`.
pub async fn run_in<O: Operator>(
    context: &TaskContext,
    settings: Value,
) -> Result<Output, TaskError> {
    let config: O::Config = serde_json::from_value(settings)
        .unwrap_or_else(|error| panic!("the settings are wrong: {error}"));
    match O::run(config, context).await? {
        Outcome::Done(output) => Ok(output),
        other => panic!("the operator is not done: {other:?}"),
    }
}

/// What an operator complains about in its settings, as `path: message`.
///
/// # Panics
/// When the settings cannot be read.
pub fn complaints<O: Operator>(settings: Value) -> Vec<String> {
    complaints_within::<O>(settings, super::Complaints::default())
}

/// As [`complaints`], in a task of which more is known.
///
/// # Panics
/// When the settings cannot be read.
pub fn complaints_within<O: Operator>(
    settings: Value,
    mut found: super::Complaints,
) -> Vec<String> {
    let config: O::Config = serde_json::from_value(settings)
        .unwrap_or_else(|error| panic!("the settings are wrong: {error}"));
    O::check(&config, &mut found);
    let found = found.into_vec();
    found
        .into_iter()
        .map(|complaint| format!("{}: {}", complaint.path.join("."), complaint.message))
        .collect()
}

/// The main dataset of an output, in memory.
///
/// # Panics
/// When there is none.
pub fn frame(output: &Output) -> DataFrame {
    let (_, dataset) = output
        .datasets
        .first()
        .unwrap_or_else(|| panic!("there is no dataset"));
    dataset
        .collect()
        .unwrap_or_else(|error| panic!("the dataset cannot be read: {error}"))
}

/// The artifact store of a test's project with this state directory.
pub fn artifacts(state_dir: &Path) -> Arc<dyn ArtifactStore> {
    Arc::new(Directory(state_dir.join("artifacts")))
}

/// An artifact store in a directory.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn write(&self, key: &str, content: &[u8]) -> std::io::Result<()> {
        let path = self.0.join(key);
        std::fs::create_dir_all(path.parent().unwrap_or(&self.0))?;
        std::fs::write(path, content)
    }
}

#[async_trait]
impl ArtifactStore for Directory {
    async fn put(&self, key: &str, content: Bytes) -> Result<(), StoreError> {
        self.write(key, &content)
            .map_err(|error| StoreError::unavailable("cannot write", error))
    }

    async fn put_file(&self, key: &str, file: PathBuf) -> Result<(), StoreError> {
        let content =
            std::fs::read(&file).map_err(|error| StoreError::unavailable("cannot read", error))?;
        self.put(key, content.into()).await?;
        std::fs::remove_file(file).map_err(|error| StoreError::unavailable("cannot remove", error))
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        std::fs::read(self.0.join(key))
            .map(Bytes::from)
            .map_err(|_| StoreError::NotFound(key.to_owned()))
    }

    async fn local(&self, key: &str) -> Result<PathBuf, StoreError> {
        Ok(self.0.join(key))
    }

    async fn remove_below(&self, prefix: &str) -> Result<(), StoreError> {
        match std::fs::remove_dir_all(self.0.join(prefix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::unavailable("cannot remove", error))
            }
            _ => Ok(()),
        }
    }

    fn temporary(&self) -> PathBuf {
        self.0.join(Uuid::new_v4().simple().to_string())
    }
}
