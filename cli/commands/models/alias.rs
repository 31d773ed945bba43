//! `pipectl models promote`, `models alias set` and `models alias remove`.

use pipectl_engine::model::is_model_name;
use serde_json::json;

use super::named::{self, Wish, numbered, parse};
use crate::{
    arguments::{AliasRemove, AliasSet, Format, ModelsPromote, Noted},
    exit::{Exit, Problem},
    project::Context,
    wire::House,
};

pub(super) async fn promote(
    context: &Context,
    house: &House,
    arguments: &ModelsPromote,
) -> anyhow::Result<Exit> {
    let wanted = (&*arguments.model, &*arguments.alias);
    point(context, house, wanted, &arguments.noted).await
}

pub(super) async fn set(
    context: &Context,
    house: &House,
    arguments: &AliasSet,
) -> anyhow::Result<Exit> {
    let wanted = (&*arguments.model, &*arguments.alias);
    point(context, house, wanted, &arguments.noted).await
}

async fn point(
    context: &Context,
    house: &House,
    (model, alias): (&str, &str),
    noted: &Noted,
) -> anyhow::Result<Exit> {
    let version = numbered(&*house.store, model).await?;
    checked_alias(alias)?;
    let (name, now) = (version.name.as_str(), house.clock().now());
    house
        .store
        .set_alias(name, alias, version.version, &noted.note, now)
        .await?;
    match noted.format {
        Format::Json => {
            let answer = json!({"name": name, "alias": alias, "version": version.version});
            context.output.json(&answer);
        }
        Format::Text => context.output.note(format_args!(
            "{name}@{alias} is now {name}:{}",
            version.version
        )),
    }
    Ok(Exit::Done)
}

/// An alias has to be written as names are, so that a pipeline can name it.
pub(super) fn checked_alias(alias: &str) -> Result<(), Problem> {
    if is_model_name(alias) {
        return Ok(());
    }
    Err(Problem::usage(format!("`{alias}` is no name for an alias"))
        .hint("small letters, digits and `_`, as in `challenger`"))
}

pub(super) async fn remove(
    context: &Context,
    house: &House,
    arguments: &AliasRemove,
) -> anyhow::Result<Exit> {
    let (name, wish) = parse(&arguments.model)?;
    let Some(Wish::Alias(alias)) = wish else {
        return Err(
            Problem::usage(format!("`{}` names no alias", arguments.model))
                .hint(format!("write the alias too, as in `{name}@challenger`"))
                .into(),
        );
    };
    // One that is not there is a slip of the pen.
    named::one(&*house.store, name, &Wish::Alias(alias.clone())).await?;
    let now = house.clock().now();
    house
        .store
        .remove_alias(name, &alias, &arguments.noted.note, now)
        .await?;
    match arguments.noted.format {
        Format::Json => {
            let answer = json!({"name": name, "alias": alias, "version": null});
            context.output.json(&answer);
        }
        Format::Text => context
            .output
            .note(format_args!("{name}@{alias} points nowhere now")),
    }
    Ok(Exit::Done)
}
