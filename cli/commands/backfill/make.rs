//! Makes a backfill and, when no daemon lives, works it off.

use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;
use pipectl_daemon::{Ears, Preview, Wish, create_backfill, preview_backfill, work_off};
use pipectl_engine::{
    plan::Plan,
    runner::Role,
    store::{Progress, Reprocess, RunRecord},
    time::{Timestamp, human_duration},
    trigger::parse_moment,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::care;
use crate::{
    arguments::{Format, NewBackfill, ReprocessBehavior},
    commands::{daemon::alone, execute::stop_on_signal, params},
    exit::{Exit, Problem},
    output::many,
    project::Context,
    wire::{self, House, SLOTS},
};

pub(super) fn run(context: &Context, arguments: &NewBackfill) -> anyhow::Result<Exit> {
    let (Some(pipeline), Some(from), Some(to)) = (
        &arguments.pipeline,
        &arguments.from_date,
        &arguments.to_date,
    ) else {
        return Err(
            Problem::usage("a backfill needs a pipeline, --from-date and --to-date")
                .hint("pipectl backfill churn_daily --from-date 2026-01-01 --to-date 2026-02-01")
                .into(),
        );
    };
    let project = context.project_of(pipeline)?;
    let plan = context.plan(&project, pipeline)?;
    let (from, to) = (moment(from, plan.zone())?, moment(to, plan.zone())?);
    if to < from {
        return Err(
            Problem::usage("the dates are reversed: --from-date is after --to-date")
                .hint("--from-date is the first day, --to-date the one after the last")
                .into(),
        );
    }
    let wish = Wish {
        from,
        to,
        max_active: arguments.max_active_runs.unwrap_or(plan.max_active_runs),
        reprocess: reprocess(arguments.reprocess_behavior),
        backwards: arguments.run_backwards,
        cascade: arguments.cascade,
        params: params::complete(&plan, &arguments.params)?,
    };
    wire::block_on(async {
        let house = House::open(project).await?;
        let store = Arc::clone(&house.store);
        let preview = preview_backfill(&*store, &plan, &wish, house.clock().now())
            .await
            .map_err(|error| Problem::usage("cannot backfill").because(error))?;
        if let Some(note) = cut(&plan, &preview, house.clock().now()) {
            context.output.note(note);
        }
        if arguments.dry_run {
            show(context, &plan, &preview, arguments.format);
            return Ok(Exit::Done);
        }
        if preview.runs.is_empty() && preview.again.is_empty() {
            if let Format::Json = arguments.format {
                show(context, &plan, &preview, Format::Json);
            }
            let kept = many(preview.kept.len() as u64, "interval");
            context.output.note(format_args!(
                "nothing to do: {kept}, each with a run already"
            ));
            context.output.hint(
                "--reprocess-behavior failed does those again that have failed, completed all",
            );
            return Ok(Exit::Done);
        }
        create_backfill(&*store, &plan, &preview).await?;
        let id = preview.backfill.id;
        let count = many((preview.runs.len() + preview.again.len()) as u64, "run");
        context
            .output
            .note(format_args!("Backfill {id} of {}: {count}", plan.name));
        if house.daemon_lives().await? {
            context
                .output
                .note("a daemon works on it; `pipectl backfill list` shows how far it is");
            if let Format::Json = arguments.format {
                answer(context, &house, id, Format::Json).await?;
            }
            return Ok(Exit::Done);
        }
        off(context, &house, id, arguments.format).await
    })
}

/// Works a backfill off in this process.
pub(super) async fn off(
    context: &Context,
    house: &House,
    id: Uuid,
    format: Format,
) -> anyhow::Result<Exit> {
    let _alone = alone(&house.project)?;
    let ears = Ears::default();
    let runner = house.runner_as(Role::Daemon, SLOTS, vec![Arc::new(ears.clone())])?;
    let stop = CancellationToken::new();
    let store = Arc::clone(&house.store);
    let work = work_off(runner, &ears, house.files(), id, &stop);
    let show = context.output.live_line();
    let clock = house.clock();
    let started = clock.now();
    let watched = async {
        let mut first = None;
        loop {
            if let Ok(Some((_, progress))) = store.backfill(id).await {
                let first = *first.get_or_insert(progress.over());
                show.set(line(progress, first, clock.now() - started));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let end = tokio::select! {
        end = work => end,
        () = watched => Ok(()),
        () = stop_on_signal(&context.output, &stop) => Ok(()),
    };
    show.clear();
    end?;
    let is_own = |record: &RunRecord| record.run.backfill == Some(id);
    let stopped = house.send_mail(&context.output, is_own).await;
    if stopped {
        return Ok(Exit::Interrupted);
    }
    answer(context, house, id, format).await
}

/// Ends what runs of a cancelled backfill commands that are gone have left: nobody else would hear that they are to stop.
pub(super) async fn clear(house: &House, id: Uuid) -> anyhow::Result<()> {
    let Ok(_alone) = alone(&house.project) else {
        return Ok(());
    };
    let ears = Ears::default();
    let runner = house.runner_as(Role::Daemon, SLOTS, vec![Arc::new(ears.clone())])?;
    work_off(runner, &ears, house.files(), id, &CancellationToken::new()).await?;
    Ok(())
}

/// `412 of 1,095 · 61 running · 2 failed · 83/s · 8 s to go`
fn line(progress: Progress, first: u64, took: chrono::TimeDelta) -> String {
    let failed = match progress.failed {
        0 => String::new(),
        failed => format!(" · {failed} failed"),
    };
    let text = format!(
        "{} of {} · {} running",
        progress.over(),
        progress.total(),
        progress.running
    );
    match pace(progress, first, took) {
        None => text + &failed,
        Some((rate, eta)) => format!(
            "{text}{failed} · {rate:.1}/s · {} to go",
            human_duration(eta)
        ),
    }
}

/// How many runs a second were over since there were `first`, and how long the others take at this rate.
pub(super) fn pace(
    progress: Progress,
    first: u64,
    took: chrono::TimeDelta,
) -> Option<(f64, Duration)> {
    let seconds = took.to_std().unwrap_or_default().as_secs_f64();
    let count = |runs: u64| u32::try_from(runs).map_or(f64::MAX, f64::from);
    let rate = count(progress.over().saturating_sub(first)) / seconds.max(0.001);
    let left = progress.total() - progress.over();
    let eta = || Duration::from_secs_f64((count(left) / rate).min(1e9));
    (rate > 0.0).then(|| (rate, eta()))
}

/// How the backfill stands, and the exit code that says so.
async fn answer(
    context: &Context,
    house: &House,
    id: Uuid,
    format: Format,
) -> anyhow::Result<Exit> {
    let Some((backfill, progress)) = house.store.backfill(id).await? else {
        return Err(
            Problem::environment(format!("the backfill {id} is gone from the history")).into(),
        );
    };
    match format {
        Format::Json => {
            let zone = care::zone(house, &backfill.pipeline);
            context.output.json(&care::document(
                &backfill,
                progress,
                zone,
                house.clock().now(),
            ));
        }
        Format::Text => context.output.line(format_args!(
            "{}: {} success, {} failed, {} cancelled, {} to be done",
            many(progress.total(), "run"),
            progress.success,
            progress.failed,
            progress.cancelled,
            progress.queued + progress.running,
        )),
    }
    if progress.failed > 0 && format == Format::Text {
        context.output.hint(
            "say the same again with --reprocess-behavior failed; `pipectl runs list` shows why they failed",
        );
    }
    let left = progress.queued + progress.running;
    if left > 0 && format == Format::Text {
        context.output.hint(format_args!(
            "`pipectl backfill resume {id}` goes on with it, and so does a daemon"
        ));
    }
    Ok(if left > 0 {
        Exit::Interrupted
    } else if progress.failed + progress.cancelled > 0 {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// What is to be said of a stretch that reaches into the future: only intervals that are over get runs.
fn cut(plan: &Plan, preview: &Preview, now: Timestamp) -> Option<String> {
    if preview.backfill.to <= now {
        return None;
    }
    let made = preview.runs.iter().filter_map(|run| run.interval);
    let again = preview.again.iter().map(|(_, _, interval)| *interval);
    let all = made.chain(again).chain(preview.kept.iter().copied());
    let last = all.map(|interval| interval.end).max()?;
    Some(format!(
        "--to-date is in the future: the last interval that is over ends at {}; later ones are not part of this backfill",
        last.with_timezone(&plan.zone()).to_rfc3339()
    ))
}

fn show(context: &Context, plan: &Plan, preview: &Preview, format: Format) {
    let zone = plan.zone();
    let shown = |moment: Timestamp| moment.with_timezone(&zone).to_rfc3339();
    let pair = |interval: &pipectl_engine::operator::Interval| json!({"start": shown(interval.start), "end": shown(interval.end)});
    let new: Vec<_> = preview.runs.iter().filter_map(|run| run.interval).collect();
    let again: Vec<_> = preview
        .again
        .iter()
        .map(|(_, _, interval)| *interval)
        .collect();
    match format {
        Format::Json => context.output.json(&json!({
            "pipeline": plan.name,
            "new": new.iter().map(pair).collect::<Vec<_>>(),
            "again": again.iter().map(pair).collect::<Vec<_>>(),
            "kept": preview.kept.iter().map(pair).collect::<Vec<_>>(),
        })),
        Format::Text => {
            for (what, intervals) in [("new", &new), ("again", &again), ("kept", &preview.kept)] {
                for interval in intervals {
                    context.output.line(format_args!(
                        "{what:>5}  {} … {}",
                        shown(interval.start),
                        shown(interval.end)
                    ));
                }
            }
            context.output.note(format_args!(
                "{} new, {} again, {} kept; nothing was written",
                new.len(),
                again.len(),
                preview.kept.len()
            ));
        }
    }
}

fn reprocess(behavior: ReprocessBehavior) -> Reprocess {
    match behavior {
        ReprocessBehavior::None => Reprocess::None,
        ReprocessBehavior::Failed => Reprocess::Failed,
        ReprocessBehavior::Completed => Reprocess::Completed,
    }
}

/// A date, which means its first moment in the pipeline's zone, or a moment as RFC 3339 writes it.
fn moment(text: &str, zone: Tz) -> Result<Timestamp, Problem> {
    parse_moment(text, zone).ok_or_else(|| {
        Problem::usage(format!("`{text}` is neither a date nor a moment"))
            .hint("write 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight_in_the_zone() {
        for (text, zone, expected) in [
            ("2026-01-31", Tz::UTC, "2026-01-31T00:00:00Z"),
            ("2026-01-31", Tz::Europe__Berlin, "2026-01-30T23:00:00Z"),
            (
                "2026-01-31T12:00:00Z",
                Tz::Europe__Berlin,
                "2026-01-31T12:00:00Z",
            ),
            // Midnight is skipped that day.
            ("2026-09-06", Tz::America__Santiago, "2026-09-06T04:00:00Z"),
        ] {
            assert_eq!(
                moment(text, zone).unwrap(),
                expected.parse::<Timestamp>().unwrap(),
                "{text} {zone}"
            );
        }
        assert!(moment("yesterday", Tz::UTC).is_err());
        assert!(moment("2026-02-30", Tz::UTC).is_err());
    }

    #[test]
    fn progress_tells_rate_and_time_left() {
        let progress = Progress {
            queued: 80,
            running: 10,
            success: 9,
            failed: 1,
            cancelled: 0,
        };
        assert_eq!(
            line(progress, 0, chrono::TimeDelta::seconds(10)),
            "10 of 100 · 10 running · 1 failed · 1.0/s · 1 m 30 s to go"
        );
        assert_eq!(
            line(
                Progress {
                    queued: 5,
                    ..Progress::default()
                },
                0,
                chrono::TimeDelta::zero()
            ),
            "0 of 5 · 0 running"
        );
    }
}
