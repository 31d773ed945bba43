//! The ledger of sensed things in SQLite.

use std::collections::HashSet;

use pipectl_engine::{
    store::{Created, NewRun, SensorKey, Thing},
    time::Timestamp,
};
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    SqliteStore, Writing,
    create::{existing, hex, insert},
    values::moment,
};
use crate::{
    batch::{self, text},
    things::{self, Ledger, sensed, short_key, to_make},
};

impl SqliteStore {
    pub(super) async fn ignore_things(
        &self,
        key: &SensorKey,
        things: &[Thing],
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let things: Vec<_> = things.iter().map(|thing| (thing, None)).collect();
        let mut writer = self.writer().await?;
        enter(&mut writer.connection, key, "ignored", &things, now)
            .await
            .map(drop)
    }

    pub(super) async fn sense_things(
        &self,
        key: &SensorKey,
        things: &[(Thing, NewRun)],
        now: Timestamp,
    ) -> Result<Vec<Created>, sqlx::Error> {
        let mut writer = self.writer().await?;
        let ledger = sense(&mut writer, key, things, now).await;
        let ledger = writer.end(ledger).await?;
        self.changed.notify_waiters();
        Ok(sensed(things, &ledger))
    }

    pub(super) async fn forget_things(
        &self,
        key: &SensorKey,
        identity: Option<&str>,
    ) -> Result<u64, sqlx::Error> {
        let mut writer = self.writer().await?;
        let forgotten = forget(&mut writer, key, identity).await;
        writer.end(forgotten).await
    }
}

/// Enters things that are not in the ledger, and gives their keys.
async fn enter(
    connection: &mut SqliteConnection,
    key: &SensorKey,
    state: &str,
    things: &[(&Thing, Option<Uuid>)],
    now: Timestamp,
) -> Result<HashSet<String>, sqlx::Error> {
    let sql = "insert into things (pipeline, task, key, identity, name, details, size, modified, state, seen, run)
        select $1, $2, j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, $3, $4,
            unhex(j.value ->> 6)
        from json_each($5) j where true on conflict do nothing returning key";
    let rows = things.iter().map(|(thing, run)| {
        json!([
            short_key(&thing.identity),
            text(&thing.identity),
            text(&thing.name),
            batch::json(&thing.values),
            i64::try_from(thing.size).unwrap_or(i64::MAX),
            moment(thing.modified),
            run.map(hex)
        ])
    });
    let entered = sqlx::query_scalar::<_, String>(sql)
        .bind(&key.pipeline)
        .bind(&key.task)
        .bind(state)
        .bind(moment(now))
        .bind(rows.collect::<Value>().to_string());
    Ok(entered.fetch_all(connection).await?.into_iter().collect())
}

/// Enters things and makes their runs; gives the runs that the ledger then has for them.
async fn sense(
    writer: &mut Writing,
    key: &SensorKey,
    things: &[(Thing, NewRun)],
    now: Timestamp,
) -> Result<Ledger, sqlx::Error> {
    let connection = writer.begin().await?;
    let rows = things
        .iter()
        .map(|(thing, run)| (thing, Some(run.id.uuid())));
    let new = enter(connection, key, "taken", &rows.collect::<Vec<_>>(), now).await?;
    let mut ledger = runs_of(connection, key, things).await?;
    let runs = to_make(things, &new, &ledger);
    let made = insert(connection, &runs).await?;
    let others = existing(connection, &runs, &made).await?;
    things::name_others(&mut ledger, &others);
    for (own, other) in others {
        let sql = "update things set run = $4 where pipeline = $1 and task = $2 and run = $3";
        let name = sqlx::query(sql)
            .bind(&key.pipeline)
            .bind(&key.task)
            .bind(own)
            .bind(other);
        name.execute(&mut *connection).await?;
    }
    Ok(ledger)
}

/// The runs that the ledger has for things, by key.
async fn runs_of(
    connection: &mut SqliteConnection,
    key: &SensorKey,
    things: &[(Thing, NewRun)],
) -> Result<Ledger, sqlx::Error> {
    let sql = "select t.key, t.run from json_each($3) n
        cross join things t on t.pipeline = $1 and t.task = $2 and t.key = n.value";
    let keys: Value = things
        .iter()
        .map(|(thing, _)| short_key(&thing.identity))
        .collect();
    let rows = sqlx::query_as(sql)
        .bind(&key.pipeline)
        .bind(&key.task)
        .bind(keys.to_string());
    Ok(rows.fetch_all(connection).await?.into_iter().collect())
}

async fn forget(
    writer: &mut Writing,
    key: &SensorKey,
    identity: Option<&str>,
) -> Result<u64, sqlx::Error> {
    let connection = writer.begin().await?;
    let sql = "delete from things where pipeline = $1 and task = $2 and ($3 is null or key = $3) returning run";
    let forgotten = sqlx::query_scalar::<_, Option<Uuid>>(sql)
        .bind(&key.pipeline)
        .bind(&key.task)
        .bind(identity.map(short_key))
        .fetch_all(&mut *connection)
        .await?;
    let runs: Value = forgotten.iter().flatten().map(|run| hex(*run)).collect();
    let free =
        "update runs set trigger_key = null where id in (select unhex(value) from json_each($1))";
    let free = sqlx::query(free).bind(runs.to_string());
    free.execute(connection).await?;
    Ok(forgotten.len() as u64)
}
