//! Starts what is ready: settings resolved once, inputs found, the attempt written down.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    cache::Wanted,
    drive::Drive,
    job::{Job, UnitState},
    journal::Details,
    leave::LOSSES,
    log::{AttemptLog, log_path},
    memory::Memory,
    scope,
    timers::Due,
};
use crate::{
    event::{RunEvent, What},
    failure::full_message,
    id::TaskKey,
    kind::Kind,
    operator::{
        Checkpoint, IsolatedTask, Logger, Past, Progress, RunInfo, State, TaskContext, TaskError,
        TaskIdentity,
    },
    plan::PlannedTask,
    scheduler::Unit,
    slot::Slot,
    spec::{Expression, ExpressionError, Scope},
    state::{TaskEvent, TaskState},
    store::{AttemptRecord, Change, PoolRequest},
    time::Timestamp,
};

/// How often slots of a pool that others have are asked for.
const POOL_POLL: Duration = Duration::from_millis(250);

impl Drive {
    /// Starts as many ready units as there are free slots. They begin to work when this has been written.
    pub(super) async fn start_ready(&mut self) {
        let slots = Arc::clone(&self.parts.slots);
        loop {
            let full = &self.full_pools;
            let is_free = |pool: Option<&str>| {
                slots.is_free(pool) && pool.is_none_or(|pool| !full.contains_key(pool))
            };
            let Some(unit) = self.scheduler.pop(is_free) else {
                return self.say_held();
            };
            let Some(slot) = slots.try_take(self.plan.graph[unit.task].pool.as_ref()) else {
                self.scheduler.put_back(unit);
                return self.say_held();
            };
            if self.enter_pool(unit).await {
                self.start(unit, slot).await;
            } else {
                self.scheduler.put_back(unit);
            }
        }
    }

    /// Says that others may have the process' slots: what could start waits for those of pools.
    fn say_held(&mut self) {
        let waits = self.scheduler.has_ready() && self.parts.slots.free() > 0;
        if !waits || std::mem::replace(&mut self.held, true) {
            return;
        }
        let event = RunEvent {
            run: self.run.id,
            pipeline: Arc::clone(&self.plan.name),
            at: self.parts.clock.now(),
            what: What::Held,
        };
        let listeners = self.parts.listeners.iter();
        listeners.for_each(|listener| listener.hear(&event));
    }

