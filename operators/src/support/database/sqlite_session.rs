//! A transaction of SQLite that counts once, and what SQLite says about a table.

use pipectl_connections::database_error;
use pipectl_engine::operator::{Fault, TaskContext, TaskError};
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::{
    job::{Identity, Job, Mode},
    postgres_table::missing_table,
    session::session,
    table::{Holds, TableColumn, TableName, sqlite_type},
};

session!(SqliteConnection, sqlite_type);

impl Session {
    /// Makes the ledger, unless it is there, and enters the work in it. If it is there already, its rows are too: how many
    /// they were.
    pub(super) async fn claim(
        &self,
        session: &mut SqliteConnection,
        ledger: &TableName,
        rows: u64,
    ) -> Result<Option<u64>, TaskError> {
        let sql = format!(
            "create table if not exists {} (run text not null, task text not null, element integer not null, \
             redo integer not null, rows integer not null, at text not null default current_timestamp, \
             primary key (run, task, element, redo))",
            ledger.quoted()
        );
        self.run(session, sql).await?;
        self.enter(session, ledger, rows).await
    }

    /// The columns of a table.
    pub(super) async fn columns(
        &self,
        session: &mut SqliteConnection,
        table: &TableName,
    ) -> Result<Vec<TableColumn>, TaskError> {
        let rows = sqlx::query(
            "select name, type, \"notnull\" = 1 and dflt_value is null and not (pk = 1 and lower(type) = 'integer') \
             from pragma_table_info(?, ?)",
        );
        let rows = rows
            .bind(&table.name)
            .bind(table.schema.as_deref().unwrap_or("main"));
        let rows = rows
            .fetch_all(&mut *session)
            .await
            .map_err(|error| self.fail(error))?;
        if rows.is_empty() {
            return Err(missing_table(table, &table_names(session).await));
        }
        let column = |row: &sqlx::sqlite::SqliteRow| {
            let declared: String = row.try_get(1)?;
            Ok(TableColumn {
                name: row.try_get(0)?,
                holds: Holds::of_sqlite(&declared),
                type_name: if declared.is_empty() {
                    "of any type".to_owned()
                } else {
                    declared
                },
                required: row.try_get(2)?,
                array_of: None,
            })
        };
        rows.iter()
            .map(column)
            .collect::<Result<_, _>>()
            .map_err(|error| self.fail(error))
    }

    /// The columns of each index that makes rows unique.
    pub(super) async fn unique_indexes(
        &self,
        session: &mut SqliteConnection,
        table: &TableName,
    ) -> Result<Vec<Vec<String>>, TaskError> {
        let schema = table.schema.as_deref().unwrap_or("main");
        let rows = sqlx::query_as::<_, (String, Option<String>)>(
            "select l.name, i.name from pragma_index_list(?1, ?2) l, pragma_index_info(l.name, ?2) i \
             where l.\"unique\" = 1 and l.partial = 0 \
             union all select '', name from pragma_table_info(?1, ?2) where pk > 0",
        );
        let rows = rows
            .bind(&table.name)
            .bind(schema)
            .fetch_all(session)
            .await
            .map_err(|error| self.fail(error))?;
        let mut indexes: Vec<(String, Vec<String>)> = Vec::new();
        for (index, column) in rows {
            // An expression has no name and makes the index useless for us.
            let column = column.unwrap_or_default();
            match indexes.iter_mut().find(|(name, _)| *name == index) {
                Some((_, columns)) => columns.push(column),
                None => indexes.push((index, vec![column])),
            }
        }
        Ok(indexes.into_iter().map(|(_, columns)| columns).collect())
    }
}

/// The tables that there are.
pub(super) async fn table_names(session: &mut SqliteConnection) -> Vec<String> {
    let names = sqlx::query_scalar(
        "select name from sqlite_master where type in ('table', 'view') order by 1 limit 500",
    );
    names.fetch_all(session).await.unwrap_or_default()
}
