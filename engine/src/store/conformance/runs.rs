//! Making runs and finding them.

use futures::future::join_all;

use super::fixture::{Owned, at, key, new_run, output, task};
use crate::{
    state::{RunState, TaskState},
    store::{Created, NewRun, RunFilter, Store},
};

fn triggered(pipeline: &str, seconds: i64, trigger: &str) -> NewRun {
    NewRun {
        trigger_key: Some(trigger.to_owned()),
        ..new_run(pipeline, seconds)
    }
}

/// A trigger makes one run of a pipeline; the same run made again is that run.
pub async fn a_trigger_makes_one_run(store: &dyn Store) {
    let first = triggered("churn", 0, "interval:2026-11-20");
    assert_eq!(store.create_run(&first).await.unwrap(), Created::New);
    assert_eq!(store.create_run(&first).await.unwrap(), Created::New);
    let second = triggered("churn", 1, "interval:2026-11-20");
    assert_eq!(
        store.create_run(&second).await.unwrap(),
        Created::Existing(first.id)
    );
    assert_eq!(store.run(second.id).await.unwrap(), None);
    for other in [
        triggered("fraud", 2, "interval:2026-11-20"),
        triggered("churn", 3, "interval:2026-11-21"),
    ] {
        assert_eq!(store.create_run(&other).await.unwrap(), Created::New);
    }
    for manual in [new_run("churn", 4), new_run("churn", 4)] {
        assert_eq!(store.create_run(&manual).await.unwrap(), Created::New);
    }
}

/// What a trigger is about may have a long name.
pub async fn a_long_trigger_makes_one_run(store: &dyn Store) {
    let long = |end: &str| format!("thing:arrived:{}{end}", "ü/".repeat(2_000));
    let (first, other) = (
        triggered("churn", 0, &long("a")),
        triggered("churn", 1, &long("b")),
    );
    let again = triggered("churn", 2, &long("a"));
    let made = store
        .create_runs(&[first.clone(), other, again])
        .await
        .unwrap();
    assert_eq!(
        made,
        [Created::New, Created::New, Created::Existing(first.id)]
    );
    let found = store.triggered("churn", &long("a")).await.unwrap();
    assert_eq!(found.unwrap().run.id, first.id);
    assert_eq!(store.triggered("churn", &long("c")).await.unwrap(), None);
}

/// However many look at once, a trigger makes one run.
pub async fn many_that_look_make_one_run(store: &dyn Store) {
    let runs: Vec<_> = (0..10)
        .map(|seconds| triggered("churn", seconds, "thing:a"))
        .collect();
    let made = join_all(runs.iter().map(|run| store.create_run(run))).await;
    let made: Vec<_> = made.into_iter().map(Result::unwrap).collect();
    let winner = made
        .iter()
        .position(|created| *created == Created::New)
        .unwrap();
    for (index, created) in made
        .into_iter()
        .enumerate()
        .filter(|(index, _)| *index != winner)
    {
        assert_eq!(created, Created::Existing(runs[winner].id), "{index}");
    }
}

/// Runs are listed the newest first, by pages, of one pipeline and in one state if so wished.
pub async fn runs_are_listed_by_pages(store: &dyn Store) {
    let mut runs = Vec::new();
    for seconds in 0..7 {
        runs.push(Owned::make(store, "churn", seconds).await.run);
    }
    let other = Owned::make(store, "fraud", 9).await;
    other.end(RunState::Failed, 10).await;
    runs.reverse();
    let mut filter = RunFilter {
        pipeline: Some("churn".to_owned()),
        limit: 3,
        ..RunFilter::default()
    };
    let mut listed = Vec::new();
    loop {
        let page: Vec<_> = store
            .runs(&filter)
            .await
            .unwrap()
            .into_iter()
            .map(|record| record.run.id)
            .collect();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        filter.before = Some(*last);
        listed.extend(page);
    }
    assert_eq!(listed, runs);
    let all = store
        .runs(&RunFilter {
            limit: 100,
            ..RunFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(all.len(), 8);
    assert_eq!(all[0].run.id, other.run);
    let failed = RunFilter {
        state: Some(RunState::Failed),
        limit: 100,
        ..RunFilter::default()
    };
    let failed = store.runs(&failed).await.unwrap();
    assert_eq!(
        failed
            .iter()
            .map(|record| record.run.id)
            .collect::<Vec<_>>(),
        [other.run]
    );
}

/// A task's successes in the newest runs of its pipeline, with measures.
pub async fn the_newest_successes_come_first(store: &dyn Store) {
    let drift = key("drift");
    let mut runs = Vec::new();
    for (seconds, state, pipeline) in [
        (0, TaskState::Success, "churn"),
        (1, TaskState::Failed, "churn"),
        (2, TaskState::Success, "churn"),
        (3, TaskState::Success, "fraud"),
        (4, TaskState::Success, "churn"),
    ] {
        let run = Owned::make(store, pipeline, seconds).await;
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        run.commit(vec![
            task(&drift, state),
            output(&drift, seconds as f64),
            task(&key("other"), TaskState::Success),
        ])
        .await;
        runs.push(run.run);
    }
    let past = store.successes("churn", &drift, 2).await.unwrap();
    assert_eq!(
        past.iter().map(|past| past.run).collect::<Vec<_>>(),
        [runs[4], runs[2]]
    );
    assert_eq!(
        past[0].metrics["f1"].total_cmp(&4.0),
        std::cmp::Ordering::Equal
    );
    assert_eq!((past[0].ended, past[0].rows), (at(20), None));
    assert_eq!(
        store.successes("churn", &drift, 100).await.unwrap().len(),
        3
    );
    assert!(
        store
            .successes("churn", &key("nothing"), 100)
            .await
            .unwrap()
            .is_empty()
    );
}

/// The verdict of the run of this pipeline that finished last, this one left out.
pub async fn the_previous_verdict_is_that_of_another_run(store: &dyn Store) {
    let present = Owned::make(store, "churn", 9).await;
    assert_eq!(
        store.previous_state("churn", present.run).await.unwrap(),
        None
    );
    for (seconds, pipeline, state, ended) in [
        (0, "churn", RunState::Failed, 50),
        (1, "churn", RunState::Success, 40),
        (2, "fraud", RunState::Cancelled, 60),
    ] {
        Owned::make(store, pipeline, seconds)
            .await
            .end(state, ended)
            .await;
    }
    Owned::make(store, "churn", 3).await;
    present.end(RunState::Success, 70).await;
    assert_eq!(
        store.previous_state("churn", present.run).await.unwrap(),
        Some(RunState::Failed)
    );
}
