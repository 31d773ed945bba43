//! The scheduler against a slow, obvious model, on random graphs in random order; and by table.

use proptest::prelude::*;

use super::{Decision, Scheduler, Unit, Upstreams, Verdict};
use crate::{
    operator::{Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError},
    plan::{Foreach, Plan, TaskIndex, TriggerRule, testing},
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

const RULES: [TriggerRule; 11] = [
    TriggerRule::AllSuccess,
    TriggerRule::AllFailed,
    TriggerRule::AllDone,
    TriggerRule::OneSuccess,
    TriggerRule::OneFailed,
    TriggerRule::OneDone,
    TriggerRule::NoneFailed,
    TriggerRule::NoneFailedMinOneSuccess,
    TriggerRule::NoneSkipped,
    TriggerRule::AllSkipped,
    TriggerRule::Always,
];

/// A random task: its rule, what its attempt will come to, and which earlier tasks it waits for (a bit each).
#[derive(Clone, Debug)]
struct Sketch {
    rule: TriggerRule,
    comes_to: TaskState,
    upstream: u16,
}

fn sketches() -> impl Strategy<Value = Vec<Sketch>> {
    let state = prop_oneof![
        3 => Just(TaskState::Success),
        1 => Just(TaskState::Failed),
        1 => Just(TaskState::Skipped)
    ];
    let sketch = (
        prop::sample::select(RULES.to_vec()),
        state,
        any::<u16>(),
        any::<u16>(),
    )
        .prop_map(|(rule, comes_to, a, b)| Sketch {
            rule,
            comes_to,
            upstream: a & b,
        });
    prop::collection::vec(sketch, 1..14)
}

fn plan_of(sketches: &[Sketch]) -> Plan {
    let mut plan = testing::plan("random");
    for (index, sketch) in sketches.iter().enumerate() {
        let upstream: Vec<_> = (0..index)
            .filter(|other| sketch.upstream >> other & 1 == 1)
            .map(TaskIndex::new)
            .collect();
        let task = testing::add(
            &mut plan,
            &format!("t{index}"),
            &Nothing,
            serde_json::json!({}),
            &upstream,
        );
        plan.graph[task].trigger_rule = sketch.rule;
    }
    plan
}

/// What becomes of every task, by looking at all of its upstream tasks when they are final.
fn model(sketches: &[Sketch]) -> Vec<TaskState> {
    let mut states: Vec<TaskState> = Vec::new();
    for (index, sketch) in sketches.iter().enumerate() {
        let upstream: Vec<TaskState> = (0..index)
            .filter(|other| sketch.upstream >> other & 1 == 1)
            .map(|other| states[other])
            .collect();
        let mut up = Upstreams {
            total: u32::try_from(upstream.len()).unwrap(),
            ..Upstreams::default()
        };
        upstream.iter().for_each(|state| up.count(*state));
        states.push(match sketch.rule.verdict(&up).expect("all are final") {
            Verdict::Run => sketch.comes_to,
            Verdict::Skip => TaskState::Skipped,
            Verdict::UpstreamFailed => TaskState::UpstreamFailed,
        });
    }
    states
}

fn end_of(state: TaskState) -> TaskEvent {
    match state {
        TaskState::Success => TaskEvent::Succeed,
        TaskState::Failed => TaskEvent::Fail,
        _ => TaskEvent::Skip,
    }
}

proptest! {
    #[test]
    fn random_graphs_end_as_the_model_says(sketches in sketches(), order in prop::collection::vec(any::<u16>(), 64)) {
        let plan = plan_of(&sketches);
        let mut scheduler = Scheduler::new(&plan);
        let (mut decisions, mut running) = (Vec::new(), Vec::new());
        scheduler.begin(&mut decisions);
        let mut order = order.into_iter().cycle();
        loop {
            for decision in std::mem::take(&mut decisions) {
                if let Decision::Ready(task) = decision {
                    scheduler.apply(task.into(), TaskEvent::Schedule, &mut decisions).unwrap();
                }
            }
            while let Some(unit) = scheduler.pop(|_| true) {
                scheduler.apply(unit, TaskEvent::Start, &mut decisions).unwrap();
                running.push(unit);
            }
            if running.is_empty() {
                break;
            }
            let unit: Unit = running.swap_remove(usize::from(order.next().unwrap()) % running.len());
            scheduler.apply(unit, end_of(sketches[unit.task.index()].comes_to), &mut decisions).unwrap();
        }
        prop_assert!(scheduler.is_finished());
        for (index, expected) in model(&sketches).into_iter().enumerate() {
            prop_assert_eq!(scheduler.state(TaskIndex::new(index).into()), expected, "t{}", index);
        }
    }

    #[test]
    fn cancelling_at_any_moment_ends_the_run(sketches in sketches(), steps in 0_usize..20) {
        let plan = plan_of(&sketches);
        let mut scheduler = Scheduler::new(&plan);
        let (mut decisions, mut running) = (Vec::new(), Vec::new());
        scheduler.begin(&mut decisions);
        for _ in 0..steps {
            for decision in std::mem::take(&mut decisions) {
                if let Decision::Ready(task) = decision {
                    scheduler.apply(task.into(), TaskEvent::Schedule, &mut decisions).unwrap();
                }
            }
            if let Some(unit) = scheduler.pop(|_| true) {
                scheduler.apply(unit, TaskEvent::Start, &mut decisions).unwrap();
                running.push(unit);
            } else if let Some(unit) = running.pop() {
                let end = end_of(sketches[unit.task.index()].comes_to);
                scheduler.apply(unit, end, &mut decisions).unwrap();
            }
        }
        scheduler.cancel(&mut decisions);
        for unit in running {
            scheduler.apply(unit, TaskEvent::Cancel, &mut decisions).unwrap();
        }
        prop_assert!(scheduler.is_finished());
        prop_assert!(!scheduler.has_ready());
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
