//! The history's runs in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use pipectl_engine::{
    id::{RunId, TaskKey},
    operator::PastOutcome,
    state::RunState,
    store::{
        AttemptRecord, Claim, Created, EventRecord, NewRun, PipelineVersion, RunFilter, RunRecord,
        RunStore, RunWrite, StoreError, TaskRecord, WriteOutcome,
    },
};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::SqliteStore;
use crate::{
    batch::{element, json},
    error::{failed, reading, removed, unknown, unreadable},
    rows::{
        AttemptRow, EventRow, PastRow, RunRow, TaskRow, VersionRow, listing, maybe_json, named,
        records,
    },
};

const WRITE: &str = "write the history";

pub(super) const SELECT_RUN: &str = "select r.id, r.pipeline, r.version, r.kind, r.trigger_key,
    r.trigger_data, r.params, r.interval_start,
    r.interval_end, r.parent_run, r.parent_task, r.parent_element,
    r.created, r.state, r.started,
    r.ended, r.error, r.outputs, r.owner, r.fence, r.redo,
    coalesce((select max(number) from events e where e.run = r.id), 0) as last_event,
    r.enqueued, r.max_active, r.backfill, r.requeued, r.cancelling
    from runs r";

const SELECT_TASKS: &str = "select task, element, t.state, t.attempt, t.tries, t.losses, t.started,
    t.ended, t.note, t.elements, t.error, t.wait,
    t.retry_at, s.settings, o.output
    from (select * from tasks where run = $1) t
    full join (select task, element, settings from task_settings where run = $1) s using (task, element)
    full join (select task, element, output from task_outputs where run = $1) o using (task, element)
    order by task, element";

#[async_trait]
impl RunStore for SqliteStore {
    async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError> {
        // Of a pipeline's versions the one that was put last is never pruned.
        let sql = "insert into pipeline_versions (hash, pipeline, path, source) values ($1, $2, $3, $4)
            on conflict (hash) do update set kept = cast(unixepoch('subsec') * 1000000 as integer) where exists (
                select 1 from pipeline_versions n
                where n.pipeline = pipeline_versions.pipeline and n.kept > pipeline_versions.kept)";
        let PipelineVersion {
            hash,
            pipeline,
            path,
            source,
        } = version;
        let insert = sqlx::query(sql)
            .bind(hash)
            .bind(pipeline)
            .bind(path)
            .bind(source);
        self.execute(WRITE, insert).await.map(drop)
    }

    async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError> {
        let sql = "select hash, pipeline, path, source from pipeline_versions where hash = $1";
        let row = sqlx::query_as::<_, VersionRow>(sql)
            .bind(hash)
            .fetch_optional(&self.readers)
            .await;
        Ok(row.map_err(reading)?.map(PipelineVersion::from))
    }

    async fn create_run(&self, run: &NewRun) -> Result<Created, StoreError> {
        let created = self.create(std::slice::from_ref(run)).await?;
        created.first().copied().ok_or_else(|| removed(run))
    }

    async fn claim(
        &self,
        run: RunId,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let wrong = |error| failed("claim the run", error);
        let sql = "update runs set fence = fence + 1, owner = $2, leased_until = clock.now + $3
            from (select cast(unixepoch('subsec') * 1000000 as integer) as now) as clock
            where id = $1 and (leased_until is null or leased_until <= clock.now or owner = $2)
                and (state <> 'queued' or not enqueued or coalesce(leased_until > clock.now, 1)) returning fence";
        let claim = sqlx::query_scalar::<_, i64>(sql)
            .bind(run.uuid())
            .bind(owner)
            .bind(lasting(lease)?);
        let mut writer = self.writer().await.map_err(wrong)?;
        if let Some(fence) = claim
            .fetch_optional(&mut writer.connection)
            .await
            .map_err(wrong)?
        {
            return Ok(Some(Claim {
                fence: u64::try_from(fence).map_err(unreadable)?,
            }));
        }
        let known = sqlx::query("select 1 from runs where id = $1")
            .bind(run.uuid())
            .fetch_optional(&mut writer.connection);
        known
            .await
            .map_err(wrong)?
            .map(|_| None)
            .ok_or_else(|| unknown(run))
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        let sql =
            "update runs set leased_until = cast(unixepoch('subsec') * 1000000 as integer) + $2
            where owner = $1 and leased_until is not null and state in ('queued', 'running')";
        let update = sqlx::query(sql).bind(owner).bind(lasting(lease)?);
        self.execute("renew the leases", update).await.map(drop)
    }

    async fn release(&self, run: RunId, fence: u64) -> Result<(), StoreError> {
        let sql = "update runs set leased_until = null where id = $1 and fence = $2";
        let update = sqlx::query(sql).bind(run.uuid()).bind(fence.cast_signed());
        match self.execute("release the run", update).await? {
            0 => Err(StoreError::Stale),
            _ => Ok(()),
        }
    }

