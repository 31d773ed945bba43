//! The models that are loaded. Requests read them without waiting; who takes over a new version swaps it in.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::http::StatusCode;
use pipectl_models::{rooms::Rooms, scorer::Model};
use tokio_util::sync::CancellationToken;

use super::{
    meters::Meters,
    refusal::Refusal,
    source::{Found, ModelSource},
};

/// How often it is looked whether another version stands behind a name, when nobody tells.
const POLL: Duration = Duration::from_secs(5);
/// How many models are loaded at the same time; more are refused.
const MOST: usize = 64;

/// A loaded model.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) found: Found,
    pub(super) model: Model,
}

/// The models that are loaded.
pub struct Shelf {
    source: Arc<dyn ModelSource>,
    rooms: Rooms,
    /// What `/predict` asks.
    default: Option<String>,
    loaded: RwLock<HashMap<String, Arc<Loaded>>>,
    pub(super) meters: Meters,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl Shelf {
    /// An empty shelf; `default` is what `/predict` asks.
    pub fn new(source: Arc<dyn ModelSource>, rooms: Rooms, default: Option<String>) -> Self {
        Self {
            source,
            rooms,
            default,
            loaded: RwLock::default(),
            meters: Meters::default(),
        }
    }

    /// Loads a model before anybody asks for it.
    ///
    /// # Errors
    /// Says why that cannot be.
    pub async fn warm(&self, reference: &str) -> Result<String, String> {
        let loaded = self
            .fetch(reference)
            .await
            .map_err(|refusal| refusal.message)?;
        Ok(match loaded.found.version {
            Some(version) => format!("{}:{version}", loaded.found.name),
            None => loaded.found.name.clone(),
        })
    }

    /// The measures, in Prometheus' text format.
    pub fn measures(&self) -> String {
        self.meters.text()
    }

    /// What `/predict` asks: what was named, else the only model that there is.
    pub(super) async fn default(&self) -> Result<Arc<Loaded>, Refusal> {
        if let Some(name) = &self.default {
            return self.get(name).await;
        }
        let names = self.source.names().await?;
        match names.as_slice() {
            [one] => self.get(one).await,
            [] => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "no model is registered: a `train` task with `register:` makes one",
            )),
            many => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                format!(
                    "there are several models ({}): start `pipectl serve --model NAME`, or ask /v1/models/NAME/predict",
                    many.join(", ")
                ),
            )),
        }
    }

    /// The model behind a reference that somebody has sent: one that is loaded, or registered.
    pub(super) async fn get(&self, reference: &str) -> Result<Arc<Loaded>, Refusal> {
        if let Some(loaded) = self.read().get(reference) {
            return Ok(Arc::clone(loaded));
        }
        if !self.source.is_registered(reference) {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                format!("`{}` names no registered model", reference.escape_debug()),
            ));
        }
        self.fetch(reference).await
    }

    /// Loads the model behind a reference.
    async fn fetch(&self, reference: &str) -> Result<Arc<Loaded>, Refusal> {
        if self.read().len() >= MOST {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{MOST} models are loaded already"),
            ));
        }
        let found = self.source.find(reference).await?;
        let loaded = Arc::new(self.load(reference, found).await?);
        self.put(reference, &loaded);
        Ok(loaded)
    }

    pub(super) async fn names(&self) -> Result<Vec<String>, Refusal> {
        Ok(self.source.names().await?)
    }

    /// Takes over new versions until `stop`. What cannot be loaded, or looked for, leaves the old one where it is.
    pub async fn follow(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.source.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            let references: Vec<(String, String)> = self
                .read()
                .iter()
                .map(|(reference, loaded)| (reference.clone(), loaded.found.digest.clone()))
                .collect();
            for (reference, digest) in references {
                let found = match self.source.find(&reference).await {
                    Ok(found) => found,
                    Err(error) => {
                        tracing::debug!(?error, "cannot look for a newer `{reference}`");
                        continue;
                    }
                };
                if found.digest == digest {
                    continue;
                }
                match self.load(&reference, found).await {
                    Ok(loaded) => {
                        let version = loaded.found.version;
                        tracing::info!(?version, "`{reference}` is another version now");
                        self.put(&reference, &Arc::new(loaded));
                    }
                    Err(error) => {
                        tracing::error!(
                            "the new version of `{reference}` cannot be used, the old one stays: {}",
                            error.message
                        );
                    }
                }
            }
        }
    }

    async fn load(&self, reference: &str, found: Found) -> Result<Loaded, Refusal> {
        let content = self.source.content(reference, &found).await?;
        let (rooms, shown) = (self.rooms.clone(), reference.to_owned());
        let opened = tokio::task::spawn_blocking(move || Model::open(&content, &rooms, &[])).await;
        let model = opened
            .map_err(|_| {
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "loading the model panicked",
                )
            })?
            .map_err(|error| {
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("the model `{shown}`: {error}"),
                )
            })?;
        Ok(Loaded { found, model })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Arc<Loaded>>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, reference: &str, loaded: &Arc<Loaded>) {
        let mut shelf = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        shelf.insert(reference.to_owned(), Arc::clone(loaded));
    }
}
