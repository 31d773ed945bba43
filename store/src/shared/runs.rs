//! Runs.

/// Implements [`RunStore`](pipectl_engine::store::RunStore). What takes several statements (runs that are made, and what is
/// written of them) the store brings itself.
macro_rules! runs {
    ($store:ident, $values:ident, $sql:ident) => {
        const _: () = {
            use std::{collections::HashMap, time::Duration};

            use pipectl_engine::{
                id::{RunId, TaskKey},
                operator::PastOutcome,
                state::RunState,
                store::{
                    AttemptRecord, CachedOutput, Claim, Created, EventRecord, NewRun,
                    PipelineVersion, RunFilter, RunRecord, RunStore, RunWrite, StoreError,
                    TaskRecord, WriteOutcome,
                },
            };
            use serde_json::Value;
            use sqlx::AssertSqlSafe;

            use $crate::{
                batch::{element, json},
                error::{failed, reading, removed, unknown, unreadable, writing},
                rows::{
                    AttemptRow, CachedRow, EventRow, PastRow, RunRow, TaskRow, VersionRow, listing,
                    maybe_json, named, records, whole,
                },
            };

            #[async_trait::async_trait]
            impl RunStore for $store {
                async fn put_version(&self, version: &PipelineVersion) -> Result<(), StoreError> {
                    let insert = sqlx::query($sql::PUT_VERSION)
                        .bind(&version.hash)
                        .bind(&version.pipeline)
                        .bind(&version.path)
                        .bind(&version.source);
                    let mut writer = self.writer().await.map_err(writing)?;
                    let inserted = insert.execute(writer.as_mut()).await;
                    inserted.map(drop).map_err(writing)
                }

                async fn version(&self, hash: &str) -> Result<Option<PipelineVersion>, StoreError> {
                    let row = sqlx::query_as::<_, VersionRow>($sql::VERSION)
                        .bind(hash)
                        .fetch_optional(self.reader())
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
                    let claim = sqlx::query_scalar::<_, i64>($sql::CLAIM)
                        .bind(run.uuid())
                        .bind(owner)
                        .bind($values::lasting(lease)?);
                    let mut writer = self.writer().await.map_err(wrong)?;
                    let fence = claim.fetch_optional(writer.as_mut()).await;
                    if let Some(fence) = fence.map_err(wrong)? {
                        return Ok(Some(Claim {
                            fence: u64::try_from(fence).map_err(unreadable)?,
                        }));
                    }
                    let known = sqlx::query($sql::KNOWN)
                        .bind(run.uuid())
                        .fetch_optional(writer.as_mut())
                        .await;
                    known
                        .map_err(wrong)?
                        .map(|_| None)
                        .ok_or_else(|| unknown(run))
                }

                async fn renew(&self, owner: &str, lease: Duration) -> Result<(), StoreError> {
                    let wrong = |error| failed("renew the leases", error);
                    let update = sqlx::query($sql::RENEW)
                        .bind(owner)
                        .bind($values::lasting(lease)?);
                    let mut writer = self.writer().await.map_err(wrong)?;
                    let renewed = update.execute(writer.as_mut()).await;
                    renewed.map(drop).map_err(wrong)
                }

                async fn release(&self, run: RunId, fence: u64) -> Result<(), StoreError> {
                    let wrong = |error| failed("release the run", error);
                    let update = sqlx::query($sql::RELEASE)
                        .bind(run.uuid())
                        .bind(fence.cast_signed());
                    let mut writer = self.writer().await.map_err(wrong)?;
                    let released = update.execute(writer.as_mut()).await;
                    match released.map_err(wrong)?.rows_affected() {
                        0 => Err(StoreError::Stale),
                        _ => Ok(()),
                    }
                }

                async fn commit(
                    &self,
                    writes: &[RunWrite],
                ) -> Result<Vec<WriteOutcome>, StoreError> {
                    self.commit_all(writes).await
                }

                async fn run(&self, run: RunId) -> Result<Option<RunRecord>, StoreError> {
                    let sql = format!("{} where r.id = $1", $sql::SELECT_RUN);
                    let row = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
                        .bind(run.uuid())
                        .fetch_optional(self.reader())
                        .await;
                    row.map_err(reading)?.map(RunRecord::try_from).transpose()
                }

                async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
                    let sql = listing($sql::SELECT_RUN, filter, $sql::LISTING);
                    let query = sqlx::query_as::<_, RunRow>(AssertSqlSafe(sql))
                        .bind(&filter.pipeline)
                        .bind(filter.state.map(RunState::name))
                        .bind(filter.before.map(RunId::uuid))
                        .bind(i64::from(filter.limit));
                    records(query.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn tasks(&self, run: RunId) -> Result<Vec<TaskRecord>, StoreError> {
                    let query = sqlx::query_as::<_, TaskRow>($sql::SELECT_TASKS).bind(run.uuid());
                    records(query.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
                    let query = sqlx::query_as::<_, AttemptRow>($sql::ATTEMPTS).bind(run.uuid());
                    records(query.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn events(
                    &self,
                    run: RunId,
                    after: u64,
                    limit: u32,
                ) -> Result<Vec<EventRecord>, StoreError> {
                    let query = sqlx::query_as::<_, EventRow>($sql::EVENTS)
                        .bind(run.uuid())
                        .bind(after.cast_signed())
                        .bind(i64::from(limit));
                    records(query.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn successes(
                    &self,
                    pipeline: &str,
                    key: &TaskKey,
                    limit: u32,
                ) -> Result<Vec<PastOutcome>, StoreError> {
                    let query = sqlx::query_as::<_, PastRow>($sql::SUCCESSES)
                        .bind(pipeline)
                        .bind(&key.task)
                        .bind(element(key.element))
                        .bind(i64::from(limit));
                    records(query.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn previous_state(
                    &self,
                    pipeline: &str,
                    run: RunId,
                ) -> Result<Option<RunState>, StoreError> {
                    let state = sqlx::query_scalar::<_, String>($sql::PREVIOUS_STATE)
                        .bind(pipeline)
                        .bind(run.uuid())
                        .fetch_optional(self.reader())
                        .await;
                    state.map_err(reading)?.as_deref().map(named).transpose()
                }

                async fn warnings(
                    &self,
                    runs: &[RunId],
                ) -> Result<HashMap<RunId, u64>, StoreError> {
                    let rows = sqlx::query_as::<_, (uuid::Uuid, i64)>($sql::WARNINGS)
                        .bind($values::ids(runs.iter().map(|run| run.uuid())))
                        .fetch_all(self.reader())
                        .await;
                    let rows = rows.map_err(reading)?.into_iter();
                    rows.map(|(run, count)| Ok((RunId::from(run), whole(count)?)))
                        .collect()
                }

                async fn cached(&self, cache: &str) -> Result<Option<CachedOutput>, StoreError> {
                    let row = sqlx::query_as::<_, CachedRow>($sql::CACHED)
                        .bind(cache)
                        .fetch_optional(self.reader())
                        .await;
                    row.map_err(reading)?
                        .map(CachedOutput::try_from)
                        .transpose()
                }

                async fn checkpoint(
                    &self,
                    run: RunId,
                    key: &TaskKey,
                ) -> Result<Option<Value>, StoreError> {
                    let value = sqlx::query_scalar::<_, String>($sql::CHECKPOINT)
                        .bind(run.uuid())
                        .bind(&key.task)
                        .bind(element(key.element))
                        .fetch_optional(self.reader())
                        .await;
                    maybe_json(value.map_err(reading)?.as_deref())
                }

                async fn put_checkpoint(
                    &self,
                    run: RunId,
                    fence: u64,
                    key: &TaskKey,
                    value: &Value,
                ) -> Result<(), StoreError> {
                    let insert = sqlx::query($sql::PUT_CHECKPOINT)
                        .bind(run.uuid())
                        .bind(fence.cast_signed())
                        .bind(&key.task)
                        .bind(element(key.element))
                        .bind(json(value));
                    let mut writer = self.writer().await.map_err(writing)?;
                    let inserted = insert.execute(writer.as_mut()).await;
                    match inserted.map_err(writing)?.rows_affected() {
                        0 => Err(StoreError::Stale),
                        _ => Ok(()),
                    }
                }

                async fn state(
                    &self,
                    pipeline: &str,
                    key: &TaskKey,
                ) -> Result<Option<Value>, StoreError> {
                    let state = sqlx::query_scalar::<_, String>($sql::STATE)
                        .bind(pipeline)
                        .bind(&key.task)
                        .bind(element(key.element))
                        .fetch_optional(self.reader())
                        .await;
                    maybe_json(state.map_err(reading)?.as_deref())
                }
            }
        };
    };
}

pub(crate) use runs;
