//! Brings the changes of many writes into tables' rows.
//!
//! The last of several changes of one row counts, so that each row is written once. Changes that read what stands in
//! the database, a reset and a registration, are steps of their own between the rows.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use pipectl_engine::{
    id::TaskKey,
    state::RunState,
    store::{
        AttemptRecord, Change, EventRecord, NewMail, OutputRecord, RegisterModel, RunChange,
        RunWrite, TaskChange, WriteOutcome,
    },
    time::Timestamp,
};
use serde_json::Value;
use uuid::Uuid;

/// A run with the token that its writer holds; rows name it by its index.
pub(crate) type Slot = i32;

/// The changes of many writes.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    /// The runs and tokens.
    pub(crate) fences: IndexMap<(Uuid, i64), ()>,
    /// What to do, in order.
    pub(crate) steps: Vec<Step<'a>>,
    open: Rows<'a>,
}

/// One step of a batch.
pub(crate) enum Step<'a> {
    /// Rows to be inserted or updated.
    Rows(Box<Rows<'a>>),
    /// A task starts over.
    Reset(Slot, &'a str),
    /// A model is registered.
    Register(Slot, &'a RegisterModel),
}

/// Rows to be inserted or updated, by table and key.
#[derive(Default)]
pub(crate) struct Rows<'a> {
    pub(crate) runs: IndexMap<Slot, RunRow<'a>>,
    pub(crate) tasks: IndexMap<(Slot, &'a str, i64), &'a TaskChange>,
    pub(crate) settings: IndexMap<(Slot, &'a TaskKey), &'a Value>,
    pub(crate) outputs: IndexMap<(Slot, &'a TaskKey), Output<'a>>,
    pub(crate) states: IndexMap<(Slot, &'a TaskKey), &'a Value>,
    pub(crate) attempts: IndexMap<(Slot, &'a TaskKey, u32), &'a AttemptRecord>,
    pub(crate) events: IndexMap<(Slot, u64), &'a EventRecord>,
    pub(crate) mails: IndexMap<(Slot, Uuid), &'a NewMail>,
}

/// What a task has put out.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    pub(crate) attempt: u32,
    pub(crate) record: &'a OutputRecord,
    pub(crate) at: Timestamp,
}

/// Several changes of a run as one.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says of one column whether what stands there may stay"
)]
pub(crate) struct RunRow<'a> {
    pub(crate) state: RunState,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    /// Whether the end that stands in the database may stay.
    pub(crate) keep_ended: bool,
    pub(crate) error: Option<&'a str>,
    /// Whether the error that stands in the database may stay.
    pub(crate) keep_error: bool,
    pub(crate) outputs: Option<&'a Value>,
    pub(crate) redo: Option<u32>,
    /// Whether what is to be done again is still to be done.
    pub(crate) keep_requeued: bool,
    /// Whether a wish to cancel it still stands.
    pub(crate) keep_cancelling: bool,
}

impl<'a> RunRow<'a> {
    /// No change yet.
    fn unchanged() -> Self {
        Self {
            keep_ended: true,
            keep_error: true,
            keep_requeued: true,
            keep_cancelling: true,
            ..Self::default()
        }
    }

    fn apply(&mut self, change: &'a RunChange) {
        let (over, failed) = (change.state.is_final(), change.state == RunState::Failed);
        self.state = change.state;
        self.started = change.started.or(self.started);
        self.ended = change.ended.or(self.ended).filter(|_| over);
        self.keep_ended &= over;
        self.error = change.error.as_deref().or(self.error).filter(|_| failed);
        self.keep_error &= failed;
        self.outputs = change.outputs.as_ref().or(self.outputs);
        self.redo = change.redo.or(self.redo);
        self.keep_requeued &= change.state == RunState::Queued;
        self.keep_cancelling &= !over;
    }
}

impl<'a> Batch<'a> {
    /// The changes of `writes`, and the slot of each write.
    pub(crate) fn of(writes: &'a [RunWrite]) -> (Self, Vec<Slot>) {
        let mut batch = Self::default();
        let slots = writes.iter().map(|write| batch.add(write)).collect();
        batch.close();
        (batch, slots)
    }

    /// The run of a slot.
    pub(crate) fn run(&self, slot: Slot) -> Option<Uuid> {
        let ((run, _), ()) = self.fences.get_index(usize::try_from(slot).ok()?)?;
        Some(*run)
    }

    fn add(&mut self, write: &'a RunWrite) -> Slot {
        let fence = (
            write.run.uuid(),
            i64::try_from(write.fence).unwrap_or(i64::MAX),
        );
        let (index, _) = self.fences.insert_full(fence, ());
        let slot = Slot::try_from(index).unwrap_or(Slot::MAX);
        for change in &write.changes {
            self.change(slot, change);
        }
        slot
    }

    fn change(&mut self, slot: Slot, change: &'a Change) {
        let rows = &mut self.open;
        match change {
            Change::Run(change) => {
                let row = rows.runs.entry(slot);
                row.or_insert_with(RunRow::unchanged).apply(change);
            }
            Change::Task(change) => {
                rows.tasks
                    .insert((slot, &change.task, element(change.element)), change);
            }
            Change::Settings { key, settings } => {
                rows.settings.insert((slot, key), settings);
            }
            Change::Attempt(attempt) => {
                rows.attempts
                    .insert((slot, &attempt.key, attempt.number), attempt);
            }
            Change::Output {
                key,
                attempt,
                output,
                at,
            } => {
                rows.outputs.insert(
                    (slot, key),
                    Output {
                        attempt: *attempt,
                        record: output,
                        at: *at,
                    },
                );
            }
            Change::State { key, state } => {
                rows.states.insert((slot, key), state);
            }
            Change::Event(event) => {
                rows.events.insert((slot, event.number), event);
            }
            Change::Mail(mail) => {
                rows.mails.insert((slot, mail.id), mail);
            }
            Change::Register(model) => self.step(Step::Register(slot, model)),
            Change::Reset { task } => self.step(Step::Reset(slot, task)),
        }
    }

    fn step(&mut self, step: Step<'a>) {
        self.close();
        self.steps.push(step);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.steps
                .push(Step::Rows(Box::new(std::mem::take(&mut self.open))));
        }
    }
}

impl Rows<'_> {
    fn is_empty(&self) -> bool {
        self.runs.is_empty()
            && self.tasks.is_empty()
            && self.settings.is_empty()
            && self.outputs.is_empty()
            && self.states.is_empty()
            && self.attempts.is_empty()
            && self.events.is_empty()
            && self.mails.is_empty()
    }
}

