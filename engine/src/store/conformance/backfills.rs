//! Backfills.

use serde_json::json;
use uuid::Uuid;

use super::fixture::{LONG, Owned, at, claim, enqueued, ids, started};
use crate::{
    id::{RunId, TaskKey},
    operator::Interval,
    state::RunState,
    store::{
        Backfill, BackfillState, Cancelled, Claimed, NewRun, ParentTask, Progress, Redo, Reprocess,
        RunFilter, RunKind, RunRecord, Store, StoreError,
    },
};

fn backfill(created: i64) -> Backfill {
    Backfill {
        id: Uuid::now_v7(),
        pipeline: "churn".to_owned(),
        from: at(0),
        to: at(86_400 * 3),
        max_active: 2,
        reprocess: Reprocess::Failed,
        backwards: false,
        cascade: true,
        state: BackfillState::Running,
        created: at(created),
    }
}

fn of_day(backfill: &Backfill, day: i64) -> NewRun {
    NewRun {
        kind: RunKind::Backfill,
        trigger_key: Some(format!("interval:{day}")),
        interval: Some(Interval {
            start: at(day * 86_400),
            end: at((day + 1) * 86_400),
        }),
        backfill: Some(backfill.id),
        ..enqueued("churn", day)
    }
}

/// A backfill comes with its runs: new ones, and earlier ones that are done again.
pub async fn a_backfill_is_made_at_once(store: &dyn Store) {
    let backfill = backfill(0);
    let plain = |day| NewRun {
        backfill: None,
        ..of_day(&backfill, day)
    };
    let failed = Owned::make_of(store, plain(0)).await;
    failed.end(RunState::Failed, 3).await;
    let running = Owned::make_of(store, plain(1)).await;
    running.commit(vec![started()]).await;
    let runs: Vec<_> = (1..4).map(|day| of_day(&backfill, day)).collect();
    let again = [(failed.run, Redo::All), (running.run, Redo::All)];
    for _ in 0..2 {
        store
            .create_backfill(&backfill, &runs, &again, "abc")
            .await
            .unwrap();
    }
    let all = RunFilter {
        limit: 9,
        ..RunFilter::default()
    };
    let mut all: Vec<_> = store.runs(&all).await.unwrap();
    all.reverse();
    let expected = [failed.run, running.run]
        .into_iter()
        .chain(ids(runs[1..].iter()));
    let found: Vec<_> = all.iter().map(|record| record.run.id).collect();
    assert_eq!(found.len(), 4);
    assert!(expected.into_iter().all(|run| found.contains(&run)));
    let failed = store.run(failed.run).await.unwrap().unwrap();
    assert_eq!(
        (failed.state, failed.requeued, failed.run.backfill),
        (RunState::Queued, Some(Redo::All), Some(backfill.id))
    );
    let running = store.run(running.run).await.unwrap().unwrap();
    assert_eq!((running.state, running.requeued), (RunState::Running, None));
    let progress = Progress {
        queued: 3,
        ..Progress::default()
    };
    let read = store.backfill(backfill.id).await.unwrap();
    assert_eq!(read, Some((backfill, progress)));
}

/// A backfill that has been made is not made again when its maker did not hear of it.
pub async fn a_backfill_is_made_once(store: &dyn Store) {
    let backfill = backfill(0);
    let earlier = Owned::make(store, "churn", 0).await;
    earlier.end(RunState::Failed, 1).await;
    let again = [(earlier.run, Redo::All)];
    store
        .create_backfill(&backfill, &[], &again, "abc")
        .await
        .unwrap();
    let claim = store
        .claim(earlier.run, "two", LONG)
        .await
        .unwrap()
        .unwrap();
    let run = Owned::of(
        store,
        Claimed {
            run: earlier.run,
            claim,
        },
    );
    run.end(RunState::Success, 2).await;
    store
        .create_backfill(&backfill, &[], &again, "abc")
        .await
        .unwrap();
    let record = store.run(earlier.run).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Success);
}

/// The runs of a backfill are taken by their intervals, those that are done again among the new ones, the last one first
/// when it goes backwards; what was made before it comes before it.
pub async fn a_backfill_goes_by_its_intervals(store: &dyn Store) {
    for (backwards, created) in [(false, 200), (true, 300)] {
        let backfill = Backfill {
            max_active: 9,
            backwards,
            ..backfill(created)
        };
        let day = |day| NewRun {
            trigger_key: Some(format!("{created} {day}")),
            ..of_day(&backfill, day)
        };
        let earlier = |number| NewRun {
            backfill: None,
            ..day(number)
        };
        let (third, first) = (earlier(3), earlier(1));
        for run in [&third, &first] {
            let run = Owned::make_of(store, run.clone()).await;
            run.end(RunState::Failed, 3).await;
        }
        let again = [(third.id, Redo::All), (first.id, Redo::All)];
        let runs = [day(4), day(0), day(2)];
        store
            .create_backfill(&backfill, &runs, &again, "abc")
            .await
            .unwrap();
        let read = store.backfill(backfill.id).await.unwrap().unwrap().0;
        assert_eq!(read, backfill);
        let before = enqueued("churn", created - 1);
        store.create_run(&before).await.unwrap();
        let mut expected = vec![runs[1].id, first.id, runs[2].id, third.id, runs[0].id];
        if backwards {
            expected.reverse();
        }
        expected.insert(0, before.id);
        let mut taken = claim(store, "one", 2).await;
        taken.extend(claim(store, "one", 3).await);
        taken.extend(claim(store, "one", 9).await);
        assert_eq!(taken, expected, "backwards: {backwards}");
    }
}

