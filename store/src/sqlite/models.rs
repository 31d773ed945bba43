//! The registered models in SQLite.

use async_trait::async_trait;
use pipectl_engine::{
    id::{RunId, TaskKey},
    store::{ModelRegistry, ModelVersion, StoreError},
    time::Timestamp,
};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{SqliteStore, commit::micros};
use crate::{
    batch::{element, reservation},
    error::{failed, unreadable},
    rows::{ModelRow, records},
};

const READ: &str = "read the registered models";

const SELECT: &str = "select m.name, m.version, m.run, m.task, m.registered, m.artifact,
    m.digest, m.bytes, m.metrics, m.card,
    (select json_group_array(a.alias order by a.alias) from model_aliases a where a.name = m.name and a.version = m.version) as aliases
    from models m where m.registered is not null and m.name = $1";

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
        let insert = sqlx::query(sql).bind(name).bind(alias).bind(version).bind(note).bind(micros(now));
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

impl SqliteStore {
    async fn one_model(
        &self,
        and: &'static str,
        name: &str,
        version: i64,
        alias: &str,
    ) -> Result<Option<ModelVersion>, StoreError> {
        let query = sqlx::query_as::<_, ModelRow>(AssertSqlSafe(format!("{SELECT} {and}")));
        let row = query
            .bind(name)
            .bind(version)
            .bind(alias)
            .fetch_optional(&self.readers)
            .await;
        row.map_err(|error| failed(READ, error))?
            .map(ModelVersion::try_from)
            .transpose()
    }
}

#[async_trait]
impl ModelRegistry for SqliteStore {
    async fn reserve_version(
        &self,
        name: &str,
        run: RunId,
        key: &TaskKey,
    ) -> Result<u32, StoreError> {
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

    async fn models(&self) -> Result<Vec<String>, StoreError> {
        let sql =
            "select name from models where registered is not null group by name order by name";
        sqlx::query_scalar(sql)
            .fetch_all(&self.readers)
            .await
            .map_err(|error| failed(READ, error))
    }

    async fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, StoreError> {
        let query = sqlx::query_as::<_, ModelRow>(AssertSqlSafe(format!(
            "{SELECT} order by m.version desc"
        )));
        records(
            query
                .bind(name)
                .fetch_all(&self.readers)
                .await
                .map_err(|error| failed(READ, error))?,
        )
    }

    async fn model(&self, name: &str, version: u32) -> Result<Option<ModelVersion>, StoreError> {
        self.one_model("and m.version = $2 and $3 = ''", name, version.into(), "")
            .await
    }

    async fn aliased(&self, name: &str, alias: &str) -> Result<Option<ModelVersion>, StoreError> {
        let and = "and $2 = 0 and m.version =
            (select version from model_aliases where name = $1 and alias = $3)";
        self.one_model(and, name, 0, alias).await
    }

    async fn set_alias(
        &self,
        name: &str,
        alias: &str,
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
