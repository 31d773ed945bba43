//! The scheduler against a slow, obvious model: random graphs of every rule, with pools, retries and repeated tasks, whose
//! attempts end in random order.

use std::collections::HashMap;

use proptest::prelude::*;

use super::Nothing;
use crate::{
    plan::{Foreach, Plan, TaskIndex, TriggerRule, testing},
    scheduler::{Decision, Scheduler, Unit},
    spec::Template,
    state::{RunState, TaskEvent, TaskState},
};

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

/// The pools that tasks may be in, with their slots.
const POOLS: [(&str, usize); 2] = [("narrow", 1), ("wide", 3)];

/// What is started: once, or for each of these elements.
#[derive(Clone, Debug)]
enum Work {
    Once(Attempts),
    Each(Vec<Attempts>, Option<u32>),
}

/// How often an attempt fails and is tried again, and what the last one comes to.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    retries: u8,
    comes_to: TaskState,
}

/// A random task, and which earlier tasks it waits for (a bit each).
#[derive(Clone, Debug)]
struct Sketch {
    rule: TriggerRule,
    work: Work,
    pool: Option<usize>,
    allow_failure: bool,
    upstream: u16,
}

fn attempts() -> impl Strategy<Value = Attempts> {
    let state = prop_oneof![
        3 => Just(TaskState::Success),
        1 => Just(TaskState::Failed),
        1 => Just(TaskState::Skipped)
    ];
    (0_u8..3, state).prop_map(|(retries, comes_to)| Attempts { retries, comes_to })
}

fn sketches() -> impl Strategy<Value = Vec<Sketch>> {
    let each = (
        prop::collection::vec(attempts(), 0..6),
        prop::option::of(1_u32..4),
    );
    let work = prop_oneof![
        3 => attempts().prop_map(Work::Once),
        1 => each.prop_map(|(elements, parallel)| Work::Each(elements, parallel))
    ];
    let pool = prop::option::of(0..POOLS.len());
    let sketch = (
        prop::sample::select(RULES.to_vec()),
        work,
        pool,
        prop::bool::weighted(0.2),
        (any::<u16>(), any::<u16>()),
    );
    let sketch = sketch.prop_map(|(rule, work, pool, allow_failure, (a, b))| Sketch {
        rule,
        work,
        pool,
        allow_failure,
        upstream: a & b,
    });
    prop::collection::vec(sketch, 1..14)
}

fn upstream_of(sketch: &Sketch, index: usize) -> impl Iterator<Item = usize> {
    (0..index).filter(|other| sketch.upstream >> other & 1 == 1)
}

fn plan_of(sketches: &[Sketch]) -> Plan {
    let mut plan = testing::plan("random");
    for (index, sketch) in sketches.iter().enumerate() {
        let upstream: Vec<_> = upstream_of(sketch, index).map(TaskIndex::new).collect();
        let name = format!("t{index}");
        let task = testing::add(&mut plan, &name, &Nothing, serde_json::json!({}), &upstream);
        let task = &mut plan.graph[task];
        task.trigger_rule = sketch.rule;
        task.allow_failure = sketch.allow_failure;
        task.pool = sketch.pool.map(|pool| (POOLS[pool].0.to_owned(), 1));
        if let Work::Each(_, parallel) = sketch.work {
            task.foreach = Some(Foreach {
                items: Template::literal(serde_json::json!([])),
                parallel,
            });
        }
    }
    plan
}