/// Runs that are to be done again, and that nobody has begun when they are cancelled, are what they were.
pub async fn what_is_not_done_again_is_what_it_was(store: &dyn Store) {
    let (earlier, backfill) = (backfill(0), backfill(1));
    let runs: Vec<_> = (0..4).map(|day| of_day(&earlier, day)).collect();
    store
        .create_backfill(&earlier, &runs, &[], "abc")
        .await
        .unwrap();
    let ends = [RunState::Success, RunState::Failed, RunState::Success];
    for (run, state) in runs.iter().zip(ends) {
        let claim = store.claim(run.id, "one", LONG).await.unwrap().unwrap();
        let run = Owned::of(store, Claimed { run: run.id, claim });
        run.end(state, 5).await;
    }
    store.cancel(runs[3].id, at(6)).await.unwrap();
    let before = records(store, &runs).await;
    let again: Vec<_> = runs.iter().map(|run| (run.id, Redo::All)).collect();
    store
        .create_backfill(&backfill, &[], &again, "abc")
        .await
        .unwrap();
    let begun = store.claim_queued("one", LONG, None, 1).await.unwrap()[0];
    assert_eq!(begun.run, runs[0].id);
    Owned::of(store, begun).commit(vec![started()]).await;
    let restored = store.cancel(runs[1].id, at(8)).await.unwrap();
    assert_eq!(restored, Cancelled::Restored(RunState::Failed));
    let event = store.events(runs[1].id, 0, 9).await.unwrap().pop();
    let data = json!({"state": "failed", "error": before[1].error});
    assert_eq!(event.map(|event| event.data), Some(data));
    store
        .set_backfill(backfill.id, BackfillState::Cancelled, at(9))
        .await
        .unwrap();
    let after = records(store, &runs).await;
    assert_eq!(
        (after[0].state, after[0].cancelling),
        (RunState::Running, true)
    );
    for (after, before) in after.iter().zip(&before).skip(1) {
        assert_eq!(
            (after.state, after.ended, &after.error, after.run.backfill),
            (before.state, before.ended, &before.error, Some(earlier.id))
        );
        assert_eq!((after.requeued, after.cancelling), (None, false));
        assert!(after.fence > before.fence);
    }
    // What is done again in earnest is cancelled as any other run.
    store.requeue(runs[2].id, Redo::All, None).await.unwrap();
    let claimed = store.claim(runs[2].id, "one", LONG).await.unwrap().unwrap();
    let claimed = Claimed {
        run: runs[2].id,
        claim: claimed,
    };
    Owned::of(store, claimed).end(RunState::Cancelled, 10).await;
    let record = store.run(runs[2].id).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Cancelled);
}

/// A run that is done anew takes the version that it is asked with; one that is not begun after all has its own again.
pub async fn what_is_done_anew_takes_the_new_version(store: &dyn Store) {
    let (earlier, backfill) = (backfill(0), backfill(1));
    let runs: Vec<_> = (0..3).map(|day| of_day(&earlier, day)).collect();
    store
        .create_backfill(&earlier, &runs, &[], "abc")
        .await
        .unwrap();
    for run in &runs {
        let claim = store.claim(run.id, "one", LONG).await.unwrap().unwrap();
        let run = Owned::of(store, Claimed { run: run.id, claim });
        run.end(RunState::Success, 5).await;
    }
    let redos = [Redo::Anew, Redo::All, Redo::Anew];
    let again: Vec<_> = ids(runs.iter()).into_iter().zip(redos).collect();
    store
        .create_backfill(&backfill, &[], &again, "def")
        .await
        .unwrap();
    let versions = async || {
        let records = records(store, &runs).await.into_iter();
        records.map(|record| record.run.version).collect::<Vec<_>>()
    };
    assert_eq!(versions().await, ["def", "abc", "def"]);
    let begun = store.claim_queued("one", LONG, None, 1).await.unwrap()[0];
    assert_eq!(begun.run, runs[0].id);
    Owned::of(store, begun).commit(vec![started()]).await;
    for run in &runs[1..] {
        let restored = store.cancel(run.id, at(8)).await.unwrap();
        assert_eq!(restored, Cancelled::Restored(RunState::Success));
    }
    assert_eq!(versions().await, ["def", "abc", "abc"]);
    Owned::of(store, begun).end(RunState::Failed, 9).await;
    // What a person does again keeps the version it has by now.
    assert!(store.requeue(runs[0].id, Redo::All, None).await.unwrap());
    assert_eq!(versions().await, ["def", "abc", "abc"]);
}

