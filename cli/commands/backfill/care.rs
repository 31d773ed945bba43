//! Looks at backfills, pauses, resumes and cancels them.

use std::{collections::BTreeMap, time::Duration};

use chrono_tz::Tz;
use pipectl_engine::{
    failpoint,
    store::{Backfill, BackfillState, Progress, Reprocess, Store},
    time::{Timestamp, human_duration},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::make::{clear, off, pace};
use crate::{
    arguments::{BackfillCommand, Format},
    exit::{Exit, Problem},
    pipelines,
    project::{Context, registry},
    table::{Cell, Table},
    wire::{self, House},
};

/// How many are listed.
const LISTED: u32 = 100;

pub(super) fn run(context: &Context, command: &BackfillCommand) -> anyhow::Result<Exit> {
    let project = context.project_with_history()?;
    wire::block_on(async {
        let house = House::open(project).await?;
        let store = &*house.store;
        let now = house.clock().now();
        match command {
            BackfillCommand::List(arguments) => list(context, &house, arguments.format).await,
            BackfillCommand::Pause { backfill } => {
                refuse_cancelled(&house, backfill).await?;
                let Some(id) = unfinished(context, store, backfill).await? else {
                    return Ok(Exit::Done);
                };
                store.set_backfill(id, BackfillState::Paused, now).await?;
                context.output.note(format_args!("paused: runs under way go on, no other starts; `pipectl backfill resume {id}` goes on"));
                Ok(Exit::Done)
            }
            BackfillCommand::Resume { backfill } => {
                refuse_cancelled(&house, backfill).await?;
                let Some(id) = unfinished(context, store, backfill).await? else {
                    return Ok(Exit::Done);
                };
                store.set_backfill(id, BackfillState::Running, now).await?;
                if house.daemon_lives().await? {
                    context.output.note("a daemon goes on with it");
                    return Ok(Exit::Done);
                }
                off(context, &house, id, Format::Text).await
            }
            BackfillCommand::Cancel { backfill } => {
                let Some(id) = unfinished(context, store, backfill).await? else {
                    return Ok(Exit::Done);
                };
                store
                    .set_backfill(id, BackfillState::Cancelled, now)
                    .await?;
                failpoint::hit("backfill_cancelled");
                if !house.daemon_lives().await? {
                    clear(&house, id).await?;
                }
                context
                    .output
                    .note("cancelled: what waits is cancelled, what is under way is asked to stop");
                Ok(Exit::Done)
            }
        }
    })
}

async fn list(context: &Context, house: &House, format: Format) -> anyhow::Result<Exit> {
    let backfills = house.store.backfills(LISTED).await?;
    let mut zones = BTreeMap::new();
    for (backfill, _) in &backfills {
        zones
            .entry(backfill.pipeline.as_str())
            .or_insert_with_key(|pipeline| zone(house, pipeline));
    }
    match format {
        Format::Json => {
            let all: Vec<Value> = backfills
                .iter()
                .map(|(backfill, progress)| {
                    let zone = zones[backfill.pipeline.as_str()];
                    document(backfill, *progress, zone, house.clock().now())
                })
                .collect();
            context.output.json(&json!({"backfills": all}));
        }
        Format::Text if backfills.is_empty() => context.output.note("no backfills"),
        Format::Text => {
            let mut table = Table::new([
                "Backfill", "Pipeline", "State", "From", "To", "Done", "Failed", "Running", "Rate",
                "To go",
            ]);
            let now = house.clock().now();
            for (backfill, progress) in &backfills {
                let zone = zones[backfill.pipeline.as_str()];
                let (rate, to_go) = match going(backfill, *progress, now) {
                    Some((rate, eta)) => (per_time(rate), human_duration(eta)),
                    None => Default::default(),
                };
                // One whose runs others have taken over, or that was cancelled before any began, has none.
                let count = |text: String| match progress.total() {
                    0 => Cell::right(""),
                    _ => Cell::right(text),
                };
                table.row([
                    backfill.id.to_string().into(),
                    backfill.pipeline.as_str().into(),
                    state(backfill, *progress).into(),
                    local(backfill.from, zone).into(),
                    local(backfill.to, zone).into(),
                    count(format!("{}/{}", progress.over(), progress.total())),
                    count(progress.failed.to_string()),
                    count(progress.running.to_string()),
                    Cell::right(rate),
                    Cell::right(to_go),
                ]);
            }
            context.output.print(table.render(context.output.out));
            let open = |(backfill, progress): &(Backfill, Progress)| {
                state(backfill, *progress) == "running"
            };
            if let Some((backfill, _)) = backfills.iter().find(|entry| open(entry))
                && !house.daemon_lives().await?
            {
                context
                    .output
                    .warning("no daemon is alive: nobody works on what is `running`");
                context.output.hint(format_args!(
                    "`pipectl backfill resume {}` does it here; `pipectl daemon` does all of them",
                    backfill.id
                ));
            }
        }
    }
    Ok(Exit::Done)
}

/// The zone of a pipeline as its file is now, else UTC.
pub(super) fn zone(house: &House, pipeline: &str) -> Tz {
    let file = pipelines::find(&house.project, pipeline).ok();
    let plan = file.and_then(|file| pipelines::check(&house.project, &registry(), &file).plan);
    plan.map_or(Tz::UTC, |plan| plan.zone())
}

/// `2026-10-01 00:00 CEST`
fn local(moment: Timestamp, zone: Tz) -> String {
    let moment = moment.with_timezone(&zone);
    moment.format("%Y-%m-%d %H:%M %Z").to_string()
}

fn state(backfill: &Backfill, progress: Progress) -> &'static str {
    match backfill.state {
        BackfillState::Cancelled => "cancelled",
        // Later backfills have taken its runs over, to do them again.
        _ if progress.total() == 0 => "superseded",
        _ if progress.over() == progress.total() => "done",
        BackfillState::Running => "running",
        BackfillState::Paused => "paused",
    }
}

