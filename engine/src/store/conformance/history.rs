//! The care of history.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    fixture::{LONG, Owned, at, enqueued, key, model, new_run, task},
    full::{full_run, sensed},
};
use crate::{
    id::RunId,
    operator::Promote,
    state::{RunState, TaskState},
    store::{
        Change, Claimed, NewRun, ParentTask, Part, PipelineVersion, PruneRule, Redo, RegisterModel,
        RunKind, Store,
    },
};

async fn over(store: &dyn Store, pipeline: &str, seconds: i64, ended: i64) -> RunId {
    let run = Owned::make(store, pipeline, seconds).await;
    run.end(RunState::Success, ended).await;
    run.run
}

async fn prunable(store: &dyn Store, rule: PruneRule) -> Vec<RunId> {
    store.prunable(&rule, 100).await.unwrap()
}

fn before(seconds: i64) -> PruneRule {
    PruneRule {
        before: Some(at(seconds)),
        ..PruneRule::default()
    }
}

fn keep(runs: u32) -> PruneRule {
    PruneRule {
        keep: Some(runs),
        ..PruneRule::default()
    }
}

/// Runs may go by age, by number, or when both hold; the oldest first, and only those that are over.
pub async fn runs_go_by_age_and_number(store: &dyn Store) {
    let mut runs = Vec::new();
    for seconds in 0..5 {
        runs.push(over(store, "churn", seconds, 10 + seconds).await);
    }
    let other = over(store, "fraud", 5, 12).await;
    Owned::make(store, "churn", 6).await;
    store.create_run(&enqueued("churn", 7)).await.unwrap();
    assert_eq!(prunable(store, PruneRule::default()).await, []);
    assert_eq!(prunable(store, before(10)).await, []);
    let found = prunable(store, before(13)).await;
    assert_eq!(found, [runs[0], runs[1], runs[2], other]);
    assert_eq!(prunable(store, keep(5)).await, []);
    assert_eq!(prunable(store, keep(3)).await, runs[..2]);
    assert_eq!(prunable(store, keep(0)).await.len(), 6);
    let both = PruneRule {
        before: Some(at(11)),
        ..keep(3)
    };
    assert_eq!(prunable(store, both).await, runs[..1]);
    let of_fraud = PruneRule {
        pipeline: Some("fraud".to_owned()),
        ..before(100)
    };
    assert_eq!(prunable(store, of_fraud).await, [other]);
    let few = store.prunable(&before(100), 2).await.unwrap();
    assert_eq!(few, runs[..2]);
}

/// A run that has registered a model stays.
pub async fn runs_of_models_stay(store: &dyn Store) {
    let (a, run) = (key("model"), Owned::make(store, "churn", 0).await);
    let version = store.reserve_version("churn", run.run, &a).await.unwrap();
    let new = RegisterModel {
        promote: Promote::Never,
        ..model("churn", version, &a, 0.5)
    };
    run.commit(vec![Change::Register(new)]).await;
    run.end(RunState::Success, 1).await;
    let other = Owned::make(store, "churn", 1).await;
    store.reserve_version("churn", other.run, &a).await.unwrap();
    other.end(RunState::Failed, 2).await;
    assert_eq!(prunable(store, before(100)).await, [other.run]);
    // What it has learnt from may be its child's data, and that of the child's child.
    let mut parent = run.run;
    for seconds in [2, 3] {
        let child = NewRun {
            parent: Some(ParentTask {
                run: parent,
                key: key("data"),
            }),
            ..new_run("data", seconds)
        };
        let child = Owned::make_of(store, child).await;
        child.end(RunState::Success, 3).await;
        parent = child.run;
    }
    assert_eq!(prunable(store, before(100)).await, [other.run]);
}

