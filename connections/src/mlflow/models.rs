//! Registered models of an MLflow server: versions, aliases, and their files.

use bytes::Bytes;
use pipectl_engine::operator::TaskError;
use serde_json::{Value, json};

use super::{
    client::{Mlflow, Reply, done, found, made, text},
    runs::MlflowRun,
};
use crate::http::Caller;

/// How often a version is looked for and made when it is not known whether it was made.
const TRIES: u32 = 3;

/// A version of a registered model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MlflowModel {
    /// The registered name.
    pub name: String,
    /// Its number.
    pub version: u32,
    /// Where its files come from.
    pub source: String,
    /// The run that made it, when there was one.
    pub run: Option<String>,
    /// When it was registered, in milliseconds since 1970.
    pub created: i64,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

impl MlflowModel {
    fn read(value: &Value) -> Result<Self, TaskError> {
        let version = text(value, "/version")?;
        let wrong =
            || TaskError::external(format!("MLflow has answered with the version `{version}`"));
        let tags = value.get("tags").and_then(Value::as_array);
        let tags = tags.into_iter().flatten().filter_map(|tag| {
            let of = |key: &str| tag.get(key)?.as_str().map(ToOwned::to_owned);
            Some((of("key")?, of("value")?))
        });
        let created = value.get("creation_timestamp");
        Ok(Self {
            name: text(value, "/name")?,
            version: version.parse().map_err(|_| wrong())?,
            source: text(value, "/source").unwrap_or_default(),
            run: text(value, "/run_id").ok().filter(|run| !run.is_empty()),
            // Some servers write large numbers as text.
            created: created
                .and_then(|at| at.as_i64().or_else(|| at.as_str()?.parse().ok()))
                .unwrap_or_default(),
            tags: tags.collect(),
        })
    }

    /// A tag's value.
    pub fn tag(&self, key: &str) -> Option<&str> {
        let mut tags = self.tags.iter();
        let found = tags.find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }
}

impl Mlflow {
    /// The version that an alias points to.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn aliased(
        &self,
        name: &str,
        alias: &str,
        caller: &Caller<'_>,
    ) -> Result<Option<MlflowModel>, TaskError> {
        let query = [("name", name), ("alias", alias)];
        match self.get("registered-models/alias", &query, caller).await? {
            // An alias that is not there is a wrong parameter in its eyes.
            Reply::Refused(code, _)
                if matches!(
                    code.as_str(),
                    "RESOURCE_DOES_NOT_EXIST" | "INVALID_PARAMETER_VALUE"
                ) =>
            {
                Ok(None)
            }
            reply => version_of(&done(reply)?).map(Some),
        }
    }

    /// A version by its number.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn model(
        &self,
        name: &str,
        version: u32,
        caller: &Caller<'_>,
    ) -> Result<Option<MlflowModel>, TaskError> {
        let number = version.to_string();
        let query = [("name", name), ("version", number.as_str())];
        let reply = self.get("model-versions/get", &query, caller).await?;
        found(reply)?.as_ref().map(version_of).transpose()
    }

    /// A file of a version, such as `MLmodel`.
    ///
    /// # Errors
    /// When the server cannot be asked, or there is no such file.
    pub async fn model_file(
        &self,
        model: &MlflowModel,
        path: &str,
        caller: &Caller<'_>,
    ) -> Result<Bytes, TaskError> {
        let number = model.version.to_string();
        let query = [("path", path), ("name", &model.name), ("version", &number)];
        self.file(query, caller).await
    }

    /// The version of `name` that a run has made, registered when there is none: however often it is asked for, there is
    /// one.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn register(
        &self,
        name: &str,
        run: &MlflowRun,
        directory: &str,
        tags: &[(&str, String)],
        caller: &Caller<'_>,
    ) -> Result<MlflowModel, TaskError> {
        let body = json!({"name": name});
        made(self.post("registered-models/create", &body, caller).await?)?;
        let new = json!({
            "name": name,
            "source": format!("{}/{directory}", run.artifacts.trim_end_matches('/')),
            "run_id": run.id,
            "tags": tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect::<Vec<_>>(),
        });
        let mut tries = 0;
        loop {
            tries += 1;
            if let Some(version) = self.made_by(name, &run.id, caller).await? {
                return Ok(version);
            }
            let made = self.post_once("model-versions/create", &new, caller).await;
            match made.and_then(done) {
                Ok(made) => return version_of(&made),
                // Perhaps it is there all the same.
                Err(error) if error.retryable && tries < TRIES => {
                    (caller.tell)(format!("{}; looking whether it is there", error.message));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn made_by(
        &self,
        name: &str,
        run: &str,
        caller: &Caller<'_>,
    ) -> Result<Option<MlflowModel>, TaskError> {
        let filter = format!("name='{name}' and run_id='{run}'");
        let query = [("filter", filter.as_str()), ("max_results", "1")];
        let found = done(self.get("model-versions/search", &query, caller).await?)?;
        let first = found.pointer("/model_versions/0");
        first.map(MlflowModel::read).transpose()
    }

    /// Points an alias to a version.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn set_alias(
        &self,
        model: &MlflowModel,
        alias: &str,
        caller: &Caller<'_>,
    ) -> Result<(), TaskError> {
        let version = model.version.to_string();
        let body = json!({"name": model.name, "alias": alias, "version": version});
        done(self.post("registered-models/alias", &body, caller).await?).map(drop)
    }
}

fn version_of(answer: &Value) -> Result<MlflowModel, TaskError> {
    MlflowModel::read(answer.get("model_version").unwrap_or(&Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read() {
        let answer = json!({"model_version": {
            "name": "churn", "version": "3", "creation_timestamp": "1700000000000", "source": "models:/m-1",
            "run_id": "", "tags": [{"key": "pipectl_digest", "value": "abc"}],
        }});
        let model = version_of(&answer).unwrap();
        assert_eq!(
            (
                model.name.as_str(),
                model.version,
                model.created,
                &model.run
            ),
            ("churn", 3, 1_700_000_000_000, &None)
        );
        assert_eq!(
            (model.tag("pipectl_digest"), model.tag("x")),
            (Some("abc"), None)
        );
        let error = version_of(&json!({})).unwrap_err();
        assert_eq!(error.message, "MLflow has answered without `version`");
    }
}
