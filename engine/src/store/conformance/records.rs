//! What is written reads back as it was.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fixture::{LONG, Owned, at, event, key, new_run, task};
use crate::{
    dataset::StoredDataset,
    id::TaskKey,
    operator::{Fault, Interval, Wait},
    state::{RunState, TaskState},
    store::{
        ArtifactRecord, AttemptRecord, Change, ErrorRecord, EventRecord, NewRun, OutputRecord,
        ParentTask, PipelineVersion, RunKind, Store, StoreError, TaskChange,
    },
};

/// The order of keys matters to settings; comparing values alone would not see it.
fn assert_same(left: &Value, right: &Value) {
    assert_eq!(left.to_string(), right.to_string());
}

/// A run reads back as it was made.
pub async fn a_run_reads_back(store: &dyn Store) {
    let parent = new_run("parent", 0);
    store.create_run(&parent).await.unwrap();
    let run = NewRun {
        kind: RunKind::Child,
        trigger_key: Some("child:x".to_owned()),
        trigger: json!({"thing": {"key": "a.csv"}}),
        params: json!({"z": 1, "a": [true, null, "x"], "threshold": 0.5})
            .as_object()
            .unwrap()
            .clone(),
        interval: Some(Interval {
            start: at(0),
            end: at(86_400),
        }),
        parent: Some(ParentTask {
            run: parent.id,
            key: TaskKey::element("each", 7),
        }),
        ..new_run("churn", 1)
    };
    store.create_run(&run).await.unwrap();
    let read = store.run(run.id).await.unwrap().unwrap();
    assert_eq!(read.run, run);
    assert_eq!(
        read.run.params.keys().collect::<Vec<_>>(),
        ["z", "a", "threshold"]
    );
    assert_eq!(
        (read.state, read.fence, read.redo, read.last_event),
        (RunState::Queued, 0, 0, 0)
    );
    assert_eq!((read.owner, read.started, read.outputs), (None, None, None));
    assert_eq!(store.run(parent.id).await.unwrap().unwrap().run, parent);
}

pub(super) fn full_output() -> OutputRecord {
    let dataset = StoredDataset {
        name: "data".to_owned(),
        key: "runs/x/a/1/data.parquet".to_owned(),
        rows: 2_041,
        bytes: 90_000,
        columns: vec![
            ("tenure".to_owned(), "integer".to_owned()),
            ("Contract".to_owned(), "string".to_owned()),
        ],
        fingerprint: "f00d".to_owned(),
    };
    let artifact = ArtifactRecord {
        name: "failing_rows.csv".to_owned(),
        key: "runs/x/a/1/failing_rows.csv".to_owned(),
        media_type: "text/csv".to_owned(),
        bytes: 12,
        path: Some("reports/failing_rows.csv".to_owned()),
    };
    OutputRecord {
        datasets: vec![
            dataset.clone(),
            StoredDataset {
                name: "rejected".to_owned(),
                ..dataset
            },
        ],
        values: json!({"model": "churn:7", "zebra": 1, "apple": 2})
            .as_object()
            .unwrap()
            .clone(),
        metrics: BTreeMap::from([("f1".to_owned(), 0.625), ("rows".to_owned(), 2_041.0)]),
        artifacts: vec![artifact],
        warnings: vec!["two columns drift".to_owned()],
        cache: Some("made of this".to_owned()),
    }
}

