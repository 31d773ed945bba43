//! The registered models on Postgres.

use pipectl_engine::{
    id::{RunId, TaskKey},
    store::{ImportedModel, NO_RUN, RegisterModel, StoreError},
    time::Timestamp,
};
use sqlx::PgConnection;

use super::{PostgresStore, commit::register};
use crate::{
    batch::{element, reservation},
    error::{failed, unreadable},
};

crate::shared::models!(PostgresStore, sql);

/// Points an alias, given with its model's name, to a version, and remembers why.
pub(super) async fn point(
    connection: &mut PgConnection,
    (name, alias): (&str, &str),
    version: i64,
    note: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = "with pointed as (
            insert into pipectl.model_aliases (name, alias, version, note, changed) values ($1, $2, $3, $4, $5)
            on conflict (name, alias) do update set version = excluded.version, note = excluded.note,
                changed = excluded.changed
            returning *
        )
        insert into pipectl.model_alias_changes (name, alias, version, note, changed)
        select name, alias, version, note, changed from pointed";
    let insert = sqlx::query(sql)
        .bind(name)
        .bind(alias)
        .bind(version)
        .bind(note)
        .bind(now);
    insert.execute(connection).await.map(drop)
}

/// Remembers something of an alias that stays where it is.
pub(super) async fn remember(
    connection: &mut PgConnection,
    (name, alias): (&str, &str),
    note: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = "insert into pipectl.model_alias_changes (name, alias, version, note, changed)
        select name, alias, version, $3, $4 from pipectl.model_aliases where name = $1 and alias = $2";
    let insert = sqlx::query(sql).bind(name).bind(alias).bind(note).bind(now);
    insert.execute(connection).await.map(drop)
}

/// Holds the model until the transaction ends, so that whoever decides about its versions and aliases sees what the others
/// have decided.
pub(super) async fn lock(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let sql = "select pg_advisory_xact_lock(hashtextextended('pipectl model ' || $1, 0))";
    let lock = sqlx::query(sql).bind(name);
    lock.execute(connection).await.map(drop)
}

impl PostgresStore {
    async fn reserve(&self, name: &str, run: RunId, key: &TaskKey) -> Result<u32, StoreError> {
        let wrong = |error| failed("reserve a model's version", error);
        let mut transaction = self.pool.begin().await.map_err(wrong)?;
        lock(&mut transaction, name).await.map_err(wrong)?;
        let mine = reservation(run.uuid(), key);
        let sql = "select version from pipectl.models where name = $1 and reservation = $2";
        let reserved: Option<i64> = sqlx::query_scalar(sql)
            .bind(name)
            .bind(&mine)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(wrong)?;
        let version = if let Some(version) = reserved {
            version
        } else {
            let sql = "insert into pipectl.models (name, version, run, task, element, reservation)
                    select $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5 from pipectl.models where name = $1
                    returning version";
            let insert = sqlx::query_scalar(sql)
                .bind(name)
                .bind(run.uuid())
                .bind(&key.task)
                .bind(element(key.element))
                .bind(&mine);
            insert.fetch_one(&mut *transaction).await.map_err(wrong)?
        };
        transaction.commit().await.map_err(wrong)?;
        u32::try_from(version).map_err(unreadable)
    }

    async fn remove(
        &self,
        (name, alias): (&str, &str),
        note: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let wrong = |error| failed("take the alias away", error);
        let mut transaction = self.pool.begin().await.map_err(wrong)?;
        lock(&mut transaction, name).await.map_err(wrong)?;
        // Version 0 says that it points nowhere.
        let sql = "with gone as (
                delete from pipectl.model_aliases where name = $1 and alias = $2 returning name, alias
            )
            insert into pipectl.model_alias_changes (name, alias, version, note, changed)
            select name, alias, 0, $3, $4 from gone";
        let removed = sqlx::query(sql)
            .bind(name)
            .bind(alias)
            .bind(note)
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(wrong)?;
        transaction.commit().await.map_err(wrong)?;
        Ok(removed.rows_affected() > 0)
    }

    async fn import(&self, model: &ImportedModel) -> Result<u32, StoreError> {
        let wrong = |error| failed("register the model", error);
        let mut transaction = self.pool.begin().await.map_err(wrong)?;
        lock(&mut transaction, &model.name).await.map_err(wrong)?;
        let sql = "select coalesce(max(version), 0) + 1 from pipectl.models where name = $1";
        let version: i64 = sqlx::query_scalar(sql)
            .bind(&model.name)
            .fetch_one(&mut *transaction)
            .await
            .map_err(wrong)?;
        let version = u32::try_from(version).map_err(unreadable)?;
        let new = RegisterModel::imported(model, version);
        register(&mut transaction, NO_RUN.uuid(), &new).await?;
        transaction.commit().await.map_err(wrong)?;
        Ok(version)
    }

    async fn point_to(
        &self,
        (name, alias): (&str, &str),
        version: u32,
        note: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let wrong = |error| failed("point the alias", error);
        let mut transaction = self.pool.begin().await.map_err(wrong)?;
        lock(&mut transaction, name).await.map_err(wrong)?;
        let sql = "select 1 from pipectl.models where name = $1 and version = $2 and registered is not null";
        let found = sqlx::query(sql)
            .bind(name)
            .bind(i64::from(version))
            .fetch_optional(&mut *transaction)
            .await;
        if found.map_err(wrong)?.is_none() {
            return Err(StoreError::NotFound(format!("model {name}:{version}")));
        }
        point(&mut transaction, (name, alias), version.into(), note, now)
            .await
            .map_err(wrong)?;
        transaction.commit().await.map_err(wrong)
    }
}

mod sql {
    pub(super) const SELECT: &str = "select m.name, m.version, m.run, m.task, pipectl.micros(m.registered) as registered, m.artifact,
        m.digest, m.bytes, m.metrics::text as metrics, m.card::text as card,
        (select coalesce(json_agg(a.alias order by a.alias collate \"C\"), '[]')::text from pipectl.model_aliases a
            where a.name = m.name and a.version = m.version) as aliases
        from pipectl.models m where m.registered is not null and m.name = $1";

    pub(super) const NAMES: &str = "select name from pipectl.models where registered is not null group by name order by name collate \"C\"";

    pub(super) const ALIAS_CHANGES: &str =
        "select alias, version, note, pipectl.micros(changed) as changed
        from pipectl.model_alias_changes where name = $1 order by id desc limit $2";

    pub(super) const ALIASED: &str =
        "select version from pipectl.model_aliases where name = $1 and alias = $2";
}