/// A run stays as long as one that has taken data from it, or from one that has.
pub async fn runs_whose_data_others_have_taken_stay(store: &dyn Store) {
    let first = over(store, "churn", 0, 1).await;
    let mut runs = vec![first];
    for seconds in [1, 2] {
        let part = Part {
            taken: BTreeMap::from([("rows".to_owned(), runs[runs.len() - 1])]),
            ..Part::default()
        };
        let run = NewRun {
            trigger: part.to_trigger(),
            ..new_run("churn", seconds)
        };
        let run = Owned::make_of(store, run).await;
        run.end(RunState::Success, 1 + seconds).await;
        runs.push(run.run);
    }
    let other = over(store, "churn", 3, 4).await;
    assert_eq!(prunable(store, before(100)).await, [runs[2], other]);
    assert_eq!(prunable(store, keep(2)).await, []);
    for run in runs.into_iter().rev() {
        assert!(prunable(store, before(100)).await.contains(&run));
        assert_eq!(store.remove_runs(&[run]).await.unwrap(), 1);
    }
    assert_eq!(prunable(store, before(100)).await, [other]);
}

/// What follows a success stays for as long as that would start another one.
pub async fn followers_stay_while_their_success_is_looked_at(store: &dyn Store) {
    let up = Owned::make(store, "up", 0).await;
    up.end(RunState::Success, 1_000).await;
    store.schedule("down", at(0)).await.unwrap();
    let down = NewRun {
        kind: RunKind::After,
        trigger_key: Some(format!("after:{}:0", up.run)),
        trigger: json!({"pipeline": "up", "run": up.run}),
        ..new_run("down", 1_001)
    };
    let down = Owned::make_of(store, down).await;
    down.end(RunState::Success, 1_002).await;
    let rule = PruneRule {
        pipeline: Some("down".to_owned()),
        ..before(9_000)
    };
    for (cursor, free) in [(0, false), (1_600, false), (1_602, true)] {
        store.advance("down", at(cursor)).await.unwrap();
        let prunable = prunable(store, rule.clone()).await;
        assert_eq!(prunable == [down.run], free, "{cursor}");
    }
    let other = NewRun {
        kind: RunKind::After,
        trigger: json!({"pipeline": "up", "run": up.run}),
        ..new_run("down", 1_700)
    };
    let other = Owned::make_of(store, other).await;
    other.end(RunState::Success, 1_701).await;
    store.remove_runs(&[down.run]).await.unwrap();
    assert_eq!(prunable(store, rule.clone()).await, []);
    // A success that is gone starts nothing.
    store.remove_runs(&[up.run]).await.unwrap();
    assert_eq!(prunable(store, rule).await, [other.run]);
}

/// The history knows its pipelines, and the version of each that was put last.
pub async fn pipelines_and_their_last_versions_are_known(store: &dyn Store) {
    for pipeline in ["churn", "a", "churn"] {
        Owned::make(store, pipeline, 0).await;
    }
    assert_eq!(store.pipelines().await.unwrap(), ["a", "churn"]);
    let version = |hash: &str| PipelineVersion {
        hash: hash.to_owned(),
        pipeline: "churn".to_owned(),
        path: "pipelines/churn.yaml".to_owned(),
        source: hash.to_owned(),
    };
    assert_eq!(store.last_version("churn").await.unwrap(), None);
    for hash in ["one", "two", "one"] {
        store.put_version(&version(hash)).await.unwrap();
        let last = store.last_version("churn").await.unwrap();
        assert_eq!(last, Some(version(hash)));
    }
    assert_eq!(store.last_version("other").await.unwrap(), None);
}

