//! Rows of the queue and of triggers as both databases give them, and the records that they become.

use pipectl_engine::{
    id::RunId,
    state::RunState,
    store::{
        Backfill, Claim, Claimed, Daemon, Progress, RunStore, ScheduleRecord, SensorKey,
        SensorRecord, StoreError, Thing, ThingRecord, Turn,
    },
};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    error::unknown,
    rows::{json, maybe_time, named, time, whole},
};

#[derive(FromRow)]
pub(crate) struct ThingRow {
    identity: String,
    name: String,
    details: String,
    size: i64,
    modified: i64,
    state: String,
    seen: i64,
    run: Option<Uuid>,
}

#[derive(FromRow)]
pub(crate) struct SensorRow {
    pipeline: String,
    task: String,
    since: i64,
    looked: Option<i64>,
    failures: i64,
    error: Option<String>,
}

#[derive(FromRow)]
pub(crate) struct BackfillRow {
    id: Uuid,
    pipeline: String,
    first: i64,
    past: i64,
    max_active: i64,
    reprocess: String,
    backwards: bool,
    cascades: bool,
    state: String,
    created: i64,
    queued: i64,
    running: i64,
    success: i64,
    failed: i64,
    cancelled: i64,
}

impl TryFrom<ThingRow> for ThingRecord {
    type Error = StoreError;

    fn try_from(row: ThingRow) -> Result<Self, StoreError> {
        let thing = Thing {
            identity: row.identity,
            name: row.name,
            values: json(&row.details)?,
            size: whole(row.size)?,
            modified: time(row.modified)?,
        };
        Ok(Self {
            thing,
            state: named(&row.state)?,
            seen: time(row.seen)?,
            run: row.run.map(RunId::from),
        })
    }
}

impl TryFrom<SensorRow> for SensorRecord {
    type Error = StoreError;

    fn try_from(row: SensorRow) -> Result<Self, StoreError> {
        Ok(Self {
            key: SensorKey {
                pipeline: row.pipeline,
                task: row.task,
            },
            since: time(row.since)?,
            looked: maybe_time(row.looked)?,
            failures: whole(row.failures)?,
            error: row.error,
        })
    }
}

/// A backfill and how far it is.
pub(crate) fn backfill(row: BackfillRow) -> Result<(Backfill, Progress), StoreError> {
    let backfill = Backfill {
        id: row.id,
        pipeline: row.pipeline,
        from: time(row.first)?,
        to: time(row.past)?,
        max_active: whole(row.max_active)?,
        reprocess: named(&row.reprocess)?,
        backwards: row.backwards,
        cascade: row.cascades,
        state: named(&row.state)?,
        created: time(row.created)?,
    };
    let progress = Progress {
        queued: whole(row.queued)?,
        running: whole(row.running)?,
        success: whole(row.success)?,
        failed: whole(row.failed)?,
        cancelled: whole(row.cancelled)?,
    };
    Ok((backfill, progress))
}

/// A daemon: its name, when it started, whether it is alive.
pub(crate) fn daemon((name, started, alive): (String, i64, bool)) -> Result<Daemon, StoreError> {
    Ok(Daemon {
        name,
        started: time(started)?,
        alive,
    })
}

/// A run that was claimed, and its token.
pub(crate) fn claimed((run, fence): (Uuid, i64)) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        run: run.into(),
        claim: Claim {
            fence: whole(fence)?,
        },
    })
}

/// Whether it is a run's turn: not when too many others are under way, nor when it gave no fencing token.
pub(crate) async fn turn(
    store: &dyn RunStore,
    run: RunId,
    (full, fence): (bool, Option<i64>),
) -> Result<Turn, StoreError> {
    match fence {
        _ if full => Ok(Turn::Full),
        Some(fence) => Ok(Turn::Given(Claim {
            fence: whole(fence)?,
        })),
        None => {
            let known = store.run(run).await?;
            known.map(|_| Turn::Held).ok_or_else(|| unknown(run))
        }
    }
}

/// How many runs of a pipeline are in a state.
pub(crate) fn counted(
    (pipeline, state, runs): (String, String, i64),
) -> Result<((String, RunState), u64), StoreError> {
    Ok(((pipeline, named(&state)?), whole(runs)?))
}

/// A schedule: its pipeline, its cursor, whether it is paused.
pub(crate) fn schedule(
    (pipeline, cursor, paused): (String, i64, bool),
) -> Result<ScheduleRecord, StoreError> {
    Ok(ScheduleRecord {
        pipeline,
        cursor: time(cursor)?,
        paused,
    })
}
