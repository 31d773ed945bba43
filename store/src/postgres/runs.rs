//! The history's runs on Postgres.

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

use super::PostgresStore;
use crate::{
    batch::{element, json},
    error::{failed, reading, removed, unknown, unreadable, writing},
    rows::{
        AttemptRow, EventRow, PastRow, RunRow, TaskRow, VersionRow, listing, maybe_json, named,
        records,
    },
};

pub(super) const SELECT_RUN: &str = "select r.id, r.pipeline, r.version, r.kind, r.trigger_key,
    r.trigger_data::text as trigger_data, r.params::text as params, pipectl.micros(r.interval_start) as interval_start,
    pipectl.micros(r.interval_end) as interval_end, r.parent_run, r.parent_task, r.parent_element,
    pipectl.micros(r.created) as created, r.state, pipectl.micros(r.started) as started,
    pipectl.micros(r.ended) as ended, r.error, r.outputs::text as outputs, r.owner, r.fence, r.redo,
    coalesce((select max(number) from pipectl.events e where e.run = r.id), 0) as last_event,
    r.enqueued, r.max_active, r.backfill, r.requeued, r.cancelling
    from pipectl.runs r";

const SELECT_TASKS: &str = "select task, element, t.state, t.attempt, t.tries, t.losses, pipectl.micros(t.started) as started,
    pipectl.micros(t.ended) as ended, t.note, t.elements, t.error::text as error, t.wait::text as wait,
    pipectl.micros(t.retry_at) as retry_at, s.settings::text as settings, o.output::text as output
    from (select * from pipectl.tasks where run = $1) t
    full join (select task, element, settings from pipectl.task_settings where run = $1) s using (task, element)
    full join (select task, element, output from pipectl.task_outputs where run = $1) o using (task, element)
    order by task collate \"C\", element";

#[async_trait]
impl RunStore for PostgresStore {
    async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError> {
        // Of a pipeline's versions the one that was put last is never pruned.
        let sql = "insert into pipectl.pipeline_versions as v (hash, pipeline, path, source) values ($1, $2, $3, $4)
            on conflict (hash) do update set kept = now() where exists (
                select 1 from pipectl.pipeline_versions n where n.pipeline = v.pipeline and n.kept > v.kept)";
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
        insert.execute(&self.pool).await.map(drop).map_err(writing)
    }

    async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError> {
        let sql =
            "select hash, pipeline, path, source from pipectl.pipeline_versions where hash = $1";
        let row = sqlx::query_as::<_, VersionRow>(sql)
            .bind(hash)
            .fetch_optional(&self.pool)
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
        let sql = "update pipectl.runs set fence = fence + 1, owner = $2, leased_until = now() + $3
            where id = $1 and (leased_until is null or leased_until <= now() or owner = $2)
                and (state <> 'queued' or not enqueued or coalesce(leased_until > now(), true)) returning fence";
        let claim = sqlx::query_scalar::<_, i64>(sql)
            .bind(run.uuid())
            .bind(owner)
            .bind(interval(lease)?);
        if let Some(fence) = claim.fetch_optional(&self.pool).await.map_err(wrong)? {
            return Ok(Some(Claim {
                fence: u64::try_from(fence).map_err(unreadable)?,
            }));
        }
        let known = sqlx::query("select 1 from pipectl.runs where id = $1")
            .bind(run.uuid())
            .fetch_optional(&self.pool);
        known
            .await
            .map_err(wrong)?
            .map(|_| None)
            .ok_or_else(|| unknown(run))
    }

