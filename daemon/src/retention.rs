//! Lets go of old runs with what hangs on them, in small batches.

use std::{collections::BTreeMap, time::Duration};

use pipectl_engine::{
    artifact::ArtifactStore,
    failpoint,
    id::RunId,
    project::Project,
    retention::Retention,
    runner::log_directory,
    store::{PruneRule, Store, StoreError},
    time::Timestamp,
};
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;

/// How many runs go at once: a short transaction holds nobody up.
const BATCH: u32 = 100;
/// The pause between two batches.
const PAUSE: Duration = Duration::from_millis(100);

/// Prunes by what the pipelines and the project say. Without `history:` everything is kept.
pub(crate) async fn prune(desk: &Desk, stop: &CancellationToken) -> Result<u64, StoreError> {
    let (store, artifacts) = (desk.store(), &desk.runner.parts().artifacts);
    let project = &desk.project();
    let now = desk.now();
    let mut gone = 0;
    let plans: BTreeMap<String, _> = desk
        .catalogue
        .plans()
        .into_iter()
        .map(|plan| (plan.name.to_string(), plan))
        .collect();
    let broken = desk.catalogue.unknown();
    for pipeline in store.pipelines().await? {
        // What a broken file says of its history is not known; of one that is gone the project decides.
        if broken.contains(&pipeline) {
            continue;
        }
        let own = plans.get(&pipeline).and_then(|plan| plan.history);
        let Some(retention) = own.or(project.history) else {
            continue;
        };
        let rule = rule(Some(pipeline), retention, now);
        while !stop.is_cancelled() {
            let removed = prune_batch(&**store, &**artifacts, project, &rule).await?;
            gone += removed;
            if removed == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    if gone > 0 {
        tracing::info!(runs = gone, "pruned the history");
    }
    Ok(gone)
}

/// The rule of a retention.
pub fn rule(pipeline: Option<String>, retention: Retention, now: Timestamp) -> PruneRule {
    PruneRule {
        pipeline,
        before: retention
            .keep
            .and_then(|keep| now.checked_sub_signed(chrono::TimeDelta::from_std(keep).ok()?)),
        keep: retention.runs,
    }
}

/// Removes one batch: first the files, then the rows, so that nothing is left that no row names. Answers how many.
///
/// # Errors
/// When the history or the artifacts cannot be reached; nothing is half gone that a second try does not finish.
pub async fn prune_batch(
    store: &dyn Store,
    artifacts: &dyn ArtifactStore,
    project: &Project,
    rule: &PruneRule,
) -> Result<u64, StoreError> {
    let runs = store.prunable(rule, BATCH).await?;
    if runs.is_empty() {
        return Ok(0);
    }
    for run in &runs {
        artifacts.remove_below(&format!("runs/{run}")).await?;
        remove_logs(project, *run);
    }
    failpoint::hit("before_prune");
    store.remove_runs(&runs).await
}

fn remove_logs(project: &Project, run: RunId) {
    let directory = log_directory(&project.state_dir, run);
    if let Err(error) = std::fs::remove_dir_all(&directory)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "cannot remove the logs in `{}`", directory.display());
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{plan::testing, state::RunState};

    use super::*;
    use crate::testing::{Bench, made};

    #[tokio::test]
    async fn runs_of_pipelines_that_are_gone_go_too() {
        let mut bench = Bench::new();
        let day = Retention {
            keep: Some(Duration::from_secs(86_400)),
            runs: None,
        };
        bench.project.history = Some(day);
        let mut longer = testing::plan("longer");
        longer.history = Some(Retention {
            keep: Some(Duration::from_secs(864_000)),
            runs: None,
        });
        bench.files.put(longer);
        bench.files.break_("broken");
        for pipeline in ["gone", "longer", "broken"] {
            let ended = bench.now() - chrono::TimeDelta::days(2);
            let run = made(&bench, pipeline, 3 * 86_400);
            bench.over(run, RunState::Success, ended).await;
        }
        let desk = bench.desk().await;
        let gone = prune(&desk, &CancellationToken::new()).await.unwrap();
        assert_eq!(gone, 1);
        assert!(bench.runs("gone").await.is_empty());
    }
}
