//! Makes runs when it is time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pipectl_engine::{
    failpoint,
    operator::Interval,
    plan::Plan,
    state::RunState,
    store::{Created, RunKind, RunRecord, StoreError},
    time::Timestamp,
    trigger::{Overlap, Schedule, Trigger},
};
use tokio_util::sync::CancellationToken;

use crate::{
    desk::{Desk, interval_key, queued},
    following::Following,
    measures::Measures,
};

/// How long to sleep at most: a clock may be set.
const LONGEST: Duration = Duration::from_secs(10);
/// The same for a clock that tests move.
const JUMP: Duration = Duration::from_millis(500);
/// How many runs under way are looked at.
const PAGE: u32 = 1_000;

/// Starts what is due.
#[derive(Debug)]
pub(crate) struct Scheduler {
    desk: Desk,
    measures: Arc<Measures>,
    /// When each pipeline's schedule is next due; empty when the pipelines have changed.
    next: BTreeMap<String, Timestamp>,
    following: Following,
}

impl Scheduler {
    pub(crate) fn new(desk: Desk, measures: Arc<Measures>) -> Self {
        Self {
            following: Following::new(desk.clone()),
            desk,
            measures,
            next: BTreeMap::new(),
        }
    }

    /// Makes runs until it is told to stop.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        let mut edits = self.desk.catalogue.changes();
        while !stop.is_cancelled() {
            let store = Arc::clone(self.desk.store());
            let changed = store.changed();
            self.tick().await;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                _ = edits.changed() => self.next.clear(),
                () = changed, if self.follows() => tokio::time::sleep(Duration::from_millis(20)).await,
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
    }

    fn follows(&self) -> bool {
        self.desk.catalogue.plans().iter().any(|plan| follows(plan))
    }

    fn pause(&self) -> Duration {
        let now = self.desk.now();
        let longest = if self.desk.clock().can_jump() {
            JUMP
        } else {
            LONGEST
        };
        let next = self.next.values().min();
        next.map_or(longest, |next| {
            (*next - now).to_std().unwrap_or_default().min(longest)
        })
    }

    async fn tick(&mut self) {
        for plan in self.desk.catalogue.plans() {
            let Some(schedule) = plan.schedule.clone() else {
                continue;
            };
            let done = match &schedule.trigger {
                Trigger::Time(_) => self.time(&plan, &schedule).await,
                Trigger::After { .. } => self.following.follow(&plan, &schedule).await,
                Trigger::Sensor(_) => Ok(()),
            };
            if let Err(error) = done {
                self.desk
                    .say(&format!("cannot start `{}`", plan.name), &error);
            }
        }
    }

    async fn time(&mut self, plan: &Arc<Plan>, schedule: &Schedule) -> Result<(), StoreError> {
        let now = self.desk.now();
        if self.next.get(&*plan.name).is_some_and(|next| *next > now) {
            return Ok(());
        }
        let store = self.desk.store();
        let record = store
            .schedule(&plan.name, schedule.first_cursor(now))
            .await?;
        if record.paused {
            // Looked at again soon: somebody may let it go on.
            self.next
                .insert(plan.name.to_string(), now + chrono::TimeDelta::seconds(5));
            return Ok(());
        }
        let mut cursor = record.cursor;
        loop {
            let due = schedule.due(cursor, now);
            if !due.intervals.is_empty() {
                self.make(plan, schedule, &due.intervals, now).await?;
            }
            if due.cursor > cursor {
                store.advance(&plan.name, due.cursor).await?;
            }
            if !due.more {
                break;
            }
            cursor = due.cursor;
        }
        let next = schedule.next(now).unwrap_or(Timestamp::MAX_UTC);
        self.next.insert(plan.name.to_string(), next);
        Ok(())
    }

