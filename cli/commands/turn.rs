//! A run in the foreground keeps its pipeline's `max_active_runs`, as those of a daemon do: it waits for its turn.

use std::time::Duration;

use pipectl_engine::{
    id::RunId,
    plan::Plan,
    runner::Runner,
    state::RunState,
    store::{Claim, RunFilter, RunKind, RunRecord},
};
use tokio_util::sync::CancellationToken;

use super::execute::judged;
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

/// Waits until fewer other runs of the pipeline are under way than it allows, and claims the run; `None` when `cancel` is told
/// before.
pub(super) async fn wait(
    house: &House,
    runner: &Runner,
    plan: &Plan,
    run: RunId,
    output: &Output,
    cancel: &CancellationToken,
) -> anyhow::Result<Option<Claim>> {
    let mut told = false;
    loop {
        let changed = house.store.changed();
        let others = ahead(house, plan, run).await?;
        match others.runs.first() {
            Some(first) if others.runs.len() >= plan.max_active_runs as usize => {
                if !std::mem::replace(&mut told, true) {
                    output.note(format_args!(
                        "waits: {} of {} under way ({}), and `max_active_runs` is {}; Ctrl-C gives up",
                        many(others.runs.len() as u64, "run"),
                        plan.name,
                        first.run.id.short(),
                        plan.max_active_runs
                    ));
                }
            }
            // Others may find at the same moment that it is theirs: the history says whose it is.
            _ => {
                let claim = runner.claim_in_turn(run, plan.max_active_runs, &others.gone);
                if let Some(claim) = claim.await.map_err(|error| judged(error, run))? {
                    return Ok(Some(claim));
                }
            }
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(PAUSE) => {}
            () = cancel.cancelled() => return Ok(None),
        }
        // One whose command was killed is under way no more.
        house.give_up_lost().await?;
    }
}

/// What is under way before a run.
struct Ahead {
    /// The runs.
    runs: Vec<RunRecord>,
    /// Who has others and is known to be gone.
    gone: Vec<String>,
}

/// Other runs of the pipeline that somebody works on, or will in a moment: of two that begin together the one that was made
/// first.
async fn ahead(house: &House, plan: &Plan, run: RunId) -> anyhow::Result<Ahead> {
    let mut runs = Vec::new();
    for state in [RunState::Running, RunState::Queued] {
        let filter = RunFilter {
            pipeline: Some(plan.name.to_string()),
            state: Some(state),
            before: None,
            limit: MOST,
        };
        runs.extend(house.store.runs(&filter).await?);
    }
    runs.retain(|other| other.run.id != run && other.run.kind != RunKind::Child);
    let is_gone = house.gone().await?;
    let owners = runs.iter().filter_map(|other| other.owner.clone());
    let gone: Vec<_> = owners.filter(|owner| is_gone(owner)).collect();
    let works = |other: &RunRecord| {
        other
            .owner
            .as_ref()
            .is_some_and(|owner| !gone.contains(owner))
    };
    let now = house.clock().now();
    let begins = |other: &RunRecord| {
        let made = !other.run.enqueued && other.owner.is_none() && now - other.run.created < BEGINS;
        made && other.run.id < run
    };
    runs.retain(|other| works(other) || begins(other));
    Ok(Ahead { runs, gone })
}
