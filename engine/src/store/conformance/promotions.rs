//! Who becomes champion, how aliases move, and versions that no run has made.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::json;

use super::fixture::{Owned, at, key, model};
use crate::{
    operator::Promote,
    store::{AliasChange, CHAMPION, Change, ImportedModel, RegisterModel, Store, StoreError},
};

const RULE: &str = "f1 > champion.f1 + 0.01";

async fn champion(store: &dyn Store) -> Option<u32> {
    let champion = store.aliased("churn", CHAMPION).await.unwrap();
    champion.map(|champion| champion.version)
}

/// A run and the version of `churn` that it is about to register.
async fn candidate<'a>(
    store: &'a dyn Store,
    seconds: i64,
    f1: f64,
    rule: &str,
) -> (Owned<'a>, RegisterModel) {
    let run = Owned::make(store, "churn", seconds).await;
    let task = key("model");
    let version = store.reserve_version("churn", run.run, &task).await;
    let mut new = model("churn", version.unwrap(), &task, f1);
    new.promote = Promote::If(rule.to_owned());
    (run, new)
}

async fn registered(store: &dyn Store, seconds: i64, f1: f64, rule: &str) -> u32 {
    let (run, new) = candidate(store, seconds, f1, rule).await;
    let version = new.version;
    run.commit(vec![Change::Register(new)]).await;
    version
}

fn imported(f1: f64) -> ImportedModel {
    ImportedModel {
        name: "churn".to_owned(),
        artifact: "models/churn/abc.onnx".to_owned(),
        digest: "abc".to_owned(),
        bytes: 512,
        metrics: BTreeMap::from([("f1".to_owned(), f1)]),
        card: json!({"estimator": "elsewhere"}),
        created: at(100),
    }
}

/// A rule compares a new version with the champion; one that has no answer promotes nobody.
pub async fn a_rule_says_who_is_champion(store: &dyn Store) {
    let first = registered(store, 0, 0.5, "f1 > 0.9").await;
    assert_eq!(champion(store).await, Some(first));
    for (seconds, f1, rule, takes_over) in [
        (1, 0.505, RULE, false),
        (2, 0.6, RULE, true),
        (3, 0.9, "f1 > champion.recall", false),
        (4, 0.9, "f1 > champion.f1 and loss < 0.05", false),
        (5, 0.3, "f1 < champion.f1", true),
    ] {
        let before = champion(store).await;
        let version = registered(store, seconds, f1, rule).await;
        let expected = if takes_over { Some(version) } else { before };
        assert_eq!(champion(store).await, expected, "{rule} {f1}");
    }
}

/// Versions that are registered at once are compared one after the other: the best of them is champion in the end, and
/// nobody has become champion who was not better than the one before.
pub async fn versions_at_once_are_compared_in_turn(store: &dyn Store) {
    let rule = "f1 > champion.f1";
    let mut candidates = Vec::new();
    for number in 0..8_i32 {
        let f1 = f64::from(number * 5 % 8) / 10.0;
        candidates.push(candidate(store, number.into(), f1, rule).await);
    }
    let commits = candidates
        .iter()
        .map(|(run, new)| run.commit(vec![Change::Register(new.clone())]));
    join_all(commits).await;
    let f1 = |version: u32| {
        let mut all = candidates.iter();
        let found = all.find(|(_, new)| new.version == version);
        found.map(|(_, new)| new.metrics["f1"]).unwrap()
    };
    let best = champion(store).await.unwrap();
    assert!((f1(best) - 0.7).abs() < 1e-9, "version {best}");
    let changes = store.alias_changes("churn", 100).await.unwrap();
    let values: Vec<f64> = changes
        .iter()
        .rev()
        .map(|change| f1(change.version.unwrap()))
        .collect();
    assert!(values.is_sorted(), "{values:?}");
}

/// A version that is registered again, because nobody knew whether the first writing went through, is not promoted again:
/// a person may have chosen another one since.
pub async fn a_promotion_is_decided_once(store: &dyn Store) {
    let first = registered(store, 0, 0.5, RULE).await;
    let (run, new) = candidate(store, 1, 0.9, RULE).await;
    run.commit(vec![Change::Register(new.clone())]).await;
    assert_eq!(champion(store).await, Some(new.version));
    store
        .set_alias("churn", CHAMPION, first, "by hand", at(2))
        .await
        .unwrap();
    run.commit(vec![Change::Register(new)]).await;
    assert_eq!(champion(store).await, Some(first));
    assert_eq!(store.alias_changes("churn", 100).await.unwrap().len(), 3);
}

