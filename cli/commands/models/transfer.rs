//! `pipectl models export` and `models import`.

use std::{fs, io, path::Path};

use pipectl_engine::{
    artifact::sha256,
    model::{ImportedModel, is_model_name},
    store::StoreError,
};
use pipectl_models::{
    ModelError,
    onnx::{Inspection, inspect},
    scorer::Model,
};
use pipectl_operators::rooms;
use serde_json::{Value, json};

use super::{
    alias::checked_alias,
    facts,
    named::{content, unusable},
};
use crate::{
    arguments::{Format, ModelsExport, ModelsImport},
    exit::{Exit, Problem},
    project::Context,
    records::size,
    wire::House,
};

pub(super) async fn export(
    context: &Context,
    house: &House,
    arguments: &ModelsExport,
) -> anyhow::Result<Exit> {
    let file = &arguments.file;
    if file.exists() && !arguments.force {
        return Err(
            Problem::usage(format!("`{}` is there already", file.display()))
                .hint("--force replaces it")
                .into(),
        );
    }
    let bytes = content(house, &arguments.model).await?;
    write(file, &bytes).map_err(|error| {
        Problem::environment(format!("cannot write `{}`", file.display())).because(error)
    })?;
    let digest = sha256(&bytes);
    match arguments.format {
        Format::Json => context.output.json(&json!({
            "model": arguments.model,
            "file": file,
            "digest": digest,
            "bytes": bytes.len(),
        })),
        Format::Text => context.output.note(format_args!(
            "{} is in `{}` ({}, SHA-256 {digest})",
            arguments.model,
            file.display(),
            size(bytes.len() as u64)
        )),
    }
    Ok(Exit::Done)
}

/// Writes a file that appears whole or not at all.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = file.with_file_name(name);
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, file));
    if written.is_err() {
        // What is left of it is in nobody's way.
        drop(fs::remove_file(&part));
    }
    written
}

pub(super) async fn import(
    context: &Context,
    house: &House,
    arguments: &ModelsImport,
) -> anyhow::Result<Exit> {
    let name = arguments.name.as_str();
    if !is_model_name(name) {
        return Err(Problem::usage(format!("`{name}` is no name for a model"))
            .hint("small letters, digits and `_`, as in `churn`")
            .into());
    }
    if let Some(alias) = &arguments.alias {
        checked_alias(alias)?;
    }
    let bytes = source(house, &arguments.file).await?;
    let found = inspect(&bytes).map_err(|error| unusable(&arguments.file, &error))?;
    match Model::open(&bytes, &rooms(&house.project), &[]) {
        Ok(_) => {}
        // It only does not say which columns it reads.
        Err(ModelError::Settings(message)) => context
            .output
            .warning(format_args!("for `predict: model`: {message}")),
        Err(error) => context
            .output
            .warning(format_args!("`predict: model` cannot use it: {error}")),
    }
    let version = register(house, name, &found, bytes)
        .await
        .map_err(|error| Problem::environment("cannot register the model").because(error))?;
    if let Some(alias) = &arguments.alias {
        let now = house.clock().now();
        house
            .store
            .set_alias(name, alias, version, &arguments.note, now)
            .await?;
    }
    let registered = house.store.model(name, version).await?;
    let aliases = registered
        .map(|version| version.aliases)
        .unwrap_or_default();
    match arguments.format {
        Format::Json => context.output.json(&json!({
            "name": name,
            "version": version,
            "digest": found.digest,
            "aliases": aliases,
        })),
        Format::Text => {
            let mut names = vec![format!("{name}:{version}")];
            names.extend(aliases.iter().map(|alias| format!("{name}@{alias}")));
            context
                .output
                .note(format_args!("`{}` is {}", arguments.file, names.join(", ")));
        }
    }
    Ok(Exit::Done)
}

/// The bytes of a file, as a person sees it from where he stands, else of what a reference names.
async fn source(house: &House, file: &str) -> anyhow::Result<Vec<u8>> {
    if Path::new(file).is_file() {
        return fs::read(file).map_err(|error| {
            Problem::usage(format!("cannot read `{file}`"))
                .because(error)
                .into()
        });
    }
    content(house, file).await
}

/// Registers the bytes as a version, unless one of the model's versions is just these.
async fn register(
    house: &House,
    name: &str,
    found: &Inspection,
    bytes: Vec<u8>,
) -> Result<u32, StoreError> {
    let known = house.store.versions(name).await?;
    if let Some(same) = known.iter().find(|version| version.digest == found.digest) {
        return Ok(same.version);
    }
    let artifact = format!("models/{name}/{}.onnx", found.digest);
    let size = bytes.len() as u64;
    house.artifacts.put(&artifact, bytes.into()).await?;
    let card = found.card.clone().unwrap_or_else(|| foreign(found));
    let model = ImportedModel {
        name: name.to_owned(),
        artifact,
        digest: found.digest.clone(),
        bytes: size,
        metrics: facts::measures(&card).into_iter().collect(),
        card,
        created: house.clock().now(),
    };
    house.store.import_model(&model).await
}

/// The card of a model that somebody else has made.
fn foreign(found: &Inspection) -> Value {
    json!({
        "producer": found.producer,
        "operator_sets": found.operator_sets,
        "inputs": found.inputs,
        "outputs": found.outputs,
    })
}