    async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
        let sql = "update pipectl.runs set leased_until = now() + $2
            where owner = $1 and leased_until is not null and state in ('queued', 'running')";
        let update = sqlx::query(sql).bind(owner).bind(interval(lease)?);
        update
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|error| failed("renew the leases", error))
    }

    async fn release(&self, run: RunId, fence: u64) -> Result<(), StoreError> {
        let sql = "update pipectl.runs set leased_until = null where id = $1 and fence = $2";
        let update = sqlx::query(sql)
            .bind(run.uuid())
            .bind(fence.cast_signed())
            .execute(&self.pool)
            .await;
        match update
            .map_err(|error| failed("release the run", error))?
            .rows_affected()
        {
            0 => Err(StoreError::Stale),
            _ => Ok(()),
        }
    }

    async fn commit(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        let answer = self.write(writes).await;
        answer.inspect_err(|error| self.mistrust(error))
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        let query =
            sqlx::query_as::<_, RunRow>(AssertSqlSafe(format!("{SELECT_RUN} where r.id = $1")));
        let row = query
            .bind(run.uuid())
            .fetch_optional(&self.pool)
            .await
            .map_err(reading)?;
        row.map(RunRecord::try_from).transpose()
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        let sql = listing(
            SELECT_RUN,
            filter,
            ["$1::text", "$2::text", "$3::uuid", "$4::bigint"],
        );
        let query = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
            .bind(&filter.pipeline)
            .bind(filter.state.map(RunState::name))
            .bind(filter.before.map(RunId::uuid))
            .bind(i64::from(filter.limit));
        records(query.fetch_all(&self.pool).await.map_err(reading)?)
    }

    async fn tasks(&self, run: RunId) -> Result<Vec<TaskRecord>, StoreError> {
        let query = sqlx::query_as::<_, TaskRow>(SELECT_TASKS).bind(run.uuid());
        records(query.fetch_all(&self.pool).await.map_err(reading)?)
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        let sql = "select task, element, number, state, pipectl.micros(started) as started,
            pipectl.micros(ended) as ended, error::text as error from pipectl.attempts a where run = $1
            order by a.started, task collate \"C\", element, number";
        let query = sqlx::query_as::<_, AttemptRow>(sql).bind(run.uuid());
        records(query.fetch_all(&self.pool).await.map_err(reading)?)
    }

    async fn events(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let sql = "select number, pipectl.micros(happened) as happened, kind, task, element, data::text as data
            from pipectl.events where run = $1 and number > $2 order by number limit $3";
        let query = sqlx::query_as::<_, EventRow>(sql)
            .bind(run.uuid())
            .bind(after.cast_signed())
            .bind(i64::from(limit));
        records(query.fetch_all(&self.pool).await.map_err(reading)?)
    }

    async fn successes(
        &self,
        pipeline: &str,
        key: &TaskKey,
        limit: u32,
    ) -> Result<Vec<PastOutcome>, StoreError> {
        let sql = "select r.id as run, pipectl.micros(t.ended) as ended, o.output::text as output from pipectl.runs r
            join pipectl.tasks t on t.run = r.id and t.task = $2 and t.element = $3 and t.state = 'success'
            left join pipectl.task_outputs o on o.run = r.id and o.task = $2 and o.element = $3
            where r.pipeline = $1 and t.ended is not null order by r.id desc limit $4";
        let query = sqlx::query_as::<_, PastRow>(sql)
            .bind(pipeline)
            .bind(&key.task)
            .bind(element(key.element))
            .bind(i64::from(limit));
        records(query.fetch_all(&self.pool).await.map_err(reading)?)
    }

    async fn previous_state(
        &self,
        pipeline: &str,
        run: RunId,
    ) -> Result<Option<RunState>, StoreError> {
        let sql =
            "select state from pipectl.runs where pipeline = $1 and id <> $2 and ended is not null
            and state in ('success', 'failed', 'cancelled') order by ended desc, id desc limit 1";
        let query = sqlx::query_scalar::<_, String>(sql)
            .bind(pipeline)
            .bind(run.uuid());
        let state = query.fetch_optional(&self.pool).await.map_err(reading)?;
        state.as_deref().map(named).transpose()
    }

    async fn checkpoint(&self, run: RunId, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        let sql = "select value::text from pipectl.checkpoints where run = $1 and task = $2 and element = $3";
        let query = sqlx::query_scalar::<_, String>(sql)
            .bind(run.uuid())
            .bind(&key.task)
            .bind(element(key.element));
        let value = query.fetch_optional(&self.pool).await.map_err(reading)?;
        maybe_json(value.as_deref())
    }

    async fn put_checkpoint(
        &self,
        run: RunId,
        fence: u64,
        key: &TaskKey,
        value: &Value,
    ) -> Result<(), StoreError> {
        let sql = "with fenced as (select id from pipectl.runs where id = $1 and fence = $2 for share)
            insert into pipectl.checkpoints (run, task, element, value) select id, $3, $4, $5::text::json from fenced
            on conflict (run, task, element) do update set value = excluded.value";
        let insert = sqlx::query(sql)
            .bind(run.uuid())
            .bind(fence.cast_signed())
            .bind(&key.task)
            .bind(element(key.element))
            .bind(json(value));
        match insert
            .execute(&self.pool)
            .await
            .map_err(writing)?
            .rows_affected()
        {
            0 => Err(StoreError::Stale),
            _ => Ok(()),
        }
    }

    async fn state(&self, pipeline: &str, key: &TaskKey) -> Result<Option<Value>, StoreError> {
        let sql = "select state::text from pipectl.task_states where pipeline = $1 and task = $2 and element = $3";
        let query = sqlx::query_scalar::<_, String>(sql)
            .bind(pipeline)
            .bind(&key.task)
            .bind(element(key.element));
        let state = query.fetch_optional(&self.pool).await.map_err(reading)?;
        maybe_json(state.as_deref())
    }
}

/// A lease as Postgres' interval.
pub(super) fn interval(lease: Duration) -> Result<sqlx::postgres::types::PgInterval, StoreError> {
    let micros = i64::try_from(lease.as_micros()).map_err(unreadable)?;
    Ok(sqlx::postgres::types::PgInterval {
        months: 0,
        days: 0,
        microseconds: micros,
    })
}
