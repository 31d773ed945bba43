//! The loop of one run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    Options, Parts, RunnerError, attempt,
    inputs::Shelf,
    job::{Job, Message, UnitState},
    journal::{Details, Journal, row},
    start::unresolved,
    timers::{Due, Timers},
};
use crate::{
    failpoint::{self, Mistake},
    failure::full_message,
    id::TaskKey,
    operator::{TaskError, Woken},
    plan::{Plan, TaskIndex},
    scheduler::{Decision, Scheduler, Unit},
    slot::Freed,
    spec::Scope,
    state::{RunState, TaskEvent, TaskState},
    store::{Change, NewRun, RunWrite, WriteOutcome},
    time::Timestamp,
};

/// How long to sleep at most by a clock that can be moved.
const JUMP: Duration = Duration::from_secs(1);

/// The work on one run.
pub(super) struct Drive {
    pub(super) parts: Arc<Parts>,
    pub(super) plan: Arc<Plan>,
    pub(super) options: Options,
    pub(super) run: NewRun,
    pub(super) redo: u32,
    pub(super) fence: u64,
    /// The scope without tasks.
    pub(super) base: Arc<Scope>,
    pub(super) secrets: Arc<Vec<String>>,
    pub(super) scheduler: Scheduler,
    pub(super) decisions: Vec<Decision>,
    pub(super) units: BTreeMap<Unit, UnitState>,
    /// The lists of repeated tasks.
    pub(super) items: HashMap<TaskIndex, Arc<Vec<Value>>>,
    /// Elements that had their final state before a restart.
    pub(super) done_elements: HashMap<TaskIndex, Vec<(u32, TaskState)>>,
    pub(super) shelf: Shelf,
    pub(super) journal: Journal,
    pub(super) timers: Timers,
    /// Attempts that start when the journal has been written.
    pub(super) prepared: Vec<Job>,
    pub(super) work: JoinSet<Message>,
    /// Told when a slot is given back.
    pub(super) freed: Freed,
    /// The first failure, for the run's own error.
    pub(super) first_failure: Option<String>,
    pub(super) cancelling: bool,
    /// Whether this process wants to be rid of the run.
    pub(super) leaving: bool,
    /// Pools whose slots others have, and when to ask again.
    pub(super) full_pools: BTreeMap<String, Timestamp>,
    /// Whether it was said that what could start waits for pools.
    pub(super) held: bool,
    /// How many child runs are under way.
    pub(super) children: u32,
}

impl Drop for Drive {
    /// Whoever stops working on the run stops its attempts too.
    fn drop(&mut self) {
        self.options.cancel.cancel();
    }
}

impl Drive {
    /// Works until the run is over.
    pub(super) async fn run(mut self) -> Result<RunState, RunnerError> {
        self.begin();
        loop {
            self.decide().await;
            self.freed.mark();
            if !self.leaving {
                self.start_ready().await;
            }
            self.flush().await?;
            // An attempt that could not begin has ended at once: what follows from it is not written down yet.
            if !self.decisions.is_empty() {
                continue;
            }
            if self.scheduler.is_finished() && self.children == 0 {
                return self.end().await;
            }
            if self.leaving && self.units.values().all(|unit| unit.cancel.is_none()) {
                return Err(RunnerError::Left(self.run.id));
            }
            self.wait().await;
        }
    }

    /// Says what has happened to a unit.
    pub(super) fn apply(&mut self, unit: Unit, event: TaskEvent) {
        if let Err(error) = self.scheduler.apply(unit, event, &mut self.decisions) {
            tracing::error!(task = %self.key(unit), error = full_message(&error), "the scheduler refuses");
        }
    }

    pub(super) fn key(&self, unit: Unit) -> TaskKey {
        TaskKey {
            task: self.plan.graph[unit.task].name.to_string(),
            element: unit.element,
        }
    }

    /// Acts on all decisions, and on those that follow from them.
    async fn decide(&mut self) {
        while !self.decisions.is_empty() {
            for decision in std::mem::take(&mut self.decisions) {
                match decision {
                    Decision::Ready(task) if self.plan.graph[task].foreach.is_some() => {
                        self.expand(task);
                    }
                    Decision::Ready(task) => self.admit(task.into()),
                    Decision::ElementReady(unit) => self.admit(unit),
                    Decision::Ended(task, state) => self.task_ended(task, state),
                    Decision::Gathered(task, state) => self.gather(task, state).await,
                }
            }
        }
    }

    /// Lets a unit start, unless its `if` says no.
    fn admit(&mut self, unit: Unit) {
        if let Some(error) = self.lost_too_often(unit) {
            return self.never_started(unit, &error);
        }
        let plan = Arc::clone(&self.plan);
        let Some(condition) = &plan.graph[unit.task].condition else {
            return self.apply(unit, TaskEvent::Schedule);
        };
        match condition.is_true(&self.scope(unit, [condition])) {
            Ok(true) => self.apply(unit, TaskEvent::Schedule),
            Ok(false) => self.skipped(unit, format!("`if: {}` is false", condition.source())),
            Err(error) => self.never_started(unit, &unresolved(&error)),
        }
    }

