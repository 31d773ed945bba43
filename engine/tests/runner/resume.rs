//! A run that is left in the middle, and taken up again.

use std::{sync::Arc, time::Duration};

use pipectl_engine::{
    plan::{Plan, testing},
    runner::{Options, Redo, RunnerError},
    state::{RunState, TaskState},
    store::{MemoryStore, RunStore},
};
use serde_json::{Value, json};

use crate::support::{Act, World};

fn chain(middle: &Value) -> Plan {
    let mut plan = testing::plan("p");
    let a = testing::add(
        &mut plan,
        "a",
        &Act,
        json!({"rows": [1, 2], "value": "x"}),
        &[],
    );
    let b = testing::add(&mut plan, "b", &Act, middle.clone(), &[]);
    testing::read(&mut plan, b, a);
    testing::add(&mut plan, "c", &Act, json!({}), &[b]);
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_process_is_gone_goes_on_where_it_stood() {
    let world = World::new();
    let first = world.runner(4);
    let plan = chain(&json!({"steps": ["sleep 60000", "ok"]}));
    let run = world.create(&first, &plan).await;
    let lost = first.execute(Arc::new(plan.clone()), run, Options::default());
    assert!(
        tokio::time::timeout(Duration::from_millis(300), lost)
            .await
            .is_err()
    );
    // While the first process lives, nobody else gets the run.
    let second = world.runner(4);
    let busy = world
        .go(&second, plan.clone(), run, Options::default())
        .await;
    assert!(matches!(busy, Err(RunnerError::Busy { .. })), "{busy:?}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        world
            .go(&second, plan, run, Options::default())
            .await
            .unwrap(),
        RunState::Success
    );
    assert_eq!(
        (
            world.counter.of("a"),
            world.counter.of("b"),
            world.counter.of("c")
        ),
        (1, 2, 1)
    );
    let b = world.task(run, "b").await;
    assert_eq!((b.attempt, b.output.unwrap().metrics["seen"]), (2, 3.0));
    let attempts = world.store.attempts(run).await.unwrap();
    let lost = attempts
        .iter()
        .find(|attempt| attempt.key.task == "b" && attempt.number == 1)
        .unwrap();
    assert_eq!(lost.state, TaskState::Failed);
    assert!(lost.error.as_ref().unwrap().message.starts_with("lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_passed_on_is_made_again_for_its_reader() {
    let world = World::new();
    let first = world.runner(4);
    let mut plan = chain(&json!({"steps": ["sleep 60000", "ok"]}));
    let a = plan.find("a").unwrap();
    plan.graph[a].persist = false;
    let run = world.create(&first, &plan).await;
    let lost = first.execute(Arc::new(plan.clone()), run, Options::default());
    assert!(
        tokio::time::timeout(Duration::from_millis(300), lost)
            .await
            .is_err()
    );
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = world.runner(4);
    let done = world.go(&second, plan.clone(), run, Options::default());
    assert_eq!(done.await.unwrap(), RunState::Success);
    assert_eq!((world.counter.of("a"), world.counter.of("b")), (2, 2));
    let a = world.task(run, "a").await;
    assert!(a.output.unwrap().datasets.is_empty());
    let b = world.task(run, "b").await;
    assert_eq!(b.output.unwrap().metrics["seen"], 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_run_cannot_write_any_more() {
    let world = World::new();
    let first = world.runner(4);
    let plan = chain(&json!({"steps": ["sleep 400"]}));
    let run = world.create(&first, &plan).await;
    let stale = first.execute(Arc::new(plan.clone()), run, Options::default());
    let other = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let fence = world.store.run(run).await.unwrap().unwrap().fence;
        world.store.release(run, fence).await.unwrap();
        let claim = world
            .store
            .claim(run, "another", Duration::from_secs(60))
            .await
            .unwrap()
            .unwrap();
        assert!(claim.fence > fence);
    };
    let (stale, ()) = tokio::join!(stale, other);
    assert!(matches!(stale, Err(RunnerError::Lost(_))), "{stale:?}");
    assert_eq!(world.task(run, "b").await.state, TaskState::Running);
    assert_eq!(world.counter.of("c"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retrying_what_failed_leaves_alone_what_succeeded() {
    let world = World::new();
    let runner = world.runner(4);
    let plan = chain(&json!({"steps": ["user", "ok"]}));
    let run = world.create(&runner, &plan).await;
    assert_eq!(
        world
            .go(&runner, plan.clone(), run, Options::default())
            .await
            .unwrap(),
        RunState::Failed
    );
    let options = || Options {
        redo: Some(Redo::Unfinished),
        ..Options::default()
    };
    assert_eq!(
        world
            .go(&runner, plan.clone(), run, options())
            .await
            .unwrap(),
        RunState::Success
    );
    assert_eq!(
        (
            world.counter.of("a"),
            world.counter.of("b"),
            world.counter.of("c")
        ),
        (1, 2, 1)
    );
    let record = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.redo, record.error),
        (RunState::Success, 0, None)
    );
    // Nothing is left to do.
    assert_eq!(
        world.go(&runner, plan, run, options()).await.unwrap(),
        RunState::Success
    );
    assert_eq!(world.counter.of("b"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn doing_everything_again_raises_redo() {
    let world = World::new();
    let runner = world.runner(4);
    let plan = chain(&json!({}));
    let run = world.create(&runner, &plan).await;
    world
        .go(&runner, plan.clone(), run, Options::default())
        .await
        .unwrap();
    let options = Options {
        redo: Some(Redo::All),
        ..Options::default()
    };
    assert_eq!(
        world.go(&runner, plan, run, options).await.unwrap(),
        RunState::Success
    );
    assert_eq!(
        (
            world.counter.of("a"),
            world.counter.of("b"),
            world.counter.of("c")
        ),
        (2, 2, 2)
    );
    assert_eq!(world.store.run(run).await.unwrap().unwrap().redo, 1);
    let attempts: Vec<_> = world
        .store
        .attempts(run)
        .await
        .unwrap()
        .into_iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(attempts.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_numbered_without_gaps_over_restarts() {
    let world = World::new();
    let runner = world.runner(4);
    let plan = chain(&json!({"steps": ["user", "ok"]}));
    let run = world.create(&runner, &plan).await;
    world
        .go(&runner, plan.clone(), run, Options::default())
        .await
        .unwrap();
    world
        .go(
            &runner,
            plan,
            run,
            Options {
                redo: Some(Redo::Unfinished),
                ..Options::default()
            },
        )
        .await
        .unwrap();
    let store: &MemoryStore = &world.store;
    let numbers: Vec<u64> = store
        .events(run, 0, 1_000)
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.number)
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}