/// A run stays while its parent or a child is not over, and while what it was made for is to be settled.
pub async fn runs_that_are_needed_stay(store: &dyn Store) {
    let parent = Owned::make(store, "parent", 0).await;
    let child = NewRun {
        parent: Some(ParentTask {
            run: parent.run,
            key: key("each"),
        }),
        ..new_run("child", 1)
    };
    let child = Owned::make_of(store, child).await;
    child.end(RunState::Success, 5).await;
    assert_eq!(prunable(store, before(100)).await, []);
    parent.end(RunState::Success, 6).await;
    let both = prunable(store, before(100)).await;
    assert_eq!(both, [child.run, parent.run]);
    assert!(store.requeue(child.run, Redo::All, None).await.unwrap());
    assert_eq!(prunable(store, before(100)).await, []);

    let (sensor, thing) = sensed();
    let run = enqueued("churn", 2);
    let sense = [(thing.clone(), run.clone())];
    store.sense(&sensor, &sense, at(1)).await.unwrap();
    let claim = store.claim(run.id, "one", LONG).await.unwrap().unwrap();
    let run = Owned::of(store, Claimed { run: run.id, claim });
    run.end(RunState::Success, 7).await;
    assert_eq!(prunable(store, before(100)).await, []);
    store.settled(&sensor, &thing.identity).await.unwrap();
    assert_eq!(prunable(store, before(100)).await, [run.run]);
}

/// A run that is removed leaves nothing, but for the ledger, the models and the mails that are still to be sent.
pub async fn a_removed_run_leaves_nothing(store: &dyn Store) {
    let run = full_run(store).await;
    let other = Owned::make(store, "churn", 5).await;
    other
        .commit(vec![task(&key("a"), TaskState::Running)])
        .await;
    let kept = over(store, "churn", 6, 9).await;
    let removed = store
        .remove_runs(&[run, other.run, new_run("x", 1).id])
        .await;
    assert_eq!(removed.unwrap(), 1);
    assert_eq!(store.remove_runs(&[run]).await.unwrap(), 0);
    assert_eq!(store.run(run).await.unwrap(), None);
    assert!(store.tasks(run).await.unwrap().is_empty());
    assert!(store.attempts(run).await.unwrap().is_empty());
    assert!(store.events(run, 0, 9).await.unwrap().is_empty());
    assert_eq!(store.checkpoint(run, &key("a")).await.unwrap(), None);
    assert_eq!(store.triggered("churn", "interval:1").await.unwrap(), None);
    let mails = store.counts().await.unwrap();
    assert_eq!((mails.get("sent"), mails.get("pending")), (None, Some(&1)));
    let (sensor, thing) = sensed();
    let ledger = store.things(&sensor, 9).await.unwrap();
    assert_eq!((ledger.len(), ledger[0].run), (1, Some(run)));
    let unseen = store.unseen(&sensor, &[thing.identity]).await.unwrap();
    assert!(unseen.is_empty());
    assert_eq!(store.tasks(other.run).await.unwrap().len(), 1);
    assert!(store.run(kept).await.unwrap().is_some());
    assert_eq!(store.remove_runs(&[]).await.unwrap(), 0);
}

/// Versions go with the last run that names them, but for the one of a pipeline that was put last.
pub async fn versions_go_with_their_runs(store: &dyn Store) {
    let versions = ["old", "older", "new"];
    let put = async |hash: &str, pipeline: &str| {
        let version = PipelineVersion {
            hash: hash.to_owned(),
            pipeline: pipeline.to_owned(),
            path: "pipelines/churn.yaml".to_owned(),
            source: hash.to_owned(),
        };
        store.put_version(&version).await.unwrap();
        // Two that are put at the same moment are both the last.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let mut runs = Vec::new();
    for (seconds, hash) in (0..).zip(versions) {
        put(hash, "churn").await;
        let run = NewRun {
            version: hash.to_owned(),
            ..new_run("churn", seconds)
        };
        let run = Owned::make_of(store, run).await;
        run.end(RunState::Success, 9).await;
        runs.push(run.run);
    }
    put("other", "fraud").await;
    let again = NewRun {
        version: "older".to_owned(),
        ..new_run("churn", 5)
    };
    Owned::make_of(store, again).await;
    put("old", "churn").await;
    store.remove_runs(&runs).await.unwrap();
    for (hash, kept) in [
        ("old", true),
        ("older", true),
        ("new", false),
        ("other", true),
    ] {
        let version = store.version(hash).await.unwrap();
        assert_eq!(version.is_some(), kept, "{hash}");
    }
}
