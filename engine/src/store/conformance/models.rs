//! The registered models.

use std::collections::HashSet;

use futures::future::join_all;

use super::fixture::{Owned, at, key, model};
use crate::{
    id::TaskKey,
    operator::Promote,
    store::{CHAMPION, Change, RegisterModel, Store, StoreError},
};

async fn champion(store: &dyn Store) -> u32 {
    store
        .aliased("churn", CHAMPION)
        .await
        .unwrap()
        .unwrap()
        .version
}

/// Reserves and registers a version of `churn` in a run of its own.
async fn registered(
    store: &dyn Store,
    seconds: i64,
    change: impl FnOnce(&mut RegisterModel),
) -> u32 {
    let run = Owned::make(store, "churn", seconds).await;
    let version = store
        .reserve_version("churn", run.run, &key("model"))
        .await
        .unwrap();
    let mut new = model("churn", version, &key("model"), 0.5);
    change(&mut new);
    run.commit(vec![Change::Register(new)]).await;
    version
}

fn f1(value: f64) -> impl FnOnce(&mut RegisterModel) {
    move |new| {
        new.metrics.insert("f1".to_owned(), value);
    }
}

/// A task of a run has one version of a model, however often it asks; another task, run or model has its own.
pub async fn a_version_is_reserved_once_for_a_task(store: &dyn Store) {
    let (run, other) = (
        Owned::make(store, "churn", 0).await,
        Owned::make(store, "churn", 1).await,
    );
    let (a, element) = (key("a"), TaskKey::element("a", 0));
    for _ in 0..2 {
        assert_eq!(
            store.reserve_version("churn", run.run, &a).await.unwrap(),
            1
        );
        assert_eq!(
            store
                .reserve_version("churn", run.run, &element)
                .await
                .unwrap(),
            2
        );
        assert_eq!(
            store.reserve_version("churn", other.run, &a).await.unwrap(),
            3
        );
        assert_eq!(
            store.reserve_version("fraud", run.run, &a).await.unwrap(),
            1
        );
    }
}

/// Many that reserve at once get different versions without a gap.
pub async fn many_tasks_get_different_versions(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let keys: Vec<_> = (0..10)
        .map(|element| TaskKey::element("a", element))
        .collect();
    let versions = join_all(
        keys.iter()
            .map(|key| store.reserve_version("churn", run.run, key)),
    )
    .await;
    let versions: HashSet<_> = versions.into_iter().map(Result::unwrap).collect();
    assert_eq!(versions, (1..=10).collect());
}

/// A version that is only reserved is not there yet.
pub async fn a_reserved_version_is_not_seen(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    store
        .reserve_version("churn", run.run, &key("a"))
        .await
        .unwrap();
    assert!(store.models().await.unwrap().is_empty());
    assert!(store.versions("churn").await.unwrap().is_empty());
    assert_eq!(store.model("churn", 1).await.unwrap(), None);
    assert_eq!(store.aliased("churn", CHAMPION).await.unwrap(), None);
    let pointed = store
        .set_alias("churn", CHAMPION, 1, "by hand", at(0))
        .await;
    assert!(
        matches!(pointed, Err(StoreError::NotFound(_))),
        "{pointed:?}"
    );
}

/// The first version becomes champion, whatever is said about promotion.
pub async fn the_first_version_is_champion(store: &dyn Store) {
    let first = registered(store, 0, |new| new.promote = Promote::Never).await;
    assert_eq!(champion(store).await, first);
    let second = registered(store, 1, |new| {
        new.promote = Promote::Never;
        new.metrics.insert("f1".to_owned(), 0.9);
    });
    second.await;
    assert_eq!(champion(store).await, first);
}

