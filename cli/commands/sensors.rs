//! `pipectl sensors`: what the sensors that start pipelines have seen.

use std::{collections::BTreeSet, sync::Arc};

use pipectl_connections::{Connector, Restored, restore_thing};
use pipectl_daemon::{is_mark, senses};
use pipectl_engine::{
    operator::{AfterSuccess, Existing, Senses, Wait},
    project::Project,
    store::{SensorKey, Store, ThingRecord},
    trigger::Trigger,
};
use serde_json::{Value, json};

use crate::{
    arguments::{Format, SensorThings, Sensors},
    exit::{Exit, Problem},
    output::many,
    pipelines,
    project::{Context, registry},
    records::moment,
    table::{Cell, Table},
    wire::{self, House, clock},
};

/// How many things are looked through for one that a person has named.
const LOOK_BACK: u32 = 100_000;

pub(crate) fn run(context: &Context, command: &Sensors) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let store = House::store(&project).await?;
        match command {
            Sensors::List(arguments) => list(context, &project, &*store, arguments.format).await,
            Sensors::Show(arguments) => show(context, &*store, arguments).await,
            Sensors::Reset { sensor, yes } => {
                let key = known(&*store, sensor).await?;
                if !yes {
                    refuse_to_clear(&project, &key).await?;
                }
                let forgotten = many(store.forget(&key, None).await?, "thing");
                context.output.note(format_args!(
                    "forgot {forgotten}; what is still there is sensed anew"
                ));
                Ok(Exit::Done)
            }
            Sensors::Replay { sensor, thing } => {
                replay(context, &project, &*store, sensor, thing).await
            }
        }
    })
}

/// How a sensor is watched.
enum Watched {
    /// As the pipeline's file says now.
    So(Box<Senses>),
    /// The file is not valid: a daemon goes by its last good version.
    Unclear,
    /// Nothing starts by it.
    Not,
}

impl Watched {
    fn of(project: &Project, key: &SensorKey) -> Self {
        let Ok(file) = pipelines::find(project, &key.pipeline) else {
            return Self::Not;
        };
        let Some(plan) = pipelines::check(project, &registry(), &file).plan else {
            return Self::Unclear;
        };
        let trigger = plan.schedule.as_ref().map(|schedule| &schedule.trigger);
        let starts = match trigger {
            Some(Trigger::Sensor(tasks)) => tasks.iter().any(|task| **task == *key.task),
            _ => false,
        };
        let senses = senses(project, &plan, &key.task).ok().filter(|_| starts);
        senses.map_or(Self::Not, |senses| Self::So(Box::new(senses)))
    }
}

/// What was there before a sensor was to be left alone: that it is cleared away is only done when a person says so.
async fn refuse_to_clear(project: &Project, key: &SensorKey) -> anyhow::Result<()> {
    let SensorKey { pipeline, task } = key;
    let senses = match Watched::of(project, key) {
        Watched::So(senses) => senses,
        Watched::Not => return Ok(()),
        Watched::Unclear => {
            let problem = format!(
                "`{pipeline}` is not valid, so that nobody knows whether what `{pipeline}.{task}` was to leave alone would be cleared away"
            );
            let hint = format!(
                "mend it first, or say --yes; `pipectl validate {pipeline}` says what is wrong"
            );
            return Err(Problem::usage(problem).hint(hint).into());
        }
    };
    let (after, existing) = (&senses.after_success, senses.existing);
    let fate = match after {
        AfterSuccess::Keep => return Ok(()),
        AfterSuccess::Move { archive } => format!("moved to `{archive}`"),
        AfterSuccess::Delete => "removed".to_owned(),
    };
    if existing != Existing::Ignore {
        return Ok(());
    }
    let now = clock(&project.env).now();
    let connector = Connector::default();
    let lying = pipectl_connections::things(&connector, project, &senses.wait, now).await;
    let there = match lying {
        Ok(sight) => many(sight.things.len() as u64, "thing"),
        Err(_) => "everything".to_owned(),
    };
    let problem = Problem::usage(format!(
        "`{pipeline}.{task}` would sense also what it was to leave alone (`existing: ignore`): {there} that is there now would get a run, and be {fate} after it"
    ));
    Err(problem
        .hint(format!(
            "`pipectl sensors reset {pipeline}.{task} --yes` does so; `pipectl sensors replay {pipeline}.{task} THING` takes a single one"
        ))
        .into())
}

