//! Makes what an attempt puts out durable, before its success is written.

use std::sync::Arc;

use polars::error::PolarsError;

use super::Parts;
use crate::{
    artifact::check_file,
    dataset::{Dataset, StoredDataset, WriteError},
    id::RunId,
    operator::{Artifact, NewModel, Output, TaskContext, TaskError},
    store::{
        ArtifactRecord, CHAMPION, Contender, OutputRecord, RegisterModel, StoreError, promotion,
        sha256,
    },
};

/// What an attempt has put out, all of it durable.
#[derive(Debug, Default)]
pub(super) struct Persisted {
    pub(super) record: OutputRecord,
    pub(super) datasets: Vec<(String, Dataset)>,
    pub(super) register: Option<RegisterModel>,
    pub(super) state: Option<serde_json::Value>,
    /// The run whose output this is, when it was found rather than made.
    pub(super) taken_from: Option<RunId>,
}

/// Writes the datasets, files and model of `output`.
pub(super) async fn output(
    parts: &Arc<Parts>,
    context: &TaskContext,
    output: Output,
) -> Result<Persisted, TaskError> {
    let Output {
        datasets,
        artifacts,
        metrics,
        values,
        warnings,
        model,
        state,
    } = output;
    let prefix = context.prefix();
    let mut done = Persisted {
        record: OutputRecord {
            values,
            metrics,
            warnings,
            ..OutputRecord::default()
        },
        state,
        ..Persisted::default()
    };
    for (name, dataset) in datasets {
        if context.passes_on {
            done.datasets.push((name, dataset));
            continue;
        }
        let dataset = store_dataset(parts, &prefix, name.clone(), dataset).await?;
        done.record.datasets.extend(dataset.stored().cloned());
        done.datasets.push((name, dataset));
    }
    for artifact in artifacts {
        done.record
            .artifacts
            .push(store_artifact(parts, &prefix, artifact).await?);
    }
    if let Some(model) = model {
        let model = store_model(parts, context, model).await?;
        done.record.warnings.extend(unjudged(parts, &model).await);
        done.record.values.insert(
            "model".to_owned(),
            format!("{}:{}", model.name, model.version).into(),
        );
        done.record
            .values
            .insert("version".to_owned(), model.version.into());
        done.register = Some(model);
    }
    Ok(done)
}

/// Keeps the files that belong to a failure; what cannot be kept is left out.
pub(super) async fn evidence(
    parts: &Arc<Parts>,
    context: &TaskContext,
    artifacts: Vec<Artifact>,
) -> Vec<ArtifactRecord> {
    let prefix = context.prefix();
    let mut kept = Vec::new();
    for artifact in artifacts {
        match store_artifact(parts, &prefix, artifact).await {
            Ok(record) => kept.push(record),
            Err(error) => context.log.warn(format!(
                "cannot keep a file of this failure: {}",
                error.full_message()
            )),
        }
    }
    kept
}

fn failed(what: &str) -> impl FnOnce(StoreError) -> TaskError {
    let message = format!("cannot keep {what} in the artifact store");
    move |error| TaskError::external(message).because(error)
}

async fn store_dataset(
    parts: &Arc<Parts>,
    prefix: &str,
    name: String,
    dataset: Dataset,
) -> Result<Dataset, TaskError> {
    if dataset.stored().is_some() {
        return Ok(dataset);
    }
    let key = format!("{prefix}/{name}.parquet");
    let temporary = parts.artifacts.temporary();
    let (path, source) = (temporary.clone(), dataset.clone());
    let written = blocking(move || source.write(&path).map_err(unwritten)).await?;
    parts
        .artifacts
        .put_file(&key, temporary)
        .await
        .map_err(failed(&format!("the dataset `{name}`")))?;
    let stored = dataset.stored_as(&name, &key, written);
    if dataset.in_memory().is_some() {
        return Ok(dataset.with_stored(stored));
    }
    opened(parts, stored, false).await
}