    async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        let outcomes = self.write(writes).await?;
        if crate::batch::ends_a_run(writes) {
            self.changed.notify_waiters();
        }
        Ok(outcomes)
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        let query =
            sqlx::query_as::<_, RunRow>(AssertSqlSafe(format!("{SELECT_RUN} where r.id = $1")));
        let row = query
            .bind(run.uuid())
            .fetch_optional(&self.readers)
            .await
            .map_err(reading)?;
        row.map(RunRecord::try_from).transpose()
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        let sql = listing(SELECT_RUN, filter, ["$1", "$2", "$3", "$4"]);
        let query = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
            .bind(&filter.pipeline)
            .bind(filter.state.map(RunState::name))
            .bind(filter.before.map(RunId::uuid))
            .bind(i64::from(filter.limit));
        records(query.fetch_all(&self.readers).await.map_err(reading)?)
    }

    async fn tasks(&self, run: RunId) -> Result<Vec<TaskRecord>, StoreError> {
        let query = sqlx::query_as::<_, TaskRow>(SELECT_TASKS).bind(run.uuid());
        records(query.fetch_all(&self.readers).await.map_err(reading)?)
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        let sql = "select task, element, number, state, started,
            ended, error from attempts a where run = $1
            order by a.started, task, element, number";
        let query = sqlx::query_as::<_, AttemptRow>(sql).bind(run.uuid());
        records(query.fetch_all(&self.readers).await.map_err(reading)?)
    }

    async fn events(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let sql = "select number, happened, kind, task, element, data
            from events where run = $1 and number > $2 order by number limit $3";
        let query = sqlx::query_as::<_, EventRow>(sql)
            .bind(run.uuid())
            .bind(after.cast_signed())
            .bind(i64::from(limit));
        records(query.fetch_all(&self.readers).await.map_err(reading)?)
    }

    async fn successes(
        &self,
        pipeline: &str,
        key: &TaskKey,
        limit: u32,
    ) -> Result<Vec<PastOutcome>, StoreError> {
        let sql = "select r.id as run, t.ended, o.output from runs r
            join tasks t on t.run = r.id and t.task = $2 and t.element = $3 and t.state = 'success'
            left join task_outputs o on o.run = r.id and o.task = $2 and o.element = $3
            where r.pipeline = $1 and t.ended is not null order by r.id desc limit $4";
        let query = sqlx::query_as::<_, PastRow>(sql)
            .bind(pipeline)
            .bind(&key.task)
            .bind(element(key.element))
            .bind(i64::from(limit));
        records(query.fetch_all(&self.readers).await.map_err(reading)?)
    }

    async fn previous_state(
        &self,
        pipeline: &str,
        run: RunId,
    ) -> Result<Option<RunState>, StoreError> {
        let sql = "select state from runs where pipeline = $1 and id <> $2 and ended is not null
            and state in ('success', 'failed', 'cancelled') order by ended desc, id desc limit 1";
        let query = sqlx::query_scalar::<_, String>(sql)
            .bind(pipeline)
            .bind(run.uuid());
        let state = query.fetch_optional(&self.readers).await.map_err(reading)?;
        state.as_deref().map(named).transpose()
    }

    async fn checkpoint(&self, run: RunId, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        let sql = "select value from checkpoints where run = $1 and task = $2 and element = $3";
        let query = sqlx::query_scalar::<_, String>(sql)
            .bind(run.uuid())
            .bind(&key.task)
            .bind(element(key.element));
        let value = query.fetch_optional(&self.readers).await.map_err(reading)?;
        maybe_json(value.as_deref())
    }

    async fn put_checkpoint(
        &self,
        run: RunId,
        fence: u64,
        key: &TaskKey,
        value: &Value,
    ) -> Result<(), StoreError> {
        let sql = "insert into checkpoints (run, task, element, value)
            select id, $3, $4, $5 from runs where id = $1 and fence = $2
            on conflict (run, task, element) do update set value = excluded.value";
        let insert = sqlx::query(sql)
            .bind(run.uuid())
            .bind(fence.cast_signed())
            .bind(&key.task)
            .bind(element(key.element))
            .bind(json(value));
        match self.execute(WRITE, insert).await? {
            0 => Err(StoreError::Stale),
            _ => Ok(()),
        }
    }

    async fn state(&self, pipeline: &str, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        let sql =
            "select state from task_states where pipeline = $1 and task = $2 and element = $3";
        let query = sqlx::query_scalar::<_, String>(sql)
            .bind(pipeline)
            .bind(&key.task)
            .bind(element(key.element));
        let state = query.fetch_optional(&self.readers).await.map_err(reading)?;
        maybe_json(state.as_deref())
    }
}

/// A lease as microseconds.
pub(super) fn lasting(lease: Duration) -> Result<i64, StoreError> {
    i64::try_from(lease.as_micros()).map_err(unreadable)
}
