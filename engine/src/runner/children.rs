//! Attempts that wait, and the child runs that some of them wait for.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::patience::patiently;
use super::{
    Options, Parts, Redo, Role, Runner, RunnerError, drive::Drive, job::Message, journal::Details,
    persist, timers::Due,
};
use crate::{
    dataset::StoredDataset,
    failure::full_message,
    id::RunId,
    operator::{ChildResult, Interval, TaskError, Wait, WaitWatcher},
    scheduler::Unit,
    state::{RunState, TaskEvent, TaskState},
    store::{Created, NewRun, ParentTask, RunKind, RunRecord, Store, StoreError},
    time::Timestamp,
};

/// How often a wait without a period of its own is looked at.
const POLL: Duration = Duration::from_secs(1);

/// A child run to be started.
struct Child {
    pipeline: String,
    params: Map<String, Value>,
    interval: Option<Interval>,
    parent: ParentTask,
    redo: u32,
    cancel: CancellationToken,
    ancestors: Vec<String>,
}

impl Drive {
    /// An attempt waits: its slot is free, and something will wake it.
    pub(super) fn deferred(&mut self, unit: Unit, wait: Wait) {
        let now = self.parts.clock.now();
        let mut change = self.change(unit, TaskState::Deferred);
        change.wait = Some(wait.clone());
        change.note = Some(describe(&wait));
        self.journal.task(change, now, Details::default());
        self.apply(unit, TaskEvent::Defer);
        if let Some(state) = self.units.get_mut(&unit) {
            state.waits = Some(describe(&wait));
        }
        let (attempt, due) = self
            .units
            .get(&unit)
            .map_or((0, None), |state| (state.attempt, state.due));
        let poll = match &wait {
            Wait::Until(at) => Some(*at),
            Wait::Things { poll, .. } => Some(now + *poll),
            Wait::Model(_) => Some(now + POLL),
            // Somebody looks, and wakes the attempt; it may still wait too long.
            Wait::Run { .. } => due,
            Wait::Child { .. } => None,
        };
        if let Some(at) = poll {
            self.timers
                .set(due.map_or(at, |due| at.min(due)), Due::Wake(unit, attempt));
        }
        match wait {
            Wait::Child {
                pipeline,
                params,
                interval,
            } => self.start_child(
                unit,
                attempt,
                pipeline,
                params,
                interval.map(|(start, end)| Interval { start, end }),
            ),
            Wait::Run { pipeline, interval } => self.await_other(unit, attempt, pipeline, interval),
            wait @ Wait::Things { .. } => self.watch(unit, attempt, wait),
            _ => {}
        }
    }

