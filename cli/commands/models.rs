//! `pipectl models …`.

use pipectl_engine::{
    spec::suggest,
    store::{ModelVersion, Store},
};
use serde_json::{Value, json};

use crate::{
    arguments::{Format, Models, ModelsPromote, ModelsShow},
    exit::{Exit, Problem},
    output::{DIM, GREEN},
    project::Context,
    records::{metrics, moment, number, size},
    table::{Cell, Table},
    wire::{self, House},
};

pub(crate) fn run(context: &Context, command: &Models) -> anyhow::Result<Exit> {
    let project = context.project()?;
    wire::block_on(async {
        let store = House::store(&project).await?;
        match command {
            Models::List(arguments) => list(context, &*store, arguments.format).await,
            Models::Show(arguments) => show(context, &*store, arguments).await,
            Models::Promote(arguments) => promote(context, &*store, arguments).await,
        }
    })
}

async fn list(context: &Context, store: &dyn Store, format: Format) -> anyhow::Result<Exit> {
    let mut rows = Vec::new();
    for name in store.models().await? {
        let versions = store.versions(&name).await?;
        rows.push((name, versions));
    }
    let champion = |versions: &[ModelVersion]| {
        versions
            .iter()
            .find(|version| version.aliases.iter().any(|alias| alias == "champion"))
            .cloned()
    };
    if format == Format::Json {
        let models: Vec<Value> = rows
            .iter()
            .map(|(name, versions)| {
                json!({
                    "name": name,
                    "versions": versions.len(),
                    "newest": versions.first().map(|version| version.version),
                    "champion": champion(versions).map(|version| version.version),
                })
            })
            .collect();
        context.output.json(&json!({"models": models}));
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        context
            .output
            .note("no models are registered yet: `train` with `register:` does it");
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        "Model",
        "Versions",
        "Champion",
        "Registered (UTC)",
        "Measures",
    ]);
    for (name, versions) in &rows {
        let champion = champion(versions);
        table.row([
            name.as_str().into(),
            Cell::right(versions.len().to_string()),
            Cell::right(
                champion
                    .as_ref()
                    .map(|one| one.version.to_string())
                    .unwrap_or_default(),
            ),
            champion
                .as_ref()
                .map(|one| moment(one.created))
                .unwrap_or_default()
                .into(),
            champion
                .map(|one| metrics(&one.metrics, 72))
                .unwrap_or_default()
                .into(),
        ]);
    }
    context.output.print(table.render(context.output.out));
    Ok(Exit::Done)
}

async fn show(
    context: &Context,
    store: &dyn Store,
    arguments: &ModelsShow,
) -> anyhow::Result<Exit> {
    let output = &context.output;
    let (name, wish) = parse(&arguments.model)?;
    let Some(wish) = wish else {
        let versions = versions(store, name).await?;
        match arguments.format {
            Format::Json => {
                let versions: Vec<Value> = versions.iter().map(document).collect();
                output.json(&json!({"name": name, "versions": versions}));
            }
            Format::Text => output.print(table(&versions).render(output.out)),
        }
        return Ok(Exit::Done);
    };
    let version = one(store, name, &wish).await?;
    match arguments.format {
        Format::Json => output.json(&document(&version)),
        Format::Text => {
            let painter = output.out;
            let mut facts = vec![
                ("Model", format!("{}:{}", version.name, version.version)),
                ("Aliases", version.aliases.join(", ")),
                ("Registered", format!("{} UTC", moment(version.created))),
                (
                    "Run",
                    version.run.map(|run| run.to_string()).unwrap_or_default(),
                ),
                ("Task", version.task.clone().unwrap_or_default()),
                (
                    "File",
                    format!("{} ({})", version.artifact, size(version.bytes)),
                ),
                ("SHA-256", version.digest.clone()),
            ];
            facts.retain(|(_, value)| !value.is_empty());
            for (label, value) in facts {
                output.line(format_args!(
                    "{}  {value}",
                    painter.paint(DIM, format_args!("{label:<10}"))
                ));
            }
            if !version.metrics.is_empty() {
                output.line("");
                let mut table = Table::new(["Measure", "Value"]);
                for (name, value) in &version.metrics {
                    table.row([name.as_str().into(), Cell::right(number(*value))]);
                }
                output.print(table.render(painter));
            }
        }
    }
    Ok(Exit::Done)
}

async fn promote(
    context: &Context,
    store: &dyn Store,
    arguments: &ModelsPromote,
) -> anyhow::Result<Exit> {
    let (name, wish) = parse(&arguments.model)?;
    let Some(wish @ Wish::Version(_)) = wish else {
        return Err(
            Problem::usage(format!("`{}` names no version", arguments.model))
                .hint(format!(
                    "write a version, as in `{name}:7`; `pipectl models show {name}` lists them"
                ))
                .into(),
        );
    };
    let version = one(store, name, &wish).await?;
    store
        .set_alias(
            name,
            &arguments.alias,
            version.version,
            &arguments.note,
            wire::clock(&context.env).now(),
        )
        .await?;
    context.output.note(format_args!(
        "{name}@{} is now {name}:{}",
        arguments.alias, version.version
    ));
    Ok(Exit::Done)
}

enum Wish {
    Version(u32),
    Alias(String),
}

/// A name, and which of its versions: `churn`, `churn:7`, `churn@champion`.
fn parse(text: &str) -> Result<(&str, Option<Wish>), Problem> {
    if let Some((name, version)) = text.split_once(':') {
        let version = version.parse().map_err(|_| {
            Problem::usage(format!("`{text}` is no version of a model"))
                .hint(format!("write a number, as in `{name}:7`"))
        })?;
        return Ok((name, Some(Wish::Version(version))));
    }
    Ok(match text.split_once('@') {
        Some((name, alias)) => (name, Some(Wish::Alias(alias.to_owned()))),
        None => (text, None),
    })
}

async fn versions(store: &dyn Store, name: &str) -> anyhow::Result<Vec<ModelVersion>> {
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

async fn one(store: &dyn Store, name: &str, wish: &Wish) -> anyhow::Result<ModelVersion> {
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

fn table(versions: &[ModelVersion]) -> Table {
    let mut table = Table::new(["Version", "Aliases", "Registered (UTC)", "Run", "Measures"]);
    for version in versions {
        table.row([
            Cell::right(version.version.to_string()),
            Cell::styled(GREEN, version.aliases.join(", ")),
            moment(version.created).into(),
            version
                .run
                .map(|run| run.to_string())
                .unwrap_or_default()
                .into(),
            metrics(&version.metrics, 72).into(),
        ]);
    }
    table
}

fn document(version: &ModelVersion) -> Value {
    json!({
        "name": version.name,
        "version": version.version,
        "aliases": version.aliases,
        "created": version.created,
        "run": version.run,
        "task": version.task,
        "artifact": version.artifact,
        "digest": version.digest,
        "bytes": version.bytes,
        "metrics": version.metrics,
        "card": version.card,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_in_three_ways() {
        assert!(matches!(parse("churn"), Ok(("churn", None))));
        assert!(matches!(
            parse("churn:7"),
            Ok(("churn", Some(Wish::Version(7))))
        ));
        assert!(
            matches!(parse("churn@x"), Ok(("churn", Some(Wish::Alias(alias)))) if alias == "x")
        );
        assert!(parse("churn:last").is_err());
    }
}
