//! The pure scheduler: how many events a second.

use std::{hint::black_box, time::Instant};

use pipectl_engine::{
    operator::Kind,
    plan::{Plan, testing},
    scheduler::{Decision, Scheduler},
    state::TaskEvent,
};

use super::Row;

const TASKS: usize = 100_000;

/// Ten thousand chains of ten tasks.
fn plan() -> Plan {
    let registry = pipectl_operators::all();
    let noop = registry
        .get(Kind::Run, "noop")
        .unwrap_or_else(|| panic!("there is no `run: noop`"));
    let mut plan = testing::plan("many");
    let mut before = None;
    for task in 0..TASKS {
        let upstream: Vec<_> = before.into_iter().collect();
        let index = testing::add(
            &mut plan,
            &format!("t{task}"),
            noop,
            serde_json::json!({}),
            &upstream,
        );
        before = (task % 10 != 9).then_some(index);
    }
    plan
}

/// Drives a whole run; every task is scheduled, started and succeeds: three events a task.
fn drive(plan: &Plan) -> usize {
    let mut scheduler = Scheduler::new(plan);
    let (mut decisions, mut events) = (Vec::new(), 0);
    scheduler.begin(&mut decisions);
    loop {
        for decision in std::mem::take(&mut decisions) {
            if let Decision::Ready(task) = decision {
                events += usize::from(
                    scheduler
                        .apply(task.into(), TaskEvent::Schedule, &mut decisions)
                        .is_ok(),
                );
            }
        }
        let Some(unit) = scheduler.pop(|_| true) else {
            return events;
        };
        events += usize::from(
            scheduler
                .apply(unit, TaskEvent::Start, &mut decisions)
                .is_ok(),
        );
        events += usize::from(
            scheduler
                .apply(unit, TaskEvent::Succeed, &mut decisions)
                .is_ok(),
        );
    }
}

/// The best of five runs.
pub(crate) fn row() -> Row {
    let plan = plan();
    let rate = |()| {
        let begin = Instant::now();
        let events = black_box(drive(&plan));
        assert_eq!(events, 3 * TASKS);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let events = events as f64;
        events / begin.elapsed().as_secs_f64()
    };
    let best = std::iter::repeat_n((), 5).map(rate).fold(0.0, f64::max);
    Row {
        what: "pure scheduler".to_owned(),
        figure: format!("{:.1} M events/s", best / 1e6),
        bar: "≥ 1 M events/s",
        holds: best >= 1e6,
    }
}