/// An alias is taken away, and the versions stay.
pub async fn an_alias_is_taken_away(store: &dyn Store) {
    let version = registered(store, 0, 0.5, RULE).await;
    let remove = async |name: &str, alias: &str| {
        let removed = store.remove_alias(name, alias, "retired", at(3)).await;
        removed.unwrap()
    };
    assert!(!remove("churn", "challenger").await);
    assert!(!remove("fraud", CHAMPION).await);
    assert!(remove("churn", CHAMPION).await);
    assert!(!remove("churn", CHAMPION).await);
    assert_eq!(champion(store).await, None);
    let read = store.model("churn", version).await.unwrap().unwrap();
    assert!(read.aliases.is_empty());
    let next = registered(store, 1, 0.1, RULE).await;
    assert_eq!(champion(store).await, Some(next));
}

/// How an alias has moved is remembered, with the reasons.
pub async fn aliases_remember_why(store: &dyn Store) {
    assert!(store.alias_changes("churn", 10).await.unwrap().is_empty());
    let first = registered(store, 0, 0.5, RULE).await;
    let second = registered(store, 1, 0.75, RULE).await;
    store
        .set_alias("churn", "challenger", first, "odd: ü", at(5))
        .await
        .unwrap();
    store
        .remove_alias("churn", "challenger", "over", at(6))
        .await
        .unwrap();
    let change = |alias: &str, version: Option<u32>, note: &str, seconds: i64| AliasChange {
        alias: alias.to_owned(),
        version,
        note: note.to_owned(),
        changed: at(seconds),
    };
    let expected = [
        change("challenger", None, "over", 6),
        change("challenger", Some(first), "odd: ü", 5),
        change(
            CHAMPION,
            Some(second),
            "f1 > champion.f1 + 0.01: f1 0.75, champion.f1 0.5",
            i64::from(second),
        ),
        change(
            CHAMPION,
            Some(first),
            "there was no champion",
            i64::from(first),
        ),
    ];
    assert_eq!(store.alias_changes("churn", 10).await.unwrap(), expected);
    assert_eq!(
        store.alias_changes("churn", 2).await.unwrap(),
        expected[..2]
    );
    assert!(store.alias_changes("fraud", 10).await.unwrap().is_empty());
}

/// So is that the champion has stayed because there was nothing to compare, once; not that it was better.
pub async fn a_champion_that_stays_unjudged_is_remembered(store: &dyn Store) {
    let first = registered(store, 0, 0.5, RULE).await;
    registered(store, 1, 0.4, RULE).await;
    let (run, new) = candidate(store, 2, 0.9, "f1 > champion.recall").await;
    for _ in 0..2 {
        run.commit(vec![Change::Register(new.clone())]).await;
    }
    assert_eq!(champion(store).await, Some(first));
    let changes = store.alias_changes("churn", 10).await.unwrap();
    let [stayed, _] = changes.as_slice() else {
        unreachable!("{changes:?}");
    };
    let why = format!(
        "stays: version {} cannot be compared with it: `f1 > champion.recall`: the champion has no measure `recall`",
        new.version
    );
    let expected = (CHAMPION, Some(first), why.as_str());
    let seen = (stayed.alias.as_str(), stayed.version, stayed.note.as_str());
    assert_eq!(seen, expected);
}

/// A version that comes from a file belongs to no run. The first is champion, the others wait for a person.
pub async fn a_version_is_imported(store: &dyn Store) {
    let first = store.import_model(&imported(0.4)).await.unwrap();
    let second = store.import_model(&imported(0.9)).await.unwrap();
    assert_eq!((first, second), (1, 2));
    assert_eq!(champion(store).await, Some(1));
    let read = store.model("churn", 2).await.unwrap().unwrap();
    let model = imported(0.9);
    assert_eq!((read.run, read.task, read.created), (None, None, at(100)));
    assert_eq!(
        (read.artifact, read.digest, read.bytes),
        (model.artifact, model.digest, model.bytes)
    );
    assert_eq!((read.metrics, read.card), (model.metrics, model.card));
    let third = registered(store, 0, 0.5, RULE).await;
    assert_eq!((third, champion(store).await), (3, Some(3)));
    let imports = join_all((0..4).map(|_| async {
        let version: Result<u32, StoreError> = store.import_model(&imported(0.1)).await;
        version.unwrap()
    }));
    let mut versions = imports.await;
    versions.sort_unstable();
    assert_eq!(versions, [4, 5, 6, 7]);
}
