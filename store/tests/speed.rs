//! What commits cost, and the queue. Run alone, on a quiet machine:
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
        AttemptRecord, Change, EventRecord, NewRun, OutputRecord, RunWrite, SensorKey, Store,
        TaskChange, Thing, WriteOutcome, Writer, conformance::run_at,
    },
    time::{Clock, SystemClock, Timestamp},
};
use pipectl_test_support::TestPostgres;
use serde_json::{Map, json};

fn new_run(pipeline: &str, enqueued: bool) -> NewRun {
    NewRun {
        enqueued,
        max_active: enqueued.then_some(1_000),
        ..run_at(pipeline, SystemClock.now())
    }
}

async fn claimed(store: &dyn Store) -> (RunId, u64) {
    let run = new_run("chain", false);
    store.create_run(&run).await.unwrap();
    let lease = Duration::from_secs(600);
    let claim = store.claim(run.id, "measure", lease).await.unwrap();
    (run.id, claim.unwrap().fence)
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

/// What the queue costs when it is long.
async fn queue(name: &str, store: Arc<dyn Store>) {
    let lease = Duration::from_secs(600);
    let milliseconds = |started: Instant| started.elapsed().as_secs_f64() * 1e3;
    let runs: Vec<_> = (0..10_000)
        .map(|number| new_run(&format!("p{}", number % 100), true))
        .collect();
    let started = Instant::now();
    store.create_runs(&runs).await.unwrap();
    println!("{name}: 10,000 runs made {:.0} ms", milliseconds(started));
    let things: Vec<_> = (0..10_000)
        .map(|number| {
            let thing = Thing {
                identity: format!("{number}.csv@1"),
                name: format!("{number}.csv"),
                values: Map::new(),
                size: 1,
                modified: SystemClock.now(),
            };
            (thing, new_run("sensed", true))
        })
        .collect();
    let sensor = SensorKey {
        pipeline: "sensed".to_owned(),
        task: "arrived".to_owned(),
    };
    let started = Instant::now();
    let sensed = store.sense(&sensor, &things, SystemClock.now());
    sensed.await.unwrap();
    println!(
        "{name}: 10,000 things sensed {:.0} ms",
        milliseconds(started)
    );
    for round in 0..5 {
        let started = Instant::now();
        let claims = store.claim_queued("measure", lease, None, 16).await;
        assert_eq!(claims.unwrap().len(), 16);
        println!(
            "{name}: 16 of 20,000 queued runs claimed {:.1} ms (round {round})",
            milliseconds(started)
        );
    }
    let started = Instant::now();
    store
        .beat("measure", SystemClock.now(), lease)
        .await
        .unwrap();
    println!("{name}: a beat {:.1} ms", milliseconds(started));
    let started = Instant::now();
    store.unfinished().await.unwrap();
    println!(
        "{name}: unfinished runs counted {:.1} ms",
        milliseconds(started)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn queue_sqlite() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = pipectl_store::open(None, directory.path()).await.unwrap();
    queue("sqlite", store).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn queue_postgres() {
    let server = TestPostgres::durable();
    let address = Secret::new(server.database());
    let store = pipectl_store::open(Some(&address), "/nowhere".as_ref()).await;
    queue("postgres", store.unwrap()).await;
}

/// 100,000 runs of ten tasks, all over.
const HISTORY: &str = "
    insert into pipectl.runs (id, pipeline, version, kind, trigger_data, params, created, state, ended, fence)
        select ('0190' || lpad(to_hex(n), 28, '0'))::uuid, 'p' || n % 100, 'abc', 'scheduled', 'null', '{}', now(),
            'success', now() - n * interval '1 minute', 1
        from generate_series(1, 100000) n;
    insert into pipectl.tasks (run, task, element, state, attempt, tries)
        select id, t::text, -1, 'success', 1, 0 from pipectl.runs, generate_series(1, 10) t;
    analyze";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn start_with_a_long_history() {
    let server = TestPostgres::durable();
    let address = server.database();
    let store = pipectl_store::PostgresStore::open(&Secret::new(address.clone())).await;
    let store = store.unwrap();
    sqlx::raw_sql(HISTORY).execute(store.pool()).await.unwrap();
    drop(store);
    let lease = Duration::from_secs(10);
    for round in 0..3 {
        let started = Instant::now();
        let address = Secret::new(address.clone());
        let store = pipectl_store::open(Some(&address), "/nowhere".as_ref()).await;
        let store = store.unwrap();
        store.beat("one", SystemClock.now(), lease).await.unwrap();
        store.claim_lost("one", lease, &[], 100).await.unwrap();
        store.claim_queued("one", lease, None, 16).await.unwrap();
        store.schedules().await.unwrap();
        store.unfinished().await.unwrap();
        store.foreground_runs().await.unwrap();
        println!(
            "postgres: start with 1,000,000 task rows {:.0} ms (round {round})",
            started.elapsed().as_secs_f64() * 1e3
        );
    }
}
