//! The memory of triggers in SQLite.

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

use super::{SqliteStore, commit::micros, runs::SELECT_RUN};
use crate::{
    batch::text,
    error::{reading, writing},
    rows::{RunRow, records},
    things::short_key,
    trigger_rows::{SensorRow, schedule},
};

const WRITE: &str = "write the history";

const SENSOR: &str = "pipeline, task, since as since, looked as looked, failures, error";

#[async_trait]
impl Triggers for SqliteStore {
    async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        let sql = "select pipeline, cursor, paused from schedules order by pipeline";
        let rows = sqlx::query_as(sql).fetch_all(&self.readers).await;
        rows.map_err(reading)?.into_iter().map(schedule).collect()
    }

    async fn schedule(
        &self,
        pipeline: &str,
        cursor: Timestamp,
    ) -> Result<ScheduleRecord, StoreError> {
        // The update changes nothing: it makes a row that is there come back.
        let sql = "insert into schedules (pipeline, cursor, paused) values ($1, $2, 0)
            on conflict (pipeline) do update set cursor = schedules.cursor returning pipeline, cursor, paused";
        let mut writer = self.writer().await.map_err(writing)?;
        let row = sqlx::query_as(sql)
            .bind(pipeline)
            .bind(micros(cursor))
            .fetch_one(&mut writer.connection);
        schedule(row.await.map_err(writing)?)
    }

    async fn advance(&self, pipeline: &str, cursor: Timestamp) -> Result<(), StoreError> {
        let sql = "insert into schedules (pipeline, cursor, paused) values ($1, $2, 0)
            on conflict (pipeline) do update set cursor = excluded.cursor where schedules.cursor < excluded.cursor";
        let advance = sqlx::query(sql).bind(pipeline).bind(micros(cursor));
        self.execute(WRITE, advance).await.map(drop)
    }

    async fn pause(&self, pipeline: &str, paused: bool, now: Timestamp) -> Result<(), StoreError> {
        let sql = "insert into schedules (pipeline, cursor, paused) values ($1, $2, $3)
            on conflict (pipeline) do update set paused = excluded.paused,
                cursor = case when schedules.paused and not excluded.paused then max(schedules.cursor, excluded.cursor)
                    else schedules.cursor end";
        let pause = sqlx::query(sql)
            .bind(pipeline)
            .bind(micros(now))
            .bind(paused);
        self.execute(WRITE, pause).await.map(drop)
    }

    async fn successes_since(
        &self,
        pipelines: &[String],
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let sql = format!(
            "{SELECT_RUN} where r.id in (
                select unhex(j.value) from (select distinct value as pipeline from json_each($1)) p
                cross join json_each((select json_group_array(hex(f.id)) from (
                    select c.id from runs c where c.pipeline = p.pipeline and c.state = 'success' and c.ended >= $2
                    order by c.ended, c.id limit $3) f)) j
            ) order by r.ended, r.id limit $3"
        );
        let query = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
            .bind(serde_json::Value::from(pipelines).to_string())
            .bind(micros(since))
            .bind(i64::from(limit));
        records(query.fetch_all(&self.readers).await.map_err(reading)?)
    }

    async fn success_of(
        &self,
        pipeline: &str,
        interval: Interval,
    ) -> Result<Option<RunId>, StoreError> {
        let sql =
            "select id from runs where pipeline = $1 and interval_start = $2 and interval_end = $3
            and state = 'success' order by id desc limit 1";
        let run = sqlx::query_scalar::<_, Uuid>(sql)
            .bind(pipeline)
            .bind(micros(interval.start))
            .bind(micros(interval.end))
            .fetch_optional(&self.readers);
        Ok(run.await.map_err(reading)?.map(RunId::from))
    }

    async fn sensor(&self, key: &SensorKey, now: Timestamp) -> Result<SensorRecord, StoreError> {
        // The update changes nothing: it makes a row that is there come back.
        let sql = format!(
            "insert into sensors (pipeline, task, since, failures) values ($1, $2, $3, 0)
            on conflict (pipeline, task) do update set since = sensors.since returning {SENSOR}"
        );
        let mut writer = self.writer().await.map_err(writing)?;
        let row = sqlx::query_as::<_, SensorRow>(AssertSqlSafe(sql))
            .bind(&key.pipeline)
            .bind(&key.task)
            .bind(micros(now))
            .fetch_one(&mut writer.connection);
        row.await.map_err(writing)?.try_into()
    }

    async fn sensors(&self) -> Result<Vec<SensorRecord>, StoreError> {
        let sql = format!("select {SENSOR} from sensors order by pipeline, task");
        let rows = sqlx::query_as::<_, SensorRow>(AssertSqlSafe(sql)).fetch_all(&self.readers);
        records(rows.await.map_err(reading)?)
    }

    async fn looked(
        &self,
        key: &SensorKey,
        now: Timestamp,
        error: Option<&str>,
    ) -> Result<u32, StoreError> {
        let sql = "insert into sensors (pipeline, task, since, looked, failures, error)
            values ($1, $2, $3, $3, case when $4 is null then 0 else 1 end, $4)
            on conflict (pipeline, task) do update set looked = excluded.looked, error = excluded.error,
                failures = case when excluded.error is null then 0 else sensors.failures + 1 end
            returning failures";
        let mut writer = self.writer().await.map_err(writing)?;
        let failures = sqlx::query_scalar::<_, i64>(sql)
            .bind(&key.pipeline)
            .bind(&key.task)
            .bind(micros(now))
            .bind(error.map(text))
            .fetch_one(&mut writer.connection);
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
            .fetch_optional(&self.readers);
        row.await
            .map_err(reading)?
            .map(TryInto::try_into)
            .transpose()
    }
}
