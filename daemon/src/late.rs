//! Mails about runs that still wait in the queue at their deadline. Runs under way see to that themselves.

use std::{collections::HashSet, sync::Arc, time::Duration};

use pipectl_engine::{
    plan::Plan,
    runner::late_mails,
    state::RunState,
    store::{RunFilter, StoreError},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::desk::Desk;

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How many runs are looked at in one go.
const PAGE: u32 = 500;

/// Looks until it is told to stop.
pub(crate) async fn watch(desk: Desk, stop: CancellationToken) {
    let mut written = HashSet::new();
    while !stop.is_cancelled() {
        match look(&desk, &written).await {
            // What is no longer in the queue need not be remembered.
            Ok(late) => written = late,
            Err(error) => desk.say("cannot see which runs are late", &error),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Writes the mails of queued runs that are late, but for those `written` before. Answers with all of them.
async fn look(desk: &Desk, written: &HashSet<Uuid>) -> Result<HashSet<Uuid>, StoreError> {
    let mut late = HashSet::new();
    let plans = desk.catalogue.plans();
    for plan in plans.iter().filter(|plan| has_deadline(plan)) {
        let mut filter = RunFilter {
            pipeline: Some(plan.name.to_string()),
            state: Some(RunState::Queued),
            limit: PAGE,
            ..RunFilter::default()
        };
        loop {
            let page = desk.store().runs(&filter).await?;
            filter.before = page.last().map(|record| record.run.id);
            for record in &page {
                let Ok(plan) = desk.plan_of(record).await else {
                    continue;
                };
                for mail in late_mails(&plan, record, &desk.project(), desk.now()) {
                    if !written.contains(&mail.id) {
                        desk.store().post(&mail).await?;
                    }
                    late.insert(mail.id);
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
    }
    Ok(late)
}

fn has_deadline(plan: &Arc<Plan>) -> bool {
    plan.deadline.is_some() || plan.tasks().any(|(_, task)| task.deadline.is_some())
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        alert::{Alert, AlertKind},
        plan::testing,
        store::{NewRun, Outbox as _, RunKind, RunStore as _},
    };

    use super::*;
    use crate::testing::{Bench, made};

    #[tokio::test]
    async fn what_waits_too_long_is_told_once() {
        let bench = Bench::new();
        let mut plan = testing::plan("daily");
        plan.deadline = Some(Duration::from_secs(60));
        plan.alerts = vec![Alert {
            when: vec![AlertKind::Deadline],
            email: vec!["team@example.com".to_owned()],
        }];
        let version = plan.source.hash.clone();
        bench.files.put(plan);
        for (kind, seconds) in [
            (RunKind::Scheduled, 61),
            (RunKind::Scheduled, 59),
            (RunKind::Backfill, 600),
        ] {
            let run = NewRun {
                kind,
                version: version.clone(),
                enqueued: true,
                ..made(&bench, "daily", seconds)
            };
            bench.store.create_run(&run).await.unwrap();
        }
        // Two daemons see it, each several times.
        for _ in 0..2 {
            let desk = bench.desk().await;
            let mut written = HashSet::new();
            for _ in 0..2 {
                written = look(&desk, &written).await.unwrap();
            }
            assert_eq!(written.len(), 1);
        }
        assert_eq!(bench.store.counts().await.unwrap().values().sum::<u64>(), 1);
    }
}