/// Opens a durable dataset, if its file is still the one that was written.
pub(super) async fn open(parts: &Arc<Parts>, stored: StoredDataset) -> Result<Dataset, TaskError> {
    opened(parts, stored, true).await
}

async fn opened(
    parts: &Arc<Parts>,
    stored: StoredDataset,
    check: bool,
) -> Result<Dataset, TaskError> {
    let what = format!("cannot read the dataset `{}`", stored.name);
    let failed = |error| TaskError::external(what.clone()).because(error);
    let path = parts.artifacts.local(&stored.key).await.map_err(failed)?;
    blocking(move || {
        if check {
            let checked = check_file(&path, &stored.fingerprint);
            checked.map_err(|error| TaskError::external(what.clone()).because(error))?;
        }
        Dataset::from_stored(stored, path).map_err(|error| TaskError::external(what).because(error))
    })
    .await
}

/// Work that reads files or computes, away from the loop.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
) -> Result<T, TaskError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(TaskError::bug("reading or writing a dataset panicked").because(error)),
    }
}

/// A table that cannot be computed is the pipeline's fault, a file that cannot be written is not.
fn unwritten(error: WriteError) -> TaskError {
    match error {
        WriteError::Better(better) => match better.downcast::<TaskError>() {
            Ok(better) => *better,
            Err(other) => TaskError::user("the table cannot be computed").because(other),
        },
        WriteError::Plan(cause @ PolarsError::IO { .. }) => {
            TaskError::external("cannot write the table as Parquet")
                .hint("is there room on the disk of the artifact store?")
                .because(cause)
        }
        WriteError::Plan(cause) => TaskError::user("the table cannot be computed").because(cause),
        WriteError::File(cause) => {
            TaskError::external("cannot write the table as Parquet").because(cause)
        }
    }
}

async fn store_artifact(
    parts: &Arc<Parts>,
    prefix: &str,
    artifact: Artifact,
) -> Result<ArtifactRecord, TaskError> {
    let Artifact {
        name,
        media_type,
        content,
        path,
    } = artifact;
    let key = format!("{prefix}/{name}");
    let bytes = content.len() as u64;
    parts
        .artifacts
        .put(&key, content)
        .await
        .map_err(failed(&format!("the file `{name}`")))?;
    Ok(ArtifactRecord {
        name,
        key,
        media_type,
        bytes,
        path: path.map(|path| path.display().to_string()),
    })
}

/// Why the champion would stay without a judgement, in words: it is decided when the version is registered.
async fn unjudged(parts: &Arc<Parts>, new: &RegisterModel) -> Option<String> {
    let champion = parts.store.aliased(&new.name, CHAMPION).await.ok()??;
    let champion = Contender {
        metrics: &champion.metrics,
        card: &champion.card,
    };
    let RegisterModel { name, version, .. } = new;
    let stays = promotion(&new.promote, new.contender(), Some(champion)).note(*version)?;
    Some(format!(
        "the champion of the model `{name}` {stays}; `pipectl models promote {name}:{version}` makes it champion nevertheless"
    ))
}

async fn store_model(
    parts: &Arc<Parts>,
    context: &TaskContext,
    model: NewModel,
) -> Result<RegisterModel, TaskError> {
    let NewModel {
        name,
        content,
        metrics,
        card,
        promote,
    } = model;
    let digest = sha256(&content);
    let artifact = format!("models/{name}/{digest}.onnx");
    let bytes = content.len() as u64;
    parts
        .artifacts
        .put(&artifact, content)
        .await
        .map_err(failed(&format!("the model `{name}`")))?;
    let key = context.task.key.clone();
    let version = parts
        .store
        .reserve_version(&name, context.run.id, &key)
        .await
        .map_err(|error| {
            TaskError::external(format!("cannot register the model `{name}`")).because(error)
        })?;
    Ok(RegisterModel {
        name,
        version,
        key,
        artifact,
        digest,
        bytes,
        metrics,
        card,
        promote,
        created: context.clock.now(),
    })
}
