//! The memory of triggers on Postgres.

use async_trait::async_trait;
use pipectl_engine::{
    id::RunId,
    operator::Interval,
    store::{
        Backfill, BackfillState, Created, NewRun, Progress, Redo, RunRecord, ScheduleRecord,
        SensorKey, SensorRecord, StoreError, Thing, ThingRecord, Triggers,
    },
    time::Timestamp,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{PostgresStore, runs::SELECT_RUN};
use crate::{
    batch::text,
    error::{reading, writing},
    rows::{RunRow, records},
    things::short_key,
    trigger_rows::{SensorRow, schedule},
};

const SENSOR: &str = "pipeline, task, pipectl.micros(since) as since, pipectl.micros(looked) as looked, failures, error";

#[async_trait]
impl Triggers for PostgresStore {
    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        let sql = "select pipeline, pipectl.micros(cursor), paused from pipectl.schedules order by pipeline collate \"C\"";
        let rows = sqlx::query_as(sql).fetch_all(&self.pool).await;
        rows.map_err(reading)?.into_iter().map(schedule).collect()
    }

    async fn schedule(
        &self,
        pipeline: &str,
        cursor: Timestamp,
    ) -> Result<ScheduleRecord, StoreError> {
        let sql = "with new as (
                insert into pipectl.schedules (pipeline, cursor, paused) values ($1, $2, false)
                on conflict do nothing returning pipeline, cursor, paused
            )
            select pipeline, pipectl.micros(cursor), paused from new
            union all select pipeline, pipectl.micros(cursor), paused from pipectl.schedules where pipeline = $1";
        let row = sqlx::query_as(sql)
            .bind(pipeline)
            .bind(cursor)
            .fetch_optional(&self.pool);
        match row.await.map_err(writing)? {
            Some(row) => schedule(row),
            // Somebody else has made it while the statement ran.
            None => Ok(ScheduleRecord {
                pipeline: pipeline.to_owned(),
                cursor,
                paused: false,
            }),
        }
    }

    async fn advance(&self, pipeline: &str, cursor: Timestamp) -> Result<(), StoreError> {
        let sql = "insert into pipectl.schedules as s (pipeline, cursor, paused) values ($1, $2, false)
            on conflict (pipeline) do update set cursor = excluded.cursor where s.cursor < excluded.cursor";
        let advance = sqlx::query(sql)
            .bind(pipeline)
            .bind(cursor)
            .execute(&self.pool);
        advance.await.map(drop).map_err(writing)
    }

    async fn pause(&self, pipeline: &str, paused: bool, now: Timestamp) -> Result<(), StoreError> {
        let sql = "insert into pipectl.schedules as s (pipeline, cursor, paused) values ($1, $2, $3)
            on conflict (pipeline) do update set paused = excluded.paused,
                cursor = case when s.paused and not excluded.paused then greatest(s.cursor, excluded.cursor)
                    else s.cursor end";
        let pause = sqlx::query(sql)
            .bind(pipeline)
            .bind(now)
            .bind(paused)
            .execute(&self.pool);
        pause.await.map(drop).map_err(writing)
    }

    async fn successes_since(
        &self,
        pipelines: &[String],
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let sql = format!(
            "{SELECT_RUN} join (
                select s.id from (select distinct unnest($1::text[]) as pipeline) p cross join lateral (
                    select id, ended from pipectl.runs
                    where pipeline = p.pipeline and state = 'success' and ended >= $2 order by ended, id limit $3
                ) s order by s.ended, s.id limit $3
            ) s on s.id = r.id order by r.ended, r.id"
        );
        let query = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
            .bind(pipelines)
            .bind(since)
            .bind(i64::from(limit));
        records(query.fetch_all(&self.pool).await.map_err(reading)?)
    }

    async fn success_of(
        &self,
        pipeline: &str,
        interval: Interval,
    ) -> Result<Option<RunId>, StoreError> {
        let sql = "select id from pipectl.runs where pipeline = $1 and interval_start = $2 and interval_end = $3
            and state = 'success' order by id desc limit 1";
        let run = sqlx::query_scalar::<_, Uuid>(sql)
            .bind(pipeline)
            .bind(interval.start)
            .bind(interval.end)
            .fetch_optional(&self.pool);
        Ok(run.await.map_err(reading)?.map(RunId::from))
    }

    async fn sensor(&self, key: &SensorKey, now: Timestamp) -> Result<SensorRecord, StoreError> {
        // The update changes nothing: it makes a row that is there come back.
        let sql = format!(
            "insert into pipectl.sensors as s (pipeline, task, since, failures) values ($1, $2, $3, 0)
            on conflict (pipeline, task) do update set since = s.since returning {SENSOR}"
        );
        let row = sqlx::query_as::<_, SensorRow>(AssertSqlSafe(sql))
            .bind(&key.pipeline)
            .bind(&key.task)
            .bind(now)
            .fetch_one(&self.pool);
        row.await.map_err(writing)?.try_into()
    }

    async fn sensors(&self) -> Result<Vec<SensorRecord>, StoreError> {
        let sql = format!(
            "select {SENSOR} from pipectl.sensors s order by pipeline collate \"C\", task collate \"C\""
        );
        let rows = sqlx::query_as::<_, SensorRow>(AssertSqlSafe(sql)).fetch_all(&self.pool);
        records(rows.await.map_err(reading)?)
    }

    async fn looked(
        &self,
        key: &SensorKey,
        now: Timestamp,
        error: Option<&str>,
    ) -> Result<u32, StoreError> {
        let sql = "insert into pipectl.sensors as s (pipeline, task, since, looked, failures, error)
            values ($1, $2, $3, $3, case when $4::text is null then 0 else 1 end, $4)
            on conflict (pipeline, task) do update set looked = excluded.looked, error = excluded.error,
                failures = case when excluded.error is null then 0 else s.failures + 1 end
            returning failures";
        let failures = sqlx::query_scalar::<_, i64>(sql)
            .bind(&key.pipeline)
            .bind(&key.task)
            .bind(now)
            .bind(error.map(text))
            .fetch_one(&self.pool);
        crate::rows::whole(failures.await.map_err(writing)?)
    }

    async fn unseen(
        &self,
        key: &SensorKey,
        identities: &[String],
    ) -> Result<Vec<String>, StoreError> {
        self.unseen_things(key, identities).await.map_err(reading)
    }

    async fn ignore(
        &self,
        key: &SensorKey,
        things: &[Thing],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.ignore_things(key, things, now).await.map_err(writing)
    }

    async fn sense(
        &self,
        key: &SensorKey,
        things: &[(Thing, NewRun)],
        now: Timestamp,
    ) -> Result<Vec<Created>, StoreError> {
        self.sense_things(key, things, now).await.map_err(writing)
    }

    async fn to_settle(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError> {
        records(self.due_things(key, limit).await.map_err(reading)?)
    }

    async fn settled(&self, key: &SensorKey, identity: &str) -> Result<(), StoreError> {
        self.settle_thing(key, identity).await.map_err(writing)
    }

    async fn things(&self, key: &SensorKey, limit: u32) -> Result<Vec<ThingRecord>, StoreError> {
        records(self.newest_things(key, limit).await.map_err(reading)?)
    }

    async fn forget(&self, key: &SensorKey, identity: Option<&str>) -> Result<u64, StoreError> {
        self.forget_things(key, identity).await.map_err(writing)
    }

    async fn create_backfill(
        &self,
        backfill: &Backfill,
        runs: &[NewRun],
        again: &[(RunId, Redo)],
    ) -> Result<(), StoreError> {
        self.insert_backfill(backfill, runs, again)
            .await
            .map_err(writing)
    }

    async fn backfills(&self, limit: u32) -> Result<Vec<(Backfill, Progress)>, StoreError> {
        self.newest_backfills(limit).await
    }

    async fn backfill(&self, id: Uuid) -> Result<Option<(Backfill, Progress)>, StoreError> {
        self.one_backfill(id).await
    }

    async fn set_backfill(
        &self,
        id: Uuid,
        state: BackfillState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change_backfill(id, state, now).await
    }

    async fn triggered(
        &self,
        pipeline: &str,
        trigger_key: &str,
    ) -> Result<Option<RunRecord>, StoreError> {
        let sql = format!("{SELECT_RUN} where r.pipeline = $1 and r.trigger_key = $2");
        let row = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
            .bind(pipeline)
            .bind(short_key(trigger_key))
            .fetch_optional(&self.pool);
        row.await
            .map_err(reading)?
            .map(TryInto::try_into)
            .transpose()
    }
}
