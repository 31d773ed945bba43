//! Models for the port: those of the registry, those that ship, files of the project.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pipectl_engine::{
    artifact::{ArtifactStore, sha256},
    model::{ModelVersion, Reference},
    project::Project,
    spec::suggest,
    store::Store,
};
use pipectl_models::zoo;
use pipectl_operators::rooms;
use pipectl_server::{Found, ModelSource, Shelf, SourceError};

use crate::wire::House;

/// Where the models of a house are.
struct Models {
    store: Arc<dyn Store>,
    artifacts: Arc<dyn ArtifactStore>,
    project: Arc<Project>,
}

/// An empty shelf for the models of a house; `default` is what `/predict` asks.
pub(crate) fn shelf(house: &House, default: Option<String>) -> Arc<Shelf> {
    let source = Models {
        store: Arc::clone(&house.store),
        artifacts: Arc::clone(&house.artifacts),
        project: Arc::clone(&house.project),
    };
    Arc::new(Shelf::new(Arc::new(source), rooms(&house.project), default))
}

fn away(error: impl std::fmt::Display) -> SourceError {
    SourceError::Unavailable(format!("the model registry cannot be read: {error}"))
}

impl Models {
    async fn registered(&self, reference: &str) -> Result<ModelVersion, SourceError> {
        let (name, found) = match Reference::parse(reference) {
            Ok(Reference::Version { name, version }) => {
                (name, self.store.model(name, version).await)
            }
            Ok(Reference::Alias { name, alias }) => (name, self.store.aliased(name, alias).await),
            _ => {
                return Err(SourceError::Unknown(format!(
                    "`{reference}` names no model"
                )));
            }
        };
        if let Some(version) = found.map_err(away)? {
            return Ok(version);
        }
        let names = self.store.models().await.map_err(away)?;
        let similar = suggest::similar(name, names.iter().map(String::as_str));
        let similar = similar.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        Err(SourceError::Unknown(format!(
            "no model `{reference}` is registered{similar}"
        )))
    }

    /// The file of a model that is in no registry.
    fn unregistered(&self, reference: &str) -> Option<Result<(String, Bytes), SourceError>> {
        match Reference::parse(reference).ok()? {
            Reference::Zoo(name) => Some(match zoo::find(name) {
                Some(model) => Ok((name.to_owned(), Bytes::from_static(model.content))),
                None => Err(SourceError::Unknown(format!("no model `{reference}` ships"))),
            }),
            Reference::File(path) => Some(match std::fs::read(self.project.path(path)) {
                Ok(content) => Ok((path.to_owned(), content.into())),
                Err(error) => Err(SourceError::Unknown(format!("cannot read `{path}`: {error}"))),
            }),
            Reference::Mlflow(_) => Some(Err(SourceError::Unknown(
                "models of MLflow are served from the registry: `pipectl models import` brings them there".to_owned(),
            ))),
            Reference::Version { .. } | Reference::Alias { .. } => None,
        }
    }
}

#[async_trait]
impl ModelSource for Models {
    fn is_registered(&self, reference: &str) -> bool {
        matches!(
            Reference::parse(reference),
            Ok(Reference::Version { .. } | Reference::Alias { .. })
        )
    }

    async fn find(&self, reference: &str) -> Result<Found, SourceError> {
        if let Some(file) = self.unregistered(reference) {
            let (name, content) = file?;
            return Ok(Found {
                name,
                version: None,
                digest: sha256(&content),
            });
        }
        let version = self.registered(reference).await?;
        Ok(Found {
            name: version.name,
            version: Some(version.version),
            digest: version.digest,
        })
    }

    async fn content(&self, reference: &str, found: &Found) -> Result<Bytes, SourceError> {
        if let Some(file) = self.unregistered(reference) {
            return file.map(|(_, content)| content);
        }
        let Some(number) = found.version else {
            return Err(SourceError::Unknown(format!(
                "`{reference}` has no version"
            )));
        };
        let version = self.registered(&format!("{}:{number}", found.name)).await?;
        let content = self.artifacts.get(&version.artifact).await.map_err(away)?;
        if sha256(&content) != found.digest {
            return Err(SourceError::Unavailable(format!(
                "the file of `{}:{number}` is not the one that was registered",
                found.name
            )));
        }
        Ok(content)
    }

    async fn names(&self) -> Result<Vec<String>, SourceError> {
        self.store.models().await.map_err(away)
    }

    async fn changed(&self) {
        self.store.changed().await;
    }
}
