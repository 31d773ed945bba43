//! What has triggered runs, and what will: schedules, sensed things, backfills.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Created, NewRun, Redo, RunKind, RunRecord};
use crate::{failure::StoreError, id::RunId, operator::Interval, state::RunState, time::Timestamp};

/// Where a pipeline's schedule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRecord {
    /// The pipeline.
    pub pipeline: String,
    /// Everything up to this moment has been dealt with.
    pub cursor: Timestamp,
    /// Whether a person has paused it.
    pub paused: bool,
}

pub use crate::operator::Thing;

/// What `trigger` holds in a run that a sensed thing has made: which task has sensed what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensed {
    /// The sensor.
    pub task: String,
    /// What it puts out.
    pub values: Map<String, Value>,
}

impl Sensed {
    /// What made this run, when a sensed thing did.
    pub fn of(record: &RunRecord) -> Option<Self> {
        if record.run.kind != RunKind::Sensor {
            return None;
        }
        serde_json::from_value(record.run.trigger.clone()).ok()
    }
}

/// What has become of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThingState {
    /// It was there before the sensor, and is left alone.
    Ignored,
    /// It has a run.
    Taken,
    /// Its run has succeeded, and what was to be done with it afterwards is done.
    Settled,
}

/// A sensor: a task of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SensorKey {
    /// The pipeline.
    pub pipeline: String,
    /// The task.
    pub task: String,
}

/// A thing in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct ThingRecord {
    /// The thing.
    pub thing: Thing,
    /// What has become of it.
    pub state: ThingState,
    /// When it was first seen.
    pub seen: Timestamp,
    /// Its run.
    pub run: Option<RunId>,
}

/// A sensor as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorRecord {
    /// Which.
    pub key: SensorKey,
    /// When it was first watched.
    pub since: Timestamp,
    /// When it last looked; not as long as it has never been able to.
    pub looked: Option<Timestamp>,
    /// How often in a row it could not look.
    pub failures: u32,
    /// Why it could not, the last time.
    pub error: Option<String>,
}

/// What a backfill does with intervals that have a run already. Airflow's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reprocess {
    /// Nothing.
    #[default]
    None,
    /// Those that have failed are done again.
    Failed,
    /// Those that are over are done again.
    Completed,
}

/// How a backfill stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// Its runs are taken from the queue.
    Running,
    /// They wait.
    Paused,
    /// It was stopped.
    Cancelled,
}

/// Runs for the intervals of a stretch of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct Backfill {
    /// Its identity.
    pub id: Uuid,
    /// The pipeline.
    pub pipeline: String,
    /// From here (included)
    pub from: Timestamp,
    /// to here (excluded).
    pub to: Timestamp,
    /// How many of its runs may be under way at once.
    pub max_active: u32,
    /// What it does with intervals that have a run.
    pub reprocess: Reprocess,
    /// Whether its last interval comes first.
    pub backwards: bool,
    /// Whether pipelines that run `after` this one are started by its runs too.
    pub cascade: bool,
    /// How it stands.
    pub state: BackfillState,
    /// When it was made.
    pub created: Timestamp,
}

/// How far a backfill is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Runs that wait.
    pub queued: u64,
    /// Runs under way.
    pub running: u64,
    /// Runs that have succeeded.
    pub success: u64,
    /// Runs that have failed.
    pub failed: u64,
    /// Runs that were cancelled.
    pub cancelled: u64,
}

impl Progress {
    /// All its runs.
    pub fn total(self) -> u64 {
        self.queued + self.running + self.over()
    }

    /// Counts `runs` more that are in `state`.
    pub fn add(&mut self, state: RunState, runs: u64) {
        *match state {
            RunState::Queued => &mut self.queued,
            RunState::Running => &mut self.running,
            RunState::Success => &mut self.success,
            RunState::Failed => &mut self.failed,
            RunState::Cancelled => &mut self.cancelled,
        } += runs;
    }

    /// Those that are over.
    pub fn over(self) -> u64 {
        self.success + self.failed + self.cancelled
    }
}

