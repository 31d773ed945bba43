//! Writes: fenced, in order, whole, and harmless when sent twice.

use futures::future::join_all;
use serde_json::{Value, json};

use super::fixture::{LONG, Owned, at, event, key, mail, model, new_run, output, task};
use crate::{
    id::TaskKey,
    state::{RunState, TaskState},
    store::{AttemptRecord, Change, RunChange, RunWrite, Store, TaskChange, WriteOutcome},
};

/// A write with an old token is left out; the others of the same transaction go through.
pub async fn a_stale_write_is_left_out(store: &dyn Store) {
    let (old, other) = (
        Owned::make(store, "churn", 0).await,
        Owned::make(store, "churn", 1).await,
    );
    let fence = store
        .claim(old.run, "one", LONG)
        .await
        .unwrap()
        .unwrap()
        .fence;
    let new = Owned {
        store,
        run: old.run,
        fence,
    };
    let changes = |number| {
        vec![
            Change::Event(event(number)),
            task(&key("a"), TaskState::Success),
            Change::Mail(mail(0)),
        ]
    };
    let writes = [
        old.write(changes(1)),
        other.write(changes(1)),
        new.write(changes(2)),
        old.write(changes(3)),
    ];
    let outcomes = store.commit(&writes).await.unwrap();
    assert_eq!(
        outcomes,
        [
            WriteOutcome::Stale,
            WriteOutcome::Done,
            WriteOutcome::Done,
            WriteOutcome::Stale
        ]
    );
    let numbers = store
        .events(old.run, 0, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.number);
    assert_eq!(numbers.collect::<Vec<_>>(), [2]);
    assert_eq!(store.events(other.run, 0, 100).await.unwrap().len(), 1);
    assert_eq!(store.counts().await.unwrap()["pending"], 2);
    assert_eq!(store.run(old.run).await.unwrap().unwrap().last_event, 2);
}

/// A run that is not there has no token.
pub async fn a_write_to_no_run_is_stale(store: &dyn Store) {
    let write = RunWrite {
        run: new_run("churn", 0).id,
        fence: 0,
        changes: vec![Change::Event(event(1))],
    };
    assert_eq!(store.commit(&[write]).await.unwrap(), [WriteOutcome::Stale]);
}

/// Nothing to write is nothing; a write without changes still tells whether its token holds.
pub async fn an_empty_commit_is_nothing(store: &dyn Store) {
    assert!(store.commit(&[]).await.unwrap().is_empty());
    let run = Owned::make(store, "churn", 0).await;
    run.commit(Vec::new()).await;
    let stale = RunWrite {
        fence: run.fence + 1,
        ..run.write(Vec::new())
    };
    assert_eq!(store.commit(&[stale]).await.unwrap(), [WriteOutcome::Stale]);
}

/// The last of several changes of one thing counts, within a write and over the writes of one commit.
pub async fn changes_apply_in_their_order(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let a = key("a");
    let settings = |value: i32| Change::Settings {
        key: a.clone(),
        settings: json!({"n": value}),
    };
    let first = run.write(vec![
        task(&a, TaskState::Running),
        settings(1),
        output(&a, 0.1),
        output(&a, 0.2),
    ]);
    let second = run.write(vec![
        task(&a, TaskState::Success),
        settings(2),
        Change::Event(event(1)),
    ]);
    assert_eq!(
        store.commit(&[first, second]).await.unwrap(),
        [WriteOutcome::Done; 2]
    );
    let record = run.task(&a).await;
    assert_eq!(record.state, TaskState::Success);
    assert_eq!(record.settings, Some(json!({"n": 2})));
    assert_eq!(
        record.output.unwrap().metrics["f1"].total_cmp(&0.2),
        std::cmp::Ordering::Equal
    );
    run.commit(vec![
        Change::Reset {
            task: "a".to_owned(),
        },
        task(&a, TaskState::Running),
    ])
    .await;
    assert_eq!(run.task(&a).await.state, TaskState::Running);
    run.commit(vec![
        task(&a, TaskState::Success),
        Change::Reset {
            task: "a".to_owned(),
        },
    ])
    .await;
    assert_eq!(run.task(&a).await.state, TaskState::None);
}

