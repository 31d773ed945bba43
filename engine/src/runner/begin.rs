//! Takes a run up: from nothing, or from where it stood when it was left.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    Options, Parts, Redo, Reuse, RunnerError,
    alerts::{deadlines_from, has_deadlines},
    drive::Drive,
    inputs::Shelf,
    job::UnitState,
    journal::Journal,
    leave::lost,
    log::secrets_of,
    preset::take_part,
    scope,
    timers::{Due, Timers},
};
use crate::{
    id::RunId,
    plan::{Plan, TaskIndex},
    scheduler::{Scheduler, Unit},
    state::{RunState, TaskState},
    store::{AttemptRecord, Change, Part, RunChange, RunRecord, Sensed, TaskRecord},
};

impl Drive {
    /// Takes up a run of `plan` that this process owns.
    pub(super) async fn load(
        parts: Arc<Parts>,
        plan: Arc<Plan>,
        run: RunId,
        fence: u64,
        mut options: Options,
    ) -> Result<Self, RunnerError> {
        options.cancel = options.cancel.child_token();
        let record = parts
            .store
            .run(run)
            .await?
            .ok_or(RunnerError::Unknown(run))?;
        if let Some(part) = Part::of(&record.run) {
            take_part(&parts, part, &mut options).await?;
        }
        let tasks = if record.started.is_some() {
            parts.store.tasks(run).await?
        } else {
            Vec::new()
        };
        let base = scope::base(&plan, &record.run, &parts.project);
        let mut drive = Self {
            scheduler: Scheduler::new(&plan),
            shelf: Shelf::new(&plan),
            journal: Journal::new(run, Arc::clone(&plan.name), record.last_event),
            secrets: Arc::new(secrets_of(&parts.project)),
            freed: parts.slots.freed(),
            parts,
            plan,
            base,
            redo: record.redo,
            fence,
            run: record.run.clone(),
            options,
            decisions: Vec::new(),
            units: BTreeMap::new(),
            items: HashMap::new(),
            done_elements: HashMap::new(),
            timers: Timers::default(),
            prepared: Vec::new(),
            work: JoinSet::new(),
            first_failure: None,
            cancelling: false,
            leaving: false,
            full_pools: BTreeMap::new(),
            held: false,
            children: 0,
        };
        drive.take_up(&record, tasks).await;
        Ok(drive)
    }

    /// Starts the scheduler and writes that the run is under way.
    pub(super) fn begin(&mut self) {
        self.scheduler.begin(&mut self.decisions);
        if !has_deadlines(&self.run) {
            return;
        }
        let from = deadlines_from(&self.run);
        if let Some(deadline) = self.plan.deadline {
            self.timers.set(from + deadline, Due::Deadline);
        }
        for (index, task) in self.plan.tasks() {
            if let Some(deadline) = task.deadline {
                self.timers.set(from + deadline, Due::TaskDeadline(index));
            }
        }
    }

    async fn take_up(&mut self, record: &RunRecord, tasks: Vec<TaskRecord>) {
        let now = self.parts.clock.now();
        let all = self.options.redo.is_some_and(Redo::is_whole);
        self.redo += u32::from(all);
        let change = RunChange {
            state: RunState::Running,
            started: Some(record.started.unwrap_or(now)),
            redo: all.then_some(self.redo),
            ..RunChange::default()
        };
        self.journal.change(Change::Run(change));
        self.journal.run(RunState::Running, None, now);
        if let Some(sensed) = Sensed::of(record) {
            self.options
                .reuse
                .insert(sensed.task, Reuse::Given(Vec::new(), sensed.values));
        }
        let anew = self.options.redo == Some(Redo::Anew);
        let tasks = if anew { self.forget(tasks) } else { tasks };
        let preset = self.preset().await;
        // What is not run needs no memory of earlier attempts.
        let known = |task: &TaskRecord| {
            let index = self.plan.find(&task.key.task);
            index.is_none_or(|index| !preset.contains(&index))
        };
        let (whole, elements): (Vec<_>, Vec<_>) = tasks
            .into_iter()
            .filter(known)
            .partition(|task| task.key.element.is_none());
        // Going on after a loss tries nothing again that had failed for good: it has its mail, its tries are used up.
        let (settled, whole): (Vec<_>, Vec<_>) = whole
            .into_iter()
            .partition(|task| self.stays_failed(record, task));
        self.remember_elements(record, elements, all);
        let again = self.again(&whole, &preset, all);
        for task in settled {
            self.remember_failure(&task);
        }
        for task in whole {
            if let Some(index) = self.plan.find(&task.key.task) {
                self.remember(index, task, again.contains(&index)).await;
            }
        }
    }

    /// Tasks of another version of the pipeline: only how often they were tried remains.
    fn forget(&mut self, tasks: Vec<TaskRecord>) -> Vec<TaskRecord> {
        let names: BTreeSet<_> = tasks.iter().map(|task| task.key.task.clone()).collect();
        for task in names {
            self.journal.change(Change::Reset { task });
        }
        let forgotten = tasks.into_iter().map(|mut task| {
            if task.settings.take().is_some() {
                self.journal.change(Change::Settings {
                    key: task.key.clone(),
                    settings: Value::Null,
                });
            }
            task
        });
        forgotten.collect()
    }

    fn stays_failed(&self, record: &RunRecord, task: &TaskRecord) -> bool {
        self.options.redo.is_none()
            && record.state == RunState::Running
            && task.state == TaskState::Failed
    }