/// The memory of triggers.
#[async_trait]
pub trait Triggers: Send + Sync {
    /// Where all schedules stand, by pipeline.
    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError>;
    /// Where a pipeline's schedule stands; one that is new stands at `cursor`, not paused.
    async fn schedule(
        &self,
        pipeline: &str,
        cursor: Timestamp,
    ) -> Result<ScheduleRecord, StoreError>;
    /// Moves a schedule's cursor forward; never back.
    async fn advance(&self, pipeline: &str, cursor: Timestamp) -> Result<(), StoreError>;
    /// Pauses a schedule, or lets it go on from `now`.
    async fn pause(&self, pipeline: &str, paused: bool, now: Timestamp) -> Result<(), StoreError>;

    /// The successful runs of these pipelines that ended at or after `since`, by their end and identity, at most `limit`;
    /// of those that ended just then only what comes after the run `after`, the last one of the page before.
    async fn successes_since(
        &self,
        pipelines: &[String],
        since: Timestamp,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRecord>, StoreError>;
    /// A successful run of a pipeline for an interval, the newest of several.
    async fn success_of(
        &self,
        pipeline: &str,
        interval: Interval,
    ) -> Result<Option<RunId>, StoreError>;

    /// A sensor; one that is new has been watched since `now`.
    async fn sensor(&self, key: &SensorKey, now: Timestamp) -> Result<SensorRecord, StoreError>;
    /// All sensors, by pipeline and task.
    async fn sensors(&self) -> Result<Vec<SensorRecord>, StoreError>;
    /// Writes down that a sensor has looked, and the error when it could not. Answers with the failures in a row.
    async fn looked(
        &self,
        key: &SensorKey,
        now: Timestamp,
        error: Option<&str>,
    ) -> Result<u32, StoreError>;
    /// Which of these identities the sensor's ledger does not have, in their order.
    async fn unseen(
        &self,
        key: &SensorKey,
        identities: &[String],
    ) -> Result<Vec<String>, StoreError>;
    /// Enters things as [`Ignored`](ThingState::Ignored); those that are in the ledger stay as they are.
    async fn ignore(
        &self,
        key: &SensorKey,
        things: &[Thing],
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Makes a run for each thing and enters the thing as [`Taken`](ThingState::Taken), all in one transaction. A thing
    /// that is in the ledger gets no second run: the answer names the one that it has. (An ignored one has none: the
    /// answer names the new run's own id, and nothing is made.)
    async fn sense(
        &self,
        key: &SensorKey,
        things: &[(Thing, NewRun)],
        now: Timestamp,
    ) -> Result<Vec<Created>, StoreError>;
    /// Things that are taken and whose run has succeeded, at most `limit`, the first seen first.
    async fn to_settle(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError>;
    /// Writes down that what was to be done with a thing is done.
    async fn settled(&self, key: &SensorKey, identity: &str) -> Result<(), StoreError>;
    /// A sensor's things, those seen last first, at most `limit`.
    async fn things(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError>;
    /// Forgets a thing, or all of them, so that they are sensed anew when they are still there. Their runs' trigger keys
    /// are forgotten too. Answers how many.
    async fn forget(&self, key: &SensorKey, identity: Option<&str>) -> Result<u64, StoreError>;

    /// Makes a backfill, its new runs, and requeues earlier ones, in one transaction; nothing when there is one of this
    /// id. A run whose interval has one by now is left out. A run to be done again that is not over is left as it is;
    /// one that is done [anew](Redo::Anew) takes the pipeline's `version`.
    async fn create_backfill(
        &self,
        backfill: &Backfill,
        runs: &[NewRun],
        again: &[(RunId, Redo)],
        version: &str,
    ) -> Result<(), StoreError>;
    /// All backfills with their progress, the newest first, at most `limit`.
    async fn backfills(&self, limit: u32) -> Result<Vec<(Backfill, Progress)>, StoreError>;
    /// A backfill with its progress.
    async fn backfill(&self, id: Uuid) -> Result<Option<(Backfill, Progress)>, StoreError>;
    /// Says how a backfill stands. `Cancelled` also cancels its runs that nobody works on, and asks those that are under
    /// way to stop.
    async fn set_backfill(
        &self,
        id: Uuid,
        state: BackfillState,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// The run that a pipeline has for a trigger.
    async fn triggered(
        &self,
        pipeline: &str,
        trigger_key: &str,
    ) -> Result<Option<RunRecord>, StoreError>;
}
