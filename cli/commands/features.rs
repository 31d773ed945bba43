//! `pipectl features …`.

use std::{collections::BTreeMap, sync::Arc};

use pipectl_engine::{
    operator::{Checkpoint, Past, State},
    project::{
        Project,
        feature::{FeatureSource, FeatureView},
    },
    spec::suggest,
    time::human_duration,
};
use pipectl_operators::{ChildHouse, OnlineRow, online_features};
use serde_json::{Map, Value, json};

use crate::{
    arguments::{Features, FeaturesGet, FeaturesShow, Format},
    complaints,
    exit::{Exit, Problem},
    features,
    output::DIM,
    pipelines::Checked,
    project::Context,
    records::moment,
    table::{Cell, Table},
    wire::{self, House},
};

pub(crate) fn run(context: &Context, command: &Features) -> anyhow::Result<Exit> {
    let project = context.project()?;
    match command {
        Features::List(arguments) => list(context, &project, arguments.format),
        Features::Show(arguments) => show(context, &project, arguments),
        Features::Get(arguments) => get(context, &project, arguments),
    }
}

fn list(context: &Context, project: &Project, format: Format) -> anyhow::Result<Exit> {
    let checked = features::all(project)?;
    let views: Vec<&FeatureView> = checked.iter().filter_map(|one| one.view.as_ref()).collect();
    let broken: Vec<&Checked> = checked.iter().filter(|one| one.view.is_none()).collect();
    for one in &broken {
        context
            .output
            .stderr(complaints::text(one, context.output.err));
    }
    if format == Format::Json {
        let views: Vec<Value> = views.iter().map(|view| document(view)).collect();
        context.output.json(&json!({"views": views}));
    } else if views.is_empty() {
        context
            .output
            .note("there are no feature views: they are the files `features/<name>.yaml`");
    } else {
        let mut table = Table::new(["View", "Version", "Entity", "Columns", "Lives", "Source"]);
        for view in views {
            table.row([
                view.name.as_str().into(),
                view.version().into(),
                view.entity.join(", ").into(),
                Cell::right(view.columns.len().to_string()),
                lives(view).into(),
                source(view).into(),
            ]);
        }
        context.output.print(table.render(context.output.out));
    }
    Ok(if broken.is_empty() {
        Exit::Done
    } else {
        Exit::Usage
    })
}

fn lives(view: &FeatureView) -> String {
    view.ttl
        .map_or_else(|| "for ever".to_owned(), human_duration)
}

fn source(view: &FeatureView) -> String {
    match &view.source {
        FeatureSource::Files {
            path,
            connection: None,
        } => path.clone(),
        FeatureSource::Files {
            path,
            connection: Some(connection),
        } => format!("{connection}://{path}"),
        FeatureSource::Table { connection, table } => format!("{table} in {connection}"),
        FeatureSource::Query { connection, .. } => format!("a query in {connection}"),
    }
}

fn document(view: &FeatureView) -> Value {
    json!({
        "name": view.name,
        "version": view.version(),
        "description": view.description,
        "entity": view.entity,
        "event_time": view.event_time,
        "created_time": view.created_time,
        "ttl_seconds": view.ttl.map(|ttl| ttl.as_secs_f64()),
        "columns": view.columns,
        "source": view.source,
        "online": {"connection": view.online.connection, "table": view.online.table},
    })
}

/// The view that a person means.
fn find(context: &Context, project: &Project, name: &str) -> anyhow::Result<FeatureView> {
    let file = FeatureView::file(project, name);
    if !file.is_file() {
        let known = FeatureView::names(project).unwrap_or_default();
        let hint = suggest::hint(name, known.iter().map(String::as_str));
        return Err(Problem::usage(format!("there is no feature view `{name}`"))
            .hint(format!("{hint}; `pipectl features list` shows all"))
            .into());
    }
    let checked = features::check(project, &file);
    if checked.view.is_none() {
        context
            .output
            .stderr(complaints::text(&checked, context.output.err));
    }
    checked
        .view
        .ok_or_else(|| Problem::usage(format!("the feature view `{name}` is not valid")).into())
}

