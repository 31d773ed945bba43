//! What a commit costs. Run alone, on a quiet machine:
//! `cargo test --release --workspace --test speed -- --ignored --nocapture --test-threads 1`.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::similar_names,
    reason = "a measurement"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pipectl_engine::{
    id::{RunId, TaskKey},
    secret::Secret,
    state::TaskState,
    store::{
        AttemptRecord, Change, EventRecord, NewRun, OutputRecord, RunKind, RunWrite, Store,
        TaskChange, WriteOutcome, Writer,
    },
    time::{Clock, SystemClock, Timestamp},
};
use pipectl_test_support::TestPostgres;
use serde_json::{Map, json};

async fn claimed(store: &dyn Store) -> (RunId, u64) {
    let now = SystemClock.now();
    let run = NewRun {
        id: RunId::new(now),
        pipeline: "chain".to_owned(),
        version: "abc".to_owned(),
        kind: RunKind::Manual,
        trigger_key: None,
        trigger: json!(null),
        params: Map::new(),
        interval: None,
        parent: None,
        created: now,
        enqueued: false,
        max_active: None,
        backfill: None,
    };
    store.create_run(&run).await.unwrap();
    (
        run.id,
        store
            .claim(run.id, "measure", Duration::from_secs(600))
            .await
            .unwrap()
            .unwrap()
            .fence,
    )
}

fn task(name: &str, element: Option<u32>, state: TaskState, now: Timestamp) -> Change {
    let ended = state.is_final().then_some(now);
    let task = name.to_owned();
    Change::Task(TaskChange {
        task,
        element,
        state,
        attempt: 1,
        started: Some(now),
        ended,
        ..TaskChange::default()
    })
}

fn attempt(name: &str, state: TaskState, now: Timestamp) -> Change {
    let (key, ended) = (TaskKey::task(name), state.is_final().then_some(now));
    Change::Attempt(AttemptRecord {
        key,
        number: 1,
        state,
        started: now,
        ended,
        error: None,
    })
}

fn event(number: u64, name: &str, state: TaskState, now: Timestamp) -> Change {
    let (kind, key) = ("task".to_owned(), Some(TaskKey::task(name)));
    Change::Event(EventRecord {
        number,
        at: now,
        kind,
        key,
        data: json!({"state": state.name(), "attempt": 1}),
    })
}

/// What a chain's task costs: the end of one task and the start of the next.
fn step(number: u64, now: Timestamp) -> Vec<Change> {
    let (this, next) = (format!("task_{number}"), format!("task_{}", number + 1));
    let output = OutputRecord {
        values: json!({"value": 1}).as_object().unwrap().clone(),
        ..OutputRecord::default()
    };
    vec![
        task(&this, None, TaskState::Success, now),
        attempt(&this, TaskState::Success, now),
        Change::Output {
            key: TaskKey::task(&this),
            attempt: 1,
            output,
            at: now,
        },
        event(3 * number + 1, &this, TaskState::Success, now),
        task(&next, None, TaskState::Running, now),
        Change::Settings {
            key: TaskKey::task(&next),
            settings: json!({}),
        },
        attempt(&next, TaskState::Running, now),
        event(3 * number + 2, &next, TaskState::Scheduled, now),
        event(3 * number + 3, &next, TaskState::Running, now),
    ]
}

async fn measure(name: &str, store: Arc<dyn Store>) {
    let writer = Writer::start(Arc::clone(&store));
    for round in 0..3 {
        let (run, fence) = claimed(&*store).await;
        let started = Instant::now();
        for number in 0..1_000 {
            let changes = step(number, SystemClock.now());
            assert_eq!(
                writer
                    .write(RunWrite {
                        run,
                        fence,
                        changes
                    })
                    .await
                    .unwrap(),
                WriteOutcome::Done
            );
        }
        println!(
            "{name}: a chain's task {:.3} ms (round {round})",
            started.elapsed().as_secs_f64()
        );
    }
    for round in 0..3 {
        let (run, fence) = claimed(&*store).await;
        let now = SystemClock.now();
        let changes = (0..10_000)
            .map(|element| task("wide", Some(element), TaskState::Scheduled, now))
            .collect();
        let started = Instant::now();
        writer
            .write(RunWrite {
                run,
                fence,
                changes,
            })
            .await
            .unwrap();
        println!(
            "{name}: 10,000 tasks in a commit {:.0} ms (round {round})",
            started.elapsed().as_secs_f64() * 1e3
        );
        let started = Instant::now();
        assert_eq!(store.tasks(run).await.unwrap().len(), 10_000);
        println!(
            "{name}: 10,000 tasks read {:.0} ms",
            started.elapsed().as_secs_f64() * 1e3
        );
    }
    for size in [10, 100, 1_000] {
        let (run, fence) = claimed(&*store).await;
        let started = Instant::now();
        for commit in 0..10_000 / size {
            let writes = (0..size).map(|number| step(commit * size + number, SystemClock.now()));
            let writes: Vec<_> = writes
                .map(|changes| RunWrite {
                    run,
                    fence,
                    changes,
                })
                .collect();
            store.commit(&writes).await.unwrap();
        }
        println!(
            "{name}: {size} writes in a commit: a write {:.3} ms",
            started.elapsed().as_secs_f64() / 10.0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn sqlite() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    measure(
        "sqlite",
        pipectl_store::open(None, directory.path()).await.unwrap(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn postgres() {
    let server = TestPostgres::durable();
    let address = Secret::new(server.database());
    measure(
        "postgres",
        pipectl_store::open(Some(&address), "/nowhere".as_ref())
            .await
            .unwrap(),
    )
    .await;
}

#[tokio::test]
#[ignore = "measures"]
async fn opening() {
    for _ in 0..3 {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for what in ["a new file", "a file again"] {
            let started = Instant::now();
            let store = pipectl_store::open(None, directory.path()).await.unwrap();
            println!(
                "sqlite: open {what} {:.1} ms",
                started.elapsed().as_secs_f64() * 1e3
            );
            let started = Instant::now();
            claimed(&*store).await;
            println!(
                "sqlite: make and claim a run {:.1} ms",
                started.elapsed().as_secs_f64() * 1e3
            );
        }
    }
}
