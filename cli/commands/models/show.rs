//! `pipectl models show`: a model's versions, one version with what it came from, or a file.

use std::path::Path;

use pipectl_engine::{
    model::{AliasChange, ModelVersion, Reference},
    project::Project,
};
use pipectl_models::onnx::{Inspection, inspect};
use serde_json::{Value, json};

use super::{
    facts,
    named::{self, content, parse, unusable},
};
use crate::{
    arguments::{Format, ModelsShow},
    exit::{Exit, Problem},
    output::{GREEN, Output},
    project::Context,
    records::{metrics, moment, size},
    table::{Cell, Table},
    wire::House,
};

/// How many of the newest changes of aliases are shown.
const CHANGES: u32 = 20;

/// The file that a text names, when it names one.
pub(super) fn file(text: &str) -> Option<&str> {
    match Reference::parse(text) {
        Ok(Reference::File(path)) => Some(path),
        _ if Path::new(text).is_file() => Some(text),
        _ => None,
    }
}

/// Shows what a file says of itself; nothing else is needed for that.
pub(super) fn of_file(
    context: &Context,
    project: &Project,
    file: &str,
    format: Format,
) -> anyhow::Result<Exit> {
    // As a person sees it: from where he stands, else from the project.
    let path = Path::new(file);
    let path = if path.is_file() {
        path.to_owned()
    } else {
        project.path(path)
    };
    let bytes = std::fs::read(&path).map_err(|error| {
        Problem::usage(format!("cannot read `{file}`"))
            .because(error)
            .hint("a registered model is named as `churn`, `churn:7` or `churn@champion`")
    })?;
    let found = inspect(&bytes).map_err(|error| unusable(file, &error))?;
    inspected(&context.output, file, &found, format);
    Ok(Exit::Done)
}

fn inspected(output: &Output, name: &str, found: &Inspection, format: Format) {
    if format == Format::Json {
        let mut document = json!(found);
        document["model"] = name.into();
        output.json(&document);
        return;
    }
    let mut known = vec![
        ("Model", name.to_owned()),
        ("File", size(found.bytes as u64)),
        ("SHA-256", found.digest.clone()),
        ("Written by", found.producer.clone()),
        ("Operators", found.operator_sets.join(", ")),
        ("Reads", found.inputs.join(", ")),
        ("Answers", found.outputs.join(", ")),
        ("Nodes", found.nodes.to_string()),
    ];
    let card = found.card.as_ref().unwrap_or(&Value::Null);
    known.extend(facts::of_card(card));
    facts::print(output, &known, &facts::measures(card));
}

pub(super) async fn run(
    context: &Context,
    house: &House,
    arguments: &ModelsShow,
) -> anyhow::Result<Exit> {
    let text = arguments.model.as_str();
    if matches!(
        Reference::parse(text),
        Ok(Reference::Zoo(_) | Reference::Mlflow(_))
    ) {
        let bytes = content(house, text).await?;
        let found = inspect(&bytes).map_err(|error| unusable(text, &error))?;
        inspected(&context.output, text, &found, arguments.format);
        return Ok(Exit::Done);
    }
    let (name, wish) = parse(text)?;
    match wish {
        None => all(context, house, name, arguments.format).await,
        Some(wish) => {
            let version = named::one(&*house.store, name, &wish).await?;
            one(context, house, &version, arguments.format).await
        }
    }
}

/// All versions of a model, and how its aliases have moved.
async fn all(context: &Context, house: &House, name: &str, format: Format) -> anyhow::Result<Exit> {
    let output = &context.output;
    let versions = named::versions(&*house.store, name).await?;
    let changes = house.store.alias_changes(name, CHANGES).await?;
    if format == Format::Json {
        let versions: Vec<Value> = versions.iter().map(facts::document).collect();
        let changes: Vec<Value> = changes
            .iter()
            .map(|change| {
                json!({
                    "alias": change.alias,
                    "version": change.version,
                    "note": change.note,
                    "changed": change.changed,
                })
            })
            .collect();
        output.json(&json!({"name": name, "versions": versions, "alias_changes": changes}));
        return Ok(Exit::Done);
    }
    output.print(table(&versions).render(output.out));
    if !changes.is_empty() {
        output.line("");
        output.print(moves(&changes).render(output.out));
    }
    Ok(Exit::Done)
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
                .map_or_else(|| "imported".to_owned(), |run| run.to_string())
                .into(),
            metrics(&version.metrics, version.card["metric"].as_str(), 72).into(),
        ]);
    }
    table
}

fn moves(changes: &[AliasChange]) -> Table {
    let mut table = Table::new(["Changed (UTC)", "Alias", "Version", "Why"]);
    for change in changes {
        let version = change.version.map(|version| version.to_string());
        table.row([
            moment(change.changed).into(),
            change.alias.as_str().into(),
            Cell::right(version.unwrap_or_else(|| "–".to_owned())),
            change.note.as_str().into(),
        ]);
    }
    table
}

/// One version, with what it came from.
async fn one(
    context: &Context,
    house: &House,
    version: &ModelVersion,
    format: Format,
) -> anyhow::Result<Exit> {
    let output = &context.output;
    // Runs of registered models stay; an imported one has none.
    let run = match version.run {
        Some(run) => house.store.run(run).await?,
        None => None,
    };
    let (pipeline, of_pipeline) = run
        .map(|record| (record.run.pipeline, record.run.version))
        .unzip();
    if format == Format::Json {
        let mut document = facts::document(version);
        document["pipeline"] = json!(pipeline);
        document["pipeline_version"] = json!(of_pipeline);
        output.json(&document);
        return Ok(Exit::Done);
    }
    let mut known = vec![
        ("Model", format!("{}:{}", version.name, version.version)),
        ("Aliases", version.aliases.join(", ")),
        ("Registered", format!("{} UTC", moment(version.created))),
        (
            "Run",
            version
                .run
                .map_or_else(|| "none: imported".to_owned(), |run| run.to_string()),
        ),
        ("Task", version.task.clone().unwrap_or_default()),
        ("Pipeline", pipeline.unwrap_or_default()),
        ("Version", of_pipeline.unwrap_or_default()),
        (
            "File",
            format!("{} ({})", version.artifact, size(version.bytes)),
        ),
        ("SHA-256", version.digest.clone()),
    ];
    known.extend(facts::of_card(&version.card));
    let measures = version.metrics.clone().into_iter();
    facts::print(output, &known, &measures.collect::<Vec<_>>());
    Ok(Exit::Done)
}
