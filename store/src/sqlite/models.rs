//! The registered models in SQLite.

use pipectl_engine::{
    id::{RunId, TaskKey},
    store::{ImportedModel, NO_RUN, RegisterModel, StoreError},
    time::Timestamp,
};
use sqlx::SqliteConnection;

use super::{SqliteStore, commit::register, values::moment};
use crate::{
    batch::{element, reservation},
    error::{failed, unreadable},
};

crate::shared::models!(SqliteStore, sql);

/// Points an alias, given with its model's name, to a version, and remembers why.
pub(super) async fn point(
    connection: &mut SqliteConnection,
    (name, alias): (&str, &str),
    version: i64,
    note: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    for sql in [
        "insert into model_aliases (name, alias, version, note, changed) values ($1, $2, $3, $4, $5)
            on conflict (name, alias) do update set version = excluded.version, note = excluded.note,
                changed = excluded.changed",
        "insert into model_alias_changes (name, alias, version, note, changed) values ($1, $2, $3, $4, $5)",
    ] {
        let insert = sqlx::query(sql).bind(name).bind(alias).bind(version).bind(note).bind(moment(now));
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Remembers something of an alias that stays where it is.
pub(super) async fn remember(
    connection: &mut SqliteConnection,
    (name, alias): (&str, &str),
    note: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = "insert into model_alias_changes (name, alias, version, note, changed)
        select name, alias, version, $3, $4 from model_aliases where name = $1 and alias = $2";
    let insert = sqlx::query(sql)
        .bind(name)
        .bind(alias)
        .bind(note)
        .bind(moment(now));
    insert.execute(connection).await.map(drop)
}

impl SqliteStore {
    async fn reserve(&self, name: &str, run: RunId, key: &TaskKey) -> Result<u32, StoreError> {
        let wrong = |error| failed("reserve a model's version", error);
        let mut writer = self.writer().await.map_err(wrong)?;
        // Of two that reserve for the same task the second inserts nothing; one statement is one transaction.
        let sql = "insert into models (name, version, run, task, element, reservation)
            select $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5 from models where name = $1
            on conflict (name, reservation) where reservation is not null do nothing";
        let insert = sqlx::query(sql)
            .bind(name)
            .bind(run.uuid())
            .bind(&key.task)
            .bind(element(key.element))
            .bind(reservation(run.uuid(), key));
        insert
            .execute(&mut writer.connection)
            .await
            .map_err(wrong)?;
        let sql = "select version from models where name = $1 and reservation = $2";
        let version = sqlx::query_scalar::<_, i64>(sql)
            .bind(name)
            .bind(reservation(run.uuid(), key));
        u32::try_from(
            version
                .fetch_one(&mut writer.connection)
                .await
                .map_err(wrong)?,
        )
        .map_err(unreadable)
    }

    async fn remove(
        &self,
        (name, alias): (&str, &str),
        note: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let wrong = |error| failed("take the alias away", error);
        let mut writer = self.writer().await.map_err(wrong)?;
        let connection = writer.begin().await.map_err(wrong)?;
        let sql = "delete from model_aliases where name = $1 and alias = $2";
        let gone = sqlx::query(sql).bind(name).bind(alias);
        let gone = gone.execute(&mut *connection).await.map_err(wrong)?;
        if gone.rows_affected() == 0 {
            writer.clean().await.map_err(wrong)?;
            return Ok(false);
        }
        // Version 0 says that it points nowhere.
        let sql = "insert into model_alias_changes (name, alias, version, note, changed) values ($1, $2, 0, $3, $4)";
        let insert = sqlx::query(sql)
            .bind(name)
            .bind(alias)
            .bind(note)
            .bind(moment(now));
        insert.execute(&mut *connection).await.map_err(wrong)?;
        writer.commit().await.map_err(wrong)?;
        Ok(true)
    }

    async fn import(&self, model: &ImportedModel) -> Result<u32, StoreError> {
        let wrong = |error| failed("register the model", error);
        let mut writer = self.writer().await.map_err(wrong)?;
        let connection = writer.begin().await.map_err(wrong)?;
        let sql = "select coalesce(max(version), 0) + 1 from models where name = $1";
        let version: i64 = sqlx::query_scalar(sql)
            .bind(&model.name)
            .fetch_one(&mut *connection)
            .await
            .map_err(wrong)?;
        let version = u32::try_from(version).map_err(unreadable)?;
        let new = RegisterModel::imported(model, version);
        if let Err(error) = register(connection, NO_RUN.uuid(), &new).await {
            writer.clean().await.map_err(wrong)?;
            return Err(error);
        }
        writer.commit().await.map_err(wrong)?;
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
        let mut writer = self.writer().await.map_err(wrong)?;
        let connection = writer.begin().await.map_err(wrong)?;
        let sql =
            "select 1 from models where name = $1 and version = $2 and registered is not null";
        let found = sqlx::query(sql)
            .bind(name)
            .bind(i64::from(version))
            .fetch_optional(&mut *connection)
            .await;
        if found.map_err(wrong)?.is_none() {
            writer.clean().await.map_err(wrong)?;
            return Err(StoreError::NotFound(format!("model {name}:{version}")));
        }
        point(connection, (name, alias), version.into(), note, now)
            .await
            .map_err(wrong)?;
        writer.commit().await.map_err(wrong)
    }
}

mod sql {
    pub(super) const SELECT: &str = "select m.name, m.version, m.run, m.task, m.registered, m.artifact,
        m.digest, m.bytes, m.metrics, m.card,
        (select json_group_array(a.alias order by a.alias) from model_aliases a where a.name = m.name and a.version = m.version) as aliases
        from models m where m.registered is not null and m.name = $1";

    pub(super) const NAMES: &str =
        "select name from models where registered is not null group by name order by name";

    pub(super) const ALIAS_CHANGES: &str =
        "select alias, version, note, changed from model_alias_changes
        where name = $1 order by id desc limit $2";

    pub(super) const ALIASED: &str =
        "select version from model_aliases where name = $1 and alias = $2";
}
