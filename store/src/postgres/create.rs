//! Making runs, any number in one statement.

use std::collections::{HashMap, HashSet};

use pipectl_engine::store::{Created, NewRun, StoreError};
use sqlx::PgConnection;
use uuid::Uuid;

use super::PostgresStore;
use crate::{
    batch::{element, json},
    error::writing,
    things::{created, short_key},
};

/// A column of rows.
macro_rules! column {
    ($rows:expr, $row:pat => $value:expr) => {
        $rows.iter().map(|$row| $value).collect::<Vec<_>>()
    };
}
pub(super) use column;

impl PostgresStore {
    /// Makes runs, each unless its trigger has one already.
    pub(super) async fn create(&self, runs: &[NewRun]) -> Result<Vec<Created>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(writing)?;
        let runs: Vec<_> = runs.iter().collect();
        let made = insert(&mut connection, &runs).await.map_err(writing)?;
        let known = existing(&mut connection, &runs, &made)
            .await
            .map_err(writing)?;
        created(&runs, &made, &known)
    }
}

/// Inserts runs where there is none of this id or trigger, and gives the ids of those that were. In one order everywhere,
/// so that two who make runs of the same triggers do not wait for each other.
pub(super) async fn insert(
    connection: &mut PgConnection,
    runs: &[&NewRun],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let sql = "with made as (
            insert into pipectl.runs (id, pipeline, version, kind, trigger_key, trigger_data, params, interval_start,
                interval_end, parent_run, parent_task, parent_element, created, state, enqueued, max_active, backfill)
            select id, pipeline, version, kind, trigger_key, trigger_data::json, params::json, interval_start,
                interval_end, parent_run, parent_task, parent_element, created, 'queued', enqueued, max_active, backfill
            from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::timestamptz[], $9::timestamptz[], $10::uuid[], $11::text[], $12::bigint[], $13::timestamptz[],
                $14::boolean[], $15::bigint[], $16::uuid[])
                with ordinality as n (id, pipeline, version, kind, trigger_key, trigger_data, params, interval_start,
                    interval_end, parent_run, parent_task, parent_element, created, enqueued, max_active, backfill, place)
            order by pipeline, trigger_key, place on conflict do nothing returning id, enqueued
        ) select id, case when enqueued then pipectl.tell() end from made";
    let rows = sqlx::query_as::<_, (Uuid, Option<bool>)>(sql)
        .bind(column!(runs, run => run.id.uuid()))
        .bind(column!(runs, run => run.pipeline.as_str()))
        .bind(column!(runs, run => run.version.as_str()))
        .bind(column!(runs, run => run.kind.name()))
        .bind(column!(runs, run => run.trigger_key.as_deref().map(short_key)))
        .bind(column!(runs, run => json(&run.trigger)))
        .bind(column!(runs, run => json(&run.params)))
        .bind(column!(runs, run => run.interval.map(|interval| interval.start)))
        .bind(column!(runs, run => run.interval.map(|interval| interval.end)))
        .bind(column!(runs, run => run.parent.as_ref().map(|parent| parent.run.uuid())))
        .bind(column!(runs, run => run.parent.as_ref().map(|parent| parent.key.task.as_str())))
        .bind(column!(runs, run => run.parent.as_ref().map(|parent| element(parent.key.element))))
        .bind(column!(runs, run => run.created))
        .bind(column!(runs, run => run.enqueued))
        .bind(column!(runs, run => run.max_active.map(i64::from)))
        .bind(column!(runs, run => run.backfill));
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(id, _)| id).collect())
}

/// The runs that stand where `runs`, but those that were `made`, could not be inserted: by the id of the new one.
pub(super) async fn existing(
    connection: &mut PgConnection,
    runs: &[&NewRun],
    made: &HashSet<Uuid>,
) -> Result<HashMap<Uuid, Uuid>, sqlx::Error> {
    let runs = runs.iter().filter(|run| !made.contains(&run.id.uuid()));
    let runs: Vec<_> = runs.collect();
    if runs.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "select n.id, r.id from unnest($1::uuid[], $2::text[], $3::text[]) as n (id, pipeline, trigger_key)
        cross join lateral (
            select id from pipectl.runs where id = n.id
            union all
            select id from pipectl.runs where pipeline = n.pipeline and trigger_key = n.trigger_key
            limit 1
        ) r";
    let rows = sqlx::query_as::<_, (Uuid, Uuid)>(sql)
        .bind(column!(runs, run => run.id.uuid()))
        .bind(column!(runs, run => run.pipeline.as_str()))
        .bind(column!(runs, run => run.trigger_key.as_deref().map(short_key)));
    Ok(rows.fetch_all(connection).await?.into_iter().collect())
}
