//! `pipectl schedules`: what starts by itself, and when.

use std::collections::BTreeMap;

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
    let project = context.project()?;
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
    let plan = context.plan(&house.project, pipeline)?;
    if plan.schedule.is_none() {
        return Err(Problem::usage(format!(
            "nothing starts `{}` by itself: it has no `schedule:`",
            plan.name
        ))
        .into());
    }
    house
        .store
        .pause(&plan.name, paused, house.clock().now())
        .await?;
    let (what, hint) = if paused {
        ("paused", "resume")
    } else {
        ("goes on from now", "pause")
    };
    context.output.note(format_args!(
        "{}: {what}; `pipectl schedules {hint} {}` undoes it",
        plan.name, plan.name
    ));
    Ok(Exit::Done)
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
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for file in pipelines::all(&house.project)? {
        let checked = pipelines::check(&house.project, &registry(), &file);
        if checked.plan.is_none() {
            broken.push(checked.name.clone());
        }
        if let Some(plan) = checked.plan
            && let Some(schedule) = plan.schedule.clone()
        {
            let paused = records.get(&*plan.name).is_some_and(|record| record.paused);
            rows.push((plan, schedule, paused));
        }
    }
    match format {
        Format::Json => {
            let all: Vec<Value> = rows
                .iter()
                .map(|(plan, schedule, paused)| document(plan, schedule, *paused, now))
                .collect();
            context.output.json(&json!({"schedules": all}));
        }
        Format::Text if rows.is_empty() => context.output.note("no pipeline has a `schedule:`"),
        Format::Text => {
            let mut table = Table::new(["Pipeline", "Started by", "Next"]);
            for (plan, schedule, paused) in &rows {
                let next = next(plan, schedule, *paused, now)
                    .map(|next| next.format("%Y-%m-%d %H:%M:%S %Z").to_string());
                let paused = if *paused { "paused" } else { "" };
                table.row([
                    (&*plan.name).into(),
                    trigger(schedule).into(),
                    next.unwrap_or_else(|| paused.to_owned()).into(),
                ]);
            }
            context.output.print(table.render(context.output.out));
        }
    }
    for name in broken {
        context.output.warning(format_args!(
            "`{name}` is not valid: a daemon goes by its last good version; `pipectl validate` says what is wrong"
        ));
    }
    Ok(Exit::Done)
}

/// When a run starts next, in the pipeline's zone; a paused schedule starts none.
fn next(plan: &Plan, schedule: &Schedule, paused: bool, now: Timestamp) -> Option<DateTime<Tz>> {
    let next = schedule.next(now).filter(|_| !paused)?;
    Some(next.with_timezone(&plan.zone()))
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

fn document(plan: &Plan, schedule: &Schedule, paused: bool, now: Timestamp) -> Value {
    let next = next(plan, schedule, paused, now).map(|next| next.to_rfc3339());
    json!({"pipeline": plan.name, "started_by": trigger(schedule), "next": next, "paused": paused})
}