/// What a change of the run leaves out stays; an end and an error go when the state no longer has them.
pub async fn the_run_itself_changes(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let change = |state| RunChange {
        state,
        ..RunChange::default()
    };
    run.commit(vec![Change::Run(RunChange {
        started: Some(at(1)),
        ..change(RunState::Running)
    })])
    .await;
    let failed = RunChange {
        ended: Some(at(2)),
        error: Some("no space".to_owned()),
        ..change(RunState::Failed)
    };
    run.commit(vec![Change::Run(failed.clone())]).await;
    let record = store.run(run.run).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.started, record.ended),
        (RunState::Failed, Some(at(1)), Some(at(2)))
    );
    assert_eq!(record.error.as_deref(), Some("no space"));
    run.commit(vec![Change::Run(RunChange {
        redo: Some(1),
        ..change(RunState::Running)
    })])
    .await;
    let record = store.run(run.run).await.unwrap().unwrap();
    assert_eq!(
        (record.started, record.ended, record.error, record.redo),
        (Some(at(1)), None, None, 1)
    );
    // In one commit: what comes after counts, and what went on the way does not come back.
    let outputs = RunChange {
        outputs: Some(json!({"count": 3})),
        ..change(RunState::Running)
    };
    run.commit(vec![
        Change::Run(failed),
        Change::Run(outputs),
        Change::Run(change(RunState::Success)),
    ])
    .await;
    let record = store.run(run.run).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.ended, record.error),
        (RunState::Success, None, None)
    );
    assert_eq!(
        (record.outputs, record.redo),
        (Some(json!({"count": 3})), 1)
    );
}

/// A commit whose answer was lost is sent again: nothing is doubled.
pub async fn a_write_sent_twice_counts_once(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let a = key("a");
    let version = store.reserve_version("churn", run.run, &a).await.unwrap();
    let attempt = AttemptRecord {
        key: a.clone(),
        number: 1,
        state: TaskState::Success,
        started: at(1),
        ended: Some(at(2)),
        error: None,
    };
    let changes = vec![
        Change::Run(RunChange {
            state: RunState::Running,
            started: Some(at(1)),
            ..RunChange::default()
        }),
        task(&a, TaskState::Success),
        Change::Settings {
            key: a.clone(),
            settings: json!({}),
        },
        Change::Attempt(attempt),
        output(&a, 0.5),
        Change::Event(event(1)),
        Change::Mail(mail(0)),
        Change::Register(model("churn", version, &a, 0.5)),
    ];
    for _ in 0..2 {
        run.commit(changes.clone()).await;
    }
    assert_eq!(store.attempts(run.run).await.unwrap().len(), 1);
    assert_eq!(store.events(run.run, 0, 100).await.unwrap().len(), 1);
    assert_eq!(store.tasks(run.run).await.unwrap().len(), 1);
    assert_eq!(store.versions("churn").await.unwrap().len(), 1);
    assert_eq!(store.counts().await.unwrap()["pending"], 1);
}

/// A reset clears a task and its elements, and no other; attempts, their count and the settings stay.
pub async fn a_reset_task_starts_over(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let (a, element, b) = (key("a"), TaskKey::element("a", 2), key("b"));
    for key in [&a, &element, &b] {
        let settings = Change::Settings {
            key: key.clone(),
            settings: json!({"n": 1}),
        };
        let attempt = AttemptRecord {
            key: key.clone(),
            number: 1,
            state: TaskState::Failed,
            started: at(1),
            ended: None,
            error: None,
        };
        run.commit(vec![
            task(key, TaskState::Success),
            settings,
            output(key, 0.5),
            Change::Attempt(attempt),
        ])
        .await;
        store
            .put_checkpoint(run.run, run.fence, key, &json!(7))
            .await
            .unwrap();
    }
    run.commit(vec![Change::Reset {
        task: "a".to_owned(),
    }])
    .await;
    for key in [&a, &element] {
        let record = run.task(key).await;
        assert_eq!(
            (record.state, record.tries, record.started, record.output),
            (TaskState::None, 0, None, None)
        );
        assert_eq!(
            (record.attempt, record.settings),
            (1, Some(json!({"n": 1})))
        );
        assert_eq!(store.checkpoint(run.run, key).await.unwrap(), None);
    }
    assert_eq!(run.task(&b).await.state, TaskState::Success);
    assert_eq!(store.checkpoint(run.run, &b).await.unwrap(), Some(json!(7)));
    assert_eq!(store.attempts(run.run).await.unwrap().len(), 3);
}

