//! What follows from the end of an attempt, and of a task.

use serde_json::json;

use super::{
    drive::Drive,
    job::End,
    journal::{Details, row},
    log::{AttemptLog, blot},
    persist::Persisted,
    timers::Due,
};
use crate::{
    operator::TaskError,
    plan::{AlertKind, TaskIndex},
    scheduler::{Unit, delay_before, retry_limit_reached},
    state::{TaskEvent, TaskState},
    store::{ArtifactRecord, AttemptRecord, Change, ErrorRecord, OutputRecord, TaskChange},
};

impl Drive {
    /// An attempt has ended.
    pub(super) fn attempt_ended(&mut self, unit: Unit, end: End, log: &AttemptLog) {
        if let Some(state) = self.units.get_mut(&unit) {
            state.cancel = None;
        }
        self.leave_pool(unit);
        match end {
            End::Done(persisted) => self.succeeded(unit, *persisted, log),
            _ if self.cancelling => self.cancelled(unit),
            _ if self.leaving => self.left(unit),
            End::Skipped(reason) => self.skipped(unit, reason),
            End::Wait(wait) => self.deferred(unit, wait),
            End::Failed(error, kept) => self.attempt_failed(unit, &error, kept, &log.tail()),
        }
    }

    fn succeeded(&mut self, unit: Unit, persisted: Persisted, log: &AttemptLog) {
        let Persisted {
            record,
            datasets,
            register,
            state,
            taken_from,
        } = persisted;
        let (now, key) = (self.parts.clock.now(), self.key(unit));
        let rows = record.datasets.first().map(|dataset| dataset.rows);
        match unit.element {
            None => self.shelf.put(unit.task, &record, datasets),
            Some(element) => self
                .shelf
                .put_element(unit.task, element, &record, datasets),
        }
        let attempt = self.units.get(&unit).map_or(0, |state| state.attempt);
        for warning in &record.warnings {
            self.journal.warning(&key, warning, now);
        }
        if !record.warnings.is_empty() {
            let content = json!({"warnings": record.warnings, "log_tail": log.tail()});
            self.mail(AlertKind::Warning, Some(unit.task), content);
        }
        if let Some(state) = state {
            let key = key.clone();
            self.journal.change(Change::State { key, state });
        }
        if record != OutputRecord::default() {
            self.journal.change(Change::Output {
                key,
                attempt,
                output: record,
                at: now,
            });
        }
        if let Some(model) = register {
            self.journal.change(Change::Register(model));
        }
        self.unit_is_over(
            unit,
            TaskState::Success,
            taken_from.map(|run| format!("taken from run {run}")),
            None,
            Details {
                rows,
                ..Details::default()
            },
        );
        self.apply(unit, TaskEvent::Succeed);
        self.reader_is_done(unit);
    }

    /// A unit is skipped, and why.
    pub(super) fn skipped(&mut self, unit: Unit, reason: String) {
        self.unit_is_over(
            unit,
            TaskState::Skipped,
            Some(reason),
            None,
            Details::default(),
        );
        self.set_view(unit, TaskState::Skipped);
        self.apply(unit, TaskEvent::Skip);
        self.reader_is_done(unit);
    }

    fn cancelled(&mut self, unit: Unit) {
        self.unit_is_over(unit, TaskState::Cancelled, None, None, Details::default());
        self.set_view(unit, TaskState::Cancelled);
        self.apply(unit, TaskEvent::Cancel);
    }

    /// A unit failed before it could start: its `if` or its list has no value.
    pub(super) fn never_started(&mut self, unit: Unit, error: &TaskError) {
        self.failed_for_good(unit, error, Vec::new(), &[]);
    }

    /// An attempt that waited has failed.
    pub(super) fn deferred_failed(&mut self, unit: Unit, attempt: u32, error: &TaskError) {
        let current = self
            .units
            .get(&unit)
            .is_some_and(|state| state.attempt == attempt);
        if current && self.scheduler.state(unit) == TaskState::Deferred {
            self.attempt_failed(unit, error, Vec::new(), &[]);
        }
    }

