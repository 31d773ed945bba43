//! The models that a person names on the command line.

use std::sync::Arc;

use pipectl_engine::{
    model::{ModelVersion, Reference, is_model_name},
    operator::{Checkpoint, Past, State},
    spec::suggest,
    store::Store,
};
use pipectl_models::ModelError;
use pipectl_operators::{ChildHouse, model_file};

use crate::{exit::Problem, wire::House};

/// Which of a model's versions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Version(u32),
    Alias(String),
}

/// A name, and which of its versions: `churn`, `churn:7`, `churn@champion`.
pub(super) fn parse(text: &str) -> Result<(&str, Option<Wish>), Problem> {
    if is_model_name(text) {
        return Ok((text, None));
    }
    let parsed =
        Reference::parse(text).map_err(|error| Problem::usage(error.message).hint(error.hint))?;
    match parsed {
        Reference::Version { name, version } => Ok((name, Some(Wish::Version(version)))),
        Reference::Alias { name, alias } => Ok((name, Some(Wish::Alias(alias.to_owned())))),
        _ => Err(Problem::usage(format!("`{text}` is no registered model"))
            .hint("write `churn`, `churn:7` or `churn@champion`; `pipectl models list` shows all")),
    }
}

/// The version that a text names by its number.
pub(super) async fn numbered(store: &dyn Store, text: &str) -> anyhow::Result<ModelVersion> {
    let (name, wish) = parse(text)?;
    let Some(wish @ Wish::Version(_)) = wish else {
        return Err(Problem::usage(format!("`{text}` names no version"))
            .hint(format!(
                "write a version, as in `{name}:7`; `pipectl models show {name}` lists them"
            ))
            .into());
    };
    one(store, name, &wish).await
}

/// All versions of a model, the newest first.
pub(super) async fn versions(store: &dyn Store, name: &str) -> anyhow::Result<Vec<ModelVersion>> {
    let versions = store.versions(name).await?;
    if versions.is_empty() {
        let names = store.models().await?;
        let similar = suggest::similar(name, names.iter().map(String::as_str))
            .map(|name| format!("did you mean `{name}`? "))
            .unwrap_or_default();
        return Err(Problem::usage(format!("there is no model `{name}`"))
            .hint(format!("{similar}`pipectl models list` shows all"))
            .into());
    }
    Ok(versions)
}

/// One version of a model.
pub(super) async fn one(
    store: &dyn Store,
    name: &str,
    wish: &Wish,
) -> anyhow::Result<ModelVersion> {
    let versions = versions(store, name).await?;
    let found = versions.into_iter().find(|version| match wish {
        Wish::Version(number) => version.version == *number,
        Wish::Alias(alias) => version.aliases.contains(alias),
    });
    found.ok_or_else(|| {
        let what = match wish {
            Wish::Version(number) => format!("version {number}"),
            Wish::Alias(alias) => format!("version called `{alias}`"),
        };
        Problem::usage(format!("the model `{name}` has no {what}"))
            .hint(format!("`pipectl models show {name}` lists its versions"))
            .into()
    })
}

/// The file of a model, wherever it is; the digest of a registered one is checked.
pub(super) async fn content(house: &House, reference: &str) -> anyhow::Result<Vec<u8>> {
    if let Ok((name, wish)) = parse(reference) {
        // Of our own models a slip of the pen is noticed here.
        let wish = wish.unwrap_or_else(|| Wish::Alias("champion".to_owned()));
        one(&*house.store, name, &wish).await?;
    }
    let content = Box::pin(model_file(child(house), house.clock().now(), reference)).await;
    Ok(content.map_err(|error| Problem::of_task(&error))?.to_vec())
}

/// What operators need that work outside of any run.
pub(super) fn child(house: &House) -> ChildHouse {
    ChildHouse {
        project: Arc::clone(&house.project),
        services: house.services(),
        artifacts: Arc::clone(&house.artifacts),
        models: Arc::clone(&house.store) as _,
        checkpoint: Checkpoint::none(),
        state: State::none(),
        past: Past::none(),
        clock: house.clock_of_all(),
    }
}

/// What is wrong with a model's file, or with rows for it.
pub(super) fn unusable(what: &str, error: &ModelError) -> Problem {
    Problem::usage(format!("`{what}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_in_three_ways() {
        for (text, expected) in [
            ("churn", ("churn", None)),
            ("churn:7", ("churn", Some(Wish::Version(7)))),
            ("churn@x", ("churn", Some(Wish::Alias("x".to_owned())))),
        ] {
            assert_eq!(parse(text).unwrap(), expected);
        }
        for wrong in ["churn:last", "Churn", "zoo:churn", "a.onnx", "mlflow://a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