fn show(context: &Context, project: &Project, arguments: &FeaturesShow) -> anyhow::Result<Exit> {
    let view = find(context, project, &arguments.view)?;
    if arguments.format == Format::Json {
        context.output.json(&document(&view));
        return Ok(Exit::Done);
    }
    let mut facts = vec![
        ("View", view.name.clone()),
        ("Version", view.version()),
        ("For", view.description.clone().unwrap_or_default()),
        ("Entity", view.entity.join(", ")),
        ("Event", view.event_time.clone()),
        ("Created", view.created_time.clone().unwrap_or_default()),
        ("Lives", lives(&view)),
        ("Columns", view.columns.join(", ")),
        ("Source", source(&view)),
        (
            "Online",
            format!("{} in {}", view.online.table, view.online.connection),
        ),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    print(context, facts);
    Ok(Exit::Done)
}

fn print(context: &Context, facts: Vec<(&str, String)>) {
    let painter = context.output.out;
    let width = facts
        .iter()
        .map(|(label, _)| label.chars().count())
        .max()
        .unwrap_or(0);
    for (label, value) in facts {
        let label = painter.paint(DIM, format_args!("{label:<width$}"));
        context.output.line(format_args!("{label}  {value}"));
    }
}

fn get(context: &Context, project: &Arc<Project>, arguments: &FeaturesGet) -> anyhow::Result<Exit> {
    let view = find(context, project, &arguments.view)?;
    let entity = entity(&view, &arguments.entity)?;
    let row = wire::block_on(async {
        let house = House::open(Arc::clone(project)).await?;
        let house = ChildHouse {
            project: Arc::clone(project),
            services: wire::services(),
            artifacts: Arc::clone(&house.artifacts),
            models: Arc::clone(&house.store) as _,
            checkpoint: Checkpoint::none(),
            state: State::none(),
            past: Past::none(),
            clock: house.clock_of_all(),
        };
        Box::pin(online_features(house, &view, &entity))
            .await
            .map_err(|error| Problem::of_task(&error).into())
    })?;
    let shown: Vec<String> = entity
        .iter()
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let Some(row) = row else {
        let message = format!("`{}` knows nothing of {}", view.name, shown.join(", "));
        return Err(Problem::new(Exit::Failed, message)
            .hint(format!(
                "`load: features` brings what is new into `{}`",
                view.online.table
            ))
            .into());
    };
    if arguments.format == Format::Json {
        context.output.json(&answer(&view, &entity, &row));
        return Ok(Exit::Done);
    }
    let mut facts: Vec<(&str, String)> = row
        .values
        .iter()
        .map(|(name, value)| (name.as_str(), plain(value)))
        .collect();
    let event = row.event_time.map(|at| format!("{} UTC", moment(at)));
    facts.push((view.event_time.as_str(), event.unwrap_or_default()));
    print(context, facts);
    if row.expired {
        context.output.note(format_args!(
            "that is longer ago than {}: the view no longer counts on it",
            lives(&view)
        ));
    }
    Ok(Exit::Done)
}

fn answer(view: &FeatureView, entity: &BTreeMap<String, String>, row: &OnlineRow) -> Value {
    json!({
        "view": view.name,
        "version": view.version(),
        "entity": entity,
        "event_time": row.event_time,
        "expired": row.expired,
        "values": Value::Object(Map::from_iter(row.values.clone())),
    })
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// The values of all of a view's entity columns.
fn entity(view: &FeatureView, words: &[String]) -> Result<BTreeMap<String, String>, Problem> {
    let example = view
        .entity
        .iter()
        .map(|name| format!("{name}=…"))
        .collect::<Vec<_>>()
        .join(" ");
    let wrong = |message: String| Problem::usage(message).hint(format!("write {example}"));
    let mut found = BTreeMap::new();
    for word in words {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| wrong(format!("`{word}` names no column and value")))?;
        if !view.entity.iter().any(|column| column == name) {
            return Err(wrong(format!(
                "the entity of `{}` has no column `{name}`",
                view.name
            )));
        }
        found.insert(name.to_owned(), value.to_owned());
    }
    match view.entity.iter().find(|name| !found.contains_key(*name)) {
        Some(missing) => Err(wrong(format!("the value of `{missing}` is missing"))),
        None => Ok(found),
    }
}
