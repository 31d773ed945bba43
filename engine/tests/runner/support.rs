//! Operators that do as they are told, and a runner for them.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use pipectl_engine::{
    dataset::Dataset,
    event::{RunEvent, What},
    id::RunId,
    operator::{
        Interval, Kind, MadeOf, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
        Wait, Woken,
    },
    plan::Plan,
    project::Project,
    runner::{Options, Owner, Parts, Pipelines, Role, Runner, RunnerError, Slots},
    services::Services,
    state::{RunState, TaskState},
    store::{
        ArtifactStore, Created, MemoryStore, NewRun, RunKind, RunStore, StoreError, TaskRecord,
        Writer,
    },
    time::{Clock, SystemClock},
};
use polars::prelude::{DataFrame, NamedFrom, Series};
use serde_json::{Map, Value, json};
use tokio_util::task::TaskTracker;

/// Does one step an attempt; the last one is repeated.
pub(crate) struct Act;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    steps: Vec<String>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    rows: Option<Vec<i64>>,
    #[serde(default)]
    child: Option<Child>,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Child {
    pipeline: String,
    #[serde(default)]
    params: Map<String, Value>,
}

impl Operator for Act {
    type Config = Settings;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "act";
    const SUMMARY: &'static str = "Does as it is told.";
    const TAKES: Takes = Takes::Any;

    fn outputs(_: &Settings) -> Outputs {
        Outputs::table()
    }

    async fn made_of(config: &Settings, _: &TaskContext) -> MadeOf {
        if config.steps.iter().any(|step| step == "unanswered") {
            std::future::pending::<()>().await;
        }
        MadeOf::Inputs
    }

    async fn run(config: Settings, context: &TaskContext) -> Result<Outcome, TaskError> {
        let counter = context.services.get::<Counter>().expect("the counter");
        counter.count(&context.task.key.to_string());
        let attempt = context.task.attempt as usize - 1;
        let step = config
            .steps
            .get(attempt)
            .or(config.steps.last())
            .map_or("ok", String::as_str);
        if let Some(child) = config.child {
            return match &context.woken {
                Some(Woken::Child(result)) if result.state == RunState::Success => {
                    let output = Output {
                        values: result.values.clone(),
                        datasets: result.datasets.clone(),
                        ..Output::default()
                    };
                    Ok(Outcome::Done(output))
                }
                Some(Woken::Child(result)) => Err(TaskError::user(format!(
                    "child: {}",
                    result.error.clone().unwrap_or_default()
                ))),
                _ => Ok(Outcome::Wait(Wait::Child {
                    pipeline: child.pipeline,
                    params: child.params,
                    interval: None,
                })),
            };
        }
        let (verb, argument) = step.split_once(' ').unwrap_or((step, "0"));
        match verb {
            "external" => return Err(TaskError::external("the network is away")),
            "user" => return Err(TaskError::user("the data is wrong").hint("mend it")),
            "secret" => return Err(TaskError::user("cannot log in with hunter22")),
            "panic" => panic!("index out of bounds: 7"),
            "skip" => return Ok(Outcome::Skipped("nothing to do".to_owned())),
            "warn" => return Ok(Outcome::Done(Output::default().warning("looks odd"))),
            "sleep" => tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(argument.parse().expect("ms"))) => {}
                () = context.cancel.cancelled() => {}
            },
            "block" => {
                let ms = argument.parse().expect("ms");
                context
                    .compute(move || {
                        std::thread::sleep(Duration::from_millis(ms));
                        Ok(())
                    })
                    .await?;
            }
            "await" => return Ok(awaited(argument, context)),
            "wait" if context.woken.is_none() => {
                let ms: i64 = argument.parse().expect("ms");
                return Ok(Outcome::Wait(Wait::Until(
                    context.clock.now() + chrono::TimeDelta::milliseconds(ms),
                )));
            }
            _ => {}
        }
        let mut output = Output::default();
        if verb == "count" {
            let before = context.state.load().await?;
            let count = before.and_then(|before| before.as_i64()).unwrap_or(0) + 1;
            output = output.remember(count);
            if argument == "fail" {
                return Err(TaskError::user("counted in vain"));
            }
        }
        let value = config.value.map(|value| ("value".to_owned(), value));
        output.values.extend(value);
        let seen: i64 = match context.inputs.iter().next() {
            Some((_, dataset)) => sum(&dataset.collect().expect("rows")),
            None => 0,
        };
        if let Some(rows) = config.rows {
            output = output.dataset("data", Dataset::from_frame(frame(&rows)));
        }
        Ok(Outcome::Done(output.metric("seen", seen as f64)))
    }
}

