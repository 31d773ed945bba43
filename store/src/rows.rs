//! Rows as both databases give them, and the records that they become. Times come as microseconds since 1970, documents
//! as JSON text.

use std::str::FromStr;

use chrono::DateTime;
use pipectl_engine::{
    id::{RunId, TaskKey},
    operator::{Interval, PastOutcome},
    store::{
        AttemptRecord, CachedOutput, EventRecord, NewMail, NewRun, OutputRecord, ParentTask,
        PendingMail, PipelineVersion, RunFilter, RunRecord, StoreError, TaskRecord,
    },
    time::Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::FromRow;
use uuid::Uuid;

use crate::error::unreadable;

#[derive(FromRow)]
pub(crate) struct VersionRow {
    hash: String,
    pipeline: String,
    path: String,
    source: String,
}

#[derive(FromRow)]
pub(crate) struct RunRow {
    id: Uuid,
    pipeline: String,
    version: String,
    kind: String,
    trigger_key: Option<String>,
    trigger_data: String,
    params: String,
    interval_start: Option<i64>,
    interval_end: Option<i64>,
    parent_run: Option<Uuid>,
    parent_task: Option<String>,
    parent_element: Option<i64>,
    created: i64,
    state: String,
    started: Option<i64>,
    ended: Option<i64>,
    error: Option<String>,
    outputs: Option<String>,
    owner: Option<String>,
    fence: i64,
    redo: i64,
    last_event: i64,
    enqueued: bool,
    max_active: Option<i64>,
    backfill: Option<Uuid>,
    requeued: Option<String>,
    cancelling: bool,
}

#[derive(FromRow)]
pub(crate) struct TaskRow {
    task: String,
    element: i64,
    state: Option<String>,
    attempt: Option<i64>,
    tries: Option<i64>,
    losses: Option<i64>,
    started: Option<i64>,
    ended: Option<i64>,
    note: Option<String>,
    elements: Option<i64>,
    error: Option<String>,
    wait: Option<String>,
    retry_at: Option<i64>,
    settings: Option<String>,
    output: Option<String>,
}

#[derive(FromRow)]
pub(crate) struct AttemptRow {
    task: String,
    element: i64,
    number: i64,
    state: String,
    started: i64,
    ended: Option<i64>,
    error: Option<String>,
}

#[derive(FromRow)]
pub(crate) struct EventRow {
    number: i64,
    happened: i64,
    kind: String,
    task: Option<String>,
    element: i64,
    data: String,
}

#[derive(FromRow)]
pub(crate) struct PastRow {
    run: Uuid,
    ended: i64,
    output: Option<String>,
}

#[derive(FromRow)]
pub(crate) struct CachedRow {
    run: Uuid,
    written: i64,
    output: String,
}

#[derive(FromRow)]
pub(crate) struct MailRow {
    id: Uuid,
    run: Option<Uuid>,
    kind: String,
    recipients: String,
    content: String,
    created: i64,
    attempts: i64,
}

pub(crate) fn time(micros: i64) -> Result<Timestamp, StoreError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| unreadable(format!("the time {micros}")))
}

pub(crate) fn maybe_time(micros: Option<i64>) -> Result<Option<Timestamp>, StoreError> {
    micros.map(time).transpose()
}

pub(crate) fn json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(unreadable)
}

pub(crate) fn maybe_json<T: DeserializeOwned>(text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(json).transpose()
}

/// A value that is stored by its name.
pub(crate) fn named<T: DeserializeOwned>(name: &str) -> Result<T, StoreError> {
    serde_json::from_value(name.into()).map_err(unreadable)
}

/// The name by which a value is stored.
pub(crate) fn name_of(value: &impl Serialize) -> String {
    let name = serde_json::to_value(value).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn parsed<T: FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>>(
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(unreadable)
}

pub(crate) fn whole<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(
    number: i64,
) -> Result<T, StoreError> {
    T::try_from(number).map_err(unreadable)
}

pub(crate) fn task_key(task: String, element: i64) -> TaskKey {
    TaskKey {
        task,
        element: u32::try_from(element).ok(),
    }
}

impl From<VersionRow> for PipelineVersion {
    fn from(row: VersionRow) -> Self {
        Self {
            hash: row.hash,
            pipeline: row.pipeline,
            path: row.path,
            source: row.source,
        }
    }
}

impl TryFrom<RunRow> for RunRecord {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        let interval = match (row.interval_start, row.interval_end) {
            (Some(start), Some(end)) => Some(Interval {
                start: time(start)?,
                end: time(end)?,
            }),
            _ => None,
        };
        let parent = row
            .parent_run
            .zip(row.parent_task)
            .map(|(run, task)| ParentTask {
                run: run.into(),
                key: task_key(task, row.parent_element.unwrap_or(-1)),
            });
        let run = NewRun {
            id: row.id.into(),
            pipeline: row.pipeline,
            version: row.version,
            kind: parsed(&row.kind)?,
            trigger_key: row.trigger_key,
            trigger: json(&row.trigger_data)?,
            params: json(&row.params)?,
            interval,
            parent,
            created: time(row.created)?,
            enqueued: row.enqueued,
            max_active: row.max_active.map(whole).transpose()?,
            backfill: row.backfill,
        };
        Ok(Self {
            run,
            state: parsed(&row.state)?,
            started: maybe_time(row.started)?,
            ended: maybe_time(row.ended)?,
            error: row.error,
            outputs: maybe_json(row.outputs.as_deref())?,
            owner: row.owner,
            fence: whole(row.fence)?,
            redo: whole(row.redo)?,
            last_event: whole(row.last_event)?,
            requeued: row.requeued.as_deref().map(named).transpose()?,
            cancelling: row.cancelling,
        })
    }
}

