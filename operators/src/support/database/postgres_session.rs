//! A transaction of Postgres that counts once: its ledger, its statements, its errors.

use pipectl_connections::database_error;
use pipectl_engine::operator::{TaskContext, TaskError};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::{job::Identity, table::TableName};

/// What is done, and by whom.
pub(super) struct Session {
    doing: String,
    identity: Identity,
}

impl Session {
    /// A session of an attempt; `doing` says what is done, as in ``write to `warehouse` ``.
    pub(super) fn new(doing: String, context: &TaskContext) -> Self {
        Self {
            doing,
            identity: Identity::of(context),
        }
    }

    /// A failure of the database.
    pub(super) fn fail(&self, error: sqlx::Error) -> TaskError {
        database_error(&self.doing, error)
    }

    /// Runs a statement that is made of quoted names and our own words.
    pub(super) async fn run(
        &self,
        session: &mut PgConnection,
        sql: String,
    ) -> Result<u64, TaskError> {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(session).await;
        done.map(|done| done.rows_affected())
            .map_err(|error| self.fail(error))
    }

    /// Makes the ledger, unless it is there.
    pub(super) async fn make_ledger(
        &self,
        pool: &PgPool,
        ledger: &TableName,
    ) -> Result<(), TaskError> {
        let is_there = || async {
            let there =
                sqlx::query_scalar("select to_regclass($1) is not null").bind(ledger.quoted());
            there
                .fetch_one(pool)
                .await
                .map_err(|error| self.fail(error))
        };
        if is_there().await? {
            return Ok(());
        }
        let sql = format!(
            "create table if not exists {} (run text not null, task text not null, element integer not null, \
             redo integer not null, rows bigint not null, at timestamptz not null default now(), \
             primary key (run, task, element, redo))",
            ledger.quoted()
        );
        match sqlx::query(AssertSqlSafe(sql)).execute(pool).await {
            Ok(_) => Ok(()),
            // Two that make it at once: the later one fails although the table is there.
            Err(_) if is_there().await? => Ok(()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Enters the load in the ledger. If it is there already, its rows are too: how many they were.
    pub(super) async fn claim(
        &self,
        session: &mut PgConnection,
        ledger: &TableName,
        rows: u64,
    ) -> Result<Option<u64>, TaskError> {
        let Identity {
            run,
            task,
            element,
            redo,
        } = &self.identity;
        let sql = format!(
            "insert into {} (run, task, element, redo, rows) values ($1, $2, $3, $4, $5) on conflict do nothing",
            ledger.quoted()
        );
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let entered = sqlx::query(AssertSqlSafe(sql))
            .bind(run)
            .bind(task)
            .bind(element)
            .bind(redo)
            .bind(rows);
        if entered
            .execute(&mut *session)
            .await
            .map_err(|error| self.fail(error))?
            .rows_affected()
            == 1
        {
            return Ok(None);
        }
        let sql = format!(
            "select rows from {} where run = $1 and task = $2 and element = $3 and redo = $4",
            ledger.quoted()
        );
        let before = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql))
            .bind(run)
            .bind(task)
            .bind(element)
            .bind(redo);
        let before = before
            .fetch_one(session)
            .await
            .map_err(|error| self.fail(error))?;
        Ok(Some(u64::try_from(before).unwrap_or(0)))
    }

    /// Says in the ledger how many rows it were, when that is known only now.
    pub(super) async fn counted(
        &self,
        session: &mut PgConnection,
        ledger: &TableName,
        rows: u64,
    ) -> Result<(), TaskError> {
        let Identity {
            run,
            task,
            element,
            redo,
        } = &self.identity;
        let sql = format!(
            "update {} set rows = $5 where run = $1 and task = $2 and element = $3 and redo = $4",
            ledger.quoted()
        );
        let update = sqlx::query(AssertSqlSafe(sql))
            .bind(run)
            .bind(task)
            .bind(element)
            .bind(redo)
            .bind(i64::try_from(rows).unwrap_or(i64::MAX));
        update
            .execute(session)
            .await
            .map(|_| ())
            .map_err(|error| self.fail(error))
    }
}
