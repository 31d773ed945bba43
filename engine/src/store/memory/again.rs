//! Runs that are done again, or not after all, in memory.

use serde_json::json;
use uuid::Uuid;

use super::{Before, Content, RunEntry};
use crate::{
    id::RunId,
    state::RunState,
    store::{BackfillState, Cancelled, EventRecord, Redo, StoreError},
    time::Timestamp,
};

impl Content {
    pub(super) fn requeue(
        &mut self,
        run: RunId,
        redo: Redo,
        backfill: Option<Uuid>,
        version: Option<&str>,
    ) -> Result<bool, StoreError> {
        let entry = self
            .runs
            .get_mut(&run)
            .ok_or_else(|| StoreError::NotFound(format!("run {run}")))?;
        let record = &mut entry.record;
        if !record.state.is_final() {
            return Ok(false);
        }
        let running = |id: &Uuid| {
            let known = self.backfills.get(id);
            known.is_some_and(|backfill| backfill.state == BackfillState::Running)
        };
        entry.before = Some(Before {
            state: record.state,
            ended: record.ended.take(),
            error: record.error.take(),
            backfill: record.run.backfill,
            version: record.run.version.clone(),
        });
        if let Some(version) = version.filter(|_| redo == Redo::Anew) {
            version.clone_into(&mut record.run.version);
        }
        record.state = RunState::Queued;
        record.owner = None;
        record.fence += 1;
        record.requeued = Some(redo);
        record.run.enqueued = true;
        record.run.backfill = backfill.or(record.run.backfill.filter(running));
        entry.leased_until = None;
        Ok(true)
    }
}

impl RunEntry {
    /// Wishes the run to be stopped; `at` is when that was.
    pub(super) fn cancel(&mut self, present: Timestamp, at: Timestamp) -> Cancelled {
        let leased = self.leased(present);
        let record = &mut self.record;
        if record.state.is_final() {
            return Cancelled::Over(record.state);
        }
        if record.state != RunState::Queued || leased {
            record.cancelling = true;
            return Cancelled::Asked;
        }
        let again = record.requeued.take().is_some();
        let before = self.before.take().filter(|_| again);
        if let Some(before) = &before {
            (record.state, record.ended) = (before.state, before.ended);
            record.error.clone_from(&before.error);
            record.run.backfill = before.backfill;
            record.run.version.clone_from(&before.version);
        } else {
            (record.state, record.ended) = (RunState::Cancelled, Some(at));
        }
        record.fence += 1;
        record.cancelling = false;
        self.leased_until = None;
        record.last_event += 1;
        let event = EventRecord {
            number: record.last_event,
            at,
            kind: "run".to_owned(),
            key: None,
            data: json!({"state": record.state, "error": record.error}),
        };
        self.events.insert(event.number, event);
        before.map_or(Cancelled::AtOnce, |before| {
            Cancelled::Restored(before.state)
        })
    }
}
