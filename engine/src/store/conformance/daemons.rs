//! Who is alive, and who gets the runs of those who are not.

use futures::future::join_all;

use super::fixture::{
    LONG, Owned, SHORT, after_short, at, beat, claim, enqueued, new_run, started,
};
use crate::{
    id::RunId,
    state::RunState,
    store::{Claimed, Store, StoreError},
};

async fn lost(store: &dyn Store, daemon: &str, gone: &[&str]) -> Vec<RunId> {
    let gone: Vec<_> = gone.iter().map(|&name| name.to_owned()).collect();
    let claimed = store.claim_lost(daemon, LONG, &gone, 100).await.unwrap();
    claimed.iter().map(|claimed| claimed.run).collect()
}

/// Daemons are known while they are heard of; one that leaves is forgotten.
pub async fn daemons_are_known_by_their_beat(store: &dyn Store) {
    store.beat("one", at(1), LONG).await.unwrap();
    store.beat("two", at(2), SHORT).await.unwrap();
    store.beat("a", at(3), LONG).await.unwrap();
    after_short().await;
    let known = store.daemons().await.unwrap();
    let known: Vec<_> = known
        .iter()
        .map(|daemon| (daemon.name.as_str(), daemon.started, daemon.alive))
        .collect();
    assert_eq!(
        known,
        [
            ("a", at(3), true),
            ("one", at(1), true),
            ("two", at(2), false)
        ]
    );
    store.leave("one").await.unwrap();
    store.leave("nobody").await.unwrap();
    store.beat("two", at(4), LONG).await.unwrap();
    let known = store.daemons().await.unwrap();
    let known: Vec<_> = known
        .iter()
        .map(|daemon| (daemon.name.as_str(), daemon.alive))
        .collect();
    assert_eq!(known, [("a", true), ("two", true)]);
}

/// With a daemon's beat its runs stay its own; without it they are lost, and somebody else gets each once.
pub async fn a_silent_daemon_loses_its_runs(store: &dyn Store) {
    for name in ["one", "two"] {
        beat(store, name, SHORT).await;
    }
    let mut runs = Vec::new();
    for (seconds, daemon) in [(0, "one"), (1, "two"), (2, "one")] {
        store.create_run(&enqueued("churn", seconds)).await.unwrap();
        let claimed = store.claim_queued(daemon, SHORT, None, 1).await.unwrap();
        let run = Owned::of(store, claimed[0]);
        run.commit(vec![started()]).await;
        runs.push(run);
    }
    runs[2].end(RunState::Success, 3).await;
    assert_eq!(lost(store, "three", &[]).await, []);
    beat(store, "one", LONG).await;
    after_short().await;
    beat(store, "three", LONG).await;
    let names = ["three", "four", "five", "six"];
    let found = join_all(names.iter().map(|name| lost(store, name, &[]))).await;
    assert_eq!(found.concat(), [runs[1].run]);
    let stale = store.release(runs[1].run, runs[1].fence).await;
    assert!(matches!(stale, Err(StoreError::Stale)));
    assert!(store.release(runs[0].run, runs[0].fence).await.is_ok());
}

/// Runs of a daemon that is gone, or has left, or has given them up, need not wait for the end of its lease.
pub async fn a_daemon_that_is_gone_loses_its_runs_at_once(store: &dyn Store) {
    let mut runs = Vec::new();
    for (seconds, daemon) in [(0, "one"), (1, "two"), (2, "three"), (3, "four")] {
        beat(store, daemon, LONG).await;
        store.create_run(&enqueued("churn", seconds)).await.unwrap();
        let claimed = store.claim_queued(daemon, LONG, None, 1).await.unwrap();
        runs.push(Owned::of(store, claimed[0]));
    }
    for run in &runs[1..] {
        run.commit(vec![started()]).await;
    }
    assert_eq!(lost(store, "five", &["nobody"]).await, []);
    store.leave("two").await.unwrap();
    store.release(runs[2].run, runs[2].fence).await.unwrap();
    assert_eq!(
        lost(store, "five", &["one"]).await,
        [runs[0].run, runs[1].run, runs[2].run]
    );
    let adopted = store.owned("five").await.unwrap();
    assert!(adopted[0].claim.fence > runs[0].fence);
}

/// A run that was taken from the queue and never begun goes back there when its daemon is lost.
pub async fn a_run_that_was_not_begun_goes_back_to_the_queue(store: &dyn Store) {
    beat(store, "one", SHORT).await;
    let run = enqueued("churn", 0);
    store.create_run(&run).await.unwrap();
    store.claim_queued("one", SHORT, None, 1).await.unwrap();
    after_short().await;
    assert_eq!(lost(store, "two", &["one"]).await, []);
    assert_eq!(claim(store, "two", 1).await, [run.id]);
}

/// Runs of a process that is no daemon are never given to one, but it can be seen when their lease is over.
pub async fn runs_of_the_foreground_are_not_adopted(store: &dyn Store) {
    let mut runs = Vec::new();
    for (seconds, lease) in [(0, SHORT), (1, LONG), (2, LONG)] {
        let run = new_run("churn", seconds);
        store.create_run(&run).await.unwrap();
        let claim = store.claim(run.id, "terminal", lease).await.unwrap();
        let claim = claim.unwrap();
        runs.push(Owned::of(store, Claimed { run: run.id, claim }));
    }
    runs[0].commit(vec![started()]).await;
    runs[2].end(RunState::Success, 3).await;
    store.create_run(&new_run("churn", 4)).await.unwrap();
    beat(store, "one", LONG).await;
    store.create_run(&enqueued("churn", 5)).await.unwrap();
    claim(store, "one", 1).await;
    after_short().await;
    assert_eq!(lost(store, "one", &["terminal"]).await, []);
    let terminal = || "terminal".to_owned();
    assert_eq!(
        store.foreground_runs().await.unwrap(),
        [
            (runs[0].run, terminal(), true),
            (runs[1].run, terminal(), false)
        ]
    );
}
