//! The memory of triggers, in memory.

use async_trait::async_trait;
use indexmap::map::Entry;
use uuid::Uuid;

use super::{Content, MemoryStore, RunEntry};
use crate::{
    id::RunId,
    operator::Interval,
    state::RunState,
    store::{
        Backfill, BackfillState, Created, NewRun, Progress, Redo, RunRecord, ScheduleRecord,
        SensorKey, SensorRecord, StoreError, Thing, ThingRecord, ThingState, Triggers,
    },
    time::Timestamp,
};

#[async_trait]
impl Triggers for MemoryStore {
    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        Ok(self.lock().schedules.values().cloned().collect())
    }

    async fn schedule(
        &self,
        pipeline: &str,
        cursor: Timestamp,
    ) -> Result<ScheduleRecord, StoreError> {
        Ok(self.lock().schedule(pipeline, cursor).clone())
    }

    async fn advance(&self, pipeline: &str, cursor: Timestamp) -> Result<(), StoreError> {
        let mut content = self.lock();
        let schedule = content.schedule(pipeline, cursor);
        schedule.cursor = schedule.cursor.max(cursor);
        Ok(())
    }

    async fn pause(&self, pipeline: &str, paused: bool, now: Timestamp) -> Result<(), StoreError> {
        let mut content = self.lock();
        let schedule = content.schedule(pipeline, now);
        if schedule.paused && !paused {
            schedule.cursor = schedule.cursor.max(now);
        }
        schedule.paused = paused;
        Ok(())
    }

    async fn successes_since(
        &self,
        pipelines: &[String],
        since: Timestamp,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let content = self.lock();
        let runs = content.runs.values().map(|entry| &entry.record);
        let mut successes: Vec<_> = runs
            .filter(|record| {
                record.state == RunState::Success
                    && record
                        .ended
                        .is_some_and(|ended| (ended, Some(record.run.id)) > (since, after))
                    && pipelines.contains(&record.run.pipeline)
            })
            .cloned()
            .collect();
        successes.sort_by_key(|record| (record.ended, record.run.id));
        successes.truncate(limit as usize);
        Ok(successes)
    }

    async fn success_of(
        &self,
        pipeline: &str,
        interval: Interval,
    ) -> Result<Option<RunId>, StoreError> {
        let content = self.lock();
        let runs = content.runs.values().rev().map(|entry| &entry.record);
        let mut successes = runs.filter(|record| {
            record.state == RunState::Success
                && record.run.pipeline == pipeline
                && record.run.interval == Some(interval)
        });
        Ok(successes.next().map(|record| record.run.id))
    }

    async fn sensor(&self, key: &SensorKey, now: Timestamp) -> Result<SensorRecord, StoreError> {
        Ok(self.lock().sensor(key, now).clone())
    }

    async fn sensors(&self) -> Result<Vec<SensorRecord>, StoreError> {
        Ok(self.lock().sensors.values().cloned().collect())
    }

    async fn looked(
        &self,
        key: &SensorKey,
        now: Timestamp,
        error: Option<&str>,
    ) -> Result<u32, StoreError> {
        let mut content = self.lock();
        let sensor = content.sensor(key, now);
        if error.is_none() || sensor.looked.is_some() {
            sensor.looked = Some(now);
        }
        sensor.error = error.map(str::to_owned);
        sensor.failures = if error.is_some() {
            sensor.failures + 1
        } else {
            0
        };
        Ok(sensor.failures)
    }

    async fn unseen(
        &self,
        key: &SensorKey,
        identities: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let content = self.lock();
        let ledger = content.things.get(key);
        let seen = |identity: &String| ledger.is_some_and(|things| things.contains_key(identity));
        let unseen = identities.iter().filter(|identity| !seen(identity));
        Ok(unseen.cloned().collect())
    }

    async fn ignore(
        &self,
        key: &SensorKey,
        things: &[Thing],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut content = self.lock();
        let ledger = content.things.entry(key.clone()).or_default();
        for thing in things {
            let entry = ledger.entry(thing.identity.clone());
            entry.or_insert_with(|| ThingRecord {
                thing: thing.clone(),
                state: ThingState::Ignored,
                seen: now,
                run: None,
            });
        }
        Ok(())
    }

    async fn sense(
        &self,
        key: &SensorKey,
        things: &[(Thing, NewRun)],
        now: Timestamp,
    ) -> Result<Vec<Created>, StoreError> {
        let mut content = self.lock();
        let created = things
            .iter()
            .map(|(thing, run)| content.sense(key, thing, run, now))
            .collect();
        self.changed.notify_waiters();
        Ok(created)
    }

    async fn to_settle(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError> {
        let content = self.lock();
        let things = content.things.get(key).into_iter().flatten();
        let mut due: Vec<_> = things
            .map(|(_, thing)| thing)
            .filter(|thing| content.is_due(thing))
            .cloned()
            .collect();
        due.sort_by(|a, b| (a.seen, &a.thing.identity).cmp(&(b.seen, &b.thing.identity)));
        due.truncate(limit as usize);
        Ok(due)
    }

    async fn settled(&self, key: &SensorKey, identity: &str) -> Result<(), StoreError> {
        let mut content = self.lock();
        let ledger = content.things.get_mut(key);
        if let Some(thing) = ledger.and_then(|things| things.get_mut(identity))
            && thing.state == ThingState::Taken
        {
            thing.state = ThingState::Settled;
        }
        Ok(())
    }

    async fn things(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError> {
        let content = self.lock();
        let things = content.things.get(key).into_iter().flatten();
        let mut things: Vec<_> = things.map(|(_, thing)| thing.clone()).collect();
        things.sort_by(|a, b| (b.seen, &b.thing.identity).cmp(&(a.seen, &a.thing.identity)));
        things.truncate(limit as usize);
        Ok(things)
    }

    async fn forget(&self, key: &SensorKey, identity: Option<&str>) -> Result<u64, StoreError> {
        let mut content = self.lock();
        let Some(ledger) = content.things.get_mut(key) else {
            return Ok(0);
        };
        let forgotten: Vec<_> = match identity {
            None => ledger.drain(..).map(|(_, thing)| thing).collect(),
            Some(identity) => ledger.shift_remove(identity).into_iter().collect(),
        };
        for run in forgotten.iter().filter_map(|thing| thing.run) {
            content.forget_trigger(run);
        }
        Ok(forgotten.len() as u64)
    }

    async fn create_backfill(
        &self,
        backfill: &Backfill,
        runs: &[NewRun],
        again: &[(RunId, Redo)],
        version: &str,
    ) -> Result<(), StoreError> {
        let mut content = self.lock();
        if content.backfills.contains_key(&backfill.id) {
            return Ok(());
        }
        content.backfills.insert(backfill.id, backfill.clone());
        for run in runs {
            content.create(run);
        }
        for (run, redo) in again {
            if content.runs.contains_key(run) {
                content.requeue(*run, *redo, Some(backfill.id), Some(version))?;
            }
        }
        self.changed.notify_waiters();
        Ok(())
    }

    async fn backfills(&self, limit: u32) -> Result<Vec<(Backfill, Progress)>, StoreError> {
        let content = self.lock();
        let mut newest: Vec<_> = content.backfills.values().collect();
        newest.sort_by_key(|backfill| std::cmp::Reverse((backfill.created, backfill.id)));
        newest.truncate(limit as usize);
        let with_progress = |backfill: &Backfill| (backfill.clone(), content.progress(backfill.id));
        Ok(newest.into_iter().map(with_progress).collect())
    }

    async fn backfill(&self, id: Uuid) -> Result<Option<(Backfill, Progress)>, StoreError> {
        let content = self.lock();
        let backfill = content.backfills.get(&id);
        Ok(backfill.map(|backfill| (backfill.clone(), content.progress(id))))
    }

    async fn set_backfill(
        &self,
        id: Uuid,
        state: BackfillState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let present = self.clock.now();
        let mut content = self.lock();
        let backfill = content
            .backfills
            .get_mut(&id)
            .ok_or_else(|| StoreError::NotFound(format!("backfill {id}")))?;
        backfill.state = state;
        if state == BackfillState::Cancelled {
            let runs = content.runs.values_mut();
            for entry in runs.filter(|entry| entry.record.run.backfill == Some(id)) {
                entry.cancel(present, now);
            }
        }
        self.changed.notify_waiters();
        Ok(())
    }

    async fn triggered(
        &self,
        pipeline: &str,
        trigger_key: &str,
    ) -> Result<Option<RunRecord>, StoreError> {
        let content = self.lock();
        let trigger = (pipeline.to_owned(), trigger_key.to_owned());
        let run = content.triggers.get(&trigger);
        let entry = run.and_then(|run| content.runs.get(run));
        Ok(entry.map(|entry| entry.record.clone()))
    }
}

impl Content {
    fn schedule(&mut self, pipeline: &str, cursor: Timestamp) -> &mut ScheduleRecord {
        let entry = self.schedules.entry(pipeline.to_owned());
        entry.or_insert_with(|| ScheduleRecord {
            pipeline: pipeline.to_owned(),
            cursor,
            paused: false,
        })
    }

    fn sensor(&mut self, key: &SensorKey, now: Timestamp) -> &mut SensorRecord {
        let entry = self.sensors.entry(key.clone());
        entry.or_insert_with(|| SensorRecord {
            key: key.clone(),
            since: now,
            looked: None,
            failures: 0,
            error: None,
        })
    }

    fn sense(&mut self, key: &SensorKey, thing: &Thing, run: &NewRun, now: Timestamp) -> Created {
        let ledger = self.things.entry(key.clone()).or_default();
        if let Entry::Occupied(known) = ledger.entry(thing.identity.clone()) {
            return match known.get().run {
                Some(known) if known == run.id => Created::New,
                known => Created::Existing(known.unwrap_or(run.id)),
            };
        }
        let created = self.create(run);
        let run = match created {
            Created::New => run.id,
            Created::Existing(run) => run,
        };
        let taken = ThingRecord {
            thing: thing.clone(),
            state: ThingState::Taken,
            seen: now,
            run: Some(run),
        };
        let ledger = self.things.entry(key.clone()).or_default();
        ledger.insert(thing.identity.clone(), taken);
        created
    }

    /// Whether a thing is taken and its run has succeeded.
    pub(super) fn is_due(&self, thing: &ThingRecord) -> bool {
        let run = thing.run.and_then(|run| self.runs.get(&run));
        thing.state == ThingState::Taken
            && run.is_some_and(|run| run.record.state == RunState::Success)
    }

    fn forget_trigger(&mut self, run: RunId) {
        if let Some(RunEntry { record, .. }) = self.runs.get_mut(&run)
            && let Some(key) = record.run.trigger_key.take()
        {
            self.triggers.remove(&(record.run.pipeline.clone(), key));
        }
    }

    fn progress(&self, backfill: Uuid) -> Progress {
        let mut progress = Progress::default();
        let runs = self.runs.values().map(|entry| &entry.record);
        for record in runs.filter(|record| record.run.backfill == Some(backfill)) {
            progress.add(record.state, 1);
        }
        progress
    }
}