impl TryFrom<TaskRow> for TaskRecord {
    type Error = StoreError;

    fn try_from(row: TaskRow) -> Result<Self, StoreError> {
        Ok(Self {
            key: task_key(row.task, row.element),
            state: row
                .state
                .as_deref()
                .map(parsed)
                .transpose()?
                .unwrap_or_default(),
            attempt: whole(row.attempt.unwrap_or(0))?,
            tries: whole(row.tries.unwrap_or(0))?,
            losses: whole(row.losses.unwrap_or(0))?,
            started: maybe_time(row.started)?,
            ended: maybe_time(row.ended)?,
            note: row.note,
            elements: row.elements.map(whole).transpose()?,
            error: maybe_json(row.error.as_deref())?,
            wait: maybe_json(row.wait.as_deref())?,
            retry_at: maybe_time(row.retry_at)?,
            settings: maybe_json(row.settings.as_deref())?,
            output: maybe_json(row.output.as_deref())?,
        })
    }
}

impl TryFrom<AttemptRow> for AttemptRecord {
    type Error = StoreError;

    fn try_from(row: AttemptRow) -> Result<Self, StoreError> {
        Ok(Self {
            key: task_key(row.task, row.element),
            number: whole(row.number)?,
            state: parsed(&row.state)?,
            started: time(row.started)?,
            ended: maybe_time(row.ended)?,
            error: maybe_json(row.error.as_deref())?,
        })
    }
}

impl TryFrom<EventRow> for EventRecord {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        Ok(Self {
            number: whole(row.number)?,
            at: time(row.happened)?,
            kind: row.kind,
            key: row.task.map(|task| task_key(task, row.element)),
            data: json(&row.data)?,
        })
    }
}

impl TryFrom<PastRow> for PastOutcome {
    type Error = StoreError;

    fn try_from(row: PastRow) -> Result<Self, StoreError> {
        let output: OutputRecord = maybe_json(row.output.as_deref())?.unwrap_or_default();
        let rows = output.datasets.first().map(|dataset| dataset.rows);
        Ok(Self {
            run: RunId::from(row.run),
            ended: time(row.ended)?,
            metrics: output.metrics,
            rows,
        })
    }
}

impl TryFrom<CachedRow> for CachedOutput {
    type Error = StoreError;

    fn try_from(row: CachedRow) -> Result<Self, StoreError> {
        Ok(Self {
            run: row.run.into(),
            written: time(row.written)?,
            output: maybe_json(Some(&row.output))?.unwrap_or_default(),
        })
    }
}

impl TryFrom<MailRow> for PendingMail {
    type Error = StoreError;

    fn try_from(row: MailRow) -> Result<Self, StoreError> {
        let mail = NewMail {
            id: row.id,
            run: row.run.map(RunId::from),
            kind: parsed(&row.kind)?,
            to: json(&row.recipients)?,
            content: json(&row.content)?,
            created: time(row.created)?,
        };
        Ok(Self {
            mail,
            attempts: whole(row.attempts)?,
        })
    }
}

/// A page of runs: `select` with only the conditions that are asked for, so that each combination has its own plan and
/// index. The parameters are pipeline, state, the run before, and how many.
pub(crate) fn listing(
    select: &str,
    filter: &RunFilter,
    [pipeline, state, before, limit]: [&str; 4],
) -> String {
    let mut sql = format!("{select} where {limit} >= 0");
    for (asked, condition) in [
        (
            filter.pipeline.is_some(),
            format!(" and r.pipeline = {pipeline}"),
        ),
        (filter.state.is_some(), format!(" and r.state = {state}")),
        (filter.before.is_some(), format!(" and r.id < {before}")),
    ] {
        sql.push_str(if asked { &condition } else { "" });
    }
    sql + " order by r.id desc limit $4"
}

/// Rows as records.
pub(crate) fn records<Row, Record>(rows: Vec<Row>) -> Result<Vec<Record>, StoreError>
where
    Record: TryFrom<Row, Error = StoreError>,
{
    rows.into_iter().map(Record::try_from).collect()
}