    /// Repeats a task for each item of its list.
    fn expand(&mut self, task: TaskIndex) {
        let plan = Arc::clone(&self.plan);
        let Some(foreach) = &plan.graph[task].foreach else {
            return;
        };
        let known = self.items.get(&task).cloned();
        let items = match known {
            Some(items) => Ok(items),
            None => match foreach
                .items
                .resolve(&self.scope(task.into(), foreach.items.expressions()))
            {
                Ok(Value::Array(items)) => Ok(Arc::new(items)),
                Ok(other) => Err(TaskError::user(format!(
                    "`foreach.items` must be a list, not {}",
                    crate::plan::type_name(&other)
                ))),
                Err(error) => Err(unresolved(&error)),
            },
        };
        let items = match items {
            Ok(items) => items,
            Err(error) => return self.never_started(task.into(), &error),
        };
        let now = self.parts.clock.now();
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let key = self.key(task.into());
        let mut change = row(&key, TaskState::Running);
        (change.started, change.elements) = (Some(now), Some(count));
        self.units.entry(task.into()).or_default().started = Some(now);
        self.journal.change(Change::Settings {
            key: key.clone(),
            settings: serde_json::json!({"items": *items}),
        });
        self.journal.task(change, now, Details::default());
        self.journal.expanded(&key.task, count, now);
        self.items.insert(task, items);
        let done = self.done_elements.remove(&task).unwrap_or_default();
        self.scheduler
            .expand(task, count, done, &mut self.decisions);
    }

    /// Makes the journal durable, tells the listeners, and lets the prepared attempts begin.
    pub(super) async fn flush(&mut self) -> Result<(), RunnerError> {
        if !self.journal.is_empty() {
            let (changes, events) = self.journal.take();
            let write = RunWrite {
                run: self.run.id,
                fence: self.fence,
                changes,
            };
            failpoint::hit("before_commit");
            let written = self.parts.writer.write(write).await;
            failpoint::hit("after_commit");
            if !matches!(written, Ok(WriteOutcome::Done)) {
                // Nothing that is under way can be written down any more.
                self.options.cancel.cancel();
            }
            if written? == WriteOutcome::Stale {
                return Err(RunnerError::Lost(self.run.id));
            }
            for event in &events {
                self.parts
                    .listeners
                    .iter()
                    .for_each(|listener| listener.hear(event));
            }
        }
        for job in self.prepared.drain(..) {
            self.work.spawn(attempt::run(Arc::clone(&self.parts), job));
        }
        Ok(())
    }

    /// Waits until something happens, and takes all that has happened.
    async fn wait(&mut self) {
        let clock = &self.parts.clock;
        let mut pause = self.timers.wait(clock.now());
        if clock.can_jump() {
            pause = pause.min(JUMP);
        }
        // Whatever is still ready found no free slot.
        let starved = self.scheduler.has_ready();
        tokio::select! {
            biased;
            () = self.options.cancel.cancelled(), if !self.cancelling => self.cancel(),
            () = self.options.leave.cancelled(), if !self.leaving => self.leave(),
            Some(message) = self.work.join_next(), if !self.work.is_empty() => {
                self.hear(message);
                while let Some(message) = self.work.try_join_next() {
                    self.hear(message);
                }
            }
            () = self.freed.changed(), if starved => {}
            () = tokio::time::sleep(pause) => self.fire_timers(),
        }
    }

    fn hear(&mut self, message: Result<Message, tokio::task::JoinError>) {
        match message {
            Ok(Message::Attempt { unit, end, log }) => self.attempt_ended(unit, end, &log),
            Ok(Message::Child {
                unit,
                attempt,
                result,
            }) => {
                self.children -= 1;
                match result {
                    Ok(result) => self.wake(unit, attempt, Woken::Child(*result)),
                    Err(error) => self.deferred_failed(unit, attempt, &error),
                }
            }
            Ok(Message::Other { unit, attempt, run }) => {
                self.wake(unit, attempt, Woken::Run(run));
            }
            Ok(Message::Changed { unit, attempt }) => self.wake(unit, attempt, Woken::Time),
            Err(error) => tracing::error!(%error, "an attempt's own task failed"),
        }
    }

    fn fire_timers(&mut self) {
        let now = self.parts.clock.now();
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Retry(_) if failpoint::planted(Mistake::SwallowedRetry) => {}
                Due::Retry(unit) if self.scheduler.state(unit) == TaskState::UpForRetry => {
                    self.apply(unit, TaskEvent::Schedule);
                }
                Due::Retry(_) => {}
                Due::Wake(unit, attempt) => self.wake(unit, attempt, Woken::Time),
                Due::Pool => self.full_pools.retain(|_, until| *until > now),
                Due::Deadline => self.deadline_passed(),
                Due::TaskDeadline(task) => self.task_is_late(task),
            }
        }
    }

    /// Goes on with an attempt that waited, or fails it when it has waited too long.
    fn wake(&mut self, unit: Unit, attempt: u32, woken: Woken) {
        let now = self.parts.clock.now();
        let Some(state) = self.units.get_mut(&unit) else {
            return;
        };
        if state.attempt != attempt || self.scheduler.state(unit) != TaskState::Deferred {
            return;
        }
        if state.due.is_some_and(|due| due <= now) && !matches!(woken, Woken::Child(_)) {
            let waits = state.waits.take().map(|waits| format!(": it {waits}"));
            let waits = waits.unwrap_or_default();
            let error = TaskError::external(format!("waited longer than its `timeout`{waits}"));
            return self.deferred_failed(unit, attempt, &error);
        }
        state.woken = Some(woken);
        self.apply(unit, TaskEvent::Schedule);
    }

    /// Stops the run: what has not started is cancelled at once, what is under way is told to stop.
    fn cancel(&mut self) {
        self.cancelling = true;
        let now = self.parts.clock.now();
        for unit in self.scheduler.cancel(&mut self.decisions) {
            let mut change = self.change(unit, TaskState::Cancelled);
            change.ended = Some(now);
            self.journal.task(change, now, Details::default());
        }
    }
}