/// Tasks and elements read back with all they have, by task and element.
pub async fn tasks_read_back(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let (a, element) = (key("a"), TaskKey::element("a", 10));
    let error = ErrorRecord {
        fault: Fault::External,
        message: "away".to_owned(),
        hint: Some("wait".to_owned()),
    };
    let wait = Wait::Until(at(99));
    let change = TaskChange {
        task: "a".to_owned(),
        element: None,
        state: TaskState::UpForRetry,
        attempt: 3,
        tries: 2,
        losses: 1,
        started: Some(at(1)),
        ended: Some(at(2)),
        note: Some("elements".to_owned()),
        elements: Some(11),
        error: Some(error.clone()),
        wait: Some(wait.clone()),
        retry_at: Some(at(3)),
    };
    let settings = json!({"zebra": 1, "apple": {"y": 0.1, "x": null}});
    run.commit(vec![
        task(&element, TaskState::Success),
        Change::Task(change),
        task(&key("Z"), TaskState::Skipped),
        Change::Settings {
            key: a.clone(),
            settings: settings.clone(),
        },
        Change::Output {
            key: a.clone(),
            attempt: 3,
            output: full_output(),
            at: at(2),
        },
        task(&TaskKey::element("a", 9), TaskState::Success),
        Change::Settings {
            key: key("b"),
            settings: json!([]),
        },
    ])
    .await;
    let tasks = store.tasks(run.run).await.unwrap();
    let keys: Vec<_> = tasks.iter().map(|task| task.key.to_string()).collect();
    assert_eq!(keys, ["Z", "a", "a[9]", "a[10]", "b"]);
    let read = &tasks[1];
    assert_eq!(
        (read.state, read.attempt, read.tries),
        (TaskState::UpForRetry, 3, 2)
    );
    assert_eq!(
        (read.started, read.ended, read.retry_at),
        (Some(at(1)), Some(at(2)), Some(at(3)))
    );
    assert_eq!(
        (read.note.as_deref(), read.elements),
        (Some("elements"), Some(11))
    );
    assert_eq!((&read.error, &read.wait), (&Some(error), &Some(wait)));
    assert_same(read.settings.as_ref().unwrap(), &settings);
    assert_eq!(read.output, Some(full_output()));
    assert_eq!(
        read.output
            .as_ref()
            .unwrap()
            .values
            .keys()
            .collect::<Vec<_>>(),
        ["model", "zebra", "apple"]
    );
    assert_eq!(
        (tasks[4].state, &tasks[4].settings),
        (TaskState::None, &Some(json!([])))
    );
    assert_eq!((&tasks[2].settings, &tasks[2].output), (&None, &None));
}

/// Attempts read back, the one that started first comes first.
pub async fn attempts_read_back_in_the_order_of_their_start(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let attempt = |task: &str, number, started| AttemptRecord {
        key: key(task),
        number,
        state: TaskState::Running,
        started: at(started),
        ended: None,
        error: None,
    };
    let error = ErrorRecord {
        fault: Fault::User,
        message: "no such column".to_owned(),
        hint: None,
    };
    let failed = AttemptRecord {
        state: TaskState::Failed,
        ended: Some(at(6)),
        error: Some(error),
        key: TaskKey::element("b", 4),
        ..attempt("b", 1, 5)
    };
    let attempts = [
        attempt("z", 1, 1),
        attempt("a", 1, 2),
        attempt("z", 2, 3),
        failed,
    ];
    run.commit(
        attempts
            .iter()
            .rev()
            .cloned()
            .map(Change::Attempt)
            .collect(),
    )
    .await;
    assert_eq!(store.attempts(run.run).await.unwrap(), attempts);
    let ended = AttemptRecord {
        state: TaskState::Success,
        ended: Some(at(9)),
        ..attempts[2].clone()
    };
    run.commit(vec![Change::Attempt(ended.clone())]).await;
    assert_eq!(store.attempts(run.run).await.unwrap()[2], ended);
}

/// Events read back in order, by pages.
pub async fn events_read_back_by_pages(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let events: Vec<_> = (1..=10)
        .map(|number| match number % 3 {
            0 => EventRecord {
                kind: "run".to_owned(),
                key: None,
                ..event(number)
            },
            1 => EventRecord {
                key: Some(TaskKey::element("each", 3)),
                ..event(number)
            },
            _ => event(number),
        })
        .collect();
    run.commit(events.iter().rev().cloned().map(Change::Event).collect())
        .await;
    assert_eq!(store.events(run.run, 0, 4).await.unwrap(), events[..4]);
    assert_eq!(store.events(run.run, 4, 100).await.unwrap(), events[4..]);
    assert!(store.events(run.run, 10, 100).await.unwrap().is_empty());
    assert_eq!(store.run(run.run).await.unwrap().unwrap().last_event, 10);
}