/// Many that commit at once lose nothing.
pub async fn many_writers_lose_nothing(store: &dyn Store) {
    let mut runs = Vec::new();
    for seconds in 0..4 {
        runs.push(Owned::make(store, "churn", seconds).await);
    }
    let writes = runs.iter().flat_map(|run| {
        (1..=10_u64).map(move |number| async move {
            let a = TaskKey::element("a", u32::try_from(number).unwrap());
            run.commit(vec![
                Change::Event(event(number)),
                task(&a, TaskState::Success),
                output(&a, 0.5),
            ])
            .await;
        })
    });
    join_all(writes).await;
    for run in &runs {
        assert_eq!(store.events(run.run, 0, 100).await.unwrap().len(), 10);
        assert_eq!(store.tasks(run.run).await.unwrap().len(), 10);
    }
}

/// Thousands of tasks are one commit.
pub async fn a_wide_run_is_one_commit(store: &dyn Store) {
    let run = Owned::make(store, "churn", 0).await;
    let tasks = (0..3_000).map(|element| {
        let task = TaskChange {
            task: "a".to_owned(),
            element: Some(element),
            state: TaskState::Scheduled,
            ..Default::default()
        };
        Change::Task(task)
    });
    let events = (1..=3_000).map(|number| Change::Event(event(number)));
    run.commit(tasks.chain(events).collect()).await;
    let tasks = store.tasks(run.run).await.unwrap();
    assert_eq!(tasks.len(), 3_000);
    assert!(
        tasks
            .iter()
            .zip(0..)
            .all(|(task, element)| task.key.element == Some(element))
    );
    assert_eq!(store.run(run.run).await.unwrap().unwrap().last_event, 3_000);
}

/// What a task leaves for its next run is found by later runs of its pipeline, whatever becomes of the run; a stale owner
/// leaves nothing.
pub async fn a_state_goes_from_run_to_run(store: &dyn Store) {
    let (a, element) = (key("a"), TaskKey::element("a", 0));
    let left = |key: &TaskKey, state: Value| Change::State {
        key: key.clone(),
        state,
    };
    assert_eq!(store.state("churn", &a).await.unwrap(), None);
    let run = Owned::make(store, "churn", 0).await;
    run.commit(vec![
        task(&a, TaskState::Success),
        left(&a, json!({"z": 1, "a": "x"})),
    ])
    .await;
    run.commit(vec![left(&element, json!(null))]).await;
    let state = store.state("churn", &a).await.unwrap().unwrap();
    assert_eq!(state.to_string(), "{\"z\":1,\"a\":\"x\"}");
    let of_element = store.state("churn", &element).await.unwrap();
    assert_eq!(of_element, Some(json!(null)));
    assert_eq!(store.state("other", &a).await.unwrap(), None);
    let later = Owned::make(store, "churn", 1).await;
    later.commit(vec![left(&a, json!(2))]).await;
    assert_eq!(store.state("churn", &a).await.unwrap(), Some(json!(2)));
    // A reset of the task forgets what the run has done, not how far the task has come.
    let reset = Change::Reset {
        task: "a".to_owned(),
    };
    later.commit(vec![reset]).await;
    assert_eq!(store.state("churn", &a).await.unwrap(), Some(json!(2)));
    store.claim(later.run, "one", LONG).await.unwrap().unwrap();
    let late = later.write(vec![left(&a, json!(3))]);
    assert_eq!(store.commit(&[late]).await.unwrap(), [WriteOutcome::Stale]);
    assert_eq!(store.state("churn", &a).await.unwrap(), Some(json!(2)));
}

/// Several runs of a pipeline may leave a state in one commit: the last one counts.
pub async fn states_of_one_commit_count_in_their_order(store: &dyn Store) {
    let a = key("a");
    let runs = [
        Owned::make(store, "churn", 0).await,
        Owned::make(store, "churn", 1).await,
        Owned::make(store, "churn", 2).await,
    ];
    let writes: Vec<_> = (0..)
        .zip(&runs)
        .map(|(number, run)| {
            let state = |state| Change::State {
                key: a.clone(),
                state,
            };
            run.write(vec![state(json!("first")), state(json!(number))])
        })
        .collect();
    let outcomes = store.commit(&writes).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Done; 3]);
    assert_eq!(store.state("churn", &a).await.unwrap(), Some(json!(2)));
}