/// Waits for another pipeline, then says which of its runs has ended the wait.
fn awaited(pipeline: &str, context: &TaskContext) -> Outcome {
    let interval = context.run.interval;
    match &context.woken {
        None => Outcome::Wait(Wait::Run {
            pipeline: pipeline.to_owned(),
            interval: interval.map(|interval| (interval.start, interval.end)),
        }),
        Some(Woken::Run(run)) => {
            let run = run.map(|run| run.to_string());
            Outcome::Done(Output::default().value("run", run))
        }
        other => panic!("woken by {other:?}"),
    }
}

pub(crate) fn frame(rows: &[i64]) -> DataFrame {
    DataFrame::new(rows.len(), vec![Series::new("n".into(), rows).into()]).expect("a frame")
}

pub(crate) fn sum(frame: &DataFrame) -> i64 {
    frame
        .column("n")
        .expect("n")
        .as_materialized_series()
        .sum()
        .expect("numbers")
}

/// How often each task was run.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<HashMap<String, usize>>);

impl Counter {
    fn count(&self, key: &str) {
        *self
            .0
            .lock()
            .expect("unpoisoned")
            .entry(key.to_owned())
            .or_insert(0) += 1;
    }

    pub(crate) fn of(&self, key: &str) -> usize {
        self.0
            .lock()
            .expect("unpoisoned")
            .get(key)
            .copied()
            .unwrap_or(0)
    }
}

#[derive(Debug)]
struct Directory(PathBuf, AtomicUsize);

#[async_trait]
impl ArtifactStore for Directory {
    async fn put(&self, key: &str, content: Bytes) -> Result<(), StoreError> {
        let path = self.0.join(key);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content).map_err(|error| StoreError::unavailable("write", error))
    }

    async fn put_file(&self, key: &str, file: PathBuf) -> Result<(), StoreError> {
        self.put(key, std::fs::read(file).expect("the file").into())
            .await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        Ok(std::fs::read(self.0.join(key))
            .map_err(|error| StoreError::unavailable("read", error))?
            .into())
    }

    async fn local(&self, key: &str) -> Result<PathBuf, StoreError> {
        Ok(self.0.join(key))
    }

    async fn remove_below(&self, prefix: &str) -> Result<(), StoreError> {
        std::fs::remove_dir_all(self.0.join(prefix))
            .map_err(|error| StoreError::unavailable("remove", error))
    }

    fn temporary(&self) -> PathBuf {
        self.0
            .join(format!("tmp{}", self.1.fetch_add(1, Ordering::Relaxed)))
    }
}

#[derive(Default)]
pub(crate) struct Plans(Mutex<HashMap<String, Arc<Plan>>>);

#[async_trait]
impl Pipelines for Plans {
    async fn plan(&self, name: &str) -> Result<Arc<Plan>, String> {
        self.0
            .lock()
            .expect("unpoisoned")
            .get(name)
            .cloned()
            .ok_or_else(|| "there is no such pipeline".to_owned())
    }
}