/// Quotes, other alphabets and null characters are text like any other; a null character that a database cannot keep
/// may come back as U+FFFD.
pub async fn odd_text_reads_back(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let odd = "it's \"quoted\" \\ 🦀 Ünïcode\n\u{0}end";
    let error = ErrorRecord {
        fault: Fault::Bug,
        message: odd.to_owned(),
        hint: None,
    };
    let change = TaskChange {
        task: "a".to_owned(),
        state: TaskState::Failed,
        note: Some(odd.to_owned()),
        error: Some(error.clone()),
        ..TaskChange::default()
    };
    let settings = json!({ odd: odd });
    run.commit(vec![
        Change::Task(change),
        Change::Settings {
            key: key("a"),
            settings: settings.clone(),
        },
    ])
    .await;
    let read = run.task(&key("a")).await;
    let note = read.note.unwrap();
    assert!(
        note == odd || note == odd.replace('\0', "\u{fffd}"),
        "{note:?}"
    );
    assert_eq!((read.error, read.settings), (Some(error), Some(settings)));
}

/// An output is found by what it was made of, the newest of several.
pub async fn an_output_is_found_by_what_it_was_made_of(store: &dyn Store) {
    let found = async |cache: &str| {
        let found = store.cached(cache).await.unwrap();
        found.map(|found| (found.run, found.written, found.output.metrics["f1"]))
    };
    assert_eq!(found("of this").await, None);
    let mut last = None;
    for (number, cache) in [(1_u32, "of this"), (2, "of this"), (3, "of that")] {
        let run = Owned::make(store, "churn", i64::from(number)).await;
        let done = TaskChange {
            task: "a".to_owned(),
            element: None,
            state: TaskState::Success,
            attempt: 1,
            started: Some(at(10)),
            ended: Some(at(20 + i64::from(number))),
            ..TaskChange::default()
        };
        let output = OutputRecord {
            metrics: BTreeMap::from([("f1".to_owned(), f64::from(number))]),
            cache: Some(cache.to_owned()),
            ..OutputRecord::default()
        };
        let output = Change::Output {
            key: key("a"),
            attempt: 1,
            output,
            at: at(20 + i64::from(number)),
        };
        run.commit(vec![Change::Task(done), output]).await;
        if cache == "of this" {
            last = Some((run.run, at(20 + i64::from(number)), f64::from(number)));
        }
    }
    assert_eq!(found("of this").await, last);
    assert_eq!(found("of nothing").await, None);
}

/// A checkpoint is kept for a task of a run; who has an old token cannot write it.
pub async fn checkpoints_are_kept_and_fenced(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let (a, element) = (key("a"), TaskKey::element("a", 0));
    assert_eq!(store.checkpoint(run.run, &a).await.unwrap(), None);
    for page in 1..=2 {
        store
            .put_checkpoint(run.run, run.fence, &a, &json!({"page": page}))
            .await
            .unwrap();
    }
    assert_eq!(
        store.checkpoint(run.run, &a).await.unwrap(),
        Some(json!({"page": 2}))
    );
    assert_eq!(store.checkpoint(run.run, &element).await.unwrap(), None);
    let newer = store.claim(run.run, "one", LONG).await.unwrap().unwrap();
    let stale = store
        .put_checkpoint(run.run, run.fence, &a, &json!(9))
        .await;
    assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
    assert_eq!(
        store.checkpoint(run.run, &a).await.unwrap(),
        Some(json!({"page": 2}))
    );
    store
        .put_checkpoint(run.run, newer.fence, &element, &json!(null))
        .await
        .unwrap();
    assert_eq!(
        store.checkpoint(run.run, &element).await.unwrap(),
        Some(json!(null))
    );
}

/// A pipeline version is kept once, under its hash.
pub async fn pipeline_versions_are_kept_once(store: &dyn Store) {
    let version = PipelineVersion {
        hash: "abc".to_owned(),
        pipeline: "churn".to_owned(),
        path: "pipelines/churn.yaml".to_owned(),
        source: "name: churn\n".to_owned(),
    };
    for _ in 0..2 {
        store.put_version(&version).await.unwrap();
    }
    assert_eq!(store.version("abc").await.unwrap(), Some(version));
    assert_eq!(store.version("def").await.unwrap(), None);
}
