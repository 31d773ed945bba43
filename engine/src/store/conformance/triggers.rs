//! Schedules, and what other runs have triggered.

use super::fixture::{Owned, at, new_run};
use crate::{
    operator::Interval,
    state::RunState,
    store::{NewRun, ScheduleRecord, Store},
};

fn schedule(pipeline: &str, cursor: i64, paused: bool) -> ScheduleRecord {
    ScheduleRecord {
        pipeline: pipeline.to_owned(),
        cursor: at(cursor),
        paused,
    }
}

/// A schedule stands where it was first seen, and moves forward only.
pub async fn a_schedule_moves_forward(store: &dyn Store) {
    assert_eq!(store.schedules().await.unwrap(), []);
    let new = store.schedule("fraud", at(5)).await.unwrap();
    assert_eq!(new, schedule("fraud", 5, false));
    let known = store.schedule("fraud", at(9)).await.unwrap();
    assert_eq!(known, schedule("fraud", 5, false));
    for (to, stands) in [(7, 7), (6, 7), (8, 8)] {
        store.advance("fraud", at(to)).await.unwrap();
        let known = store.schedule("fraud", at(0)).await.unwrap();
        assert_eq!(known.cursor, at(stands));
    }
    store.advance("churn", at(3)).await.unwrap();
    assert_eq!(
        store.schedules().await.unwrap(),
        [schedule("churn", 3, false), schedule("fraud", 8, false)]
    );
}

/// A paused schedule goes on from the moment at which it is let go on.
pub async fn a_schedule_is_paused(store: &dyn Store) {
    store.schedule("churn", at(5)).await.unwrap();
    for (paused, now, expected) in [
        (false, 9, schedule("churn", 5, false)),
        (true, 10, schedule("churn", 5, true)),
        (true, 11, schedule("churn", 5, true)),
        (false, 12, schedule("churn", 12, false)),
    ] {
        store.pause("churn", paused, at(now)).await.unwrap();
        assert_eq!(store.schedule("churn", at(0)).await.unwrap(), expected);
    }
    store.pause("new", true, at(20)).await.unwrap();
    let new = store.schedule("new", at(0)).await.unwrap();
    assert_eq!(new, schedule("new", 20, true));
}

/// Successes of some pipelines are listed by their end, from a moment on.
pub async fn successes_are_listed_by_their_end(store: &dyn Store) {
    let mut runs = Vec::new();
    for (seconds, pipeline, state, ended) in [
        (0, "a", RunState::Success, 60),
        (1, "b", RunState::Success, 50),
        (2, "a", RunState::Failed, 55),
        (3, "c", RunState::Success, 56),
        (4, "a", RunState::Success, 40),
        (5, "b", RunState::Success, 39),
    ] {
        let run = Owned::make(store, pipeline, seconds).await;
        run.end(state, ended).await;
        runs.push(run.run);
    }
    Owned::make(store, "a", 6).await;
    let pipelines = ["a", "b", "a", "none"].map(str::to_owned);
    for (since, after, limit, expected) in [
        (40, None, 9, vec![runs[4], runs[1], runs[0]]),
        (40, None, 2, vec![runs[4], runs[1]]),
        (40, Some(runs[4]), 9, vec![runs[1], runs[0]]),
        (50, Some(runs[1]), 9, vec![runs[0]]),
        (60, Some(runs[0]), 9, vec![]),
    ] {
        let found = store
            .successes_since(&pipelines, at(since), after, limit)
            .await;
        let found: Vec<_> = found.unwrap().iter().map(|record| record.run.id).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(
        store.successes_since(&[], at(0), None, 9).await.unwrap(),
        []
    );
}

/// A successful run of an interval can be found, and so can that of a trigger.
pub async fn a_run_is_found_by_what_it_is_about(store: &dyn Store) {
    let interval = |day: i64| Interval {
        start: at(day * 86_400),
        end: at((day + 1) * 86_400),
    };
    let of = |day, seconds| NewRun {
        interval: Some(interval(day)),
        trigger_key: Some(format!("interval:{day}/{seconds}")),
        ..new_run("churn", seconds)
    };
    let mut runs = Vec::new();
    for (day, seconds, state) in [
        (1, 0, RunState::Success),
        (1, 1, RunState::Success),
        (1, 2, RunState::Failed),
        (2, 3, RunState::Failed),
    ] {
        let run = Owned::make_of(store, of(day, seconds)).await;
        run.end(state, 9).await;
        runs.push(run.run);
    }
    let success = |pipeline, day| store.success_of(pipeline, interval(day));
    assert_eq!(success("churn", 1).await.unwrap(), Some(runs[1]));
    assert_eq!(success("churn", 2).await.unwrap(), None);
    assert_eq!(success("fraud", 1).await.unwrap(), None);
    let found = store.triggered("churn", "interval:2/3").await.unwrap();
    let found = found.unwrap();
    assert_eq!((found.run.id, found.state), (runs[3], RunState::Failed));
    for (pipeline, trigger) in [("churn", "interval:3/3"), ("fraud", "interval:2/3")] {
        let found = store.triggered(pipeline, trigger).await.unwrap();
        assert_eq!(found, None, "{pipeline} {trigger}");
    }
}
