//! Pipelines whose tasks do as they are told, and a ledger of what they have done.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use pipectl_daemon::{Entry, Library};
use pipectl_engine::{
    alert::{Alert, AlertKind},
    id::{RunId, TaskKey},
    operator::{
        Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError, Wait, Woken,
    },
    plan::{Foreach, Plan, TaskIndex, testing},
    runner::Pipelines,
    spec::Template,
    state::RunState,
    store::PipelineVersion,
    time::Timestamp,
    trigger::{Cadence, Catchup, Schedule, Trigger},
};
use serde_json::{Map, Value, json};

use crate::{chance::Chance, witness::FLAKY};

/// What an operator has done for: run, task and element, redo.
pub(crate) type Effect = (RunId, TaskKey, u32);

/// What the tasks have done, as an outsider sees it.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Rows that a load has put in, as `load: sql` does: with a row of its own that says so.
    pub(crate) once: Mutex<BTreeMap<Effect, u32>>,
    /// Effects that may be repeated.
    pub(crate) often: Mutex<BTreeMap<Effect, u32>>,
    failures: Mutex<HashMap<Effect, u32>>,
    chance: Chance,
}

impl Ledger {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            once: Mutex::default(),
            often: Mutex::default(),
            failures: Mutex::default(),
            chance,
        }
    }
}

/// An operator that leaves a row in the ledger.
struct Act;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Whether its effect takes place once.
    #[serde(default)]
    once: bool,
    /// How often it fails before it succeeds.
    #[serde(default)]
    fails: u32,
    /// Whether it fails after its effect.
    #[serde(default)]
    late: bool,
    /// The pipeline that it runs.
    #[serde(default)]
    child: Option<String>,
}

impl Operator for Act {
    type Config = Settings;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "act";
    const SUMMARY: &'static str = "Leaves a row in the ledger.";
    const TAKES: Takes = Takes::Any;

    fn outputs(_: &Settings) -> Outputs {
        Outputs::none()
    }

    async fn run(config: Settings, context: &TaskContext) -> Result<Outcome, TaskError> {
        let ledger = context.services.get::<Ledger>().expect("the ledger");
        let effect = (context.run.id, context.task.key.clone(), context.run.redo);
        if let Some(pipeline) = config.child {
            match &context.woken {
                Some(Woken::Child(result)) if result.state == RunState::Success => {}
                Some(Woken::Child(_)) => {
                    return Err(TaskError::user("its child run has not succeeded"));
                }
                _ => {
                    return Ok(Outcome::Wait(Wait::Child {
                        pipeline,
                        params: Map::new(),
                        interval: None,
                    }));
                }
            }
        }
        let fails = *ledger
            .failures
            .lock()
            .unwrap()
            .entry(effect.clone())
            .or_default()
            < config.fails;
        pause(&ledger, context).await?;
        if fails && !config.late {
            return Err(ledger.fail(effect));
        }
        let rows = if config.once {
            &ledger.once
        } else {
            &ledger.often
        };
        {
            let mut rows = rows.lock().unwrap();
            let count = rows.entry(effect.clone()).or_default();
            // A load finds its row in the ledger of the target and does nothing.
            *count = if config.once { 1 } else { *count + 1 };
        }
        pause(&ledger, context).await?;
        if fails {
            return Err(ledger.fail(effect));
        }
        Ok(Outcome::Done(Output::default()))
    }
}

impl Ledger {
    fn fail(&self, effect: Effect) -> TaskError {
        *self.failures.lock().unwrap().entry(effect).or_default() += 1;
        TaskError::external(format!("failed {FLAKY}"))
    }
}

async fn pause(ledger: &Ledger, context: &TaskContext) -> Result<(), TaskError> {
    let long = ledger.chance.one_in(6);
    let ms = ledger.chance.below(if long { 4_000 } else { 300 });
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(TaskError::external("was stopped")),
        () = tokio::time::sleep(Duration::from_millis(ms)) => Ok(()),
    }
}

fn task(
    plan: &mut Plan,
    name: &str,
    with: Value,
    retries: u32,
    upstream: &[TaskIndex],
) -> TaskIndex {
    let index = testing::add(plan, name, &Act, with, upstream);
    let retry = &mut plan.graph[index].retry;
    (retry.limit, retry.delay) = (retries, Duration::from_millis(1_500));
    index
}