/// Has a thing sensed anew: it is put back where it was, if it is in the archive, and then forgotten.
async fn replay(
    context: &Context,
    project: &Arc<Project>,
    store: &dyn Store,
    sensor: &str,
    thing: &str,
) -> anyhow::Result<Exit> {
    let key = known(store, sensor).await?;
    let plan = context.plan(project, &key.pipeline)?;
    let senses = senses(project, &plan, &key.task)
        .map_err(|why| Problem::usage(format!("`{sensor}` is not watched any more: {why}")))?;
    let connector = Connector::default();
    let things = store.things(&key, LOOK_BACK).await?;
    let found = things.iter().find(|record| {
        let named = record.thing.name == thing || record.thing.identity == thing;
        named && !is_mark(&record.thing)
    });
    let Some(ThingRecord { thing, .. }) = found else {
        return unseen(context, project, &senses, sensor, thing).await;
    };
    let restored = restore_thing(
        &connector,
        project,
        &senses.wait,
        thing,
        &senses.after_success,
    );
    let restored = restored.await.map_err(|error| {
        Problem::environment(format!("`{}` cannot be replayed", thing.name))
            .because(anyhow::anyhow!(error.full_message()))
    })?;
    let name = &thing.name;
    let told = match restored {
        Restored::There => format!("forgot {name}: it is sensed anew"),
        Restored::Back(place) => format!("put {name} back from {place}: it is sensed anew"),
        Restored::Missing(places) => return Err(missing(name, &places).into()),
    };
    store.forget(&key, Some(&thing.identity)).await?;
    context.output.note(told);
    Ok(Exit::Done)
}

fn missing(name: &str, places: &[String]) -> Problem {
    let hint =
        format!("drop it again: what is dropped is sensed by itself, also under the name {name}");
    let problem = if places.is_empty() {
        Problem::usage(format!("`{name}` is not there any more"))
    } else {
        let places = places.join("` nor as `");
        Problem::usage(format!(
            "`{name}` is neither there nor in the archive as `{places}`"
        ))
    };
    problem.hint(hint)
}

/// A thing that is not in the ledger: perhaps nobody has looked since it was dropped, or forgotten.
async fn unseen(
    context: &Context,
    project: &Project,
    senses: &Senses,
    sensor: &str,
    thing: &str,
) -> anyhow::Result<Exit> {
    let now = clock(&project.env).now();
    let connector = Connector::default();
    let lying = pipectl_connections::things(&connector, project, &senses.wait, now).await;
    if lying.is_ok_and(|sight| sight.things.iter().any(|lying| lying.name == thing)) {
        context.output.note(format_args!(
            "{thing} is there, and is sensed as soon as a daemon looks"
        ));
        return Ok(Exit::Done);
    }
    let problem = Problem::usage(format!("`{sensor}` has not seen `{thing}`"));
    let hint = format!("`pipectl sensors show {sensor}` lists what it has seen");
    Err(problem.hint(hint).into())
}

