//! `pipectl schedules`: what starts by itself, and when.

use std::{collections::BTreeMap, path::Path};

use chrono::DateTime;
use chrono_tz::Tz;
use pipectl_engine::{
    plan::Plan,
    store::ScheduleRecord,
    time::Timestamp,
    trigger::{Schedule, Trigger},
};
use serde_json::{Value, json};

use crate::{
    arguments::{Format, Schedules},
    exit::{Exit, Problem},
    pipelines,
    project::{Context, registry},
    table::Table,
    wire::{self, House},
};

pub(crate) fn run(context: &Context, command: &Schedules) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        match command {
            Schedules::List(arguments) => list(context, &house, arguments.format).await,
            Schedules::Pause { pipeline } => pause(context, &house, pipeline, true).await,
            Schedules::Resume { pipeline } => pause(context, &house, pipeline, false).await,
        }
    })
}

async fn pause(
    context: &Context,
    house: &House,
    pipeline: &str,
    paused: bool,
) -> anyhow::Result<Exit> {
    let name = scheduled(context, house, pipeline).await?;
    house
        .store
        .pause(&name, paused, house.clock().now())
        .await?;
    let (what, hint) = if paused {
        ("paused", "resume")
    } else {
        ("goes on from now", "pause")
    };
    context.output.note(format_args!(
        "{name}: {what}; `pipectl schedules {hint} {name}` undoes it"
    ));
    Ok(Exit::Done)
}

/// The name of a pipeline that starts by itself: by its file, or by the history when the file is broken.
async fn scheduled(context: &Context, house: &House, pipeline: &str) -> anyhow::Result<String> {
    let file = pipelines::find(&house.project, pipeline)?;
    let checked = pipelines::check(&house.project, &registry(), &file);
    if checked.plan.is_none() {
        let name = stem(&file);
        let records = house.store.schedules().await?;
        let is_known = records.iter().any(|record| record.pipeline == name);
        let last_good = last_good(house, &name).await?;
        if is_known
            || last_good
                .as_ref()
                .is_some_and(|plan| plan.schedule.is_some())
        {
            context
                .output
                .warning(broken(&checked.name, last_good.is_some()));
            return Ok(name);
        }
    }
    let plan = context.judged(checked)?;
    if plan.schedule.is_none() {
        return Err(Problem::usage(format!(
            "nothing starts `{}` by itself: it has no `schedule:`",
            plan.name
        ))
        .into());
    }
    Ok(plan.name.to_string())
}

/// The version of a pipeline that the history has seen last, when that is still good.
async fn last_good(house: &House, name: &str) -> anyhow::Result<Option<Plan>> {
    let version = house.store.last_version(name).await?;
    Ok(version
        .and_then(|version| pipelines::check_version(&house.project, &registry(), version).plan))
}

fn stem(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn broken(file: &str, had_a_plan: bool) -> String {
    let by = if had_a_plan {
        ": a daemon goes by its last good version"
    } else {
        ", and no version before it was, so a daemon starts nothing of it"
    };
    format!("`{file}` is not valid{by}; `pipectl validate` says what is wrong")
}

/// A pipeline that starts by itself.
struct Row {
    name: String,
    /// Its plan; of a broken file the last good one, when the history has it.
    plan: Option<Plan>,
    paused: bool,
    is_broken: bool,
}

impl Row {
    /// What starts it.
    fn started_by(&self) -> String {
        let schedule = self.plan.as_ref().and_then(|plan| plan.schedule.as_ref());
        let by = schedule.map_or_else(|| "?".to_owned(), trigger);
        if self.is_broken && schedule.is_some() {
            by + " (by its last good version)"
        } else {
            by
        }
    }

    /// When a run starts next, in the pipeline's zone; a paused schedule starts none.
    fn next(&self, now: Timestamp) -> Option<DateTime<Tz>> {
        let plan = self.plan.as_ref()?;
        let next = plan.schedule.as_ref()?.next(now);
        let next = next.filter(|_| !self.paused)?;
        Some(next.with_timezone(&plan.zone()))
    }

    fn document(&self, now: Timestamp) -> Value {
        let next = self.next(now).map(|next| next.to_rfc3339());
        json!({
            "pipeline": self.name,
            "started_by": self.started_by(),
            "next": next,
            "paused": self.paused,
            "valid": !self.is_broken,
        })
    }
}

async fn list(context: &Context, house: &House, format: Format) -> anyhow::Result<Exit> {
    let now = house.clock().now();
    let records: BTreeMap<String, ScheduleRecord> = house
        .store
        .schedules()
        .await?
        .into_iter()
        .map(|record| (record.pipeline.clone(), record))
        .collect();
    let (mut rows, mut complaints) = (Vec::new(), Vec::new());
    for file in pipelines::all(&house.project)? {
        let checked = pipelines::check(&house.project, &registry(), &file);
        let is_broken = checked.plan.is_none();
        let (name, plan) = if let Some(plan) = checked.plan {
            (plan.name.to_string(), Some(plan))
        } else {
            let name = stem(&file);
            let plan = last_good(house, &name).await?;
            complaints.push(broken(&checked.name, plan.is_some()));
            (name, plan)
        };
        let record = records.get(&name);
        let starts = match &plan {
            Some(plan) => plan.schedule.is_some(),
            None => record.is_some(),
        };
        if starts {
            rows.push(Row {
                name,
                plan,
                paused: record.is_some_and(|record| record.paused),
                is_broken,
            });
        }
    }
    match format {
        Format::Json => {
            let all: Vec<Value> = rows.iter().map(|row| row.document(now)).collect();
            context.output.json(&json!({"schedules": all}));
        }
        Format::Text if rows.is_empty() => context.output.note("no pipeline has a `schedule:`"),
        Format::Text => {
            let mut table = Table::new(["Pipeline", "Started by", "Next"]);
            for row in &rows {
                let next = row
                    .next(now)
                    .map(|next| next.format("%Y-%m-%d %H:%M:%S %Z").to_string());
                let paused = if row.paused { "paused" } else { "" };
                table.row([
                    row.name.as_str().into(),
                    row.started_by().into(),
                    next.unwrap_or_else(|| paused.to_owned()).into(),
                ]);
            }
            context.output.print(table.render(context.output.out));
        }
    }
    for complaint in complaints {
        context.output.warning(complaint);
    }
    Ok(Exit::Done)
}

fn trigger(schedule: &Schedule) -> String {
    match &schedule.trigger {
        Trigger::Time(cadence) => cadence.to_string(),
        Trigger::After { pipelines, all } => {
            let joint = if *all { " and " } else { " or " };
            format!("after {}", pipelines.join(joint))
        }
        Trigger::Sensor(tasks) => format!("sensor {}", tasks.join(", ")),
    }
}
