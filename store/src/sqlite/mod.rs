//! The history in an SQLite file.
//!
//! One connection writes, a few read beside it (WAL). Other processes may have the same file open: a write begins by
//! taking the file's write lock, and waits for it.

mod backfills;
mod commit;
mod create;
mod history;
mod models;
mod open;
mod outbox;
mod queue;
mod queue_sql;
mod runs;
mod sensors;
mod statement;
mod tables;
mod triggers;
mod values;

use std::sync::Arc;

use pipectl_engine::store::StoreError;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, query::Query, sqlite::SqliteArguments};
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::error::failed;

/// A store in an SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    writer: Arc<Mutex<Writing>>,
    readers: SqlitePool,
    /// Told when this process has changed something.
    changed: Arc<Notify>,
}

/// The connection that writes.
#[derive(Debug)]
struct Writing {
    connection: SqliteConnection,
    /// Whether a transaction was begun whose end is not known: its future was dropped on the way.
    open: bool,
}

impl SqliteStore {
    /// The connection that writes, with no transaction open.
    async fn writer(&self) -> Result<MutexGuard<'_, Writing>, sqlx::Error> {
        let mut writer = self.writer.lock().await;
        writer.clean().await?;
        Ok(writer)
    }

    /// Where reading statements go.
    fn reader(&self) -> &SqlitePool {
        &self.readers
    }

    /// Executes one statement, its own transaction, and gives the number of rows that it touched.
    async fn execute(
        &self,
        what: &str,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<u64, StoreError> {
        let wrong = |error| failed(what, error);
        let mut writer = self.writer().await.map_err(wrong)?;
        Ok(query
            .execute(&mut writer.connection)
            .await
            .map_err(wrong)?
            .rows_affected())
    }
}

impl AsMut<SqliteConnection> for Writing {
    fn as_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Writing {
    async fn clean(&mut self) -> Result<(), sqlx::Error> {
        if self.open {
            let rolled_back = sqlx::raw_sql("rollback")
                .execute(&mut self.connection)
                .await;
            // Some errors have rolled back already; then there is nothing to roll back, and that is an error too.
            if let Err(error) = rolled_back
                && !matches!(&error, sqlx::Error::Database(database) if database.message().contains("no transaction"))
            {
                return Err(error);
            }
            self.open = false;
        }
        Ok(())
    }

    /// Takes the file's write lock.
    async fn begin(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.open = true;
        sqlx::query("begin immediate")
            .execute(&mut self.connection)
            .await?;
        Ok(&mut self.connection)
    }

    async fn commit(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("commit").execute(&mut self.connection).await?;
        self.open = false;
        Ok(())
    }

    /// Ends the transaction that was begun: commits it if all went well, rolls it back otherwise.
    async fn end<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match &answer {
            Ok(_) => self.commit().await?,
            Err(_) => self.clean().await?,
        }
        answer
    }
}
