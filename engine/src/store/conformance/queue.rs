//! The queue of runs.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use super::fixture::{
    LONG, Owned, SHORT, after_short, at, beat, claim, enqueued, ids, new_run, started,
};
use crate::{
    state::RunState,
    store::{
        Backfill, BackfillState, Cancelled, Created, NewRun, Redo, Reprocess, RunKind, RunWrite,
        Store, StoreError, WriteOutcome,
    },
};

/// Runs made together: each new, or the one that its trigger has.
pub async fn many_runs_are_made_at_once(store: &dyn Store) {
    let triggered = |seconds, trigger: &str| NewRun {
        trigger_key: Some(trigger.to_owned()),
        ..enqueued("churn", seconds)
    };
    let first = triggered(0, "a");
    store.create_run(&first).await.unwrap();
    let runs = [
        triggered(1, "b"),
        triggered(2, "a"),
        enqueued("churn", 3),
        triggered(4, "b"),
        first.clone(),
    ];
    let expected = [
        Created::New,
        Created::Existing(first.id),
        Created::New,
        Created::Existing(runs[0].id),
        Created::New,
    ];
    assert_eq!(store.create_runs(&runs).await.unwrap(), expected);
    let read = store.run(runs[2].id).await.unwrap().unwrap();
    assert_eq!(read.run, runs[2]);
    assert_eq!(store.run(runs[1].id).await.unwrap(), None);
    assert_eq!(store.create_runs(&[]).await.unwrap(), []);
}

/// A run waits in the queue until somebody takes it; it is still `queued` then, and nobody else's.
pub async fn a_queued_run_is_given_once(store: &dyn Store) {
    let run = enqueued("churn", 0);
    store.create_runs(std::slice::from_ref(&run)).await.unwrap();
    let claimed = store.claim_queued("one", LONG, None, 5).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claim(store, "two", 5).await, []);
    assert_eq!(claim(store, "one", 5).await, []);
    let record = store.run(run.id).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.owner.as_deref(), record.fence),
        (RunState::Queued, Some("one"), claimed[0].claim.fence)
    );
    assert_eq!(store.owned("one").await.unwrap(), claimed);
    assert_eq!(store.owned("two").await.unwrap(), []);
    store.release(run.id, claimed[0].claim.fence).await.unwrap();
    assert_eq!(claim(store, "two", 5).await, [run.id]);
    let next = store.run(run.id).await.unwrap().unwrap();
    assert!(next.fence > claimed[0].claim.fence);
}

/// What its maker works on itself is never in the queue, nor is what is over.
pub async fn only_enqueued_runs_are_given(store: &dyn Store) {
    store.create_run(&new_run("churn", 0)).await.unwrap();
    let over = Owned::make_of(store, enqueued("churn", 1)).await;
    over.end(RunState::Success, 2).await;
    store.release(over.run, over.fence).await.unwrap();
    assert_eq!(claim(store, "one", 5).await, []);
}

/// The pipeline with fewer runs under way comes first, then the run that was made first.
pub async fn pipelines_share_fairly(store: &dyn Store) {
    let many: Vec<_> = (0..5).map(|seconds| enqueued("many", seconds)).collect();
    let few: Vec<_> = (5..7).map(|seconds| enqueued("few", seconds)).collect();
    store.create_runs(&many).await.unwrap();
    store.create_runs(&few).await.unwrap();
    assert_eq!(
        claim(store, "one", 3).await,
        [many[0].id, few[0].id, many[1].id]
    );
    assert_eq!(claim(store, "two", 1).await, [few[1].id]);
    let rest = ids(many[2..].iter());
    assert_eq!(claim(store, "one", 100).await, rest);
}

/// No pipeline has more runs under way than its runs say; children do not count.
pub async fn a_pipeline_has_a_limit(store: &dyn Store) {
    let limited = |seconds| NewRun {
        max_active: Some(2),
        ..enqueued("churn", seconds)
    };
    let runs: Vec<_> = (0..5).map(limited).collect();
    store.create_runs(&runs).await.unwrap();
    let child = NewRun {
        kind: RunKind::Child,
        ..enqueued("churn", 9)
    };
    let own = Owned::make_of(store, child).await;
    own.commit(vec![started()]).await;
    let first = store.claim_queued("one", LONG, None, 1).await.unwrap();
    let first = Owned::of(store, first[0]);
    assert_eq!(first.run, runs[0].id);
    first.commit(vec![started()]).await;
    assert_eq!(claim(store, "two", 10).await, [runs[1].id]);
    assert_eq!(claim(store, "two", 10).await, []);
    first.end(RunState::Failed, 3).await;
    assert_eq!(claim(store, "two", 10).await, [runs[2].id]);
    let free = enqueued("churn", 10);
    store.create_run(&free).await.unwrap();
    assert_eq!(claim(store, "two", 10).await, [free.id]);
}

