//! The pipelines that a daemon knows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use pipectl_engine::{plan::Plan, store::PipelineVersion};
use tokio::sync::watch;

/// A pipeline's file as it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The pipeline's name: the file's stem.
    pub name: String,
    /// The file, as messages name it.
    pub path: String,
    /// Its plan, or what is wrong with it.
    pub plan: Result<Arc<Plan>, String>,
}

/// Reads pipelines. The binary gives the daemon one that knows the operators.
#[async_trait]
pub trait Library: Send + Sync {
    /// All pipelines of the project. A file that has not changed since it was last read need not be read again.
    async fn entries(&self) -> Result<Vec<Entry>, String>;
    /// The plan of a version that stands in the history.
    async fn version(&self, version: PipelineVersion) -> Result<Arc<Plan>, String>;
}

/// What the daemon makes of the library: of a pipeline whose file is broken, the last good version.
pub(crate) struct Catalogue {
    library: Arc<dyn Library>,
    known: Mutex<BTreeMap<String, Known>>,
    versions: Mutex<BTreeMap<String, Arc<Plan>>>,
    changed: watch::Sender<u64>,
}

#[derive(Clone, Debug)]
struct Known {
    path: String,
    plan: Option<Arc<Plan>>,
    error: Option<String>,
}

/// How many versions of the history are kept compiled.
const VERSIONS: usize = 64;

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Catalogue")
    }
}

impl Catalogue {
    /// A catalogue of what `library` has; empty until [`refresh`](Self::refresh).
    pub(crate) fn new(library: Arc<dyn Library>) -> Self {
        Self {
            library,
            known: Mutex::default(),
            versions: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again. A broken edit keeps the last good version, and is said once.
    pub(crate) async fn refresh(&self) {
        let entries = match self.library.entries().await {
            Ok(entries) => entries,
            Err(error) => return tracing::error!(error, "the pipelines cannot be read"),
        };
        let mut known = self.lock();
        let before = std::mem::take(&mut *known);
        let mut differs = before.len() != entries.len();
        for entry in entries {
            let old = before.get(&entry.name);
            let now = learn(old, entry.path, entry.plan);
            let same = old.is_some_and(|old| hash(old) == hash(&now) && old.error == now.error);
            if !same {
                differs = true;
                report(&entry.name, &now, old.is_some());
            }
            known.insert(entry.name, now);
        }
        for name in before.keys().filter(|name| !known.contains_key(*name)) {
            tracing::info!(
                pipeline = name,
                "the pipeline is gone: nothing starts it any more"
            );
        }
        drop(known);
        if differs {
            self.changed.send_modify(|times| *times += 1);
        }
    }

    /// All plans that may be started, by name.
    pub(crate) fn plans(&self) -> Vec<Arc<Plan>> {
        self.lock()
            .values()
            .filter_map(|known| known.plan.clone())
            .collect()
    }

    /// The files that are broken, with what is wrong.
    pub(crate) fn broken(&self) -> Vec<(String, String)> {
        let known = self.lock();
        let broken = known
            .values()
            .filter_map(|known| Some((known.path.clone(), known.error.clone()?)));
        broken.collect()
    }

    /// Has everybody look at the pipelines anew.
    pub(crate) fn tell(&self) {
        self.changed.send_modify(|times| *times += 1);
    }

    /// Told when pipelines have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The plan of a version that a run is made of.
    ///
    /// # Errors
    /// Says what is wrong when this program cannot make a plan of it any more.
    pub(crate) async fn version(
        &self,
        hash: &str,
        kept: impl AsyncFnOnce() -> Result<PipelineVersion, String>,
    ) -> Result<Arc<Plan>, String> {
        let current = self
            .lock()
            .values()
            .find_map(|known| known.plan.clone().filter(|plan| plan.source.hash == hash));
        let compiled = self
            .versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(hash)
            .cloned();
        if let Some(plan) = current.or(compiled) {
            return Ok(plan);
        }
        let plan = self.library.version(kept().await?).await?;
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if versions.len() >= VERSIONS {
            versions.pop_first();
        }
        versions.insert(hash.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }
}

fn learn(old: Option<&Known>, path: String, plan: Result<Arc<Plan>, String>) -> Known {
    match plan {
        Ok(plan) => Known {
            path,
            plan: Some(plan),
            error: None,
        },
        Err(error) => Known {
            path,
            plan: old.and_then(|old| old.plan.clone()),
            error: Some(error),
        },
    }
}

fn hash(known: &Known) -> Option<&str> {
    known.plan.as_ref().map(|plan| plan.source.hash.as_str())
}

fn report(name: &str, now: &Known, edited: bool) {
    match (&now.error, &now.plan) {
        (Some(error), Some(_)) => tracing::error!(
            pipeline = name,
            "{error}; the last good version stays in force"
        ),
        (Some(error), None) => tracing::error!(pipeline = name, "{error}; nothing starts it"),
        (None, _) if edited => tracing::info!(
            pipeline = name,
            "edited: what starts from now on runs the new version"
        ),
        (None, _) => tracing::info!(pipeline = name, "found"),
    }
}