/// What a rule makes of upstream tasks that are all final, as the documentation says it; `None`: the task runs.
fn held_back(rule: TriggerRule, upstream: &[TaskState]) -> Option<TaskState> {
    use TaskState::{Failed, Skipped, Success, UpstreamFailed};
    let failed = |state: &TaskState| matches!(state, Failed | UpstreamFailed);
    let some = |wanted: TaskState| upstream.contains(&wanted);
    let all = |wanted: TaskState| upstream.iter().all(|state| *state == wanted);
    let any_failed = upstream.iter().any(failed);
    if upstream.is_empty() {
        return None;
    }
    let (runs, otherwise) = match rule {
        TriggerRule::AllDone | TriggerRule::Always => (true, Skipped),
        TriggerRule::AllSuccess if any_failed => (false, UpstreamFailed),
        TriggerRule::AllSuccess => (all(Success), Skipped),
        TriggerRule::AllFailed => (upstream.iter().all(failed), Skipped),
        TriggerRule::AllSkipped => (all(Skipped), Skipped),
        TriggerRule::OneSuccess if all(Skipped) => (false, Skipped),
        TriggerRule::OneSuccess => (some(Success), UpstreamFailed),
        TriggerRule::OneFailed => (any_failed, Skipped),
        TriggerRule::OneDone => (some(Success) || some(Failed), Skipped),
        TriggerRule::NoneFailed => (!any_failed, UpstreamFailed),
        TriggerRule::NoneFailedMinOneSuccess if any_failed => (false, UpstreamFailed),
        TriggerRule::NoneFailedMinOneSuccess => (some(Success), Skipped),
        TriggerRule::NoneSkipped => (!some(Skipped), Skipped),
    };
    (!runs).then_some(otherwise)
}

/// What a task's own work comes to: that of a repeated one fails with any element, and is skipped when all of them are.
fn comes_to(work: &Work) -> TaskState {
    match work {
        Work::Once(attempts) => attempts.comes_to,
        Work::Each(elements, _) => {
            let some = |state| elements.iter().any(|element| element.comes_to == state);
            match () {
                () if some(TaskState::Failed) => TaskState::Failed,
                () if some(TaskState::Success) => TaskState::Success,
                () => TaskState::Skipped,
            }
        }
    }
}

/// What becomes of every task, looked up in the order of the file.
fn model(sketches: &[Sketch]) -> Vec<TaskState> {
    let mut states: Vec<TaskState> = Vec::new();
    for (index, sketch) in sketches.iter().enumerate() {
        let upstream: Vec<_> = upstream_of(sketch, index)
            .map(|other| states[other])
            .collect();
        states.push(held_back(sketch.rule, &upstream).unwrap_or_else(|| comes_to(&sketch.work)));
    }
    states
}

/// A run of the sketches, in which attempts end when the test says.
struct World<'a> {
    sketches: &'a [Sketch],
    scheduler: Scheduler,
    decisions: Vec<Decision>,
    running: Vec<Unit>,
    failed: HashMap<Unit, u8>,
    starts: HashMap<Unit, u8>,
}

impl<'a> World<'a> {
    fn new(sketches: &'a [Sketch]) -> Self {
        let mut world = Self {
            sketches,
            scheduler: Scheduler::new(&plan_of(sketches)),
            decisions: Vec::new(),
            running: Vec::new(),
            failed: HashMap::new(),
            starts: HashMap::new(),
        };
        world.scheduler.begin(&mut world.decisions);
        world
    }

    fn apply(&mut self, unit: Unit, event: TaskEvent) {
        let applied = self.scheduler.apply(unit, event, &mut self.decisions);
        applied.expect("a legal transition");
    }

    /// Answers every decision, as the runner does.
    fn answer(&mut self) {
        while !self.decisions.is_empty() {
            for decision in std::mem::take(&mut self.decisions) {
                match decision {
                    Decision::Ready(task) => match &self.sketches[task.index()].work {
                        Work::Once(_) => self.apply(task.into(), TaskEvent::Schedule),
                        Work::Each(elements, _) => {
                            let elements = u32::try_from(elements.len()).unwrap();
                            self.scheduler
                                .expand(task, elements, [], &mut self.decisions);
                        }
                    },
                    Decision::ElementReady(unit) => self.apply(unit, TaskEvent::Schedule),
                    Decision::Gathered(task, state) => {
                        self.scheduler.close(task, state, &mut self.decisions);
                    }
                    Decision::Ended(..) => {}
                }
            }
        }
    }

    fn pool(&self, unit: Unit) -> Option<usize> {
        self.sketches[unit.task.index()].pool
    }

    fn in_pool(&self, pool: usize) -> usize {
        let held = self
            .running
            .iter()
            .filter(|unit| self.pool(**unit) == Some(pool));
        held.count()
    }

    fn is_free(&self, name: Option<&str>) -> bool {
        let pool = POOLS.iter().position(|(pool, _)| Some(*pool) == name);
        pool.is_none_or(|pool| self.in_pool(pool) < POOLS[pool].1)
    }