/// Whether one of the writes ends its run.
pub(crate) fn ends_a_run(writes: &[RunWrite]) -> bool {
    let mut changes = writes.iter().flat_map(|write| &write.changes);
    changes.any(|change| matches!(change, Change::Run(run) if run.state.is_final()))
}

/// What has become of writes, when the tokens of the slots `good` hold.
pub(crate) fn outcomes(slots: Vec<Slot>, good: &[Slot]) -> Vec<WriteOutcome> {
    let outcome = |slot| {
        if good.contains(&slot) {
            WriteOutcome::Done
        } else {
            WriteOutcome::Stale
        }
    };
    slots.into_iter().map(outcome).collect()
}

/// The measures that are numbers: others cannot be kept.
pub(crate) fn finite(metrics: &BTreeMap<String, f64>) -> BTreeMap<&str, f64> {
    let finite = metrics.iter().filter(|(_, value)| value.is_finite());
    finite
        .map(|(name, value)| (name.as_str(), *value))
        .collect()
}

/// An element as stored: -1 for a task that is not repeated.
pub(crate) fn element(element: Option<u32>) -> i64 {
    element.map_or(-1, i64::from)
}

/// Text without the null characters that Postgres cannot keep.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A value as JSON text.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    // The records are maps with text as keys: writing them cannot fail.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// An output as JSON text; measures that are no numbers are left out, for JSON cannot say them.
pub(crate) fn output_json(output: &OutputRecord) -> String {
    if output.metrics.values().all(|value| value.is_finite()) {
        return json(output);
    }
    let mut output = output.clone();
    output.metrics.retain(|_, value| value.is_finite());
    json(&output)
}

/// What names the task that a version is reserved for.
pub(crate) fn reservation(run: Uuid, key: &TaskKey) -> String {
    format!("{run}/{key}")
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        id::RunId,
        time::{Clock, SystemClock},
    };

    use super::*;

    #[test]
    fn each_row_is_written_once() {
        let run = RunId::new(SystemClock.now());
        let task = |attempt| {
            Change::Task(TaskChange {
                task: "a".to_owned(),
                attempt,
                ..TaskChange::default()
            })
        };
        let reset = Change::Reset {
            task: "a".to_owned(),
        };
        let writes = [
            RunWrite {
                run,
                fence: 1,
                changes: vec![task(1), task(2)],
            },
            RunWrite {
                run,
                fence: 2,
                changes: vec![task(3)],
            },
            RunWrite {
                run,
                fence: 1,
                changes: vec![task(4), reset, task(5)],
            },
        ];
        let (batch, slots) = Batch::of(&writes);
        assert_eq!(slots, [0, 1, 0]);
        assert_eq!(batch.steps.len(), 3);
        let Step::Rows(rows) = &batch.steps[0] else {
            panic!()
        };
        let attempts: Vec<_> = rows
            .tasks
            .iter()
            .map(|(key, change)| (key.0, change.attempt))
            .collect();
        assert_eq!(attempts, [(0, 4), (1, 3)]);
    }

    #[test]
    fn an_end_that_was_taken_away_does_not_come_back() {
        let changes = [RunState::Failed, RunState::Running, RunState::Success].map(|state| {
            let error = (state == RunState::Failed).then(|| "no space".to_owned());
            RunChange {
                state,
                error,
                ..RunChange::default()
            }
        });
        let mut row = RunRow::unchanged();
        row.apply(&changes[0]);
        assert!(row.keep_ended && row.error.is_some());
        row.apply(&changes[1]);
        row.apply(&changes[2]);
        assert!(!row.keep_ended && row.error.is_none() && !row.keep_error);
    }

    #[test]
    fn measures_that_are_no_numbers_are_left_out() {
        let metrics = [("f1".to_owned(), 0.5), ("loss".to_owned(), f64::NAN)]
            .into_iter()
            .collect();
        let text = output_json(&OutputRecord {
            metrics,
            ..OutputRecord::default()
        });
        let read: OutputRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read.metrics.keys().collect::<Vec<_>>(), ["f1"]);
    }
}
