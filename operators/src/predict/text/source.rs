//! Where a text model comes from: this program, the project, or a bucket.

use std::path::PathBuf;

use bytes::Bytes;
use pipectl_connections::Bucket;
use pipectl_engine::operator::{ConnectionName, TaskContext, TaskError};
use pipectl_models::{
    ModelError,
    rooms::ModelFile,
    text::{TextFiles, TextModel},
};

use crate::{
    inference::rooms,
    support::{
        location::{Location, Place},
        model::model_error,
    },
};

/// The models that ship.
const SHIPPED: &str = "zoo:";

/// How to get a room that knows more.
const INSTALL: &str = "`pip install onnxruntime` in a Python environment that is active or on the PATH; or name its library: `ORT_DYLIB_PATH`, or `onnxruntime:` in pipectl.yaml";

enum Source {
    Shipped(String),
    Directory(PathBuf),
    Bucket(Bucket, String),
}

/// Loads the model that the settings name, in the room that there is for it.
///
/// # Errors
/// When there is none, its files do not match, or nothing here can run it.
pub(super) async fn load(
    context: &TaskContext,
    connection: Option<&ConnectionName>,
    model: &str,
) -> Result<TextModel, TaskError> {
    let files = match source(context, connection, model).await? {
        Source::Bucket(bucket, key) => fetched(&bucket, &key).await.map(Ok)?,
        Source::Shipped(name) => TextFiles::shipped(&name),
        Source::Directory(directory) => {
            context
                .compute(move || Ok(TextFiles::read(&directory)))
                .await?
        }
    };
    let rooms = rooms(&context.project);
    let loaded = context
        .compute(move || Ok(files.and_then(|files| TextModel::load(&files, &rooms))))
        .await?;
    loaded.map_err(|error| named(model, error))
}

async fn source(
    context: &TaskContext,
    connection: Option<&ConnectionName>,
    model: &str,
) -> Result<Source, TaskError> {
    if let Some(name) = model.strip_prefix(SHIPPED) {
        return Ok(Source::Shipped(name.to_owned()));
    }
    let place = Location::read(connection, model)?.open(context).await?;
    Ok(match place {
        Place::Project(path) => Source::Directory(context.project.path(path)),
        Place::Bucket(bucket, key) => Source::Bucket(bucket, key),
    })
}

/// The files of an export in a bucket, where a network and its weights are one file.
async fn fetched(bucket: &Bucket, key: &str) -> Result<TextFiles, TaskError> {
    let directory = key.trim_end_matches('/');
    let file = |name: &str| format!("{directory}/{name}");
    let tokenizer = bucket.get(&file("tokenizer.json")).await?;
    let config = bucket.get(&file("config.json")).await?;
    let mut tokenizer_config: Option<Bytes> = None;
    let optional = file("tokenizer_config.json");
    if bucket.head(&optional).await?.is_some() {
        tokenizer_config = Some(bucket.get(&optional).await?);
    }
    let network = bucket.get(&file("model.onnx")).await?;
    Ok(TextFiles {
        network: ModelFile::from_bytes(Vec::from(network)).map_err(|error| named(key, error))?,
        tokenizer: Vec::from(tokenizer).into(),
        config: Vec::from(config).into(),
        tokenizer_config: tokenizer_config.map(Vec::from),
    })
}

fn named(model: &str, error: ModelError) -> TaskError {
    let hint = matches!(error, ModelError::MissingRuntime(_)).then_some(INSTALL);
    let error = model_error(error);
    let error = TaskError {
        message: format!("the model `{model}`: {}", error.message),
        ..error
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
