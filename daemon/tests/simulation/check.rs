//! What must be true in the end.

use std::collections::BTreeMap;

use pipectl_engine::{
    id::TaskKey,
    state::{RunState, TaskState},
    store::{Outbox, RunKind, RunRecord, RunStore},
};

use crate::scenario::Scenario;

/// All complaints about a simulation that is over.
pub(crate) fn all(scenario: &Scenario, runs: &[RunRecord]) -> Vec<String> {
    let mut complaints = Vec::new();
    for record in runs {
        run(scenario, record, &mut complaints);
    }
    intervals(scenario, runs, &mut complaints);
    mails(scenario, &mut complaints);
    complaints.extend(scenario.shared.witness.seen().complaints.iter().cloned());
    complaints
}

fn run(scenario: &Scenario, record: &RunRecord, complaints: &mut Vec<String>) {
    let (id, name) = (record.run.id, &record.run.pipeline);
    let tasks = scenario
        .ask(scenario.shared.store.tasks(id))
        .expect("tasks");
    match record.state {
        RunState::Success => {
            for task in &tasks {
                if task.state != TaskState::Success {
                    complaints.push(format!(
                        "run {id} of `{name}` succeeded, its task `{}` is {}",
                        task.key, task.state
                    ));
                }
            }
            effects(scenario, record, complaints);
        }
        RunState::Failed => {
            let allowed = |message: &str| {
                message.contains("times the process that worked on it was gone")
                    || (name == "doomed" && message.contains(crate::witness::FLAKY))
                    || (name == "parent" && message.contains("child"))
                    || message.contains("one of its elements failed")
            };
            let failed: Vec<_> = tasks
                .iter()
                .filter(|task| task.state == TaskState::Failed)
                .collect();
            if failed.is_empty() {
                complaints.push(format!(
                    "run {id} of `{name}` failed without a failed task: {:?}",
                    record.error
                ));
            }
            for task in failed {
                let message = task.error.as_ref().map_or("", |error| &error.message);
                if !allowed(message) {
                    complaints.push(format!(
                        "run {id} of `{name}`: `{}` failed: {message}",
                        task.key
                    ));
                }
            }
        }
        RunState::Cancelled => {}
        RunState::Queued | RunState::Running => {
            let open: Vec<_> = tasks
                .iter()
                .map(|task| format!("{} {}", task.key, task.state))
                .collect();
            complaints.push(format!(
                "run {id} of `{name}` never ended, it is {}: {open:?}",
                record.state
            ));
        }
    }
}

/// Every effect of a run that succeeded has taken place; those of loads once.
fn effects(scenario: &Scenario, record: &RunRecord, complaints: &mut Vec<String>) {
    let plan = &scenario.shared.plans.0[&record.run.pipeline];
    let (once, often) = (
        scenario.shared.ledger.once.lock().unwrap(),
        scenario.shared.ledger.often.lock().unwrap(),
    );
    for (_, task) in plan.tasks() {
        let keys: Vec<_> = match &task.foreach {
            None => vec![TaskKey::task(&*task.name)],
            Some(_) => (0..3)
                .map(|element| TaskKey::element(&*task.name, element))
                .collect(),
        };
        for key in keys {
            // What had succeeded before a person had the rest done again keeps its number.
            let done = (0..=record.redo).any(|redo| {
                let effect = (record.run.id, key.clone(), redo);
                once.contains_key(&effect) || often.contains_key(&effect)
            });
            if !done {
                complaints.push(format!(
                    "run {} of `{}` succeeded, `{key}` has had no effect",
                    record.run.id, record.run.pipeline
                ));
            }
        }
    }
}

/// Every interval of the schedule has one run, and every load is followed by one run.
fn intervals(scenario: &Scenario, runs: &[RunRecord], complaints: &mut Vec<String>) {
    let mut counts: BTreeMap<_, u32> = BTreeMap::new();
    for record in runs
        .iter()
        .filter(|record| matches!(record.run.kind, RunKind::Scheduled | RunKind::Backfill))
    {
        if let Some(interval) = record.run.interval {
            *counts
                .entry((record.run.pipeline.clone(), interval.start))
                .or_default() += 1;
        }
    }
    for ((pipeline, start), count) in &counts {
        if *count > 1 {
            complaints.push(format!(
                "`{pipeline}` has {count} runs for the interval of {start}"
            ));
        }
    }
    let scheduled = counts
        .keys()
        .filter(|(pipeline, _)| pipeline == "load")
        .count();
    let due = (scenario.end - scenario.start).num_seconds() / 15;
    if i64::try_from(scheduled).ok() != Some(due) {
        complaints.push(format!(
            "{scheduled} intervals of `load` have a run, {due} were due"
        ));
    }
    for load in runs
        .iter()
        .filter(|record| record.run.pipeline == "load" && record.state == RunState::Success)
    {
        let id = load.run.id.to_string();
        let followers = runs.iter().filter(|record| {
            record.run.pipeline == "follower" && record.run.trigger["run"] == id.as_str()
        });
        let count = followers.count();
        if count != 1 {
            complaints.push(format!(
                "the success of run {id} was followed {count} times"
            ));
        }
    }
}

/// Every failure of a task has its mail, once.
fn mails(scenario: &Scenario, complaints: &mut Vec<String>) {
    let counts = scenario
        .ask(scenario.shared.store.counts())
        .expect("counts");
    let seen = scenario.shared.witness.seen();
    for ((run, task, _), failures) in &seen.failed {
        if failures.len() > 1 {
            complaints.push(format!(
                "run {run}: `{task}` failed for good {} times",
                failures.len()
            ));
        }
    }
    let mut failures: BTreeMap<_, usize> = BTreeMap::new();
    for ((run, task, _), failed) in &seen.failed {
        *failures.entry((*run, task.clone())).or_default() += failed.len();
    }
    for (key, count) in &failures {
        let mails = seen
            .mails
            .get(key)
            .map_or(0, std::collections::BTreeSet::len);
        if mails != *count {
            complaints.push(format!(
                "run {}: `{}` failed {count} times, {mails} mails say so",
                key.0, key.1
            ));
        }
    }
    let rows: u64 = counts.values().sum();
    if rows != seen.all_mails.len() as u64 {
        complaints.push(format!(
            "{rows} mails are in the outbox, {} were accepted",
            seen.all_mails.len()
        ));
    }
}
