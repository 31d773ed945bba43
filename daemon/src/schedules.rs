//! Makes runs when it is time, and when other pipelines have succeeded.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pipectl_engine::{
    operator::Interval,
    plan::Plan,
    state::RunState,
    store::{Created, NewRun, RunKind, RunRecord, StoreError},
    time::Timestamp,
    trigger::{Overlap, Schedule, Trigger},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    desk::{Desk, interval_key, queued},
    dispatch::say,
    measures::Measures,
};

/// How long to sleep at most: a clock may be set.
const LONGEST: Duration = Duration::from_secs(10);
/// The same for a clock that tests move.
const JUMP: Duration = Duration::from_millis(500);
/// How long after a success one that ended earlier may still appear: clocks of daemons differ, and commits take time.
const LATE: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// How many successes are looked at in one go.
const PAGE: u32 = 1_000;

/// Starts what is due.
#[derive(Debug)]
pub(crate) struct Scheduler {
    desk: Desk,
    measures: Arc<Measures>,
    /// When each pipeline's schedule is next due; empty when the pipelines have changed.
    next: BTreeMap<String, Timestamp>,
    /// Successes that `after` pipelines have dealt with, with their end.
    followed: BTreeMap<(String, pipectl_engine::id::RunId), Timestamp>,
}

impl Scheduler {
    pub(crate) fn new(desk: Desk, measures: Arc<Measures>) -> Self {
        Self {
            desk,
            measures,
            next: BTreeMap::new(),
            followed: BTreeMap::new(),
        }
    }

    /// Makes runs until it is told to stop.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        let mut edits = self.desk.catalogue.changes();
        while !stop.is_cancelled() {
            if edits.has_changed().unwrap_or(false) {
                edits.borrow_and_update();
                self.next.clear();
            }
            let store = Arc::clone(self.desk.store());
            let changed = store.changed();
            self.tick().await;
            tokio::select! {
                () = stop.cancelled() => {}
                _ = edits.changed() => {}
                () = changed, if self.follows() => tokio::time::sleep(Duration::from_millis(20)).await,
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
    }

    fn follows(&self) -> bool {
        self.desk
            .catalogue
            .plans()
            .iter()
            .any(|plan| after(plan).is_some())
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
                Trigger::After { pipelines, all } => self.follow(&plan, pipelines, *all).await,
                Trigger::Sensor(_) => Ok(()),
            };
            if let Err(error) = done {
                say(&format!("cannot start `{}`", plan.name), &error);
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
        if !self.room(plan, schedule.overlap, now).await? {
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
        let created = store.create_runs(&runs).await?;
        for (run, _) in runs
            .iter()
            .zip(&created)
            .filter(|(_, created)| **created == Created::New)
        {
            tracing::info!(pipeline = &*plan.name, run = %run.id, "due");
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
        active.retain(|record| record.run.kind == RunKind::Scheduled);
        if active.len() < plan.max_active_runs as usize {
            return Ok(true);
        }
        if overlap == Overlap::Replace {
            for record in &active {
                store.cancel(record.run.id, now).await?;
                tracing::info!(pipeline = &*plan.name, run = %record.run.id, "cancelled: the next run takes its place (`overlap: replace`)");
            }
        }
        Ok(overlap == Overlap::Replace)
    }

    /// Makes the runs that follow successes of other pipelines.
    async fn follow(
        &mut self,
        plan: &Arc<Plan>,
        upstream: &[String],
        all: bool,
    ) -> Result<(), StoreError> {
        let now = self.desk.now();
        let store = Arc::clone(self.desk.store());
        let record = store.schedule(&plan.name, now).await?;
        if record.paused {
            return Ok(());
        }
        // The cursor stays behind what was dealt with, so that what appears late is still found; it begins at the moment
        // when the pipeline was first seen.
        let successes = store.successes_since(upstream, record.cursor, PAGE).await?;
        let mut last = record.cursor;
        for success in &successes {
            let id = success.run.id;
            let Some(ended) = success.ended else { continue };
            let key = (plan.name.to_string(), id);
            if self.followed.contains_key(&key) {
                continue;
            }
            let alone = success.run.kind == RunKind::Backfill
                && success.run.trigger["cascade"] != json!(true);
            if alone {
                continue;
            }
            if let Some(run) = self.follower(plan, upstream, all, success, now).await? {
                self.desk.keep(plan).await?;
                if store.create_runs(&[run]).await? == [Created::New] {
                    tracing::info!(pipeline = &*plan.name, after = %id, "due: `{}` has succeeded", success.run.pipeline);
                }
            }
            self.followed.insert(key, ended);
            last = last.max(ended - LATE);
        }
        if last > record.cursor {
            store.advance(&plan.name, last).await?;
        }
        self.followed.retain(|_, ended| *ended > now - LATE * 3);
        Ok(())
    }

    async fn follower(
        &self,
        plan: &Plan,
        upstream: &[String],
        all: bool,
        success: &RunRecord,
        now: Timestamp,
    ) -> Result<Option<NewRun>, StoreError> {
        let store = self.desk.store();
        let key = if all {
            // The same interval of every pipeline; a run without one has no counterpart.
            let Some(interval) = success.run.interval else {
                return Ok(None);
            };
            for other in upstream
                .iter()
                .filter(|name| **name != success.run.pipeline)
            {
                if store.success_of(other, interval).await?.is_none() {
                    return Ok(None);
                }
            }
            format!("after:{}", interval_key(interval))
        } else {
            format!("after:{}:{}", success.run.id, success.redo)
        };
        Ok(
            match queued(plan, RunKind::After, key, success.run.interval, now) {
                Ok(run) => Some(NewRun {
                    trigger: json!({"pipeline": success.run.pipeline, "run": success.run.id}),
                    ..run
                }),
                Err(error) => {
                    tracing::error!(pipeline = &*plan.name, "cannot start: {error}");
                    None
                }
            },
        )
    }
}

/// The pipelines that a plan follows.
fn after(plan: &Plan) -> Option<&[String]> {
    match &plan.schedule.as_ref()?.trigger {
        Trigger::After { pipelines, .. } => Some(pipelines),
        _ => None,
    }
}
