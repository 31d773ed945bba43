//! The slots that all daemons share.

use std::time::Duration;

use futures::future::join_all;

use super::fixture::{LONG, Owned, SHORT, after_short, beat, enqueued, key, started};
use crate::{
    id::RunId,
    state::RunState,
    store::{PoolRequest, Store},
};

fn slots(run: RunId, task: &str, slots: u32) -> PoolRequest {
    PoolRequest {
        pool: "spark".to_owned(),
        capacity: 3,
        slots,
        run,
        key: key(task),
    }
}

/// A pool gives no more slots than it has, whoever asks; what one has one has once.
pub async fn a_pool_is_shared(store: &dyn Store) {
    let (one, two) = (
        Owned::make(store, "churn", 0).await,
        Owned::make(store, "churn", 1).await,
    );
    let names: Vec<_> = (0..8).map(|task| task.to_string()).collect();
    let requests: Vec<_> = names
        .iter()
        .zip([&one, &two].into_iter().cycle())
        .map(|(name, run)| slots(run.run, name, 1))
        .collect();
    let taken = join_all(requests.iter().map(|request| store.take_pool(request))).await;
    let taken: Vec<_> = taken.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 3);
    let mine = taken.iter().position(|taken| *taken).unwrap();
    assert!(store.take_pool(&requests[mine]).await.unwrap());
    assert!(!store.take_pool(&slots(one.run, "new", 1)).await.unwrap());
    let other = PoolRequest {
        pool: "other".to_owned(),
        ..slots(one.run, "new", 3)
    };
    assert!(store.take_pool(&other).await.unwrap());
    let holder = &requests[mine];
    for _ in 0..2 {
        let give = store.give_pool("spark", holder.run, &holder.key);
        give.await.unwrap();
    }
    assert!(!store.take_pool(&slots(one.run, "new", 2)).await.unwrap());
    assert!(store.take_pool(&slots(one.run, "new", 1)).await.unwrap());
}

/// What a run holds that is over, or whose lease is, is free; a daemon that is alive keeps what it has.
pub async fn slots_of_lost_runs_are_free(store: &dyn Store) {
    let over = Owned::make(store, "churn", 0).await;
    assert!(store.take_pool(&slots(over.run, "a", 3)).await.unwrap());
    over.end(RunState::Success, 1).await;
    for name in ["one", "two"] {
        beat(store, name, SHORT).await;
    }
    let mut runs = Vec::new();
    for daemon in ["one", "two"] {
        store.create_run(&enqueued("churn", 1)).await.unwrap();
        let claimed = store.claim_queued(daemon, SHORT, None, 1).await.unwrap();
        let run = claimed[0].run;
        Owned::of(store, claimed[0]).commit(vec![started()]).await;
        runs.push(run);
    }
    assert!(store.take_pool(&slots(runs[0], "a", 1)).await.unwrap());
    assert!(store.take_pool(&slots(runs[1], "a", 2)).await.unwrap());
    let next = Owned::make(store, "churn", 2).await;
    assert!(!store.take_pool(&slots(next.run, "a", 1)).await.unwrap());
    beat(store, "one", LONG).await;
    after_short().await;
    assert!(!store.take_pool(&slots(next.run, "a", 3)).await.unwrap());
    assert!(store.take_pool(&slots(next.run, "a", 2)).await.unwrap());
    assert!(store.take_pool(&slots(runs[0], "a", 1)).await.unwrap());
}

/// Whoever asks gets turns after all that were given before; turns that nobody took are gone.
pub async fn turns_of_a_limit_follow_each_other(store: &dyn Store) {
    let time = Duration::from_secs(2);
    let take = |limit: &'static str| store.take_turns(limit, time);
    let waits = join_all((0..3).map(|_| take("api"))).await;
    let mut waits: Vec<Duration> = waits.into_iter().map(Result::unwrap).collect();
    waits.sort_unstable();
    // Two seconds for each before, less the time that has gone by meanwhile.
    for (before, wait) in waits.iter().enumerate() {
        let most = time * u32::try_from(before).unwrap();
        assert!(
            *wait <= most && *wait + Duration::from_secs(1) >= most,
            "{waits:?}"
        );
    }
    assert_eq!(take("other").await.unwrap(), Duration::ZERO);
    let brief = Duration::from_millis(1);
    store.take_turns("brief", brief).await.unwrap();
    after_short().await;
    assert_eq!(
        store.take_turns("brief", brief).await.unwrap(),
        Duration::ZERO
    );
}
