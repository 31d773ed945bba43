//! A transaction of Postgres that counts once, and the ledger that it needs.

use pipectl_connections::database_error;
use pipectl_engine::operator::{Fault, TaskContext, TaskError};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::{
    job::{Identity, Job, Mode},
    session::session,
    table::{TableColumn, TableName, postgres_type},
};

session!(PgConnection, postgres_type);

impl Session {
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

    /// Keeps others from making a table while this transaction may: of two that make it at once, the later one fails
    /// although the table is there.
    pub(super) async fn lock_making(
        &self,
        session: &mut PgConnection,
        table: &TableName,
    ) -> Result<(), TaskError> {
        let lock = sqlx::query("select pg_advisory_xact_lock(hashtext('pipectl create ' || $1))");
        let locked = lock.bind(table.quoted()).execute(session).await;
        locked.map(|_| ()).map_err(|error| self.fail(error))
    }
}