async fn list(
    context: &Context,
    project: &Project,
    store: &dyn Store,
    format: Format,
) -> anyhow::Result<Exit> {
    let sensors = store.sensors().await?;
    let schedules = store.schedules().await?.into_iter();
    let paused: BTreeSet<String> = schedules
        .filter(|schedule| schedule.paused)
        .map(|schedule| schedule.pipeline)
        .collect();
    let state = |key: &SensorKey, watched: &Watched| match watched {
        Watched::Not => "not watched",
        _ if paused.contains(&key.pipeline) => "paused",
        Watched::Unclear => "watched (by its last good version)",
        Watched::So(_) => "watched",
    };
    match format {
        Format::Json => {
            let all: Vec<Value> = sensors
                .iter()
                .map(|sensor| {
                    let watched = Watched::of(project, &sensor.key);
                    let place = place(&watched);
                    json!({
                        "sensor": format!("{}.{}", sensor.key.pipeline, sensor.key.task),
                        "state": state(&sensor.key, &watched),
                        "connection": place.as_ref().and_then(|(connection, _)| connection.as_ref()),
                        "path": place.as_ref().map(|(_, path)| path),
                        "since": sensor.since,
                        "looked": sensor.looked,
                        "failures": sensor.failures,
                        "error": sensor.error,
                    })
                })
                .collect();
            context.output.json(&json!({"sensors": all}));
        }
        Format::Text if sensors.is_empty() => {
            context.output.note("no sensor has been watched yet; `schedule: {sensor: …}` and `pipectl daemon` watch one");
        }
        Format::Text => {
            let mut table = Table::new([
                "Sensor",
                "State",
                "Looks for",
                "Looked (UTC)",
                "Since (UTC)",
                "Failures",
                "Error",
            ]);
            for sensor in &sensors {
                let watched = Watched::of(project, &sensor.key);
                let state = state(&sensor.key, &watched);
                let looks_for = place(&watched).map(|(connection, path)| match connection {
                    Some(connection) => format!("{connection}: {path}"),
                    None => path,
                });
                table.row([
                    format!("{}.{}", sensor.key.pipeline, sensor.key.task).into(),
                    state.into(),
                    looks_for.unwrap_or_default().into(),
                    sensor.looked.map(moment).unwrap_or_default().into(),
                    moment(sensor.since).into(),
                    Cell::right(sensor.failures.to_string()),
                    sensor.error.clone().unwrap_or_default().into(),
                ]);
            }
            context.output.print(table.render(context.output.out));
        }
    }
    Ok(Exit::Done)
}

/// Where a sensor looks: a connection, if it has one, and a pattern. Nothing when that is not known.
fn place(watched: &Watched) -> Option<(Option<String>, String)> {
    let Watched::So(senses) = watched else {
        return None;
    };
    match &senses.wait {
        Wait::Things {
            connection,
            pattern,
            ..
        } => Some((connection.clone(), pattern.clone())),
        _ => None,
    }
}

async fn show(
    context: &Context,
    store: &dyn Store,
    arguments: &SensorThings,
) -> anyhow::Result<Exit> {
    let key = known(store, &arguments.sensor).await?;
    let mut things = store.things(&key, arguments.limit).await?;
    things.retain(|record| !is_mark(&record.thing));
    match arguments.format {
        Format::Json => {
            let all: Vec<Value> = things.iter().map(document).collect();
            context
                .output
                .json(&json!({"sensor": arguments.sensor, "things": all}));
        }
        Format::Text if things.is_empty() => context.output.note("it has seen nothing yet"),
        Format::Text => {
            let mut table = Table::new(["Thing", "Bytes", "Seen (UTC)", "State", "Run"]);
            for record in &things {
                table.row([
                    record.thing.name.as_str().into(),
                    Cell::right(record.thing.size.to_string()),
                    moment(record.seen).into(),
                    state(record).into(),
                    record
                        .run
                        .map(|run| run.to_string())
                        .unwrap_or_default()
                        .into(),
                ]);
            }
            context.output.print(table.render(context.output.out));
        }
    }
    Ok(Exit::Done)
}

fn state(record: &ThingRecord) -> String {
    json!(record.state).as_str().unwrap_or_default().to_owned()
}

fn document(record: &ThingRecord) -> Value {
    json!({
        "name": record.thing.name,
        "identity": record.thing.identity,
        "size": record.thing.size,
        "modified": record.thing.modified,
        "seen": record.seen,
        "state": record.state,
        "run": record.run,
    })
}

/// The sensor that a person names as `pipeline.task`.
async fn known(store: &dyn Store, text: &str) -> anyhow::Result<SensorKey> {
    let sensors = store.sensors().await?;
    let found = sensors
        .into_iter()
        .map(|sensor| sensor.key)
        .find(|key| format!("{}.{}", key.pipeline, key.task) == text);
    found.ok_or_else(|| {
        Problem::usage(format!("no sensor `{text}` has been watched"))
            .hint("write pipeline.task; `pipectl sensors list` shows them")
            .into()
    })
}