/// How fast a backfill goes since it was made, and how long it still takes; of one that goes on.
fn going(backfill: &Backfill, progress: Progress, now: Timestamp) -> Option<(f64, Duration)> {
    let goes = state(backfill, progress) == "running";
    goes.then(|| pace(progress, 0, now - backfill.created))
        .flatten()
}

/// `1.5/s`, `12/min`, `4/h`
fn per_time(rate: f64) -> String {
    match rate {
        rate if rate >= 1.0 => format!("{rate:.1}/s"),
        rate if rate * 60.0 >= 1.0 => format!("{:.1}/min", rate * 60.0),
        rate => format!("{:.1}/h", rate * 3_600.0),
    }
}

/// A backfill as JSON shows it.
pub(super) fn document(backfill: &Backfill, progress: Progress, zone: Tz, now: Timestamp) -> Value {
    let pace = going(backfill, progress, now);
    let shown = |moment: Timestamp| moment.with_timezone(&zone).to_rfc3339();
    json!({
        "backfill": backfill.id,
        "pipeline": backfill.pipeline,
        "state": state(backfill, progress),
        "from": shown(backfill.from),
        "to": shown(backfill.to),
        "max_active_runs": backfill.max_active,
        "created": backfill.created,
        "runs_per_second": pace.map(|(rate, _)| rate),
        "seconds_to_go": pace.map(|(_, eta)| eta.as_secs()),
        "runs": {
            "total": progress.total(),
            "queued": progress.queued,
            "running": progress.running,
            "success": progress.success,
            "failed": progress.failed,
            "cancelled": progress.cancelled,
        },
    })
}

/// A backfill that was cancelled stays so: its runs are over.
async fn refuse_cancelled(house: &House, text: &str) -> anyhow::Result<()> {
    let id = find(&*house.store, text).await?;
    match house.store.backfill(id).await? {
        Some((backfill, _)) if backfill.state == BackfillState::Cancelled => {
            let problem = Problem::usage(format!("backfill {id} was cancelled: it cannot go on"));
            let zone = zone(house, &backfill.pipeline);
            let shown = |moment: Timestamp| moment.with_timezone(&zone).to_rfc3339();
            let behavior = match backfill.reprocess {
                Reprocess::Completed => "completed",
                Reprocess::None | Reprocess::Failed => "failed",
            };
            let again = format!(
                "a new one does what it left: pipectl backfill {} --from-date {} --to-date {} --reprocess-behavior {behavior}",
                backfill.pipeline,
                shown(backfill.from),
                shown(backfill.to)
            );
            Err(problem.hint(again).into())
        }
        _ => Ok(()),
    }
}

/// A backfill that is not over; of one that is, people hear so.
async fn unfinished(
    context: &Context,
    store: &dyn Store,
    text: &str,
) -> anyhow::Result<Option<Uuid>> {
    let id = find(store, text).await?;
    let over = |progress: Progress| progress.over() == progress.total();
    if let Some((_, progress)) = store.backfill(id).await?
        && over(progress)
    {
        let note = format_args!("nothing to do: all runs of backfill {id} are over");
        context.output.note(note);
        return Ok(None);
    }
    Ok(Some(id))
}

/// A backfill by its id, the beginning of it, or `last`.
async fn find(store: &dyn Store, text: &str) -> anyhow::Result<Uuid> {
    let backfills = store.backfills(LISTED).await?;
    let mut found = backfills
        .iter()
        .map(|(backfill, _)| backfill.id)
        .filter(|id| text == "last" || id.to_string().starts_with(text));
    match (found.next(), found.next()) {
        (Some(id), _) if text == "last" => Ok(id),
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(
            Problem::usage(format!("several backfills begin with `{text}`"))
                .hint("write more of the id")
                .into(),
        ),
        (None, _) => Err(Problem::usage(format!("there is no backfill `{text}`"))
            .hint("`pipectl backfill list` shows them")
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shown_in_the_unit_that_suits_it() {
        for (rate, shown) in [(2.0, "2.0/s"), (0.2, "12.0/min"), (0.001, "3.6/h")] {
            assert_eq!(per_time(rate), shown);
        }
    }

    #[test]
    fn what_goes_on_tells_how_long_it_will() {
        let now = Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(100);
        let mut backfill = Backfill {
            id: Uuid::nil(),
            pipeline: "churn".to_owned(),
            from: now,
            to: now,
            max_active: 1,
            reprocess: Reprocess::None,
            backwards: false,
            cascade: false,
            state: BackfillState::Running,
            created: Timestamp::UNIX_EPOCH,
        };
        let progress = Progress {
            queued: 30,
            success: 10,
            ..Progress::default()
        };
        let pace = going(&backfill, progress, now);
        assert_eq!(pace, Some((0.1, Duration::from_secs(300))));
        backfill.state = BackfillState::Paused;
        assert_eq!(going(&backfill, progress, now), None);
    }
}