    async fn make(
        &self,
        plan: &Arc<Plan>,
        schedule: &Schedule,
        intervals: &[Interval],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let store = self.desk.store();
        let room = self
            .room(plan, schedule.overlap, intervals.len(), now)
            .await?;
        if !room {
            tracing::warn!(
                pipeline = &*plan.name,
                "left out: as many runs as `max_active_runs` allows are under way (`overlap: skip`)"
            );
            return Ok(());
        }
        let mut runs = Vec::with_capacity(intervals.len());
        for interval in intervals {
            match queued(
                plan,
                RunKind::Scheduled,
                interval_key(*interval),
                Some(*interval),
                now,
            ) {
                Ok(run) => runs.push(run),
                Err(error) => {
                    tracing::error!(pipeline = &*plan.name, "cannot start: {error}");
                    return Ok(());
                }
            }
        }
        self.desk.keep(plan).await?;
        failpoint::hit("before_schedule");
        let created = store.create_runs(&runs).await?;
        failpoint::hit("after_schedule");
        for (run, _) in runs
            .iter()
            .zip(&created)
            .filter(|(_, created)| **created == Created::New)
        {
            let shown = run.interval.map(|interval| shown(plan, interval));
            tracing::info!(pipeline = &*plan.name, run = %run.id, interval = shown, "due");
            let late = run.interval.map(|interval| self.desk.now() - interval.end);
            self.measures.late(
                late.and_then(|late| late.to_std().ok())
                    .unwrap_or_default()
                    .as_secs_f64(),
            );
        }
        Ok(())
    }

    /// Whether a run may be made by the rule of overlaps; those under way are cancelled when it replaces them.
    async fn room(
        &self,
        plan: &Plan,
        overlap: Overlap,
        new: usize,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if overlap == Overlap::Queue {
            return Ok(true);
        }
        let store = self.desk.store();
        let mut active = Vec::new();
        for state in [RunState::Running, RunState::Queued] {
            let filter = pipectl_engine::store::RunFilter {
                pipeline: Some(plan.name.to_string()),
                state: Some(state),
                limit: PAGE,
                ..Default::default()
            };
            active.extend(store.runs(&filter).await?);
        }
        // What is asked to stop makes room already.
        active.retain(|record| record.run.kind == RunKind::Scheduled && !record.cancelling);
        let most = plan.max_active_runs as usize;
        if active.len() < most {
            return Ok(true);
        }
        if overlap == Overlap::Replace {
            for record in surplus(active, new, most) {
                store.cancel(record.run.id, now).await?;
                tracing::info!(pipeline = &*plan.name, run = %record.run.id, "cancelled: the next run takes its place (`overlap: replace`)");
            }
        }
        Ok(overlap == Overlap::Replace)
    }
}

/// `2026-10-01T00:00:00+02:00/2026-10-02T00:00:00+02:00`
fn shown(plan: &Plan, interval: Interval) -> String {
    let local = |moment: Timestamp| moment.with_timezone(&plan.zone()).to_rfc3339();
    format!("{}/{}", local(interval.start), local(interval.end))
}

/// Whether a plan runs after others.
fn follows(plan: &Plan) -> bool {
    let trigger = plan.schedule.as_ref().map(|schedule| &schedule.trigger);
    matches!(trigger, Some(Trigger::After { .. }))
}

/// Those that make room for `new` ones when at most `most` may be under way: the oldest.
fn surplus(mut active: Vec<RunRecord>, new: usize, most: usize) -> Vec<RunRecord> {
    active.sort_by_key(|record| record.run.id);
    active.truncate((active.len() + new).saturating_sub(most));
    active
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        plan::testing,
        store::{NewRun, RunStore as _},
        trigger::Cadence,
    };

    use super::*;
    use crate::testing::{Bench, made};

    #[tokio::test]
    async fn replacing_makes_room_for_what_is_new() {
        let bench = Bench::new();
        let mut plan = testing::plan("often");
        plan.max_active_runs = 3;
        let plan = Arc::new(plan);
        let scheduler = Scheduler::new(bench.desk().await, Arc::default());
        let mut runs = Vec::new();
        for seconds in [40, 30, 20] {
            let run = NewRun {
                kind: RunKind::Scheduled,
                enqueued: true,
                ..made(&bench, "often", seconds)
            };
            bench.store.create_run(&run).await.unwrap();
            runs.push(run.id);
        }
        let now = bench.now();
        let cadence = Cadence::every(Duration::from_secs(10)).unwrap();
        let schedule = Schedule {
            overlap: Overlap::Replace,
            ..Schedule::new(Trigger::Time(cadence))
        };
        let interval = Interval {
            start: now - chrono::TimeDelta::seconds(10),
            end: now,
        };
        scheduler
            .make(&plan, &schedule, &[interval], now)
            .await
            .unwrap();
        let records = bench.runs("often").await;
        assert_eq!(records.len(), 4);
        let cancelled: Vec<_> = records
            .iter()
            .filter(|record| record.state == RunState::Cancelled)
            .map(|record| record.run.id)
            .collect();
        assert_eq!(cancelled, runs[..1]);
    }
}
