//! Who may work on a run.

use futures::future::join_all;

use super::fixture::{LONG, Owned, SHORT, after_short, new_run, started};
use crate::{
    id::RunId,
    state::RunState,
    store::{NewRun, RunKind, Store, StoreError, Turn},
};

async fn queued(store: &dyn Store) -> RunId {
    let run = new_run("churn", 0);
    store.create_run(&run).await.unwrap();
    run.id
}

/// While a lease holds nobody else can claim the run; its owner can, and then his older token is stale.
pub async fn a_lease_keeps_others_away(store: &dyn Store) {
    let run = queued(store).await;
    let first = store.claim(run, "one", LONG).await.unwrap().unwrap();
    assert_eq!(store.claim(run, "two", LONG).await.unwrap(), None);
    let again = store.claim(run, "one", LONG).await.unwrap().unwrap();
    assert!(again.fence > first.fence);
    assert!(matches!(
        store.release(run, first.fence).await,
        Err(StoreError::Stale)
    ));
    let nowhere = store.claim(new_run("churn", 1).id, "one", LONG).await;
    assert!(
        matches!(nowhere, Err(StoreError::NotFound(_))),
        "{nowhere:?}"
    );
}

/// A lease ends when its time is over, or at once when it is released.
pub async fn a_lease_ends_by_itself_or_by_release(store: &dyn Store) {
    let run = queued(store).await;
    store.claim(run, "one", SHORT).await.unwrap().unwrap();
    assert_eq!(store.claim(run, "two", LONG).await.unwrap(), None);
    after_short().await;
    let second = store.claim(run, "two", LONG).await.unwrap().unwrap();
    store.release(run, second.fence).await.unwrap();
    store.release(run, second.fence).await.unwrap();
    assert!(store.claim(run, "three", LONG).await.unwrap().is_some());
    assert!(matches!(
        store.release(run, second.fence).await,
        Err(StoreError::Stale)
    ));
}

/// Renewing extends the leases of all unfinished runs of an owner, and of nobody else; a released one stays released.
pub async fn a_renewed_lease_holds(store: &dyn Store) {
    let (run, other, released) = (
        queued(store).await,
        queued(store).await,
        queued(store).await,
    );
    store.claim(run, "one", SHORT).await.unwrap().unwrap();
    store.claim(other, "two", SHORT).await.unwrap().unwrap();
    let claim = store.claim(released, "one", SHORT).await.unwrap().unwrap();
    store.release(released, claim.fence).await.unwrap();
    let finished = Owned::make(store, "churn", 1).await;
    finished.end(RunState::Success, 2).await;
    store.renew("one", LONG).await.unwrap();
    after_short().await;
    assert_eq!(store.claim(run, "three", LONG).await.unwrap(), None);
    assert!(store.claim(other, "three", LONG).await.unwrap().is_some());
    assert!(
        store
            .claim(released, "three", LONG)
            .await
            .unwrap()
            .is_some()
    );
}

/// A run that has gone back to the queue is anybody's: who had it cannot bring his lease to life again.
pub async fn a_lapsed_lease_on_the_queue_is_not_renewed(store: &dyn Store) {
    let run = NewRun {
        enqueued: true,
        ..new_run("churn", 0)
    };
    store.create_run(&run).await.unwrap();
    let claimed = store.claim_queued("one", SHORT, None, 1).await.unwrap();
    assert_eq!(claimed.len(), 1);
    after_short().await;
    store.renew("one", LONG).await.unwrap();
    let again = store.claim_queued("two", LONG, None, 1).await.unwrap();
    assert_eq!(again.first().map(|claimed| claimed.run), Some(run.id));
}

/// Each owner's token is greater than that of every earlier one.
pub async fn each_claim_has_a_greater_token(store: &dyn Store) {
    let run = queued(store).await;
    let mut last = 0;
    for owner in ["one", "two", "one"] {
        let fence = store.claim(run, owner, LONG).await.unwrap().unwrap().fence;
        assert!(fence > last);
        let record = store.run(run).await.unwrap().unwrap();
        assert_eq!(
            (record.fence, record.owner.as_deref()),
            (fence, Some(owner))
        );
        store.release(run, fence).await.unwrap();
        last = fence;
    }
}

/// Of many that claim a run at once, one gets it.
pub async fn only_one_of_many_claims(store: &dyn Store) {
    let run = queued(store).await;
    let owners: Vec<_> = (0..8).map(|owner| owner.to_string()).collect();
    let claims = join_all(owners.iter().map(|owner| store.claim(run, owner, LONG))).await;
    assert_eq!(
        claims
            .into_iter()
            .filter(|claim| claim.as_ref().unwrap().is_some())
            .count(),
        1
    );
}

/// Of many that ask at once for their turn no more get theirs than the pipeline may have under way; the next one does when one
/// is over, or when its owner is known to be gone. Children do not count, nor other pipelines.
pub async fn runs_take_turns(store: &dyn Store) {
    let child = NewRun {
        kind: RunKind::Child,
        ..new_run("churn", 9)
    };
    let child = Owned::make_of(store, child).await;
    child.commit(vec![started()]).await;
    Owned::make(store, "other", 9).await;
    let runs: Vec<_> = (0..6).map(|second| new_run("churn", second)).collect();
    for run in &runs {
        store.create_run(run).await.unwrap();
    }
    let ask = async |index: usize, most: u32, gone: &[String]| {
        let run = runs[index].id;
        let owner = format!("owner {index}");
        let turn = store.claim_in_turn(run, &owner, LONG, most, gone);
        turn.await.unwrap()
    };
    let turns = join_all((0..6).map(|index| ask(index, 2, &[]))).await;
    let given = |turn: &Turn| matches!(turn, Turn::Given(_));
    let mut given: Vec<_> = (0..6).filter(|index| given(&turns[*index])).collect();
    assert_eq!(given.len(), 2, "{turns:?}");
    let full = turns.iter().filter(|turn| **turn == Turn::Full).count();
    assert_eq!(full, 4, "{turns:?}");
    // One that has its turn has it again.
    let first = given.remove(0);
    let Turn::Given(claim) = ask(first, 2, &[]).await else {
        panic!("a run has lost its turn");
    };
    let mut waiting = (0..6).filter(|index| turns[*index] == Turn::Full);
    let (third, fourth) = (waiting.next().unwrap(), waiting.next().unwrap());
    assert_eq!(ask(third, 2, &[]).await, Turn::Full);
    let gone = [format!("owner {}", given[0])];
    assert!(matches!(ask(third, 2, &gone).await, Turn::Given(_)));
    assert_eq!(ask(fourth, 2, &gone).await, Turn::Full);
    store.release(runs[first].id, claim.fence).await.unwrap();
    assert!(matches!(ask(fourth, 2, &gone).await, Turn::Given(_)));
    let taken = store.claim_in_turn(runs[third].id, "somebody", LONG, 9, &[]);
    assert_eq!(taken.await.unwrap(), Turn::Held);
    let nowhere = new_run("churn", 7).id;
    let nowhere = store.claim_in_turn(nowhere, "one", LONG, 1, &[]).await;
    assert!(
        matches!(nowhere, Err(StoreError::NotFound(_))),
        "{nowhere:?}"
    );
}
