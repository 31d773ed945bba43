//! What parent and child say to each other.

use std::{collections::BTreeMap, path::PathBuf};

use pipectl_engine::{
    dataset::StoredDataset,
    id::{RunId, TaskKey},
    kind::Kind,
    operator::{Artifact, Evidence, Fault, Interval, NewModel, Output, Promote, TaskError, Wait},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a line of the child's standard output begins with when it is for the parent.
pub(super) const MARK: &str = "\u{1}pipectl ";

/// The task that a child is to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) root: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) kind: Kind,
    pub(super) operator: String,
    pub(super) settings: Value,
    pub(super) run: RunId,
    pub(super) pipeline: String,
    #[serde(default)]
    pub(super) version: String,
    pub(super) interval: Option<Interval>,
    pub(super) zone: String,
    pub(super) redo: u32,
    pub(super) key: TaskKey,
    pub(super) attempt: u32,
    pub(super) fence: u64,
    #[serde(default)]
    pub(super) feature_views: BTreeMap<String, String>,
    pub(super) item: Option<Value>,
    /// Whether it has waited in this attempt.
    pub(super) woken: bool,
    pub(super) seed: u64,
    pub(super) inputs: Vec<Input>,
    /// A directory of the attempt, for files of the answer.
    pub(super) directory: PathBuf,
}

/// A dataset to read, as a Parquet file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) stored: Option<StoredDataset>,
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Said {
    Log { level: String, line: String },
    Progress { done: u64, total: Option<u64> },
    Done(DoneWork),
    Skipped(String),
    Wait(Wait),
    Failed(Failure),
}

/// An [`Output`] whose large parts are in files.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct DoneWork {
    pub(super) datasets: Vec<StoredDataset>,
    pub(super) artifacts: Vec<FileOf>,
    pub(super) metrics: BTreeMap<String, f64>,
    pub(super) values: Map<String, Value>,
    pub(super) warnings: Vec<String>,
    pub(super) model: Option<ModelOf>,
    pub(super) state: Option<Value>,
}

/// An [`Artifact`] in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FileOf {
    name: String,
    media_type: String,
    content: PathBuf,
    path: Option<PathBuf>,
}

/// A [`NewModel`] in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ModelOf {
    name: String,
    content: PathBuf,
    metrics: BTreeMap<String, f64>,
    card: Value,
    promote: Promote,
}

/// A [`TaskError`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    fault: Fault,
    retryable: bool,
    message: String,
    hint: Option<String>,
    causes: Option<String>,
    artifacts: Vec<FileOf>,
    metrics: BTreeMap<String, f64>,
}

/// A directory into which contents are put, and out of which they are taken.
pub(super) struct Exchange<'a> {
    pub(super) directory: &'a std::path::Path,
}

impl Exchange<'_> {
    fn put(&self, name: &str, content: &[u8]) -> std::io::Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    fn artifacts(&self, artifacts: Vec<Artifact>) -> std::io::Result<Vec<FileOf>> {
        let put = |(number, artifact): (usize, Artifact)| {
            Ok(FileOf {
                content: self.put(&format!("artifact-{number}"), &artifact.content)?,
                name: artifact.name,
                media_type: artifact.media_type,
                path: artifact.path,
            })
        };
        artifacts.into_iter().enumerate().map(put).collect()
    }

    /// All of an output but its datasets.
    pub(super) fn pack(&self, output: Output) -> std::io::Result<DoneWork> {
        let model = output.model.map(|model| {
            std::io::Result::Ok(ModelOf {
                content: self.put("model", &model.content)?,
                name: model.name,
                metrics: model.metrics,
                card: model.card,
                promote: model.promote,
            })
        });
        Ok(DoneWork {
            datasets: Vec::new(),
            artifacts: self.artifacts(output.artifacts)?,
            metrics: output.metrics,
            values: output.values,
            warnings: output.warnings,
            model: model.transpose()?,
            state: output.state,
        })
    }

    pub(super) fn pack_error(&self, error: TaskError) -> std::io::Result<Failure> {
        let text = error.full_message();
        let causes = text.strip_prefix(&format!("{}: ", error.message));
        Ok(Failure {
            causes: causes.map(ToOwned::to_owned),
            fault: error.fault,
            retryable: error.retryable,
            hint: error.hint,
            message: error.message,
            artifacts: self.artifacts(error.evidence.artifacts)?,
            metrics: error.evidence.metrics,
        })
    }
}

fn unpacked(files: Vec<FileOf>) -> std::io::Result<Vec<Artifact>> {
    let take = |file: FileOf| {
        Ok(Artifact {
            content: std::fs::read(file.content)?.into(),
            name: file.name,
            media_type: file.media_type,
            path: file.path,
        })
    };
    files.into_iter().map(take).collect()
}

impl DoneWork {
    /// All of the output but its datasets.
    pub(super) fn unpack(self) -> std::io::Result<Output> {
        let model = self.model.map(|model| {
            std::io::Result::Ok(NewModel {
                content: std::fs::read(model.content)?.into(),
                name: model.name,
                metrics: model.metrics,
                card: model.card,
                promote: model.promote,
            })
        });
        Ok(Output {
            datasets: Vec::new(),
            artifacts: unpacked(self.artifacts)?,
            metrics: self.metrics,
            values: self.values,
            warnings: self.warnings,
            model: model.transpose()?,
            state: self.state,
        })
    }
}

impl Failure {
    pub(super) fn unpack(self) -> std::io::Result<TaskError> {
        let evidence = Evidence {
            artifacts: unpacked(self.artifacts)?,
            metrics: self.metrics,
        };
        let mut error = TaskError::external(self.message)
            .retryable(self.retryable)
            .with_evidence(evidence);
        error.fault = self.fault;
        error.hint = self.hint;
        error.source = self.causes.map(Into::into);
        Ok(error)
    }
}