async fn records(store: &dyn Store, runs: &[NewRun]) -> Vec<RunRecord> {
    let mut records = Vec::new();
    for run in runs {
        records.push(store.run(run.id).await.unwrap().unwrap());
    }
    records
}

/// Backfills are listed the newest first, each with how far it is.
pub async fn backfills_show_their_progress(store: &dyn Store) {
    let (first, second) = (backfill(1), backfill(2));
    let runs: Vec<_> = (0..6).map(|day| of_day(&first, day)).collect();
    store
        .create_backfill(&first, &runs, &[], "abc")
        .await
        .unwrap();
    store
        .create_backfill(&second, &[], &[], "abc")
        .await
        .unwrap();
    for (run, state) in runs.iter().zip([
        RunState::Success,
        RunState::Failed,
        RunState::Cancelled,
        RunState::Running,
    ]) {
        let claim = store.claim(run.id, "one", LONG).await.unwrap().unwrap();
        let run = Owned::of(store, Claimed { run: run.id, claim });
        if state.is_final() {
            run.end(state, 5).await;
        } else {
            run.commit(vec![started()]).await;
        }
    }
    let progress = Progress {
        queued: 2,
        running: 1,
        success: 1,
        failed: 1,
        cancelled: 1,
    };
    assert_eq!((progress.total(), progress.over()), (6, 3));
    let all = store.backfills(9).await.unwrap();
    assert_eq!(
        all,
        [(second.clone(), Progress::default()), (first, progress)]
    );
    let newest = store.backfills(1).await.unwrap();
    assert_eq!(newest, [(second, Progress::default())]);
    assert_eq!(store.backfill(Uuid::now_v7()).await.unwrap(), None);
}

/// A backfill that is cancelled takes its runs with it: those that wait at once, the others are asked.
pub async fn a_cancelled_backfill_stops_its_runs(store: &dyn Store) {
    let (backfill, other) = (backfill(0), backfill(1));
    let runs: Vec<_> = (0..4).map(|day| of_day(&backfill, day)).collect();
    store
        .create_backfill(&backfill, &runs, &[], "abc")
        .await
        .unwrap();
    let others = [of_day(&other, 7)];
    store
        .create_backfill(&other, &others, &[], "abc")
        .await
        .unwrap();
    store.beat("one", at(0), LONG).await.unwrap();
    let claimed = store.claim_queued("one", LONG, Some(backfill.id), 2);
    let claimed = claimed.await.unwrap();
    Owned::of(store, claimed[0]).commit(vec![started()]).await;
    let set = |state| store.set_backfill(backfill.id, state, at(8));
    set(BackfillState::Paused).await.unwrap();
    let (read, progress) = store.backfill(backfill.id).await.unwrap().unwrap();
    assert_eq!((read.state, progress.queued), (BackfillState::Paused, 3));
    set(BackfillState::Cancelled).await.unwrap();
    let asked = store.beat("one", at(0), LONG).await.unwrap();
    assert_eq!(asked.len(), 2);
    for run in &runs[2..] {
        let record = store.run(run.id).await.unwrap().unwrap();
        assert_eq!(
            (record.state, record.ended),
            (RunState::Cancelled, Some(at(8)))
        );
        assert_eq!(store.events(run.id, 0, 9).await.unwrap().len(), 1);
    }
    let left = store.run(others[0].id).await.unwrap().unwrap();
    assert_eq!(left.state, RunState::Queued);
    let (read, progress) = store.backfill(backfill.id).await.unwrap().unwrap();
    assert_eq!(
        (read.state, progress.cancelled),
        (BackfillState::Cancelled, 2)
    );
    let unknown = store
        .set_backfill(Uuid::now_v7(), BackfillState::Paused, at(9))
        .await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
}

/// Who works off a backfill takes what its runs have started, and what those have, and no other child run.
pub async fn the_children_of_a_backfill_are_for_it(store: &dyn Store) {
    let backfill = backfill(3);
    let runs = [NewRun {
        backfill: Some(backfill.id),
        kind: RunKind::Backfill,
        ..enqueued("churn", 0)
    }];
    store
        .create_backfill(&backfill, &runs, &[], "abc")
        .await
        .unwrap();
    let other = enqueued("churn", 9);
    store.create_run(&other).await.unwrap();
    let child_of = |run: RunId, pipeline: &str, seconds| NewRun {
        kind: RunKind::Child,
        parent: Some(ParentTask {
            run,
            key: TaskKey::task("child"),
        }),
        ..enqueued(pipeline, seconds)
    };
    let child = child_of(runs[0].id, "days", 1);
    let grandchild = child_of(child.id, "hours", 2);
    let stranger = child_of(other.id, "days", 3);
    store
        .create_runs(&[child.clone(), grandchild.clone(), stranger])
        .await
        .unwrap();
    let claimed = store.claim_queued("one", LONG, Some(backfill.id), 9).await;
    let mut claimed: Vec<_> = claimed.unwrap().iter().map(|claimed| claimed.run).collect();
    claimed.sort_unstable();
    let mut expected = [runs[0].id, child.id, grandchild.id];
    expected.sort_unstable();
    assert_eq!(claimed, expected);
}