/// Who took a run and did not begin it within the lease cannot begin it any more, nor keep it: it waits in the queue again,
/// so that it cannot be one too many.
pub async fn a_run_that_is_begun_too_late_is_refused(store: &dyn Store) {
    let limited = |seconds| NewRun {
        max_active: Some(1),
        ..enqueued("churn", seconds)
    };
    let runs = [limited(0), limited(1)];
    store.create_runs(&runs).await.unwrap();
    let frozen = store.claim_queued("one", SHORT, None, 1).await.unwrap();
    assert_eq!(frozen[0].run, runs[0].id);
    after_short().await;
    assert_eq!(store.owned("one").await.unwrap(), []);
    store.beat("one", at(0), LONG).await.unwrap();
    let late = RunWrite {
        run: frozen[0].run,
        fence: frozen[0].claim.fence,
        changes: vec![started()],
    };
    let outcomes = store.commit(&[late]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Stale]);
    let again = store.claim(frozen[0].run, "one", LONG).await.unwrap();
    assert_eq!(again, None);
    assert_eq!(claim(store, "two", 2).await, [runs[0].id]);
}

fn past(max_active: u32) -> Backfill {
    Backfill {
        id: Uuid::now_v7(),
        pipeline: "churn".to_owned(),
        from: at(0),
        to: at(86_400),
        max_active,
        reprocess: Reprocess::None,
        backwards: false,
        cascade: false,
        state: BackfillState::Running,
        created: at(0),
    }
}

fn of_backfill(backfill: &Backfill, runs: i64) -> Vec<NewRun> {
    let run = |seconds| NewRun {
        backfill: Some(backfill.id),
        kind: RunKind::Backfill,
        ..enqueued("churn", seconds)
    };
    (0..runs).map(run).collect()
}

/// A backfill has its own limit beside that of its pipeline, and gives nothing while it is paused.
pub async fn a_backfill_has_a_limit(store: &dyn Store) {
    let (backfill, other) = (past(2), past(9));
    let runs = of_backfill(&backfill, 4);
    store
        .create_backfill(&backfill, &runs, &[], "abc")
        .await
        .unwrap();
    let others = of_backfill(&other, 1);
    store
        .create_backfill(&other, &others, &[], "abc")
        .await
        .unwrap();
    let scheduled = NewRun {
        max_active: Some(4),
        ..enqueued("churn", 9)
    };
    store.create_run(&scheduled).await.unwrap();
    let of_other = store.claim_queued("two", LONG, Some(other.id), 9);
    assert_eq!(of_other.await.unwrap()[0].run, others[0].id);
    assert_eq!(
        claim(store, "one", 9).await,
        [runs[0].id, runs[1].id, scheduled.id]
    );
    store.cancel(scheduled.id, at(1)).await.unwrap();
    let first = Owned::of(store, store.owned("one").await.unwrap()[0]);
    first.end(RunState::Success, 3).await;
    let pause = |state| store.set_backfill(backfill.id, state, at(1));
    pause(BackfillState::Paused).await.unwrap();
    assert_eq!(claim(store, "one", 9).await, []);
    pause(BackfillState::Running).await.unwrap();
    assert_eq!(claim(store, "one", 9).await, [runs[2].id]);
}

/// However many claim at once, limits hold and nobody gets what another has.
pub async fn claimers_at_once_keep_the_limits(store: &dyn Store) {
    let backfill = past(3);
    let mut runs = of_backfill(&backfill, 20);
    store
        .create_backfill(&backfill, &runs, &[], "abc")
        .await
        .unwrap();
    for (pipeline, most) in [("a", Some(1)), ("b", Some(4)), ("c", None)] {
        let more = (0..10).map(|seconds| NewRun {
            max_active: most,
            ..enqueued(pipeline, seconds)
        });
        runs.extend(more);
    }
    store.create_runs(&runs).await.unwrap();
    let names: Vec<_> = (0..8).map(|daemon| daemon.to_string()).collect();
    for name in &names {
        beat(store, name, LONG).await;
    }
    let mut given = Vec::new();
    for _ in 0..3 {
        let claims = join_all(names.iter().map(|name| claim(store, name, 2))).await;
        given.extend(claims.into_iter().flatten());
    }
    let mut counts = BTreeMap::<_, usize>::new();
    for run in &runs {
        let times = given.iter().filter(|id| **id == run.id).count();
        assert!(times <= 1, "{times} daemons have {}", run.id);
        *counts.entry(run.pipeline.as_str()).or_default() += times;
    }
    let expected = [("a", 1), ("b", 4), ("c", 10), ("churn", 3)];
    assert_eq!(counts, BTreeMap::from(expected));
}

/// A run that is over can be done again: it waits in the queue, and says what is to be done again until it is begun.
pub async fn a_run_is_done_again(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    assert!(!store.requeue(run.run, Redo::All, None).await.unwrap());
    run.commit(vec![started()]).await;
    assert!(!store.requeue(run.run, Redo::All, None).await.unwrap());
    run.end(RunState::Failed, 3).await;
    assert!(
        store
            .requeue(run.run, Redo::Unfinished, None)
            .await
            .unwrap()
    );
    assert!(!store.requeue(run.run, Redo::All, None).await.unwrap());
    let record = store.run(run.run).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.requeued, record.ended, record.owner),
        (RunState::Queued, Some(Redo::Unfinished), None, None)
    );
    assert!(record.fence > run.fence);
    let claimed = store.claim_queued("two", LONG, None, 1).await.unwrap();
    let again = Owned::of(store, claimed[0]);
    assert_eq!(again.run, run.run);
    let record = store.run(run.run).await.unwrap().unwrap();
    assert_eq!(record.requeued, Some(Redo::Unfinished));
    again.commit(vec![started()]).await;
    let record = store.run(run.run).await.unwrap().unwrap();
    assert_eq!((record.state, record.requeued), (RunState::Running, None));
    let nowhere = store.requeue(new_run("churn", 1).id, Redo::All, None).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))));
}

