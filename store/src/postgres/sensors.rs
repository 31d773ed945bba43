//! The ledger of sensed things on Postgres.

use std::collections::{HashMap, HashSet};

use pipectl_engine::{
    store::{Created, NewRun, SensorKey, Thing},
    time::Timestamp,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    PostgresStore,
    create::{column, existing, insert},
};
use crate::{
    batch::{json, text},
    things::{self, Ledger, sensed, short_key, to_make},
};

impl PostgresStore {
    pub(super) async fn ignore_things(
        &self,
        key: &SensorKey,
        things: &[Thing],
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let things: Vec<_> = things.iter().map(|thing| (thing, None)).collect();
        let mut connection = self.pool.acquire().await?;
        enter(&mut connection, key, "ignored", &things, now)
            .await
            .map(drop)
    }

    pub(super) async fn sense_things(
        &self,
        key: &SensorKey,
        things: &[(Thing, NewRun)],
        now: Timestamp,
    ) -> Result<Vec<Created>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let rows = things
            .iter()
            .map(|(thing, run)| (thing, Some(run.id.uuid())));
        let new = enter(
            &mut transaction,
            key,
            "taken",
            &rows.collect::<Vec<_>>(),
            now,
        )
        .await?;
        let mut ledger = runs_of(&mut transaction, key, things).await?;
        let runs = to_make(things, &new, &ledger);
        let made = insert(&mut transaction, &runs).await?;
        let others = existing(&mut transaction, &runs, &made).await?;
        things::name_others(&mut ledger, &others);
        name_others(&mut transaction, key, &others).await?;
        transaction.commit().await?;
        Ok(sensed(things, &ledger))
    }

    pub(super) async fn forget_things(
        &self,
        key: &SensorKey,
        identity: Option<&str>,
    ) -> Result<u64, sqlx::Error> {
        let sql = "with forgotten as (
                delete from pipectl.things where pipeline = $1 and task = $2 and ($3::text is null or key = $3)
                returning run
            ), freed as (
                update pipectl.runs r set trigger_key = null from forgotten f where r.id = f.run
            ) select count(*) from forgotten";
        let count = sqlx::query_scalar::<_, i64>(sql)
            .bind(&key.pipeline)
            .bind(&key.task)
            .bind(identity.map(short_key))
            .fetch_one(&self.pool);
        Ok(count.await?.unsigned_abs())
    }
}

/// Enters things that are not in the ledger, and gives their keys. In one order everywhere, so that two who enter the
/// same things do not wait for each other.
async fn enter(
    connection: &mut PgConnection,
    key: &SensorKey,
    state: &str,
    things: &[(&Thing, Option<Uuid>)],
    now: Timestamp,
) -> Result<HashSet<String>, sqlx::Error> {
    let sql = "insert into pipectl.things
            (pipeline, task, key, identity, name, details, size, modified, state, seen, run)
        select $1, $2, n.key, n.identity, n.name, n.details::json, n.size, n.modified, $3, $4, n.run
        from unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::timestamptz[], $11::uuid[])
            with ordinality as n (key, identity, name, details, size, modified, run, place)
        order by n.key collate \"C\", n.place on conflict do nothing returning key";
    let entered = sqlx::query_scalar::<_, String>(sql)
        .bind(&key.pipeline)
        .bind(&key.task)
        .bind(state)
        .bind(now)
        .bind(column!(things, (thing, _) => short_key(&thing.identity)))
        .bind(column!(things, (thing, _) => text(&thing.identity)))
        .bind(column!(things, (thing, _) => text(&thing.name)))
        .bind(column!(things, (thing, _) => json(&thing.values)))
        .bind(column!(things, (thing, _) => i64::try_from(thing.size).unwrap_or(i64::MAX)))
        .bind(column!(things, (thing, _) => thing.modified))
        .bind(column!(things, (_, run) => *run));
    Ok(entered.fetch_all(connection).await?.into_iter().collect())
}

/// The runs that the ledger has for things, by key.
async fn runs_of(
    connection: &mut PgConnection,
    key: &SensorKey,
    things: &[(Thing, NewRun)],
) -> Result<Ledger, sqlx::Error> {
    // Not `= any`, which compares each row with each key.
    let sql = "select t.key, t.run from unnest($3::text[]) n (key)
        join pipectl.things t on t.pipeline = $1 and t.task = $2 and t.key = n.key";
    let rows = sqlx::query_as(sql)
        .bind(&key.pipeline)
        .bind(&key.task)
        .bind(column!(things, (thing, _) => short_key(&thing.identity)));
    Ok(rows.fetch_all(connection).await?.into_iter().collect())
}

/// Names, for things whose trigger has a run already, that one.
async fn name_others(
    connection: &mut PgConnection,
    key: &SensorKey,
    others: &HashMap<Uuid, Uuid>,
) -> Result<(), sqlx::Error> {
    if others.is_empty() {
        return Ok(());
    }
    let sql = "update pipectl.things t set run = n.other from unnest($3::uuid[], $4::uuid[]) as n (own, other)
        where t.pipeline = $1 and t.task = $2 and t.run = n.own";
    let name = sqlx::query(sql)
        .bind(&key.pipeline)
        .bind(&key.task)
        .bind(column!(others, (own, _) => *own))
        .bind(column!(others, (_, other) => *other));
    name.execute(connection).await.map(drop)
}