/// A store that outlives the processes that work on it.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) counter: Arc<Counter>,
    pub(crate) events: Arc<Mutex<Vec<RunEvent>>>,
    plans: Arc<Plans>,
    directory: tempfile::TempDir,
    pub(crate) project: Project,
    /// What operators share, besides the counter.
    pub(crate) services: Services,
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let project = Project {
            root: directory.path().into(),
            state_dir: directory.path().join("state"),
            ..Project::default()
        };
        Self {
            store: Arc::new(MemoryStore::default()),
            counter: Arc::default(),
            events: Arc::default(),
            plans: Arc::default(),
            directory,
            project,
            services: Services::default(),
        }
    }

    pub(crate) fn know(&self, plan: Plan) {
        self.plans
            .0
            .lock()
            .expect("unpoisoned")
            .insert(plan.name.to_string(), Arc::new(plan));
    }

    /// A process that works on runs with so many slots.
    pub(crate) fn runner(&self, slots: u32) -> Runner {
        let events = Arc::clone(&self.events);
        let listener =
            move |event: &RunEvent| events.lock().expect("unpoisoned").push(event.clone());
        let artifacts = self.directory.path().join("artifacts");
        std::fs::create_dir_all(&artifacts).expect("a directory");
        Runner::new(Parts {
            writer: Writer::start(Arc::clone(&self.store) as _),
            store: Arc::clone(&self.store) as _,
            artifacts: Arc::new(Directory(artifacts, AtomicUsize::new(0))),
            project: Arc::new(self.project.clone()),
            services: self.services.clone().with(Arc::clone(&self.counter)),
            clock: Arc::new(SystemClock),
            listeners: vec![Arc::new(listener)],
            pipelines: Arc::clone(&self.plans) as _,
            owner: Arc::new(
                Owner::new(&self.project.state_dir, "host", Role::Foreground).expect("an owner"),
            ),
            slots: Slots::new(slots, BTreeMap::new()),
            tasks: TaskTracker::new(),
        })
    }

    pub(crate) async fn create(&self, runner: &Runner, plan: &Plan) -> RunId {
        self.create_in(runner, plan, None).await
    }

    /// A run for a day.
    pub(crate) async fn create_for(&self, runner: &Runner, plan: &Plan, day: &str) -> RunId {
        let start = format!("{day}T00:00:00Z").parse().expect("a day");
        let interval = Interval {
            start,
            end: start + chrono::TimeDelta::days(1),
        };
        self.create_in(runner, plan, Some(interval)).await
    }

    async fn create_in(&self, runner: &Runner, plan: &Plan, interval: Option<Interval>) -> RunId {
        let now = SystemClock.now();
        let run = NewRun {
            id: RunId::new(now),
            pipeline: plan.name.to_string(),
            version: plan.source.hash.clone(),
            kind: RunKind::Manual,
            trigger_key: None,
            trigger: Value::Null,
            params: Map::from_iter([("limit".to_owned(), json!(7))]),
            interval,
            parent: None,
            created: now,
            enqueued: false,
            max_active: None,
            backfill: None,
        };
        assert_eq!(
            runner.create(plan, &run).await.expect("created"),
            Created::New
        );
        run.id
    }

    /// Runs a plan from its beginning to its end.
    pub(crate) async fn run(&self, plan: Plan) -> (RunId, RunState) {
        let runner = self.runner(16);
        let run = self.create(&runner, &plan).await;
        (
            run,
            self.go(&runner, plan, run, Options::default())
                .await
                .expect("a verdict"),
        )
    }

    pub(crate) async fn go(
        &self,
        runner: &Runner,
        plan: Plan,
        run: RunId,
        options: Options,
    ) -> Result<RunState, RunnerError> {
        let work = runner.execute(Arc::new(plan), run, options);
        tokio::time::timeout(Duration::from_secs(30), work)
            .await
            .expect("the run ends")
    }

    pub(crate) async fn task(&self, run: RunId, key: &str) -> TaskRecord {
        let tasks = self.store.tasks(run).await.expect("tasks");
        tasks
            .into_iter()
            .find(|task| task.key.to_string() == key)
            .unwrap_or_else(|| panic!("no task {key}"))
    }

    pub(crate) async fn states(&self, run: RunId) -> Vec<(String, TaskState)> {
        let tasks = self.store.tasks(run).await.expect("tasks");
        tasks
            .into_iter()
            .map(|task| (task.key.to_string(), task.state))
            .collect()
    }

    /// The states that a task went through, as listeners heard of them.
    pub(crate) fn heard(&self, wanted: &str) -> Vec<TaskState> {
        let events = self.events.lock().expect("unpoisoned");
        let states = events.iter().filter_map(|event| match &event.what {
            What::Task { key, state, .. } if key.to_string() == wanted => Some(*state),
            _ => None,
        });
        states.collect()
    }
}
