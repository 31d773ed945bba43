//! The scheduler by cases; on random graphs against a slow, obvious model it is in `random.rs`.

mod random;

use super::{Decision, Scheduler, Unit};
use crate::{
    operator::{Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError},
    plan::{Foreach, Plan, TaskIndex, testing},
    spec::Template,
    state::{RunState, TaskEvent, TaskState},
};

struct Nothing;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct NoSettings {}

impl Operator for Nothing {
    type Config = NoSettings;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "nothing";
    const SUMMARY: &'static str = "Does nothing.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &NoSettings) -> Outputs {
        Outputs::none()
    }

    async fn run(_: NoSettings, _: &TaskContext) -> Result<Outcome, TaskError> {
        Ok(Outcome::Done(Output::default()))
    }
}

fn admit_all(scheduler: &mut Scheduler, decisions: &mut Vec<Decision>) {
    while !decisions.is_empty() {
        for decision in std::mem::take(decisions) {
            let unit = match decision {
                Decision::Ready(task) => Unit::from(task),
                Decision::ElementReady(unit) => unit,
                Decision::Gathered(task, state) => {
                    scheduler.close(task, state, decisions);
                    continue;
                }
                Decision::Ended(..) => continue,
            };
            scheduler
                .apply(unit, TaskEvent::Schedule, decisions)
                .unwrap();
        }
    }
}

#[test]
fn the_longest_way_goes_first_and_priority_before_it() {
    let mut plan = testing::plan("p");
    let add = |plan: &mut Plan, name: &str, upstream: &[TaskIndex]| {
        testing::add(plan, name, &Nothing, serde_json::json!({}), upstream)
    };
    let short = add(&mut plan, "short", &[]);
    let long = add(&mut plan, "long", &[]);
    let urgent = add(&mut plan, "urgent", &[]);
    let after = add(&mut plan, "after", &[long]);
    add(&mut plan, "last", &[after]);
    plan.graph[urgent].priority = Some(1);
    let mut scheduler = Scheduler::new(&plan);
    let mut decisions = Vec::new();
    scheduler.begin(&mut decisions);
    admit_all(&mut scheduler, &mut decisions);
    let order: Vec<_> = std::iter::from_fn(|| scheduler.pop(|_| true))
        .map(|unit| unit.task)
        .collect();
    assert_eq!(order, [urgent, long, short]);
}

#[test]
fn a_full_pool_holds_only_its_own_tasks_back() {
    let mut plan = testing::plan("p");
    let db = testing::add(&mut plan, "db", &Nothing, serde_json::json!({}), &[]);
    let free = testing::add(&mut plan, "free", &Nothing, serde_json::json!({}), &[]);
    plan.graph[db].pool = Some(("db".to_owned(), 1));
    plan.graph[db].priority = Some(9);
    let mut scheduler = Scheduler::new(&plan);
    let mut decisions = Vec::new();
    scheduler.begin(&mut decisions);
    admit_all(&mut scheduler, &mut decisions);
    assert_eq!(
        scheduler.pop(|pool| pool.is_none()).map(|unit| unit.task),
        Some(free)
    );
    assert_eq!(scheduler.pop(|pool| pool.is_none()), None);
    assert!(scheduler.has_ready());
    assert_eq!(scheduler.pop(|_| true).map(|unit| unit.task), Some(db));
}

/// A repeated task `each` of five elements, two at a time, and `after` behind it.
fn repeated() -> (Plan, TaskIndex, TaskIndex) {
    let mut plan = testing::plan("p");
    let each = testing::add(&mut plan, "each", &Nothing, serde_json::json!({}), &[]);
    let after = testing::add(&mut plan, "after", &Nothing, serde_json::json!({}), &[each]);
    plan.graph[each].foreach = Some(Foreach {
        items: Template::literal(serde_json::json!([])),
        parallel: Some(2),
    });
    (plan, each, after)
}

#[test]
fn elements_run_two_at_a_time_and_one_is_retried_alone() {
    let (plan, each, after) = repeated();
    let mut scheduler = Scheduler::new(&plan);
    let mut decisions = Vec::new();
    scheduler.begin(&mut decisions);
    decisions.clear();
    scheduler.expand(each, 5, [(1, TaskState::Success)], &mut decisions);
    let mut retried = false;
    let mut started = Vec::new();
    for _ in 0..20 {
        admit_all(&mut scheduler, &mut decisions);
        let mut running = Vec::new();
        while let Some(unit) = scheduler.pop(|_| true) {
            scheduler
                .apply(unit, TaskEvent::Start, &mut decisions)
                .unwrap();
            running.push(unit);
        }
        assert!(running.len() <= 2);
        for unit in running {
            started.extend(unit.element);
            if unit.element == Some(2) && !std::mem::replace(&mut retried, true) {
                scheduler
                    .apply(unit, TaskEvent::Retry, &mut decisions)
                    .unwrap();
                scheduler
                    .apply(unit, TaskEvent::Schedule, &mut decisions)
                    .unwrap();
            } else {
                scheduler
                    .apply(unit, TaskEvent::Succeed, &mut decisions)
                    .unwrap();
            }
        }
    }
    started.sort_unstable();
    assert_eq!(started, [0, 2, 2, 3, 4], "element 1 was done before");
    assert_eq!(scheduler.state(each.into()), TaskState::Success);
    assert_eq!(scheduler.state(after.into()), TaskState::Success);
    assert_eq!(scheduler.verdict(), RunState::Success);
}

#[test]
fn an_empty_list_skips_its_task_and_those_behind_it() {
    let (plan, each, after) = repeated();
    let mut scheduler = Scheduler::new(&plan);
    let mut decisions = Vec::new();
    scheduler.begin(&mut decisions);
    decisions.clear();
    scheduler.expand(each, 0, [], &mut decisions);
    admit_all(&mut scheduler, &mut decisions);
    assert_eq!(scheduler.state(each.into()), TaskState::Skipped);
    assert_eq!(scheduler.state(after.into()), TaskState::Skipped);
    assert!(scheduler.is_finished());
}

#[test]
fn an_allowed_failure_fails_its_children_but_not_the_run() {
    let mut plan = testing::plan("p");
    let first = testing::add(&mut plan, "first", &Nothing, serde_json::json!({}), &[]);
    let second = testing::add(
        &mut plan,
        "second",
        &Nothing,
        serde_json::json!({}),
        &[first],
    );
    plan.graph[first].allow_failure = true;
    let mut scheduler = Scheduler::new(&plan);
    let mut decisions = Vec::new();
    scheduler.begin(&mut decisions);
    admit_all(&mut scheduler, &mut decisions);
    let unit = scheduler.pop(|_| true).unwrap();
    scheduler
        .apply(unit, TaskEvent::Start, &mut decisions)
        .unwrap();
    scheduler
        .apply(unit, TaskEvent::Fail, &mut decisions)
        .unwrap();
    assert_eq!(scheduler.state(second.into()), TaskState::UpstreamFailed);
    assert_eq!(scheduler.verdict(), RunState::Success);
}
