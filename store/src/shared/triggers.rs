//! The memory of triggers.

/// Implements [`Triggers`](pipectl_engine::store::Triggers). What takes several statements (things that are sensed, and
/// backfills that are made or changed) the store brings itself.
macro_rules! triggers {
    ($store:ident, $values:ident, $sql:ident) => {
        const _: () = {
            use std::borrow::Cow;

            use pipectl_engine::{
                id::RunId,
                operator::Interval,
                store::{
                    Backfill, BackfillState, Created, NewRun, Progress, Redo, RunRecord,
                    ScheduleRecord, SensorKey, SensorRecord, StoreError, Thing, ThingRecord,
                    Triggers,
                },
                time::Timestamp,
            };
            use sqlx::AssertSqlSafe;
            use uuid::Uuid;

            use $crate::{
                batch::text,
                error::{reading, writing},
                rows::{RunRow, records, whole},
                things::{at_places, short_key},
                trigger_rows::{BackfillRow, SensorRow, ThingRow, backfill, schedule},
            };

            #[async_trait::async_trait]
            impl Triggers for $store {
                async fn schedules(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
                    let rows = sqlx::query_as($sql::SCHEDULES)
                        .fetch_all(self.reader())
                        .await;
                    rows.map_err(reading)?.into_iter().map(schedule).collect()
                }

                async fn schedule(
                    &self,
                    pipeline: &str,
                    cursor: Timestamp,
                ) -> Result<ScheduleRecord, StoreError> {
                    let mut writer = self.writer().await.map_err(writing)?;
                    let row = sqlx::query_as($sql::SCHEDULE)
                        .bind(pipeline)
                        .bind($values::moment(cursor))
                        .fetch_optional(writer.as_mut())
                        .await;
                    match row.map_err(writing)? {
                        Some(row) => schedule(row),
                        // Somebody else has made it while the statement ran.
                        None => Ok(ScheduleRecord {
                            pipeline: pipeline.to_owned(),
                            cursor,
                            paused: false,
                        }),
                    }
                }

                async fn advance(
                    &self,
                    pipeline: &str,
                    cursor: Timestamp,
                ) -> Result<(), StoreError> {
                    let advance = sqlx::query($sql::ADVANCE)
                        .bind(pipeline)
                        .bind($values::moment(cursor));
                    let mut writer = self.writer().await.map_err(writing)?;
                    let advanced = advance.execute(writer.as_mut()).await;
                    advanced.map(drop).map_err(writing)
                }

                async fn pause(
                    &self,
                    pipeline: &str,
                    paused: bool,
                    now: Timestamp,
                ) -> Result<(), StoreError> {
                    let pause = sqlx::query($sql::PAUSE)
                        .bind(pipeline)
                        .bind($values::moment(now))
                        .bind(paused);
                    let mut writer = self.writer().await.map_err(writing)?;
                    let changed = pause.execute(writer.as_mut()).await;
                    changed.map(drop).map_err(writing)
                }

                async fn successes_since(
                    &self,
                    pipelines: &[String],
                    since: Timestamp,
                    after: Option<RunId>,
                    limit: u32,
                ) -> Result<Vec<RunRecord>, StoreError> {
                    let names = pipelines.iter().map(|name| Cow::from(name.as_str()));
                    let sql = format!("{} {}", $sql::SELECT_RUN, $sql::SUCCESSES_SINCE);
                    let query = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
                        .bind($values::texts(names))
                        .bind($values::moment(since))
                        .bind(i64::from(limit))
                        .bind(after.map_or(Uuid::nil(), RunId::uuid));
                    records(query.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn success_of(
                    &self,
                    pipeline: &str,
                    interval: Interval,
                ) -> Result<Option<RunId>, StoreError> {
                    let run = sqlx::query_scalar::<_, Uuid>($sql::SUCCESS_OF)
                        .bind(pipeline)
                        .bind($values::moment(interval.start))
                        .bind($values::moment(interval.end))
                        .fetch_optional(self.reader());
                    Ok(run.await.map_err(reading)?.map(RunId::from))
                }

                async fn sensor(
                    &self,
                    key: &SensorKey,
                    now: Timestamp,
                ) -> Result<SensorRecord, StoreError> {
                    let sql = format!("{} returning {}", $sql::SENSOR, $sql::SENSOR_COLUMNS);
                    let mut writer = self.writer().await.map_err(writing)?;
                    let row = sqlx::query_as::<_, SensorRow>(AssertSqlSafe(sql))
                        .bind(&key.pipeline)
                        .bind(&key.task)
                        .bind($values::moment(now))
                        .fetch_one(writer.as_mut())
                        .await;
                    row.map_err(writing)?.try_into()
                }

                async fn sensors(&self) -> Result<Vec<SensorRecord>, StoreError> {
                    let sql = format!("select {} {}", $sql::SENSOR_COLUMNS, $sql::SENSORS);
                    let rows = sqlx::query_as::<_, SensorRow>(AssertSqlSafe(sql));
                    records(rows.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn looked(
                    &self,
                    key: &SensorKey,
                    now: Timestamp,
                    error: Option<&str>,
                ) -> Result<u32, StoreError> {
                    let mut writer = self.writer().await.map_err(writing)?;
                    let failures = sqlx::query_scalar::<_, i64>($sql::LOOKED)
                        .bind(&key.pipeline)
                        .bind(&key.task)
                        .bind($values::moment(now))
                        .bind(error.map(text))
                        .fetch_one(writer.as_mut())
                        .await;
                    whole(failures.map_err(writing)?)
                }

                async fn unseen(
                    &self,
                    key: &SensorKey,
                    identities: &[String],
                ) -> Result<Vec<String>, StoreError> {
                    let keys = identities.iter().map(|identity| short_key(identity));
                    let places = sqlx::query_scalar::<_, i64>($sql::UNSEEN)
                        .bind(&key.pipeline)
                        .bind(&key.task)
                        .bind($values::texts(keys))
                        .fetch_all(self.reader())
                        .await;
                    Ok(at_places(identities, places.map_err(reading)?))
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

                async fn to_settle(
                    &self,
                    key: &SensorKey,
                    limit: u32,
                ) -> Result<Vec<ThingRecord>, StoreError> {
                    self.some_things($sql::TO_SETTLE, key, limit).await
                }

                async fn settled(&self, key: &SensorKey, identity: &str) -> Result<(), StoreError> {
                    let settle = sqlx::query($sql::SETTLED)
                        .bind(&key.pipeline)
                        .bind(&key.task)
                        .bind(short_key(identity));
                    let mut writer = self.writer().await.map_err(writing)?;
                    let settled = settle.execute(writer.as_mut()).await;
                    settled.map(drop).map_err(writing)
                }

                async fn things(
                    &self,
                    key: &SensorKey,
                    limit: u32,
                ) -> Result<Vec<ThingRecord>, StoreError> {
                    self.some_things($sql::NEWEST_THINGS, key, limit).await
                }

                async fn forget(
                    &self,
                    key: &SensorKey,
                    identity: Option<&str>,
                ) -> Result<u64, StoreError> {
                    self.forget_things(key, identity).await.map_err(writing)
                }

                async fn create_backfill(
                    &self,
                    backfill: &Backfill,
                    runs: &[NewRun],
                    again: &[(RunId, Redo)],
                    version: &str,
                ) -> Result<(), StoreError> {
                    let inserted = self.insert_backfill(backfill, runs, again, version);
                    inserted.await.map_err(writing)
                }

                async fn backfills(
                    &self,
                    limit: u32,
                ) -> Result<Vec<(Backfill, Progress)>, StoreError> {
                    let order = "order by b.created desc, b.id desc limit $1";
                    let sql = format!("{} {order}", $sql::SELECT_BACKFILL);
                    let rows = sqlx::query_as::<_, BackfillRow>(AssertSqlSafe(sql))
                        .bind(i64::from(limit))
                        .fetch_all(self.reader())
                        .await;
                    rows.map_err(reading)?.into_iter().map(backfill).collect()
                }

                async fn backfill(
                    &self,
                    id: Uuid,
                ) -> Result<Option<(Backfill, Progress)>, StoreError> {
                    let sql = format!("{} where b.id = $1", $sql::SELECT_BACKFILL);
                    let row = sqlx::query_as::<_, BackfillRow>(AssertSqlSafe(sql))
                        .bind(id)
                        .fetch_optional(self.reader())
                        .await;
                    row.map_err(reading)?.map(backfill).transpose()
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
                    let which = "where r.pipeline = $1 and r.trigger_key = $2";
                    let sql = format!("{} {which}", $sql::SELECT_RUN);
                    let row = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
                        .bind(pipeline)
                        .bind(short_key(trigger_key))
                        .fetch_optional(self.reader())
                        .await;
                    row.map_err(reading)?.map(TryInto::try_into).transpose()
                }
            }

            impl $store {
                async fn some_things(
                    &self,
                    which: &str,
                    key: &SensorKey,
                    limit: u32,
                ) -> Result<Vec<ThingRecord>, StoreError> {
                    let sql = format!("select {} {which}", $sql::THING_COLUMNS);
                    let rows = sqlx::query_as::<_, ThingRow>(AssertSqlSafe(sql))
                        .bind(&key.pipeline)
                        .bind(&key.task)
                        .bind(i64::from(limit));
                    records(rows.fetch_all(self.reader()).await.map_err(reading)?)
                }
            }
        };
    };
}

pub(crate) use triggers;