fn pipeline(name: &str, most: u32) -> Plan {
    let mut plan = testing::plan(name);
    plan.max_active_runs = most;
    plan.alerts = vec![Alert {
        when: vec![AlertKind::Failure],
        email: vec!["team@example.com".to_owned()],
    }];
    plan
}

/// When the scheduled pipeline begins and ends, and what is to run.
pub(crate) fn plans(start: Timestamp, end: Timestamp) -> Vec<Plan> {
    vec![
        load(start, end),
        follower(),
        parent(),
        child(),
        doomed(),
        history(),
    ]
}

fn load(start: Timestamp, end: Timestamp) -> Plan {
    let mut plan = pipeline("load", 2);
    let read = task(&mut plan, "read", json!({}), 0, &[]);
    let left = task(
        &mut plan,
        "left",
        json!({"once": true, "fails": 1}),
        2,
        &[read],
    );
    let right = task(
        &mut plan,
        "right",
        json!({"fails": 2, "late": true}),
        2,
        &[read],
    );
    let each = task(
        &mut plan,
        "each",
        json!({"once": true, "fails": 1, "late": true}),
        1,
        &[read],
    );
    plan.graph[each].foreach = Some(Foreach {
        items: Template::literal(json!(["a", "b", "c"])),
        parallel: Some(2),
    });
    plan.graph[left].pool = Some(("narrow".to_owned(), 1));
    task(
        &mut plan,
        "join",
        json!({"once": true}),
        0,
        &[left, right, each],
    );
    let cadence = Cadence::every(Duration::from_secs(15)).expect("a cadence");
    plan.schedule = Some(Schedule {
        catchup: Catchup::All,
        start: Some(start),
        end: Some(end),
        ..Schedule::new(Trigger::Time(cadence))
    });
    plan
}

fn follower() -> Plan {
    let mut plan = pipeline("follower", 1);
    task(&mut plan, "follow", json!({"once": true}), 0, &[]);
    let after = Trigger::After {
        pipelines: vec!["load".to_owned()],
        all: false,
    };
    plan.schedule = Some(Schedule::new(after));
    plan
}

fn parent() -> Plan {
    let mut plan = pipeline("parent", 2);
    let call = task(&mut plan, "call", json!({"child": "child"}), 0, &[]);
    task(&mut plan, "done", json!({"once": true}), 0, &[call]);
    plan
}

fn child() -> Plan {
    let mut plan = pipeline("child", 1);
    let first = task(&mut plan, "first", json!({"fails": 1}), 1, &[]);
    task(&mut plan, "second", json!({"once": true}), 0, &[first]);
    plan
}

fn doomed() -> Plan {
    let mut plan = pipeline("doomed", 2);
    let good = task(&mut plan, "good", json!({"once": true}), 0, &[]);
    let bad = task(&mut plan, "bad", json!({"fails": 1_000_000}), 2, &[]);
    task(&mut plan, "slow", json!({}), 0, &[good]);
    task(&mut plan, "never", json!({}), 0, &[good, bad]);
    plan
}

fn history() -> Plan {
    let mut plan = pipeline("history", 2);
    task(&mut plan, "load", json!({"once": true, "fails": 1}), 1, &[]);
    plan.interval = Some(Cadence::every(Duration::from_secs(3_600)).expect("a cadence"));
    plan
}

/// The pipelines, as every daemon finds them.
#[derive(Debug)]
pub(crate) struct Plans(pub(crate) BTreeMap<String, Arc<Plan>>);

#[async_trait]
impl Pipelines for Plans {
    async fn plan(&self, name: &str) -> Result<Arc<Plan>, String> {
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| "there is no such pipeline".to_owned())
    }
}

#[async_trait]
impl Library for Plans {
    async fn entries(&self) -> Result<Vec<Entry>, String> {
        let entries = self.0.iter().map(|(name, plan)| Entry {
            name: name.clone(),
            path: plan.source.path.to_string(),
            plan: Ok(Arc::clone(plan)),
        });
        Ok(entries.collect())
    }

    async fn version(&self, version: PipelineVersion) -> Result<Arc<Plan>, String> {
        self.plan(&version.pipeline).await
    }
}
