//! Child runs.

use std::time::Duration;

use pipectl_engine::{
    plan::{InputBinding, OutputSource, Plan, testing},
    runner::{Options, Redo},
    spec::{Expression, Place, Template, TemplateNode},
    state::{RunState, TaskState},
    store::{RunFilter, RunStore},
};
use serde_json::json;

use crate::support::{Act, World};

fn parent() -> Plan {
    let mut plan = testing::plan("parent");
    let call = testing::add(
        &mut plan,
        "call",
        &Act,
        json!({"child": {"pipeline": "child"}}),
        &[],
    );
    let after = testing::add(&mut plan, "after", &Act, json!({}), &[]);
    testing::read(&mut plan, after, call);
    plan
}

fn child(steps: &[&str]) -> Plan {
    let mut plan = testing::plan("child");
    let work = testing::add(
        &mut plan,
        "work",
        &Act,
        json!({"rows": [4, 5], "value": "v", "steps": steps}),
        &[],
    );
    let place = Place::start_of("child".into());
    let value = TemplateNode::Whole(Expression::compile("tasks.work.value", place).unwrap());
    plan.outputs
        .insert("answer".into(), OutputSource::Value(Template::new(value)));
    let binding = InputBinding {
        name: "table".into(),
        tasks: vec![work],
        dataset: None,
    };
    plan.outputs
        .insert("table".into(), OutputSource::Dataset(binding));
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_without_a_slot_and_gets_the_childs_outputs() {
    let world = World::new();
    world.know(child(&["ok"]));
    let runner = world.runner(1);
    let plan = parent();
    let run = world.create(&runner, &plan).await;
    assert_eq!(
        world
            .go(&runner, plan, run, Options::default())
            .await
            .unwrap(),
        RunState::Success
    );
    let call = world.task(run, "call").await.output.unwrap();
    assert_eq!(call.values["answer"], "v");
    assert_eq!(
        world.task(run, "after").await.output.unwrap().metrics["seen"],
        9.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_child_fails_its_parent_and_a_retry_takes_the_same_child_up() {
    let world = World::new();
    world.know(child(&["user", "ok"]));
    let runner = world.runner(2);
    let plan = parent();
    let run = world.create(&runner, &plan).await;
    assert_eq!(
        world
            .go(&runner, plan.clone(), run, Options::default())
            .await
            .unwrap(),
        RunState::Failed
    );
    let error = world.task(run, "call").await.error.unwrap();
    assert_eq!(error.message, "child: `work`: the data is wrong");
    let options = Options {
        redo: Some(Redo::Unfinished),
        ..Options::default()
    };
    assert_eq!(
        world.go(&runner, plan, run, options).await.unwrap(),
        RunState::Success
    );
    let filter = RunFilter {
        pipeline: Some("child".into()),
        limit: 10,
        ..RunFilter::default()
    };
    let children = world.store.runs(&filter).await.unwrap();
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].run.parent.as_ref().unwrap().run, run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_child_pipeline_is_said() {
    let world = World::new();
    let (run, state) = world.run(parent()).await;
    assert_eq!(state, RunState::Failed);
    let error = world.task(run, "call").await.error.unwrap();
    assert_eq!(
        error.message,
        "cannot run the child pipeline `child`: there is no such pipeline"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_runs_itself_is_refused() {
    let world = World::new();
    let mut child = testing::plan("child");
    testing::add(
        &mut child,
        "back",
        &Act,
        json!({"child": {"pipeline": "parent"}}),
        &[],
    );
    world.know(child);
    world.know(parent());
    let (run, state) = world.run(parent()).await;
    assert_eq!(state, RunState::Failed);
    let message = world.task(run, "call").await.error.unwrap().message;
    assert!(
        message.contains("a pipeline cannot run itself: `parent` → `child` → `parent`"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_another_pipeline_holds_no_slot_and_writes_nothing() {
    let world = World::new();
    let runner = world.runner(1);
    let mut other = testing::plan("other");
    testing::add(
        &mut other,
        "work",
        &Act,
        json!({"steps": ["sleep 300"]}),
        &[],
    );
    let busy = world.create(&runner, &other).await;
    let mut plan = testing::plan("waiting");
    testing::add(
        &mut plan,
        "idle",
        &Act,
        json!({"steps": ["await other"]}),
        &[],
    );
    let run = world.create(&runner, &plan).await;
    // The other run needs the only slot.
    let (state, _) = tokio::join!(
        world.go(&runner, plan, run, Options::default()),
        world.go(&runner, other, busy, Options::default())
    );
    assert_eq!(state.unwrap(), RunState::Success);
    let record = world.task(run, "idle").await;
    assert_eq!(record.output.unwrap().values["run"], json!(null));
    assert_eq!(
        world.heard("idle"),
        [
            TaskState::Running,
            TaskState::Deferred,
            TaskState::Running,
            TaskState::Success
        ]
    );
    assert_eq!(world.counter.of("idle"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_the_run_of_an_interval_ends_with_its_success_or_its_time() {
    let world = World::new();
    let runner = world.runner(4);
    let mut other = testing::plan("other");
    testing::add(
        &mut other,
        "work",
        &Act,
        json!({"steps": ["sleep 200"]}),
        &[],
    );
    let mut plan = testing::plan("waiting");
    let waits = testing::add(
        &mut plan,
        "waits",
        &Act,
        json!({"steps": ["await other"]}),
        &[],
    );
    let busy = world.create_for(&runner, &other, "2026-03-01").await;
    let run = world.create_for(&runner, &plan, "2026-03-01").await;
    let (state, _) = tokio::join!(
        world.go(&runner, plan.clone(), run, Options::default()),
        world.go(&runner, other, busy, Options::default())
    );
    assert_eq!(state.unwrap(), RunState::Success);
    let record = world.task(run, "waits").await;
    assert_eq!(
        record.output.unwrap().values["run"],
        json!(busy.to_string())
    );
    // The day after has no run.
    plan.graph[waits].timeout = Some(Duration::from_millis(150));
    let run = world.create_for(&runner, &plan, "2026-03-02").await;
    let state = world.go(&runner, plan, run, Options::default()).await;
    assert_eq!(state.unwrap(), RunState::Failed);
    let error = world.task(run, "waits").await.error.unwrap();
    let told = "waited longer than its `timeout`: it waits for the run of ";
    assert!(error.message.starts_with(told), "{}", error.message);
}
