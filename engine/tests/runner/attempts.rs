//! Attempts: retries, faults, panics, time, cancellation.

use std::time::{Duration, Instant};

use pipectl_engine::{
    operator::Fault,
    plan::{Backoff, RetryPolicy, testing},
    runner::Options,
    spec::Expression,
    state::{RunState, TaskState},
    store::RunStore,
};
use serde_json::json;

use crate::support::{Act, World};

fn twice_more() -> RetryPolicy {
    RetryPolicy {
        limit: 2,
        delay: Duration::from_millis(5),
        backoff: Backoff::Exponential,
        max_delay: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_failure_is_tried_again_and_a_user_failure_is_not() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let a = testing::add(
        &mut plan,
        "a",
        &Act,
        json!({"steps": ["external", "external", "ok"]}),
        &[],
    );
    let b = testing::add(&mut plan, "b", &Act, json!({"steps": ["user"]}), &[]);
    let c = testing::add(&mut plan, "c", &Act, json!({"steps": ["external"]}), &[]);
    for task in [a, b, c] {
        plan.graph[task].retry = twice_more();
    }
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Failed);
    for (name, state, attempts) in [
        ("a", TaskState::Success, 3),
        ("b", TaskState::Failed, 1),
        ("c", TaskState::Failed, 3),
    ] {
        let task = world.task(run, name).await;
        assert_eq!((task.state, task.attempt), (state, attempts), "{name}");
        assert_eq!(world.counter.of(name), attempts as usize);
    }
    let attempts = world.store.attempts(run).await.unwrap();
    assert_eq!(attempts.len(), 7);
    assert!(attempts.iter().all(|attempt| attempt.ended.is_some()));
    let error = world.task(run, "b").await.error.unwrap();
    assert_eq!(
        (error.fault, error.message.as_str(), error.hint.as_deref()),
        (Fault::User, "the data is wrong", Some("mend it"))
    );
    assert_eq!(
        world.heard("a"),
        [
            TaskState::Running,
            TaskState::UpForRetry,
            TaskState::Running,
            TaskState::UpForRetry,
            TaskState::Running,
            TaskState::Success
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failed_attempt_with_its_message() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"steps": ["panic"]}), &[]);
    testing::add(&mut plan, "b", &Act, json!({}), &[a]);
    testing::add(&mut plan, "c", &Act, json!({}), &[]);
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Failed);
    let error = world.task(run, "a").await.error.unwrap();
    assert_eq!(
        error.message,
        "the operator panicked: index out of bounds: 7"
    );
    assert_eq!(error.fault, Fault::Bug);
    assert_eq!(world.task(run, "b").await.state, TaskState::UpstreamFailed);
    assert_eq!(world.task(run, "c").await.state, TaskState::Success);
    let record = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(
        record.error.as_deref(),
        Some("`a`: the operator panicked: index out of bounds: 7")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_fails_at_once_but_the_slot_stays_taken_until_the_work_ends() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"steps": ["block 600"]}), &[]);
    plan.graph[a].timeout = Some(Duration::from_millis(50));
    let b = testing::add(&mut plan, "b", &Act, json!({}), &[a]);
    plan.graph[b].trigger_rule = pipectl_engine::plan::TriggerRule::AllDone;
    let runner = world.runner(1);
    let run = world.create(&runner, &plan).await;
    let begin = Instant::now();
    world
        .go(&runner, plan, run, Options::default())
        .await
        .unwrap();
    let (a, b) = (world.task(run, "a").await, world.task(run, "b").await);
    assert_eq!(a.error.unwrap().message, "took longer than its `timeout`");
    assert!((a.ended.unwrap() - a.started.unwrap()).num_milliseconds() < 400);
    assert_eq!(b.state, TaskState::Success);
    assert!(
        begin.elapsed() >= Duration::from_millis(590),
        "b had to wait for the only slot"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_task_holds_no_slot() {
    let world = World::new();
    let mut plan = testing::plan("p");
    testing::add(
        &mut plan,
        "sensor",
        &Act,
        json!({"steps": ["wait 300"]}),
        &[],
    );
    testing::add(&mut plan, "other", &Act, json!({}), &[]);
    let runner = world.runner(1);
    let run = world.create(&runner, &plan).await;
    assert_eq!(
        world
            .go(&runner, plan, run, Options::default())
            .await
            .unwrap(),
        RunState::Success
    );
    let (sensor, other) = (
        world.task(run, "sensor").await,
        world.task(run, "other").await,
    );
    assert!(other.ended.unwrap() < sensor.ended.unwrap());
    assert_eq!(sensor.attempt, 1, "it goes on in the same attempt");
    assert_eq!(world.counter.of("sensor"), 2);
    assert_eq!(
        world.heard("sensor"),
        [
            TaskState::Running,
            TaskState::Deferred,
            TaskState::Running,
            TaskState::Success
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_its_timeout() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"steps": ["wait 60000"]}), &[]);
    plan.graph[a].timeout = Some(Duration::from_millis(100));
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Failed);
    let message = world.task(run, "a").await.error.unwrap().message;
    let told = "waited longer than its `timeout`: it waits until ";
    assert!(message.starts_with(told), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_what_runs_and_records_it() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"steps": ["sleep 100"]}), &[]);
    testing::add(&mut plan, "b", &Act, json!({}), &[a]);
    testing::add(&mut plan, "w", &Act, json!({"steps": ["wait 60000"]}), &[]);
    let runner = world.runner(4);
    let run = world.create(&runner, &plan).await;
    let options = Options::default();
    let cancel = options.cancel.clone();
    let (state, ()) = tokio::join!(world.go(&runner, plan, run, options), async {
        tokio::time::sleep(Duration::from_millis(40)).await;
        cancel.cancel();
    });
    assert_eq!(state.unwrap(), RunState::Cancelled);
    // `a` ended well before it could be stopped; what has not started is cancelled.
    for (name, state) in [("b", TaskState::Cancelled), ("w", TaskState::Cancelled)] {
        assert_eq!(world.task(run, name).await.state, state, "{name}");
    }
    assert_eq!(
        world.store.run(run).await.unwrap().unwrap().state,
        RunState::Cancelled
    );
    assert_eq!(world.counter.of("b"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_and_an_operator_can_skip() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let place = plan.graph.node_weights().next().map_or_else(
        || pipectl_engine::spec::Place::start_of("p".into()),
        |task| task.place.clone(),
    );
    let a = testing::add(&mut plan, "a", &Act, json!({}), &[]);
    plan.graph[a].condition =
        Some(Expression::compile("params.limit > 10", place.clone()).unwrap());
    testing::add(&mut plan, "b", &Act, json!({"steps": ["skip"]}), &[]);
    let c = testing::add(&mut plan, "c", &Act, json!({}), &[]);
    plan.graph[c].condition = Some(Expression::compile("params.nothing", place).unwrap());
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Failed);
    assert_eq!(
        world.task(run, "a").await.note.as_deref(),
        Some("`if: params.limit > 10` is false")
    );
    assert_eq!(
        world.task(run, "b").await.note.as_deref(),
        Some("nothing to do")
    );
    assert_eq!(world.task(run, "c").await.state, TaskState::Failed);
    assert_eq!(world.counter.of("a"), 0);
}
