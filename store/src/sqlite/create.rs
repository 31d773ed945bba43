//! Making runs, any number in one statement.

use std::collections::{HashMap, HashSet};

use pipectl_engine::store::{Created, NewRun, StoreError};
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{SqliteStore, values::moment};
use crate::{
    batch::{self, element},
    error::writing,
    things::{created, short_key},
};

/// The present moment as it is stored.
pub(super) const NOW: &str = "cast(unixepoch('subsec') * 1000000 as integer)";

impl SqliteStore {
    /// Makes runs, each unless its trigger has one already.
    pub(super) async fn create(&self, runs: &[NewRun]) -> Result<Vec<Created>, StoreError> {
        let runs: Vec<_> = runs.iter().collect();
        let mut writer = self.writer().await.map_err(writing)?;
        let made = insert(&mut writer.connection, &runs)
            .await
            .map_err(writing)?;
        let known = existing(&mut writer.connection, &runs, &made)
            .await
            .map_err(writing)?;
        drop(writer);
        if runs.iter().any(|run| run.enqueued) {
            self.changed.notify_waiters();
        }
        created(&runs, &made, &known)
    }
}

/// An identity within a JSON document.
pub(super) fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

/// Inserts runs where there is none of this id or trigger, and gives the ids of those that were.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    runs: &[&NewRun],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let sql = "insert into runs (id, pipeline, version, kind, trigger_key, trigger_data, params, interval_start,
            interval_end, parent_run, parent_task, parent_element, created, state, enqueued, max_active, backfill)
        select unhex(j.value ->> 0), j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5,
            j.value ->> 6, j.value ->> 7, j.value ->> 8, unhex(j.value ->> 9), j.value ->> 10, j.value ->> 11,
            j.value ->> 12, 'queued', j.value ->> 13, j.value ->> 14, unhex(j.value ->> 15)
        from json_each($1) j where true on conflict do nothing returning id";
    let rows: Vec<_> = runs.iter().map(|run| row(run)).collect();
    let made = sqlx::query_scalar(sql).bind(Value::from(rows).to_string());
    Ok(made.fetch_all(connection).await?.into_iter().collect())
}

fn row(run: &NewRun) -> Value {
    let interval = run.interval.as_ref();
    let parent = run.parent.as_ref();
    json!([
        hex(run.id.uuid()),
        run.pipeline,
        run.version,
        run.kind.name(),
        run.trigger_key.as_deref().map(short_key),
        batch::json(&run.trigger),
        batch::json(&run.params),
        interval.map(|interval| moment(interval.start)),
        interval.map(|interval| moment(interval.end)),
        parent.map(|parent| hex(parent.run.uuid())),
        parent.map(|parent| &parent.key.task),
        parent.map(|parent| element(parent.key.element)),
        moment(run.created),
        run.enqueued,
        run.max_active,
        run.backfill.map(hex)
    ])
}

/// The runs that stand where `runs`, but those that were `made`, could not be inserted: by the id of the new one.
pub(super) async fn existing(
    connection: &mut SqliteConnection,
    runs: &[&NewRun],
    made: &HashSet<Uuid>,
) -> Result<HashMap<Uuid, Uuid>, sqlx::Error> {
    let runs = runs.iter().filter(|run| !made.contains(&run.id.uuid()));
    let rows = runs.map(|run| {
        json!([
            hex(run.id.uuid()),
            run.pipeline,
            run.trigger_key.as_deref().map(short_key)
        ])
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "select unhex(j.value ->> 0) as own, coalesce(
            (select id from runs where id = unhex(j.value ->> 0)),
            (select id from runs where pipeline = j.value ->> 1 and trigger_key = j.value ->> 2)
        ) as other from json_each($1) j where other is not null";
    let rows = sqlx::query_as(sql).bind(Value::from(rows).to_string());
    Ok(rows.fetch_all(connection).await?.into_iter().collect())
}
