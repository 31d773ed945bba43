//! Models by reference: a registered version, or a file of the project.

use std::sync::Arc;

use bytes::Bytes;
use pipectl_engine::{
    artifact::sha256,
    operator::{TaskContext, TaskError},
};
use pipectl_models::{ModelError, scorer::Model};

use super::{files::io_error, frame::polars_error};

/// The alias that a bare name stands for.
const CHAMPION: &str = "champion";

/// What a reference points to.
#[derive(Debug, PartialEq, Eq)]
enum Reference<'a> {
    Version(&'a str, u32),
    Alias(&'a str, &'a str),
    File(&'a str),
}

fn parse(text: &str) -> Result<Reference<'_>, TaskError> {
    let unsupported = |what: &str| {
        TaskError::user(format!("the model `{text}`: {what} cannot be used yet")).hint(
            "name a registered model (`churn`, `churn@champion`, `churn:7`) or an `.onnx` file",
        )
    };
    if text.starts_with("zoo:") {
        return Err(unsupported("a model that ships"));
    }
    if text.starts_with("mlflow:") {
        return Err(unsupported("a model of MLflow"));
    }
    let is_file = std::path::Path::new(text)
        .extension()
        .is_some_and(|extension| extension == "onnx");
    if is_file || text.contains('/') {
        return Ok(Reference::File(text));
    }
    if let Some((name, version)) = text.split_once(':') {
        let version = version.parse().map_err(|_| {
            TaskError::user(format!("the model `{text}`: `{version}` is no version"))
        })?;
        return Ok(Reference::Version(name, version));
    }
    let (name, alias) = text.split_once('@').unwrap_or((text, CHAMPION));
    Ok(Reference::Alias(name, alias))
}

/// Loads the model that a reference names; the digest of a registered one is checked.
///
/// # Errors
/// When there is no such model, or its file cannot be read or used.
pub(crate) async fn load(context: &TaskContext, reference: &str) -> Result<Arc<Model>, TaskError> {
    let file = content(context, reference).await?;
    let shown = reference.to_owned();
    context
        .compute(move || {
            Model::load(&file).map(Arc::new).map_err(|error| {
                let error = model_error(error);
                TaskError {
                    message: format!("the model `{shown}`: {}", error.message),
                    ..error
                }
            })
        })
        .await
}

async fn content(context: &TaskContext, reference: &str) -> Result<Bytes, TaskError> {
    let registry = |error| TaskError::external("cannot read the model registry").because(error);
    let found = match parse(reference)? {
        Reference::File(path) => {
            let file = context.project.path(path);
            return std::fs::read(file)
                .map(Bytes::from)
                .map_err(|error| io_error("read", path, error));
        }
        Reference::Version(name, version) => context.models.model(name, version).await,
        Reference::Alias(name, alias) => context.models.aliased(name, alias).await,
    };
    let version = found.map_err(registry)?.ok_or_else(|| {
        TaskError::user(format!("no model `{reference}` is registered")).hint(
            "`pipectl models list` shows those that are; a `train` task with `register:` makes one",
        )
    })?;
    let file = context
        .artifacts
        .get(&version.artifact)
        .await
        .map_err(|error| {
            TaskError::external(format!("cannot read the model `{reference}`")).because(error)
        })?;
    if sha256(&file) != version.digest {
        return Err(TaskError::external(format!(
            "the file of the model `{reference}` is not the one that was registered"
        ))
        .retryable(false));
    }
    Ok(file)
}

/// A failure of the models' crate as a task's.
pub(crate) fn model_error(error: ModelError) -> TaskError {
    match error {
        ModelError::Frame(error) => polars_error("read the rows", &error),
        ModelError::Cancelled => TaskError::external("the attempt was stopped"),
        ModelError::Internal(message) => TaskError::bug(message),
        other => TaskError::user(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Reference, parse};

    #[test]
    fn references_are_told_apart() {
        let cases = [
            ("churn", Reference::Alias("churn", "champion")),
            ("churn@challenger", Reference::Alias("churn", "challenger")),
            ("churn:7", Reference::Version("churn", 7)),
            ("models/a.onnx", Reference::File("models/a.onnx")),
            ("a.onnx", Reference::File("a.onnx")),
        ];
        for (text, reference) in cases {
            assert_eq!(parse(text).unwrap(), reference);
        }
        for wrong in ["churn:x", "zoo:churn", "mlflow://a@b"] {
            assert!(parse(wrong).is_err());
        }
    }
}
