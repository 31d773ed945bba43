//! The care of the history in SQLite.

use async_trait::async_trait;
use pipectl_engine::{
    id::RunId,
    store::{History, PipelineVersion, PruneRule, StoreError},
};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{SqliteStore, Writing, create::hex, values::moment};
use crate::{
    error::{failed, reading},
    history::HANGING,
    rows::VersionRow,
};

const PIPELINES: &str = "with recursive pipelines as (
        select coalesce($1, (select min(pipeline) from runs)) as pipeline
        union all
        select (select min(r.pipeline) from runs r where $1 is null and r.pipeline > p.pipeline)
        from pipelines p where p.pipeline is not null
    )";

/// What needs a run `r` that is over.
const FREE: &str = "r.state in ('success', 'failed', 'cancelled')
    and not exists (select 1 from models m where m.run = r.id and m.registered is not null)
    and not exists (select 1 from things t where t.run = r.id and t.state = 'taken' and r.state = 'success')
    and not exists (select 1 from runs c where c.parent_run = r.id and c.state in ('queued', 'running'))
    and not exists (select 1 from runs c where c.id = r.parent_run and c.state in ('queued', 'running'))
    and not exists (select 1 from runs k where k.pipeline = r.pipeline and k.kind = 'manual'
        and json_extract(k.trigger_data, '$.part') is not null
        and instr(replace(json_extract(k.trigger_data, '$.part.taken'), '-', ''), lower(hex(r.id))) > 0)
    and not (r.kind = 'after' and exists (select 1 from schedules s join runs u on u.id = unhex(replace(json_extract(r.trigger_data, '$.run'), '-', ''))
        where s.pipeline = r.pipeline and r.created >= s.cursor - 600000000))
    and not (r.parent_run is not null and exists (
        with recursive above (id) as (
            select r.parent_run union select p.parent_run from above a join runs p on p.id = a.id where p.parent_run is not null
        )
        select 1 from above a join models m on m.run = a.id and m.registered is not null))";

const BEYOND: &str = "r.id <= (select n.id from runs n
    where n.pipeline = p.pipeline and n.state in ('success', 'failed', 'cancelled')
    order by n.id desc limit 1 offset $3)";

#[async_trait]
impl History for SqliteStore {
    async fn prunable(&self, rule: &PruneRule, limit: u32) -> Result<Vec<RunId>, StoreError> {
        // Each kind of rule has its own plan and index.
        let (which, order) = match (rule.before, rule.keep) {
            (None, None) => return Ok(Vec::new()),
            (Some(_), None) => ("r.ended < $2".to_owned(), "r.ended, r.id"),
            (None, Some(_)) => (BEYOND.to_owned(), "r.id"),
            (Some(_), Some(_)) => (format!("r.ended < $2 and {BEYOND}"), "r.ended, r.id"),
        };
        let sql = format!(
            "{PIPELINES} select c.id from pipelines p
            cross join json_each((select json_group_array(hex(f.id)) from (
                select r.id from runs r where r.pipeline = p.pipeline and {which} and {FREE} order by {order} limit $4
            ) f)) j cross join runs c on c.id = unhex(j.value) order by c.ended, c.id limit $4"
        );
        let runs = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(sql))
            .bind(&rule.pipeline)
            .bind(rule.before.map(moment))
            .bind(rule.keep)
            .bind(limit)
            .fetch_all(&self.readers);
        let runs = runs.await.map_err(reading)?;
        Ok(runs.into_iter().map(RunId::from).collect())
    }

    async fn pipelines(&self) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "{PIPELINES} select pipeline from pipelines where pipeline is not null order by pipeline"
        );
        let pipelines = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(None::<String>)
            .fetch_all(&self.readers);
        pipelines.await.map_err(reading)
    }

    async fn last_version(&self, pipeline: &str) -> Result<Option<PipelineVersion>, StoreError> {
        let sql = "select hash, pipeline, path, source from pipeline_versions where pipeline = $1
            order by kept desc limit 1";
        let version = sqlx::query_as::<_, VersionRow>(sql)
            .bind(pipeline)
            .fetch_optional(&self.readers);
        Ok(version.await.map_err(reading)?.map(PipelineVersion::from))
    }

    async fn remove_runs(&self, runs: &[RunId]) -> Result<u64, StoreError> {
        let wrong = |error| failed("prune the history", error);
        let mut writer = self.writer().await.map_err(wrong)?;
        let removed = remove(&mut writer, runs).await;
        writer.end(removed).await.map_err(wrong)
    }
}

async fn remove(writer: &mut Writing, runs: &[RunId]) -> Result<u64, sqlx::Error> {
    let connection = writer.begin().await?;
    let sql = "select id, version, was_version from runs where id in (select unhex(value) from json_each($1))
        and state in ('success', 'failed', 'cancelled')";
    let runs: Value = runs.iter().map(|run| hex(run.uuid())).collect();
    let over = sqlx::query_as::<_, (Uuid, String, Option<String>)>(sql)
        .bind(runs.to_string())
        .fetch_all(&mut *connection)
        .await?;
    let count = over.len() as u64;
    let (runs, versions): (Vec<_>, Vec<_>) = over
        .into_iter()
        .map(|(run, version, was)| (hex(run), [Some(version), was]))
        .unzip();
    let versions: Value = versions.into_iter().flatten().flatten().collect();
    let (runs, versions) = (Value::from(runs).to_string(), versions.to_string());
    for (table, condition) in HANGING.iter().chain([&("runs", "")]) {
        let column = if *table == "runs" { "id" } else { "run" };
        let sql = format!(
            "delete from {table} where {column} in (select unhex(value) from json_each($1)){condition}"
        );
        let delete = sqlx::query(AssertSqlSafe(sql)).bind(&runs);
        delete.execute(&mut *connection).await?;
    }
    let sql = "delete from pipeline_versions as v where v.hash in (select value from json_each($1))
        and exists (select 1 from pipeline_versions n where n.pipeline = v.pipeline and n.kept > v.kept)
        and not exists (select 1 from runs r where r.pipeline = v.pipeline and v.hash in (r.version, r.was_version))";
    sqlx::query(sql).bind(&versions).execute(connection).await?;
    Ok(count)
}
