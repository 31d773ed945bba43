//! Datasets and values between tasks, and repeated tasks.

use std::time::Duration;

use pipectl_engine::{
    id::TaskKey,
    plan::{Backoff, Cache, Foreach, Plan, RetryPolicy, testing},
    spec::{Expression, Place, Template, TemplateNode},
    state::{RunState, TaskState},
    store::RunStore,
};
use serde_json::json;

use crate::support::{Act, World};

fn expression(source: &str) -> TemplateNode {
    TemplateNode::Whole(Expression::compile(source, Place::start_of("p".into())).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_is_durable_before_its_reader_starts() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"rows": [1, 2, 3]}), &[]);
    let b = testing::add(&mut plan, "b", &Act, json!({}), &[]);
    testing::read(&mut plan, b, a);
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Success);
    assert_eq!(
        world.task(run, "b").await.output.unwrap().metrics["seen"],
        6.0
    );
    let stored = &world.task(run, "a").await.output.unwrap().datasets[0];
    assert_eq!(
        (stored.rows, stored.columns.as_slice()),
        (3, &[("n".to_owned(), "integer".to_owned())][..])
    );
    assert_eq!(stored.key, format!("runs/{run}/a/1/data.parquet"));
}

/// `a → b → c`, of which `b` takes what an earlier run has put out.
fn cached(rows: &[i64], keep: Option<Duration>) -> Plan {
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"rows": rows}), &[]);
    let b = testing::add(
        &mut plan,
        "b",
        &Act,
        json!({"rows": [7], "value": "x"}),
        &[],
    );
    plan.graph[b].cache = Some(Cache { keep });
    testing::read(&mut plan, b, a);
    let c = testing::add(&mut plan, "c", &Act, json!({}), &[]);
    testing::read(&mut plan, c, b);
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_of_the_same_is_made_once() {
    let world = World::new();
    let (first, _) = world.run(cached(&[1, 2], None)).await;
    let (second, state) = world.run(cached(&[1, 2], None)).await;
    assert_eq!(
        (state, world.counter.of("b"), world.counter.of("c")),
        (RunState::Success, 1, 2)
    );
    let taken = world.task(second, "b").await;
    assert_eq!(taken.note, Some(format!("taken from run {first}")));
    let output = taken.output.unwrap();
    assert_eq!(output.values["value"], "x");
    // Its files are its own: the earlier run may be let go of.
    assert_eq!(
        output.datasets[0].key,
        format!("runs/{second}/b/1/data.parquet")
    );
    assert_eq!(
        world.task(second, "c").await.output.unwrap().metrics["seen"],
        7.0
    );
    // Another input, another age: made anew.
    world.run(cached(&[1, 3], None)).await;
    assert_eq!(world.counter.of("b"), 2);
    world.run(cached(&[1, 2], Some(Duration::ZERO))).await;
    assert_eq!(world.counter.of("b"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_the_cache_ends_with_the_timeout() {
    let world = World::new();
    let mut plan = cached(&[1, 2], None);
    let mut all = plan.graph.node_indices();
    let b = all.find(|task| &*plan.graph[*task].name == "b").unwrap();
    plan.graph[b].with = Template::new(TemplateNode::Map(vec![(
        "steps".into(),
        expression("['unanswered']"),
    )]));
    plan.graph[b].timeout = Some(Duration::from_millis(100));
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Failed);
    let b = world.task(run, "b").await;
    assert_eq!(b.error.unwrap().message, "took longer than its `timeout`");
    assert_eq!(world.counter.of("b"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_not_taken() {
    let world = World::new();
    let (first, _) = world.run(cached(&[1, 2], None)).await;
    let runner = world.runner(1);
    let artifacts = &runner.parts().artifacts;
    let key = format!("runs/{first}/b/1/data.parquet");
    let mut content = artifacts.get(&key).await.unwrap().to_vec();
    content[6] ^= 1;
    artifacts.put(&key, content.into()).await.unwrap();
    let (second, state) = world.run(cached(&[1, 2], None)).await;
    assert_eq!((state, world.counter.of("b")), (RunState::Success, 2));
    assert_eq!(
        world.task(second, "c").await.output.unwrap().metrics["seen"],
        7.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_made_anew() {
    let world = World::new();
    let (first, _) = world.run(cached(&[1, 2], None)).await;
    let runner = world.runner(1);
    let artifacts = &runner.parts().artifacts;
    artifacts
        .remove_below(&format!("runs/{first}"))
        .await
        .unwrap();
    let (_, state) = world.run(cached(&[1, 2], None)).await;
    assert_eq!((state, world.counter.of("b")), (RunState::Success, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_resolved_once_from_values_of_other_tasks() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({"value": 41}), &[]);
    let b = testing::add(&mut plan, "b", &Act, json!({}), &[a]);
    plan.graph[b].with = Template::new(TemplateNode::Map(vec![(
        "value".into(),
        expression("tasks.a.value + 1"),
    )]));
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Success);
    let task = world.task(run, "b").await;
    assert_eq!(task.settings, Some(json!({"value": 42})));
    assert_eq!(task.output.unwrap().values["value"], 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_without_a_value_fails_its_task_and_says_where() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let a = testing::add(&mut plan, "a", &Act, json!({}), &[]);
    plan.graph[a].with = Template::new(TemplateNode::Map(vec![(
        "value".into(),
        expression("params.nothing.more"),
    )]));
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Failed);
    let message = world.task(run, "a").await.error.unwrap().message;
    assert!(
        message.starts_with("p:1:1: `${{ params.nothing.more }}`: "),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn elements_are_gathered_in_order_and_one_is_retried_alone() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let each = testing::add(&mut plan, "each", &Act, json!({}), &[]);
    plan.graph[each].foreach = Some(Foreach {
        items: Template::literal(json!([[1], [20], [300]])),
        parallel: Some(2),
    });
    plan.graph[each].retry = RetryPolicy {
        limit: 1,
        delay: Duration::from_millis(30),
        backoff: Backoff::Fixed,
        max_delay: None,
    };
    plan.graph[each].with = Template::new(TemplateNode::Map(vec![
        ("rows".into(), expression("item")),
        ("value".into(), expression("index")),
        (
            "steps".into(),
            expression("['external', 'ok'] if index == 1 else ['ok']"),
        ),
    ]));
    let after = testing::add(&mut plan, "after", &Act, json!({}), &[]);
    testing::read(&mut plan, after, each);
    plan.graph[after].with = Template::new(TemplateNode::Map(vec![(
        "value".into(),
        expression("tasks.each.value"),
    )]));
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Success);
    assert_eq!(world.states(run).await.len(), 5);
    assert_eq!(world.task(run, "each").await.elements, Some(3));
    assert_eq!(
        (
            world.counter.of("each[0]"),
            world.counter.of("each[1]"),
            world.counter.of("each[2]")
        ),
        (1, 2, 1)
    );
    let output = world.task(run, "after").await.output.unwrap();
    assert_eq!(output.metrics["seen"], 321.0);
    assert_eq!(output.values["value"], json!([0, 1, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_is_skipped_and_a_wrong_one_fails() {
    let world = World::new();
    let mut plan = testing::plan("p");
    for (name, items) in [("none", json!([])), ("wrong", json!("x"))] {
        let task = testing::add(&mut plan, name, &Act, json!({}), &[]);
        plan.graph[task].foreach = Some(Foreach {
            items: Template::literal(items),
            parallel: None,
        });
    }
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Failed);
    assert_eq!(world.task(run, "none").await.state, TaskState::Skipped);
    let wrong = world.task(run, "wrong").await;
    assert_eq!(
        wrong.error.unwrap().message,
        "`foreach.items` must be a list, not a string"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_element_fails_the_task_after_the_others_are_done() {
    let world = World::new();
    let mut plan = testing::plan("p");
    let each = testing::add(&mut plan, "each", &Act, json!({}), &[]);
    plan.graph[each].foreach = Some(Foreach {
        items: Template::literal(json!(["ok", "user", "ok"])),
        parallel: None,
    });
    plan.graph[each].with = Template::new(TemplateNode::Map(vec![(
        "steps".into(),
        TemplateNode::List(vec![expression("item")]),
    )]));
    testing::add(&mut plan, "after", &Act, json!({}), &[each]);
    let (run, state) = world.run(plan).await;
    assert_eq!(state, RunState::Failed);
    assert_eq!(world.task(run, "each[2]").await.state, TaskState::Success);
    assert_eq!(
        world.task(run, "each").await.error.unwrap().message,
        "one of its elements failed"
    );
    assert_eq!(
        world.task(run, "after").await.state,
        TaskState::UpstreamFailed
    );
    let record = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(
        record.error.as_deref(),
        Some("`each[1]`: the data is wrong")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_leaves_for_its_next_run_counts_with_its_success() {
    let world = World::new();
    let key = TaskKey::task("a");
    for (step, expected) in [("count", 1), ("count fail", 1), ("count", 2), ("ok", 2)] {
        let mut plan = testing::plan("p");
        testing::add(&mut plan, "a", &Act, json!({"steps": [step]}), &[]);
        world.run(plan).await;
        let state = world.store.state("p", &key).await.unwrap();
        assert_eq!(state, Some(json!(expected)), "{step}");
    }
}
