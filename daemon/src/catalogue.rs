//! The pipelines that a daemon knows.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use pipectl_engine::{
    plan::Plan,
    store::{PipelineVersion, Store},
};
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
    /// The versions that stand in the history, so that the last good one is found there after a restart.
    kept: Mutex<HashSet<String>>,
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
            kept: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files again. A broken edit keeps the last good version, which after a restart is the one that stands in
    /// the history, and is said once.
    pub(crate) async fn refresh(&self, store: &dyn Store) {
        let entries = match self.library.entries().await {
            Ok(entries) => entries,
            Err(error) => return tracing::error!(error, "the pipelines cannot be read"),
        };
        let mut last_good = BTreeMap::new();
        for entry in &entries {
            match &entry.plan {
                Ok(plan) => self.keep(store, plan).await,
                Err(_) if self.has_plan(&entry.name) => {}
                Err(_) => {
                    let plan = self.last_good(store, &entry.name).await;
                    last_good.extend(plan.map(|plan| (entry.name.clone(), plan)));
                }
            }
        }
        let mut known = self.lock();
        let before = std::mem::take(&mut *known);
        let mut differs = before.len() != entries.len();
        for entry in entries {
            let old = before.get(&entry.name);
            let last = last_good.remove(&entry.name);
            let now = learn(old, last, entry.path, entry.plan);
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

    /// The pipelines whose file is broken and of which no good version is known.
    pub(crate) fn unknown(&self) -> HashSet<String> {
        let known = self.lock();
        let unknown = known.iter().filter(|(_, known)| known.plan.is_none());
        unknown.map(|(name, _)| name.clone()).collect()
    }

    fn has_plan(&self, name: &str) -> bool {
        self.lock()
            .get(name)
            .is_some_and(|known| known.plan.is_some())
    }

    /// Keeps a version in the history when it is first seen.
    async fn keep(&self, store: &dyn Store, plan: &Plan) {
        let hash = &plan.source.hash;
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept().contains(hash) {
            return;
        }
        match store.put_version(&PipelineVersion::of(plan)).await {
            Ok(()) => drop(kept().insert(hash.clone())),
            Err(error) => tracing::debug!(%error, "cannot keep the version of `{}`", plan.name),
        }
    }

    /// The version of a pipeline that the history has seen last.
    async fn last_good(&self, store: &dyn Store, name: &str) -> Option<Arc<Plan>> {
        let version = match store.last_version(name).await {
            Ok(version) => version?,
            Err(error) => {
                tracing::warn!(%error, "cannot read the last good version of `{name}`");
                return None;
            }
        };
        match self.library.version(version).await {
            Ok(plan) => Some(plan),
            Err(error) => {
                tracing::debug!("the last version of `{name}` is not good any more: {error}");
                None
            }
        }
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

fn learn(
    old: Option<&Known>,
    last: Option<Arc<Plan>>,
    path: String,
    plan: Result<Arc<Plan>, String>,
) -> Known {
    match plan {
        Ok(plan) => Known {
            path,
            plan: Some(plan),
            error: None,
        },
        Err(error) => Known {
            path,
            plan: old.and_then(|old| old.plan.clone()).or(last),
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

#[cfg(test)]
mod tests {
    use pipectl_engine::plan::testing;

    use crate::testing::Bench;

    #[tokio::test]
    async fn a_broken_file_keeps_its_last_good_version_over_a_restart() {
        let bench = Bench::new();
        let mut first = testing::plan("churn");
        first.source.hash = "first".to_owned();
        bench.files.put(first);
        let desk = bench.desk().await;
        let mut second = testing::plan("churn");
        second.source.hash = "second".to_owned();
        bench.files.put(second);
        desk.catalogue.refresh(&*bench.store).await;
        bench.files.break_("churn");
        bench.files.break_("never_good");
        let again = bench.desk().await;
        let plans = again.catalogue.plans();
        let hashes: Vec<_> = plans.iter().map(|plan| plan.source.hash.as_str()).collect();
        assert_eq!(hashes, ["second"]);
        assert_eq!(again.catalogue.broken().len(), 2);
        assert!(again.catalogue.unknown().contains("never_good"));
    }
}