    /// An attempt has failed: there is another try, or there is none.
    pub(super) fn attempt_failed(
        &mut self,
        unit: Unit,
        error: &TaskError,
        kept: Vec<ArtifactRecord>,
        tail: &[String],
    ) {
        if self.cancelling {
            return self.cancelled(unit);
        }
        let now = self.parts.clock.now();
        let policy = self.plan.graph[unit.task].retry.clone();
        let state = self.units.entry(unit).or_default();
        state.tries += 1;
        state.woken = None;
        if !error.retryable || retry_limit_reached(&policy, state.tries) {
            return self.failed_for_good(unit, error, kept, tail);
        }
        let record = self.error_record(error);
        let state = self.units.entry(unit).or_default();
        let wait = delay_before(
            &policy,
            state.tries,
            u64::from(unit.element.unwrap_or(0)) << 32 | unit.task.index() as u64,
        );
        let at = now + wait;
        let mut change = self.change(unit, TaskState::UpForRetry);
        (change.error, change.retry_at) = (Some(record.clone()), Some(at));
        let took = self.took(unit);
        self.journal.task(
            change,
            now,
            Details {
                took,
                hint: record.hint.clone(),
                rows: None,
            },
        );
        self.close_attempt(unit, TaskState::Failed, Some(record));
        self.apply(unit, TaskEvent::Retry);
        self.timers.set(at, Due::Retry(unit));
    }

    fn failed_for_good(
        &mut self,
        unit: Unit,
        error: &TaskError,
        kept: Vec<ArtifactRecord>,
        tail: &[String],
    ) {
        let (now, key) = (self.parts.clock.now(), self.key(unit));
        let record = self.error_record(error);
        let metrics = error.evidence.metrics.clone();
        let attempt = self.units.get(&unit).map_or(0, |state| state.attempt);
        if !kept.is_empty() || !metrics.is_empty() {
            let output = OutputRecord {
                artifacts: kept,
                metrics,
                ..OutputRecord::default()
            };
            self.journal.change(Change::Output {
                key: key.clone(),
                attempt,
                output,
                at: now,
            });
        }
        if unit.element.is_none() {
            self.task_failed(unit.task, &record, attempt, tail);
        } else if self.first_failure.is_none() && !self.plan.graph[unit.task].allow_failure {
            self.first_failure = Some(format!("`{key}`: {}", record.message));
        }
        let hint = record.hint.clone();
        self.unit_is_over(
            unit,
            TaskState::Failed,
            None,
            Some(record),
            Details {
                hint,
                ..Details::default()
            },
        );
        self.set_view(unit, TaskState::Failed);
        self.apply(unit, TaskEvent::Fail);
        self.reader_is_done(unit);
    }

    fn task_failed(
        &mut self,
        task: TaskIndex,
        record: &ErrorRecord,
        attempt: u32,
        tail: &[String],
    ) {
        let planned = &self.plan.graph[task];
        if !planned.allow_failure && self.first_failure.is_none() {
            self.first_failure = Some(format!("`{}`: {}", planned.name, record.message));
        }
        let content = json!({"message": record.message, "hint": record.hint, "attempt": attempt, "log_tail": tail});
        self.mail(AlertKind::Failure, Some(task), content);
    }

    /// A task has come to its end without an attempt of its own.
    pub(super) fn task_ended(&mut self, task: TaskIndex, state: TaskState) {
        let now = self.parts.clock.now();
        let mut change = row(&self.key(task.into()), state);
        change.ended = Some(now);
        let rule = self.plan.graph[task].trigger_rule;
        if state == TaskState::Skipped {
            change.note = Some(format!(
                "by its trigger rule {}",
                json!(rule).as_str().unwrap_or_default()
            ));
        }
        self.journal.task(change, now, Details::default());
        self.shelf.set_state(task, state);
        self.reader_is_done(task.into());
    }