    /// Lets a watcher wake the attempt before its next look, where there is one.
    fn watch(&mut self, unit: Unit, attempt: u32, wait: Wait) {
        let Some(watcher) = self.parts.services.get::<WaitWatcher>() else {
            return;
        };
        let (cancel, project) = (self.options.cancel.clone(), Arc::clone(&self.parts.project));
        let longest = match &wait {
            Wait::Things { poll, .. } => *poll,
            _ => POLL,
        };
        self.work.spawn(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = watcher.changed(&project, &wait) => {}
                () = tokio::time::sleep(longest) => {}
            }
            Message::Changed { unit, attempt }
        });
    }

    /// Wakes the attempt when another pipeline's run has succeeded, or none of its runs is under way.
    fn await_other(
        &mut self,
        unit: Unit,
        attempt: u32,
        pipeline: String,
        interval: Option<(Timestamp, Timestamp)>,
    ) {
        let store = Arc::clone(&self.parts.store);
        self.work.spawn(async move {
            loop {
                let changed = store.changed();
                match other(store.as_ref(), &pipeline, interval).await {
                    Ok(Some(run)) => return Message::Other { unit, attempt, run },
                    Ok(None) => {}
                    // The history comes back, or the wait has its end.
                    Err(error) => {
                        tracing::warn!(
                            error = full_message(&error),
                            "cannot look for a run of `{pipeline}`"
                        );
                    }
                }
                tokio::select! {
                    biased;
                    () = changed => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        });
    }

    fn start_child(
        &mut self,
        unit: Unit,
        attempt: u32,
        pipeline: String,
        params: Map<String, Value>,
        interval: Option<Interval>,
    ) {
        let child = Child {
            pipeline,
            params,
            interval: interval.or(self.run.interval),
            parent: ParentTask {
                run: self.run.id,
                key: self.key(unit),
            },
            redo: self.redo,
            cancel: self.options.cancel.child_token(),
            ancestors: [
                self.options.ancestors.as_slice(),
                &[self.plan.name.to_string()],
            ]
            .concat(),
        };
        let parts = Arc::clone(&self.parts);
        self.children += 1;
        self.work.spawn(async move {
            let result = child.run(parts).await.map(Box::new);
            Message::Child {
                unit,
                attempt,
                result,
            }
        });
    }
}

impl Child {
    /// Makes the child run, once for the parent's task and element, and works on it until it is over.
    async fn run(self, parts: Arc<Parts>) -> Result<ChildResult, TaskError> {
        let name = self.pipeline.clone();
        if self.ancestors.contains(&name) {
            let way = self.ancestors.join("` → `");
            return Err(TaskError::user(format!(
                "a pipeline cannot run itself: `{way}` → `{name}`"
            )));
        }
        let store_failed = |error| {
            TaskError::external(format!("cannot run the child pipeline `{name}`")).because(error)
        };
        let plan = parts.pipelines.plan(&name).await.map_err(|message| {
            TaskError::user(format!("cannot run the child pipeline `{name}`: {message}"))
        })?;
        let params = plan.params(&self.params).map_err(|error| {
            TaskError::user("the child run's parameters are wrong").because(error)
        })?;
        let interval = self.interval;
        if plan.reads_interval.is_some() && interval.is_none() {
            return Err(TaskError::user(format!("`{name}` names `interval`, but its run would have none"))
                .hint("give it one: `with: {pipeline: …, interval: …}`, or a schedule for the pipeline that starts it"));
        }
        let now = parts.clock.now();
        let new = NewRun {
            id: RunId::new(now),
            pipeline: plan.name.to_string(),
            version: plan.source.hash.clone(),
            kind: RunKind::Child,
            trigger_key: Some(format!(
                "child:{}:{}:{}",
                self.parent.run, self.parent.key, self.redo
            )),
            trigger: Value::Null,
            params,
            interval,
            parent: Some(self.parent.clone()),
            created: now,
            max_active: None,
            backfill: None,
            enqueued: parts.owner.role() == Role::Daemon,
        };
        let runner = Runner(Arc::clone(&parts));
        let created = patiently(|| runner.create_in_store(&plan, &new))
            .await
            .map_err(|error| store_failed(error.into()))?;
        let run = match created {
            Created::New => new.id,
            Created::Existing(run) => run,
        };
        let state = if parts.owner.role() == Role::Daemon {
            self.await_queued(&parts, run, created)
                .await
                .map_err(store_failed)?
        } else {
            let options = Options {
                cancel: self.cancel,
                redo: (created != Created::New).then_some(Redo::Unfinished),
                ancestors: self.ancestors,
                ..Options::default()
            };
            runner
                .execute(plan, run, options)
                .await
                .map_err(store_failed)?
        };
        let record = patiently(|| parts.store.run(run))
            .await
            .map_err(|error| store_failed(error.into()))?;
        result(&parts, run, state, record).await
    }
}

/// What a child run has come to, with what its pipeline puts out.
async fn result(
    parts: &Arc<Parts>,
    run: RunId,
    state: RunState,
    record: Option<RunRecord>,
) -> Result<ChildResult, TaskError> {
    let outputs = record
        .as_ref()
        .and_then(|record| record.outputs.clone())
        .unwrap_or_default();
    let mut datasets = Vec::new();
    for (name, stored) in outputs["datasets"].as_object().into_iter().flatten() {
        let stored: StoredDataset = serde_json::from_value(stored.clone()).map_err(|error| {
            TaskError::bug("the child run's outputs cannot be read").because(error)
        })?;
        datasets.push((name.clone(), persist::open(parts, stored).await?));
    }
    let values = outputs["values"].as_object().cloned().unwrap_or_default();
    Ok(ChildResult {
        run,
        state,
        error: record.and_then(|record| record.error),
        values,
        datasets,
    })
}

impl Child {
    /// Waits for a run that any daemon takes from the queue. One that failed earlier is done again first.
    async fn await_queued(
        &self,
        parts: &Parts,
        run: RunId,
        created: Created,
    ) -> Result<RunState, RunnerError> {
        let state = async || {
            let record = patiently(|| parts.store.run(run)).await?;
            Ok::<_, RunnerError>(record.ok_or(RunnerError::Unknown(run))?.state)
        };
        if created != Created::New
            && matches!(state().await?, RunState::Failed | RunState::Cancelled)
        {
            patiently(|| parts.store.requeue(run, Redo::Unfinished, None)).await?;
        }
        let mut asked = false;
        loop {
            let changed = parts.store.changed();
            let state = state().await?;
            if state.is_final() {
                return Ok(state);
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled(), if !asked => {
                    asked = true;
                    patiently(|| parts.store.cancel(run, parts.clock.now())).await?;
                }
                () = changed => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}

/// Whether what a wait for another pipeline is for has come, with the run that has succeeded.
async fn other(
    store: &dyn Store,
    pipeline: &str,
    interval: Option<(Timestamp, Timestamp)>,
) -> Result<Option<Option<RunId>>, StoreError> {
    let Some((start, end)) = interval else {
        let unfinished = store.unfinished().await?;
        let busy = unfinished.keys().any(|(name, _)| name == pipeline);
        return Ok((!busy).then_some(None));
    };
    let run = store.success_of(pipeline, Interval { start, end }).await?;
    Ok(run.map(Some))
}

/// What a wait is for, in words.
fn describe(wait: &Wait) -> String {
    match wait {
        Wait::Until(at) => format!("waits until {}", at.format("%Y-%m-%d %H:%M:%S UTC")),
        Wait::Things { pattern, .. } => format!("waits for `{pattern}`"),
        Wait::Run {
            pipeline,
            interval: Some((start, _)),
        } => {
            format!(
                "waits for the run of `{pipeline}` from {}",
                start.format("%Y-%m-%d %H:%M:%S UTC")
            )
        }
        Wait::Run {
            pipeline,
            interval: None,
        } => format!("waits until `{pipeline}` is idle"),
        Wait::Model(name) => format!("waits for the model `{name}`"),
        Wait::Child { pipeline, .. } => format!("waits for its run of `{pipeline}`"),
    }
}
