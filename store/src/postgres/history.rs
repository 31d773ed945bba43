//! The care of the history on Postgres.

use async_trait::async_trait;
use pipectl_engine::{
    id::RunId,
    store::{History, PipelineVersion, PruneRule, StoreError},
};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::PostgresStore;
use crate::{
    error::{failed, reading},
    history::HANGING,
    rows::VersionRow,
};

const PIPELINES: &str = "with recursive pipelines as (
        select coalesce($1::text, (select min(pipeline) from pipectl.runs)) as pipeline
        union all
        select (select min(r.pipeline) from pipectl.runs r where $1::text is null and r.pipeline > p.pipeline)
        from pipelines p where p.pipeline is not null
    )";

/// What needs a run `r` that is over.
const FREE: &str = "r.state in ('success', 'failed', 'cancelled')
    and not exists (select 1 from pipectl.models m where m.run = r.id and m.registered is not null)
    and not exists (select 1 from pipectl.things t where t.run = r.id and t.state = 'taken' and r.state = 'success')
    and not exists (select 1 from pipectl.runs c where c.parent_run = r.id and c.state in ('queued', 'running'))
    and not exists (select 1 from pipectl.runs c where c.id = r.parent_run and c.state in ('queued', 'running'))
    and not exists (select 1 from pipectl.runs k where k.pipeline = r.pipeline and k.kind = 'manual'
        and (k.trigger_data -> 'part') is not null and position(r.id::text in k.trigger_data -> 'part' ->> 'taken') > 0)
    and not (r.kind = 'after' and exists (select 1 from pipectl.schedules s join pipectl.runs u on u.id = (r.trigger_data->>'run')::uuid
        where s.pipeline = r.pipeline and r.created >= s.cursor - interval '10 minutes'))
    and not (r.parent_run is not null and exists (
        with recursive above (id) as (
            select r.parent_run union select p.parent_run from above a join pipectl.runs p on p.id = a.id where p.parent_run is not null
        )
        select 1 from above a join pipectl.models m on m.run = a.id and m.registered is not null))";

const BEYOND: &str = "r.id <= (select n.id from pipectl.runs n
    where n.pipeline = p.pipeline and n.state in ('success', 'failed', 'cancelled')
    order by n.id desc limit 1 offset $3)";

#[async_trait]
impl History for PostgresStore {
    async fn prunable(&self, rule: &PruneRule, limit: u32) -> Result<Vec<RunId>, StoreError> {
        // Each kind of rule has its own plan and index.
        let (which, order) = match (rule.before, rule.keep) {
            (None, None) => return Ok(Vec::new()),
            (Some(_), None) => ("r.ended < $2".to_owned(), "r.ended, r.id"),
            (None, Some(_)) => (BEYOND.to_owned(), "r.id"),
            (Some(_), Some(_)) => (format!("r.ended < $2 and {BEYOND}"), "r.ended, r.id"),
        };
        let sql = format!(
            "{PIPELINES} select c.id from pipelines p cross join lateral (
                select r.id, r.ended from pipectl.runs r where r.pipeline = p.pipeline and {which} and {FREE}
                order by {order} limit $4
            ) c where $2::timestamptz is null or $3::bigint is null or true order by c.ended, c.id limit $4"
        );
        let runs = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(sql))
            .bind(&rule.pipeline)
            .bind(rule.before)
            .bind(rule.keep.map(i64::from))
            .bind(i64::from(limit))
            .fetch_all(&self.pool);
        let runs = runs.await.map_err(reading)?;
        Ok(runs.into_iter().map(RunId::from).collect())
    }

    async fn pipelines(&self) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "{PIPELINES} select pipeline from pipelines where pipeline is not null order by pipeline"
        );
        let pipelines = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(None::<String>)
            .fetch_all(&self.pool);
        pipelines.await.map_err(reading)
    }

    async fn last_version(&self, pipeline: &str) -> Result<Option<PipelineVersion>, StoreError> {
        let sql =
            "select hash, pipeline, path, source from pipectl.pipeline_versions where pipeline = $1
            order by kept desc limit 1";
        let version = sqlx::query_as::<_, VersionRow>(sql)
            .bind(pipeline)
            .fetch_optional(&self.pool);
        Ok(version.await.map_err(reading)?.map(PipelineVersion::from))
    }

    async fn remove_runs(&self, runs: &[RunId]) -> Result<u64, StoreError> {
        let wrong = |error| failed("prune the history", error);
        let mut transaction = self.pool.begin().await.map_err(wrong)?;
        let removed = remove(&mut transaction, runs).await.map_err(wrong)?;
        transaction.commit().await.map_err(wrong)?;
        Ok(removed)
    }
}

async fn remove(connection: &mut PgConnection, runs: &[RunId]) -> Result<u64, sqlx::Error> {
    let sql = "select id, version, was_version from pipectl.runs
        where id = any ($1) and state in ('success', 'failed', 'cancelled') order by id for update";
    let runs: Vec<_> = runs.iter().map(|run| run.uuid()).collect();
    let over = sqlx::query_as::<_, (Uuid, String, Option<String>)>(sql)
        .bind(runs)
        .fetch_all(&mut *connection)
        .await?;
    let (runs, versions): (Vec<_>, Vec<_>) = over
        .into_iter()
        .map(|(run, version, was)| (run, [Some(version), was]))
        .unzip();
    let versions: Vec<String> = versions.into_iter().flatten().flatten().collect();
    for (table, condition) in HANGING.iter().chain([&("runs", "")]) {
        let column = if *table == "runs" { "id" } else { "run" };
        let sql = format!("delete from pipectl.{table} where {column} = any ($1){condition}");
        sqlx::query(AssertSqlSafe(sql))
            .bind(&runs)
            .execute(&mut *connection)
            .await?;
    }
    let sql = "delete from pipectl.pipeline_versions v where v.hash = any ($1)
        and exists (select 1 from pipectl.pipeline_versions n where n.pipeline = v.pipeline and n.kept > v.kept)
        and not exists (select 1 from pipectl.runs r where r.pipeline = v.pipeline and v.hash in (r.version, r.was_version))";
    sqlx::query(sql)
        .bind(&versions)
        .execute(&mut *connection)
        .await?;
    Ok(runs.len() as u64)
}