    /// All elements of a repeated task are final: what they have put out becomes the task's own.
    pub(super) async fn gather(&mut self, task: TaskIndex, state: TaskState) {
        let now = self.parts.clock.now();
        let gathered = if state == TaskState::Success {
            self.shelf.gather(&self.parts, task).await
        } else {
            Ok(())
        };
        let (state, error) = match gathered {
            Ok(()) => (state, None),
            Err(error) => (TaskState::Failed, Some(self.error_record(&error))),
        };
        self.shelf.set_state(task, state);
        let mut change = self.change(task.into(), state);
        change.ended = Some(now);
        change.elements = self
            .items
            .get(&task)
            .map(|items| u32::try_from(items.len()).unwrap_or(u32::MAX));
        if state == TaskState::Skipped && change.elements == Some(0) {
            change.note = Some("its list is empty".to_owned());
        }
        if state == TaskState::Failed {
            let record = error.unwrap_or_else(|| ErrorRecord {
                fault: crate::operator::Fault::User,
                message: "one of its elements failed".to_owned(),
                hint: None,
            });
            self.task_failed(task, &record, 0, &[]);
            change.error = Some(record);
        }
        let rows = self.shelf.rows(task);
        let took = self.took(task.into());
        self.journal.task(
            change,
            now,
            Details {
                took,
                rows,
                hint: None,
            },
        );
        self.scheduler.close(task, state, &mut self.decisions);
        self.reader_is_done(task.into());
    }

    /// Writes down a unit's final state and the end of its attempt.
    fn unit_is_over(
        &mut self,
        unit: Unit,
        state: TaskState,
        note: Option<String>,
        error: Option<ErrorRecord>,
        mut details: Details,
    ) {
        let now = self.parts.clock.now();
        details.took = self.took(unit);
        let mut change = self.change(unit, state);
        (change.ended, change.note, change.error) = (Some(now), note, error.clone());
        self.journal.task(change, now, details);
        if self.units.get(&unit).is_some_and(|state| state.attempt > 0) {
            self.close_attempt(unit, state, error);
        }
        if let Some(state) = self.units.get_mut(&unit) {
            state.settings = None;
        }
    }

    pub(super) fn close_attempt(
        &mut self,
        unit: Unit,
        state: TaskState,
        error: Option<ErrorRecord>,
    ) {
        let now = self.parts.clock.now();
        let key = self.key(unit);
        let Some(known) = self.units.get(&unit) else {
            return;
        };
        let attempt = AttemptRecord {
            key,
            number: known.attempt,
            state,
            started: known.started.unwrap_or(now),
            ended: Some(now),
            error,
        };
        self.journal.change(Change::Attempt(attempt));
    }

    /// A unit's row in `state`, with what is known of its attempts.
    pub(super) fn change(&self, unit: Unit, state: TaskState) -> TaskChange {
        let mut change = row(&self.key(unit), state);
        if let Some(known) = self.units.get(&unit) {
            (change.attempt, change.tries, change.losses, change.started) =
                (known.attempt, known.tries, known.losses, known.started);
        }
        change
    }

    fn took(&self, unit: Unit) -> Option<std::time::Duration> {
        let started = self.units.get(&unit)?.started?;
        (self.parts.clock.now() - started).to_std().ok()
    }

    fn set_view(&mut self, unit: Unit, state: TaskState) {
        if unit.element.is_none() {
            self.shelf.set_state(unit.task, state);
        }
    }

    fn reader_is_done(&mut self, unit: Unit) {
        if unit.element.is_none() {
            let plan = std::sync::Arc::clone(&self.plan);
            self.shelf.reader_is_done(&plan.graph[unit.task].from);
        }
    }

    pub(super) fn error_record(&self, error: &TaskError) -> ErrorRecord {
        ErrorRecord {
            fault: error.fault,
            message: blot(&error.full_message(), &self.secrets),
            hint: error.hint.as_ref().map(|hint| blot(hint, &self.secrets)),
        }
    }
}
