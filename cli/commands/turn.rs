//! A run in the foreground keeps its pipeline's `max_active_runs`, as those of a daemon do: it waits for its turn.

use std::time::Duration;

use pipectl_engine::{
    id::RunId,
    plan::Plan,
    state::RunState,
    store::{RunFilter, RunKind, RunRecord},
};
use tokio_util::sync::CancellationToken;

use crate::{
    output::{Output, many},
    wire::House,
};

/// How often it is looked whether it is the run's turn.
const PAUSE: Duration = Duration::from_millis(300);
/// A run that nobody works on yet will begin within this time, or its command is gone.
const BEGINS: chrono::TimeDelta = chrono::TimeDelta::seconds(10);
/// More runs under way than these are not looked at.
const MOST: u32 = 1_000;

/// Waits until fewer other runs of the pipeline are under way than it allows, or `cancel`.
pub(super) async fn wait(
    house: &House,
    plan: &Plan,
    run: RunId,
    output: &Output,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        let changed = house.store.changed();
        let others = ahead(house, plan, run).await?;
        let Some(first) = others
            .first()
            .filter(|_| others.len() >= plan.max_active_runs as usize)
        else {
            return Ok(());
        };
        if !std::mem::replace(&mut told, true) {
            output.note(format_args!(
                "waits: {} of {} under way ({}), and `max_active_runs` is {}; Ctrl-C gives up",
                many(others.len() as u64, "run"),
                plan.name,
                first.run.id.short(),
                plan.max_active_runs
            ));
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(PAUSE) => {}
            () = cancel.cancelled() => return Ok(()),
        }
        // One whose command was killed is under way no more.
        house.give_up_lost().await?;
    }
}

/// Other runs of the pipeline that somebody works on, or will in a moment: of two that begin together the one that was made
/// first.
async fn ahead(house: &House, plan: &Plan, run: RunId) -> anyhow::Result<Vec<RunRecord>> {
    let mut found = Vec::new();
    for state in [RunState::Running, RunState::Queued] {
        let filter = RunFilter {
            pipeline: Some(plan.name.to_string()),
            state: Some(state),
            before: None,
            limit: MOST,
        };
        found.extend(house.store.runs(&filter).await?);
    }
    let gone = house.gone().await?;
    let works = |other: &RunRecord| other.owner.as_deref().is_some_and(|owner| !gone(owner));
    let now = house.clock().now();
    let begins = |other: &RunRecord| {
        let made = !other.run.enqueued && other.owner.is_none() && now - other.run.created < BEGINS;
        made && other.run.id < run
    };
    found.retain(|other| {
        other.run.id != run && other.run.kind != RunKind::Child && (works(other) || begins(other))
    });
    Ok(found)
}
