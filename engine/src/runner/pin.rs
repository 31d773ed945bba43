//! Pins the models that settings name: what may point elsewhere tomorrow becomes a version.

use serde_json::Value;

use super::{drive::Drive, patience::patiently};
use crate::{
    model::{MlflowReference, MlflowVersion, ModelVersion, Reference, best_version},
    operator::{ModelPinner, TaskError},
    spec::suggest,
    store::StoreError,
};

impl Drive {
    /// A model with its version: `churn`, `churn@challenger` and `{name: churn, best: f1}` become `churn:7`. What names a
    /// version, a file or a model that ships stays as it is.
    pub(super) async fn pin(&self, model: &Value) -> Result<Value, TaskError> {
        let text = match model {
            Value::String(text) => text,
            Value::Object(map) => {
                return match (map.get("name"), map.get("best")) {
                    (Some(Value::String(name)), Some(Value::String(best))) => {
                        self.pin_best(name, best).await.map(Value::String)
                    }
                    _ => Ok(model.clone()),
                };
            }
            _ => return Ok(model.clone()),
        };
        let reference = Reference::parse(text)
            .map_err(|error| TaskError::user(error.message).hint(error.hint))?;
        Ok(Value::String(match reference {
            Reference::Alias { name, alias } => self.pin_alias(text, name, alias).await?,
            Reference::Mlflow(reference) => self.pin_remote(reference).await?,
            Reference::Version { .. } | Reference::Zoo(_) | Reference::File(_) => text.clone(),
        }))
    }

    async fn pin_alias(&self, text: &str, name: &str, alias: &str) -> Result<String, TaskError> {
        let found = patiently(|| self.parts.store.aliased(name, alias)).await;
        let version = found
            .map_err(unreadable)?
            .ok_or_else(|| unregistered(text))?;
        Ok(named(&version))
    }

    async fn pin_best(&self, name: &str, measure: &str) -> Result<String, TaskError> {
        let versions = patiently(|| self.parts.store.versions(name)).await;
        let versions = versions.map_err(unreadable)?;
        if versions.is_empty() {
            return Err(unregistered(name));
        }
        if let Some(best) = best_version(&versions, measure) {
            return Ok(named(best));
        }
        let mut known: Vec<&str> = versions
            .iter()
            .flat_map(|version| version.metrics.keys().map(String::as_str))
            .collect();
        known.sort_unstable();
        known.dedup();
        let message = format!("no version of the model `{name}` has the measure `{measure}`");
        Err(TaskError::user(message).hint(suggest::hint(measure, known)))
    }

    async fn pin_remote(&self, reference: MlflowReference<'_>) -> Result<String, TaskError> {
        let MlflowVersion::Alias(_) = reference.version else {
            return Ok(reference.to_string());
        };
        let parts = &self.parts;
        let Some(remote) = parts.services.get::<ModelPinner>() else {
            let message = format!("the model `{reference}`: nobody here can ask MLflow");
            return Err(TaskError::user(message));
        };
        let version = remote.version(&parts.project, &*parts.clock, reference);
        let version = MlflowVersion::Number(version.await?);
        let pinned = MlflowReference {
            version,
            ..reference
        };
        Ok(pinned.to_string())
    }
}

fn named(version: &ModelVersion) -> String {
    format!("{}:{}", version.name, version.version)
}

fn unreadable(error: StoreError) -> TaskError {
    TaskError::external("cannot read the model registry").because(error)
}

fn unregistered(text: &str) -> TaskError {
    TaskError::user(format!("no model `{text}` is registered")).hint(
        "`pipectl models list` shows those that are; a `train` task with `register:` makes one",
    )
}