/// A better version takes over, a worse or equal one does not.
pub async fn a_better_version_takes_over(store: &dyn Store) {
    let first = registered(store, 0, f1(0.5)).await;
    for (seconds, value, takes_over) in [
        (1, 0.4, false),
        (2, 0.5, false),
        (3, 0.6, true),
        (4, 0.55, false),
    ] {
        let before = champion(store).await;
        let version = registered(store, seconds, f1(value)).await;
        assert_eq!(
            champion(store).await,
            if takes_over { version } else { before },
            "{value}"
        );
    }
    assert!(champion(store).await > first);
    let loss = |new: &mut RegisterModel| {
        new.promote = Promote::Best {
            metric: "loss".to_owned(),
            greater_is_better: false,
        };
        new.metrics.insert("loss".to_owned(), 0.01);
    };
    let best = registered(store, 5, loss).await;
    assert_eq!(champion(store).await, best);
}

/// A registered version reads back with all it has.
pub async fn a_registered_version_reads_back(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let task = TaskKey::element("model", 3);
    let version = store
        .reserve_version("churn", run.run, &task)
        .await
        .unwrap();
    let new = model("churn", version, &task, 0.1);
    run.commit(vec![Change::Register(new.clone())]).await;
    registered(store, 1, f1(0.05)).await;
    let read = store.model("churn", version).await.unwrap().unwrap();
    assert_eq!(
        (read.run, read.task.as_deref()),
        (Some(run.run), Some("model"))
    );
    assert_eq!(
        (&read.name, read.version, read.created, read.bytes),
        (&new.name, 1, new.created, new.bytes)
    );
    assert_eq!((&read.artifact, &read.digest), (&new.artifact, &new.digest));
    assert_eq!((&read.metrics, &read.card), (&new.metrics, &new.card));
    assert_eq!(read.aliases, [CHAMPION]);
    let versions = store.versions("churn").await.unwrap();
    assert_eq!(
        versions
            .iter()
            .map(|version| version.version)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!((&versions[1], versions[0].aliases.len()), (&read, 0));
    assert_eq!(store.models().await.unwrap(), ["churn"]);
}

/// An alias points where it was last pointed to; several may point to one version.
pub async fn an_alias_points_to_a_registered_version(store: &dyn Store) {
    let (first, second) = (
        registered(store, 0, f1(0.5)).await,
        registered(store, 1, f1(0.4)).await,
    );
    store
        .set_alias("churn", "challenger", first, "by hand", at(2))
        .await
        .unwrap();
    store
        .set_alias("churn", "challenger", second, "by hand", at(3))
        .await
        .unwrap();
    store
        .set_alias("churn", CHAMPION, second, "by hand", at(4))
        .await
        .unwrap();
    let read = store.aliased("churn", "challenger").await.unwrap().unwrap();
    assert_eq!(
        (read.version, read.aliases),
        (second, vec!["challenger".to_owned(), CHAMPION.to_owned()])
    );
    let nowhere = store
        .set_alias("churn", CHAMPION, 99, "by hand", at(5))
        .await;
    assert!(
        matches!(nowhere, Err(StoreError::NotFound(_))),
        "{nowhere:?}"
    );
    assert_eq!(store.aliased("churn", "nothing").await.unwrap(), None);
    assert_eq!(store.aliased("nothing", CHAMPION).await.unwrap(), None);
}

/// A task that starts over registers a new version; what it had reserved only, it keeps.
pub async fn a_reset_task_gets_a_new_version(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let (a, b) = (key("a"), key("b"));
    let first = store.reserve_version("churn", run.run, &a).await.unwrap();
    let pending = store.reserve_version("churn", run.run, &b).await.unwrap();
    run.commit(vec![Change::Register(model("churn", first, &a, 0.5))])
        .await;
    let reset = |task: &str| Change::Reset {
        task: task.to_owned(),
    };
    run.commit(vec![reset("a"), reset("b")]).await;
    assert_eq!(
        store.reserve_version("churn", run.run, &b).await.unwrap(),
        pending
    );
    assert_eq!(
        store.reserve_version("churn", run.run, &a).await.unwrap(),
        pending + 1
    );
    assert_eq!(store.versions("churn").await.unwrap().len(), 1);
}