    fn remember_failure(&mut self, task: &TaskRecord) {
        let Some(index) = self.plan.find(&task.key.task) else {
            return;
        };
        self.recall_failure(index, task);
        self.shelf.set_state(index, TaskState::Failed);
        self.scheduler.restore(index, TaskState::Failed);
    }

    /// The run's own error names its first failure.
    fn recall_failure(&mut self, index: TaskIndex, task: &TaskRecord) {
        if self.first_failure.is_none() && !self.plan.graph[index].allow_failure {
            let message = task.error.as_ref().map_or("", |error| &error.message);
            self.first_failure = Some(format!("`{}`: {message}", task.key));
        }
    }

    /// The tasks that are done again: those that have not succeeded, and all that come after them; none that is `preset`.
    fn again(
        &self,
        whole: &[TaskRecord],
        preset: &HashSet<TaskIndex>,
        all: bool,
    ) -> HashSet<TaskIndex> {
        if all {
            return self.plan.graph.node_indices().collect();
        }
        let mut succeeded: HashSet<TaskIndex> = whole
            .iter()
            .filter(|task| task.state == TaskState::Success)
            .filter_map(|task| self.plan.find(&task.key.task))
            .collect();
        self.needed_again(&mut succeeded, preset);
        let mut open: Vec<TaskIndex> = self
            .plan
            .graph
            .node_indices()
            .filter(|task| !succeeded.contains(task))
            .collect();
        let mut again = HashSet::new();
        while let Some(task) = open.pop() {
            if !preset.contains(&task) && again.insert(task) {
                open.extend(self.plan.downstream(task));
            }
        }
        again
    }

    /// Datasets that are passed on and not kept are gone: who made them works again if their reader does.
    fn needed_again(&self, succeeded: &mut HashSet<TaskIndex>, preset: &HashSet<TaskIndex>) {
        let readers = |index: TaskIndex| {
            self.plan.tasks().filter(move |(_, task)| {
                let mut sources = task.from.iter().flat_map(|from| &from.tasks);
                sources.any(|source| *source == index)
            })
        };
        loop {
            let gone = succeeded.iter().copied().find(|index| {
                let done = |(reader, _): (TaskIndex, _)| {
                    succeeded.contains(&reader) || preset.contains(&reader)
                };
                !self.plan.graph[*index].persist && !readers(*index).all(done)
            });
            match gone {
                Some(index) => succeeded.remove(&index),
                None => return,
            };
        }
    }

    /// Takes over what is known of a task.
    async fn remember(&mut self, index: TaskIndex, task: TaskRecord, again: bool) {
        let unit = Unit::from(index);
        let repeated = self.plan.graph[index].foreach.is_some();
        if repeated
            && let Some(items) = task
                .settings
                .as_ref()
                .and_then(|settings| settings["items"].as_array())
        {
            self.items.insert(index, Arc::new(items.clone()));
        }
        if !again {
            if repeated {
                self.gather_again(index).await;
            } else {
                self.shelf
                    .put(index, &task.output.unwrap_or_default(), Vec::new());
            }
            self.scheduler.restore(index, TaskState::Success);
            return;
        }
        self.recall(unit, &task);
        let over =
            task.state == TaskState::Success || self.options.redo.is_some_and(Redo::is_whole);
        if over && !repeated {
            self.journal.change(Change::Reset {
                task: task.key.task,
            });
        }
    }

    /// What is known of a unit's attempts; one that was lost with its process is closed.
    fn recall(&mut self, unit: Unit, task: &TaskRecord) {
        // A person's retry starts with all tries; going on after a loss does not give any back.
        let was_running = task.state == TaskState::Running && task.attempt > 0;
        let (tries, losses) = if self.options.redo.is_some() {
            (0, 0)
        } else {
            (task.tries, task.losses + u32::from(was_running))
        };
        let settings = if unit.element.is_none() && self.plan.graph[unit.task].foreach.is_some() {
            None
        } else {
            // Null stands for settings that another version of the pipeline had.
            task.settings.clone().filter(|settings| !settings.is_null())
        };
        let state = UnitState {
            attempt: task.attempt,
            tries,
            losses,
            was_running,
            started: task.started,
            settings,
            ..UnitState::default()
        };
        self.units.insert(unit, state);
        if was_running {
            let now = self.parts.clock.now();
            self.journal.change(Change::Attempt(AttemptRecord {
                key: task.key.clone(),
                number: task.attempt,
                state: TaskState::Failed,
                started: task.started.unwrap_or(now),
                ended: Some(now),
                error: Some(lost()),
            }));
        }
    }

    fn remember_elements(&mut self, record: &RunRecord, elements: Vec<TaskRecord>, all: bool) {
        for task in elements {
            let (Some(index), Some(element)) = (self.plan.find(&task.key.task), task.key.element)
            else {
                continue;
            };
            let unit = Unit {
                task: index,
                element: Some(element),
            };
            if task.state == TaskState::Success && !all {
                self.shelf.put_element(
                    index,
                    element,
                    &task.output.clone().unwrap_or_default(),
                    Vec::new(),
                );
                self.done_elements
                    .entry(index)
                    .or_default()
                    .push((element, TaskState::Success));
            } else if self.stays_failed(record, &task) {
                self.recall_failure(index, &task);
                self.done_elements
                    .entry(index)
                    .or_default()
                    .push((element, TaskState::Failed));
            } else {
                self.recall(unit, &task);
            }
        }
    }
}