    /// Starts the best unit for which there is a slot.
    fn start(&mut self) -> bool {
        let free: Vec<_> = POOLS
            .iter()
            .map(|(pool, _)| (*pool, self.is_free(Some(pool))))
            .collect();
        let unit = self.scheduler.pop(|name| {
            let pool = free.iter().find(|(pool, _)| Some(*pool) == name);
            pool.is_none_or(|(_, free)| *free)
        });
        let Some(unit) = unit else {
            return false;
        };
        self.apply(unit, TaskEvent::Start);
        self.running.push(unit);
        *self.starts.entry(unit).or_default() += 1;
        true
    }

    /// Ends the attempt of a running unit: it fails as often as its sketch says before it comes to its state.
    fn end(&mut self, position: usize) {
        let unit = self.running.swap_remove(position);
        let attempts = self.attempts(unit);
        let failed = self.failed.entry(unit).or_default();
        if *failed < attempts.retries {
            *failed += 1;
            self.apply(unit, TaskEvent::Retry);
            self.apply(unit, TaskEvent::Schedule);
        } else {
            let event = match attempts.comes_to {
                TaskState::Success => TaskEvent::Succeed,
                TaskState::Failed => TaskEvent::Fail,
                _ => TaskEvent::Skip,
            };
            self.apply(unit, event);
        }
    }

    fn attempts(&self, unit: Unit) -> Attempts {
        match (&self.sketches[unit.task.index()].work, unit.element) {
            (Work::Each(elements, _), Some(element)) => elements[element as usize],
            (Work::Once(attempts), None) => *attempts,
            other => panic!("{unit:?} was started for {other:?}"),
        }
    }

    /// No pool has more than its slots, no repeated task more elements than its limit.
    fn keeps_its_limits(&self) -> bool {
        let pools = (0..POOLS.len()).all(|pool| self.in_pool(pool) <= POOLS[pool].1);
        let groups = self.sketches.iter().enumerate().all(|(index, sketch)| {
            let of_task = self
                .running
                .iter()
                .filter(|unit| unit.task.index() == index);
            let most = match sketch.work {
                Work::Once(_) => Some(1),
                Work::Each(_, parallel) => parallel,
            };
            most.is_none_or(|most| of_task.count() <= most as usize)
        });
        pools && groups
    }
}

proptest! {
    #[test]
    fn random_graphs_end_as_the_model_says(sketches in sketches(), order in prop::collection::vec(any::<u16>(), 64)) {
        let mut world = World::new(&sketches);
        let mut order = order.into_iter().cycle().map(usize::from);
        loop {
            world.answer();
            // Sometimes not all that could start has started when the next attempt ends.
            while order.next().unwrap() % 4 != 0 && world.start() {}
            prop_assert!(world.keeps_its_limits(), "{:?}", world.running);
            if world.running.is_empty() && !world.start() {
                break;
            }
            world.end(order.next().unwrap() % world.running.len());
        }
        prop_assert!(world.scheduler.is_finished());
        prop_assert!(!world.scheduler.has_ready());
        let expected = model(&sketches);
        for (index, expected) in expected.iter().enumerate() {
            let task = TaskIndex::new(index);
            prop_assert_eq!(world.scheduler.state(task.into()), *expected, "t{}", index);
        }
        for (unit, starts) in &world.starts {
            prop_assert_eq!(*starts, world.attempts(*unit).retries + 1, "{:?}", unit);
        }
        let fails = |(state, sketch): (&TaskState, &Sketch)| *state == TaskState::Failed && !sketch.allow_failure;
        let failed = expected.iter().zip(&sketches).any(fails);
        let run = if failed { RunState::Failed } else { RunState::Success };
        prop_assert_eq!(world.scheduler.verdict(), run);
    }

    #[test]
    fn cancelling_at_any_moment_ends_the_run(sketches in sketches(), steps in 0_usize..30) {
        let mut world = World::new(&sketches);
        for _ in 0..steps {
            world.answer();
            if !world.start() && !world.running.is_empty() {
                world.end(0);
            }
        }
        world.scheduler.cancel(&mut world.decisions);
        for unit in std::mem::take(&mut world.running) {
            world.apply(unit, TaskEvent::Cancel);
        }
        world.answer();
        prop_assert!(world.scheduler.is_finished());
        prop_assert!(!world.scheduler.has_ready());
    }
}
