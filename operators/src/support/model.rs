//! Models by reference: a registered version, one that ships, one of MLflow, or a file of the project.

use std::sync::Arc;

use bytes::Bytes;
use pipectl_engine::{
    artifact::{sha256, sha256_of_file},
    model::{ModelVersion, Reference},
    operator::{MadeOf, TaskContext, TaskError},
};
use pipectl_models::{ModelError, scorer::Model, zoo};

use crate::inference::rooms;

use super::{files::io_error, frame::polars_error, mlflow, text::list};

/// Loads the model that a reference names; the digest of a registered one is checked.
///
/// # Errors
/// When there is no such model, or its file cannot be read or used.
pub(crate) async fn load(context: &TaskContext, reference: &str) -> Result<Arc<Model>, TaskError> {
    let file = content(context, reference).await?;
    let shown = reference.to_owned();
    context
        .compute(move || {
            Model::load(&file)
                .map(Arc::new)
                .map_err(|error| of_model(&shown, model_error(error)))
        })
        .await
}

/// A model that scores, with its file.
pub(crate) struct Opened {
    pub(crate) model: Model,
    pub(crate) file: Bytes,
}

/// Opens the model that a reference names, whoever has written it; `columns` names what an input reads that is several
/// columns wide.
///
/// # Errors
/// As [`load`]; when it is not known what the model reads or answers.
pub(crate) async fn open(
    context: &TaskContext,
    reference: &str,
    columns: &[String],
) -> Result<Opened, TaskError> {
    let file = content(context, reference).await?;
    let (shown, columns) = (reference.to_owned(), columns.to_vec());
    let rooms = rooms(&context.project);
    context
        .compute(move || {
            let model = Model::open(&file, &rooms, &columns)
                .map_err(|error| of_model(&shown, model_error(error)))?;
            Ok(Opened { model, file })
        })
        .await
}

/// The error, with the model's name before it.
pub(crate) fn of_model(reference: &str, error: TaskError) -> TaskError {
    TaskError {
        message: format!("the model `{reference}`: {}", error.message),
        ..error
    }
}

/// What tells the model of a reference from another one: a version of the registry by its name, a file by its hash.
pub(crate) fn made_of(context: &TaskContext, reference: &str) -> MadeOf {
    match Reference::parse(reference) {
        Ok(Reference::Version { .. }) => MadeOf::Inputs,
        Ok(Reference::File(path)) => match sha256_of_file(&context.project.path(path)) {
            Ok((hash, _)) => MadeOf::Also(hash),
            Err(error) => MadeOf::Unknown(io_error("read", path, error).full_message()),
        },
        Ok(Reference::Zoo(name)) => match zoo::find(name) {
            Some(model) => MadeOf::Also(sha256(model.content)),
            None => MadeOf::Inputs,
        },
        Ok(Reference::Alias { .. } | Reference::Mlflow(_)) => {
            MadeOf::Unknown(format!("`{reference}` may be another version now"))
        }
        Err(error) => MadeOf::Unknown(error.message),
    }
}

/// The file that a reference names; the digest of a registered one is checked.
///
/// # Errors
/// When there is no such model, or its file cannot be read.
pub(crate) async fn content(context: &TaskContext, reference: &str) -> Result<Bytes, TaskError> {
    let registry = |error| TaskError::external("cannot read the model registry").because(error);
    let parsed = Reference::parse(reference)
        .map_err(|error| TaskError::user(error.message).hint(error.hint))?;
    let found = match parsed {
        Reference::File(path) => {
            let file = context.project.path(path);
            return std::fs::read(file)
                .map(Bytes::from)
                .map_err(|error| io_error("read", path, error));
        }
        Reference::Zoo(name) => return shipped(name),
        Reference::Mlflow(reference) => return mlflow::fetch(context, reference).await,
        Reference::Version { name, version } => context.models.model(name, version).await,
        Reference::Alias { name, alias } => context.models.aliased(name, alias).await,
    };
    let version = found.map_err(registry)?.ok_or_else(|| {
        TaskError::user(format!("no model `{reference}` is registered")).hint(
            "`pipectl models list` shows those that are; a `train` task with `register:` makes one",
        )
    })?;
    registered(context, reference, &version).await
}

/// The file of a registered version; it must be the one that was registered.
async fn registered(
    context: &TaskContext,
    reference: &str,
    version: &ModelVersion,
) -> Result<Bytes, TaskError> {
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

/// The file of a model that ships.
fn shipped(name: &str) -> Result<Bytes, TaskError> {
    if let Some(model) = zoo::find(name) {
        return Ok(Bytes::from_static(model.content));
    }
    let names: Vec<String> = zoo::all()
        .iter()
        .map(|model| format!("zoo:{}", model.name))
        .collect();
    let hint = if names.is_empty() {
        "this build ships none".to_owned()
    } else {
        format!("there are {}", list(names.iter().map(String::as_str)))
    };
    Err(TaskError::user(format!("no model `zoo:{name}` ships")).hint(hint))
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
    use pipectl_engine::{
        model::less_is_better,
        operator::{Fault, testing::TestProject},
    };
    use pipectl_models::metrics::Metric;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_model_says_so() {
        let project = TestProject::new();
        project.write("models/a.onnx", [0x80, 4, 0x95]);
        for (reference, message) in [
            ("churn", "no model `churn` is registered"),
            ("churn:3", "no model `churn:3` is registered"),
            ("churn@best", "no model `churn@best` is registered"),
            ("Churn", "`Churn` names no model"),
            ("zoo:nothing", "no model `zoo:nothing` ships"),
            (
                "mlflow://churn@best",
                "a model of MLflow is named, but no server is configured",
            ),
            (
                "models/a.onnx",
                "the model `models/a.onnx`: not a usable model: this is a Python pickle",
            ),
        ] {
            let error = load(&project.context(), reference).await.unwrap_err();
            assert_eq!(error.fault, Fault::User, "{reference}");
            assert!(error.message.starts_with(message), "{}", error.message);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_ships_is_loaded() {
        let project = TestProject::new();
        for model in zoo::all() {
            let reference = format!("zoo:{}", model.name);
            let loaded = load(&project.context(), &reference).await.unwrap();
            assert_eq!(loaded.digest(), sha256(model.content), "{reference}");
        }
    }

    /// `{name: churn, best: log_loss}` is pinned by the engine, which does not know our metrics.
    #[test]
    fn the_engine_knows_of_which_metrics_less_is_better() {
        for metric in Metric::CLASSES.into_iter().chain(Metric::QUANTITY) {
            let name = metric.name();
            assert_eq!(
                less_is_better(name),
                !metric.higher_is_better(),
                "`{name}`: see engine/src/model/best.rs"
            );
        }
    }
}