    /// Takes a declared pool's slots, which all processes share; says no, and asks again later, while others have them.
    async fn enter_pool(&mut self, unit: Unit) -> bool {
        let Some(request) = self.pool_request(unit) else {
            return true;
        };
        match self.parts.store.take_pool(&request).await {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    error = full_message(&error),
                    "cannot ask for the slots of a pool"
                );
            }
        }
        let again = self.parts.clock.now() + POOL_POLL;
        self.full_pools.insert(request.pool, again);
        self.timers.set(again, Due::Pool);
        false
    }

    fn pool_request(&self, unit: Unit) -> Option<PoolRequest> {
        let (pool, slots) = self.plan.graph[unit.task].pool.as_ref()?;
        Some(PoolRequest {
            pool: pool.clone(),
            capacity: *self.parts.project.pools.get(pool)?,
            slots: *slots,
            run: self.run.id,
            key: self.key(unit),
        })
    }

    /// Gives a declared pool's slots back, beside the run's own work.
    pub(super) fn leave_pool(&self, unit: Unit) {
        let Some(request) = self.pool_request(unit) else {
            return;
        };
        let parts = Arc::clone(&self.parts);
        self.parts.tasks.spawn(async move {
            let PoolRequest { pool, run, key, .. } = request;
            if let Err(error) = parts.store.give_pool(&pool, run, &key).await {
                tracing::warn!(
                    error = full_message(&error),
                    "cannot give the slots of a pool back"
                );
            }
        });
    }

    async fn start(&mut self, unit: Unit, slot: Slot) {
        let now = self.parts.clock.now();
        let timeout = self.plan.graph[unit.task].timeout;
        let state = self.units.entry(unit).or_default();
        let fresh = state.woken.is_none();
        if fresh {
            state.attempt += 1;
            state.started = Some(now);
            state.due = timeout.map(|timeout| now + timeout);
        }
        self.apply(unit, TaskEvent::Start);
        let prepared = self.prepare(unit, slot).await;
        self.write_start(unit, now, fresh);
        match prepared {
            Ok(job) => self.prepared.push(job),
            Err(error) => {
                self.leave_pool(unit);
                self.attempt_failed(unit, &error, Vec::new(), &[]);
            }
        }
    }

    fn write_start(&mut self, unit: Unit, now: Timestamp, fresh: bool) {
        let key = self.key(unit);
        let Some(state) = self.units.get(&unit) else {
            return;
        };
        let change = self.change(unit, TaskState::Running);
        let started = state.started.unwrap_or(now);
        let number = state.attempt;
        self.journal.task(change, now, Details::default());
        if fresh {
            let attempt = AttemptRecord {
                key,
                number,
                state: TaskState::Running,
                started,
                ended: None,
                error: None,
            };
            self.journal.change(Change::Attempt(attempt));
        }
    }

    async fn prepare(&mut self, unit: Unit, slot: Slot) -> Result<Job, TaskError> {
        let plan = Arc::clone(&self.plan);
        let task = &plan.graph[unit.task];
        let settings = self.settings(unit, task).await?;
        let config = task.operator.parse(&settings).map_err(|error| {
            TaskError::user(format!(
                "the settings of `{}` do not fit `{}: {}`",
                task.name,
                task.operator.kind(),
                task.operator.name()
            ))
            .because(error)
        })?;
        let inputs = self.shelf.inputs(&self.parts, &plan, &task.from).await?;
        let slot = Arc::new(slot);
        let (context, log) = self.context(unit, task, inputs, Arc::clone(&slot));
        let cache = task.cache;
        let cache = cache.and_then(|cache| Wanted::new(cache, task.operator, &settings, &context));
        let state = self.units.entry(unit).or_default();
        state.cancel = Some(context.cancel.clone());
        // Twice the process has gone with it: perhaps it is the culprit. The others shall not go with it once more.
        let suspect = state.losses + 1 >= LOSSES && task.operator.kind() != Kind::Sensor;
        let isolated = (task.isolation.process || suspect).then(|| IsolatedTask {
            operator: task.operator,
            settings,
            memory: task.isolation.memory,
        });
        Ok(Job {
            unit,
            operator: task.operator,
            config,
            isolated,
            context,
            cache,
            due: state.due,
            slot,
            log,
        })
    }

    /// The unit's settings: resolved before its first attempt, kept, and used by every attempt.
    async fn settings(&mut self, unit: Unit, task: &PlannedTask) -> Result<Value, TaskError> {
        if let Some(settings) = self
            .units
            .get(&unit)
            .and_then(|state| state.settings.clone())
        {
            return Ok(settings);
        }
        let scope = self.scope(unit, task.with.expressions());
        let mut settings = task
            .with
            .resolve(&scope)
            .map_err(|error| unresolved(&error))?;
        for path in &task.models {
            if let Some(model) = lookup(&mut settings, path) {
                *model = self.pin(model).await?;
            }
        }
        let has_settings =
            !matches!(&settings, Value::Object(map) if map.is_empty()) && !settings.is_null();
        if has_settings {
            self.journal.change(Change::Settings {
                key: self.key(unit),
                settings: settings.clone(),
            });
        }
        self.units.entry(unit).or_default().settings = Some(settings.clone());
        Ok(settings)
    }

    /// What the expressions of a unit can see.
    pub(super) fn scope<'a>(
        &self,
        unit: Unit,
        expressions: impl IntoIterator<Item = &'a Expression>,
    ) -> Scope {
        let mut scope = scope::with_tasks(&self.base, expressions, |name| {
            self.shelf.view(self.plan.find(name)?)
        });
        if let Some(element) = unit.element {
            scope.set("item", self.item(unit).unwrap_or_default());
            scope.set("index", element.into());
        }
        scope
    }

    pub(super) fn item(&self, unit: Unit) -> Option<Value> {
        self.items
            .get(&unit.task)?
            .get(unit.element? as usize)
            .cloned()
    }

    fn context(
        &self,
        unit: Unit,
        task: &PlannedTask,
        inputs: crate::operator::Inputs,
        slot: Arc<Slot>,
    ) -> (TaskContext, Arc<AttemptLog>) {
        let parts = &self.parts;
        let key = self.key(unit);
        let none = UnitState::default();
        let state = self.units.get(&unit).unwrap_or(&none);
        let path = log_path(&parts.project.state_dir, self.run.id, &key, state.attempt);
        let log = Arc::new(AttemptLog::new(
            path,
            Arc::clone(&parts.clock),
            Arc::clone(&self.secrets),
        ));
        let memory = Arc::new(Memory {
            store: Arc::clone(&parts.store),
            pipeline: Arc::clone(&self.plan.name),
            run: self.run.id,
            fence: self.fence,
            key: key.clone(),
        });
        let context = TaskContext {
            run: RunInfo {
                id: self.run.id,
                pipeline: Arc::clone(&self.plan.name),
                version: self.run.version.as_str().into(),
                interval: self.run.interval,
                zone: self.plan.zone(),
                redo: self.redo,
            },
            seed: seed(&self.plan.name, &task.name, unit.element),
            task: TaskIdentity {
                key: key.clone(),
                attempt: state.attempt,
                fence: self.fence,
            },
            inputs,
            feature_views: self.shelf.feature_views(&self.plan, &task.from),
            item: self.item(unit),
            woken: state.woken.clone(),
            project: Arc::clone(&parts.project),
            services: parts.services.clone(),
            artifacts: Arc::clone(&parts.artifacts),
            models: Arc::clone(&parts.store) as Arc<dyn crate::store::ModelRegistry>,
            cancel: self.options.cancel.child_token(),
            clock: Arc::clone(&parts.clock),
            progress: self.progress(&key),
            log: self.logger(&key, &log),
            checkpoint: Checkpoint::new(Arc::clone(&memory) as _),
            state: State::new(Arc::clone(&memory) as _),
            past: Past::new(memory),
            passes_on: !task.persist,
            slot: Some(slot),
        };
        (context, log)
    }

    fn progress(&self, key: &TaskKey) -> Progress {
        let tell = self.teller(key);
        Progress::new(move |done, total| tell(&|key| What::Progress { key, done, total }))
    }

    fn logger(&self, key: &TaskKey, log: &Arc<AttemptLog>) -> Logger {
        let tell = self.teller(key);
        let log = Arc::clone(log);
        Logger::new(move |level, line| {
            for line in line.lines() {
                let line = log.write(level, line);
                tell(&|key| What::Log {
                    key,
                    level: level.to_owned(),
                    line: line.clone(),
                });
            }
        })
    }

    /// Tells the listeners something about `key` that is not stored.
    fn teller(&self, key: &TaskKey) -> impl Fn(&dyn Fn(TaskKey) -> What) + Send + Sync + 'static {
        let (parts, key, run, pipeline) = (
            Arc::clone(&self.parts),
            key.clone(),
            self.run.id,
            Arc::clone(&self.plan.name),
        );
        move |what| {
            let event = RunEvent {
                run,
                pipeline: Arc::clone(&pipeline),
                at: parts.clock.now(),
                what: what(key.clone()),
            };
            parts
                .listeners
                .iter()
                .for_each(|listener| listener.hear(&event));
        }
    }
}

/// An expression that has no value, as a task's error.
pub(super) fn unresolved(error: &ExpressionError) -> TaskError {
    let place = &error.place;
    TaskError::user(format!(
        "{}:{}:{}: `${{{{ {} }}}}`: {}",
        place.file, place.line, place.column, error.source_text, error.message
    ))
}

fn lookup<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, part| match value {
        Value::Object(map) => map.get_mut(part),
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The same number in every run: the first bytes of a hash of pipeline, task and element.
fn seed(pipeline: &str, task: &str, element: Option<u32>) -> u64 {
    let digest = Sha256::digest(format!("{pipeline}\0{task}\0{element:?}"));
    digest
        .iter()
        .take(8)
        .fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}