/// A run that is done again stays in its backfill while that is running.
pub async fn a_run_of_a_cancelled_backfill_is_done_again(store: &dyn Store) {
    let backfill = past(5);
    let runs = of_backfill(&backfill, 1);
    store
        .create_backfill(&backfill, &runs, &[], "abc")
        .await
        .unwrap();
    for state in [BackfillState::Running, BackfillState::Cancelled] {
        store.cancel(runs[0].id, at(1)).await.unwrap();
        let kept = (state == BackfillState::Running).then_some(backfill.id);
        store.set_backfill(backfill.id, state, at(2)).await.unwrap();
        assert!(store.requeue(runs[0].id, Redo::All, None).await.unwrap());
        let record = store.run(runs[0].id).await.unwrap().unwrap();
        assert_eq!(record.run.backfill, kept);
    }
    assert_eq!(claim(store, "one", 1).await, [runs[0].id]);
}

/// A run that nobody works on is cancelled at once, with its event; another one's owner hears of it with its beat.
pub async fn a_run_is_cancelled(store: &dyn Store) {
    let waiting = enqueued("churn", 0);
    store.create_run(&waiting).await.unwrap();
    let cancel = |run| store.cancel(run, at(7));
    assert_eq!(cancel(waiting.id).await.unwrap(), Cancelled::AtOnce);
    let record = store.run(waiting.id).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.ended, record.cancelling),
        (RunState::Cancelled, Some(at(7)), false)
    );
    let events = store.events(waiting.id, 0, 9).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].number, events[0].at, events[0].kind.as_str()),
        (1, at(7), "run")
    );
    assert_eq!(
        events[0].data.to_string(),
        json!({"state": "cancelled", "error": null}).to_string()
    );
    assert_eq!(
        cancel(waiting.id).await.unwrap(),
        Cancelled::Over(RunState::Cancelled)
    );
    assert_eq!(claim(store, "one", 5).await, []);
    store.create_run(&enqueued("churn", 1)).await.unwrap();
    let claimed = store.claim_queued("one", LONG, None, 1).await.unwrap();
    let owned = Owned::of(store, claimed[0]);
    for begun in [false, true] {
        assert_eq!(cancel(owned.run).await.unwrap(), Cancelled::Asked);
        assert_eq!(beat(store, "one", LONG).await, [owned.run]);
        assert!(store.run(owned.run).await.unwrap().unwrap().cancelling);
        assert_eq!(beat(store, "two", LONG).await, []);
        if !begun {
            owned.commit(vec![started()]).await;
        }
    }
    owned.end(RunState::Cancelled, 9).await;
    assert_eq!(beat(store, "one", LONG).await, []);
    assert!(!store.run(owned.run).await.unwrap().unwrap().cancelling);
    let nowhere = cancel(new_run("churn", 9).id).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))));
}

/// Runs that are not over are counted by pipeline and state.
pub async fn unfinished_runs_are_counted(store: &dyn Store) {
    assert!(store.unfinished().await.unwrap().is_empty());
    for seconds in 0..3 {
        store.create_run(&enqueued("churn", seconds)).await.unwrap();
    }
    Owned::make(store, "fraud", 0)
        .await
        .end(RunState::Success, 1)
        .await;
    let run = Owned::make(store, "fraud", 1).await;
    run.commit(vec![started()]).await;
    let expected = [
        (("churn".to_owned(), RunState::Queued), 3),
        (("fraud".to_owned(), RunState::Running), 1),
    ];
    assert_eq!(store.unfinished().await.unwrap(), BTreeMap::from(expected));
}

/// Those who wait hear of what is enqueued, done again, cancelled and finished.
pub async fn those_who_wait_hear_of_changes(store: &dyn Store) {
    let run = enqueued("churn", 0);
    let told = |wait| async {
        let patience = Duration::from_secs(10);
        assert!(tokio::time::timeout(patience, wait).await.is_ok());
    };
    let wait = store.changed();
    store.create_runs(std::slice::from_ref(&run)).await.unwrap();
    told(wait).await;
    let claimed = store.claim_queued("one", LONG, None, 1).await.unwrap();
    let owned = Owned::of(store, claimed[0]);
    let wait = store.changed();
    store.cancel(run.id, at(1)).await.unwrap();
    told(wait).await;
    let wait = store.changed();
    owned.end(RunState::Cancelled, 1).await;
    told(wait).await;
    let wait = store.changed();
    store.requeue(run.id, Redo::All, None).await.unwrap();
    told(wait).await;
}
