//! Opening the file, and bringing the tables up to date.

use std::{path::Path, sync::Arc, time::Duration};

use pipectl_engine::store::StoreError;
use sqlx::{
    AssertSqlSafe, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;

use super::{SqliteStore, Writing, statement::TEMPORARY};
use crate::{
    error::{failed, of_path},
    migration,
};

/// How many connections read at once at most.
const READERS: u32 = 4;
/// How long a write waits for another process's write.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often opening is tried again while another process makes the file, and after how long. SQLite itself does not wait
/// for the change to a write-ahead log.
const TRIES: u32 = 200;
const BETWEEN: Duration = Duration::from_millis(50);
/// What marks a file as ours: "pctl" as a number.
const APPLICATION: i64 = 0x7063_746c;

impl SqliteStore {
    /// Opens the file at `path`, and makes it and its directory or brings it up to date where needed.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is not ours, or was made by a newer version of this program.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|error| of_path("make the directory", directory, error))?;
        }
        let what = format!("open the history in {}", path.display());
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .pragma("temp_store", "memory")
            // 16 MiB of log before it is folded into the file: fewer and larger steps.
            .pragma("wal_autocheckpoint", "4000");
        let mut connection = connect(&options)
            .await
            .map_err(|error| failed(&what, error))?;
        sqlx::raw_sql(TEMPORARY)
            .execute(&mut connection)
            .await
            .map_err(|error| failed(&what, error))?;
        let mut writing = Writing {
            connection,
            open: false,
        };
        migrate(&mut writing, path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_lazy_with(options.pragma("query_only", "on").create_if_missing(false));
        Ok(Self {
            writer: Arc::new(Mutex::new(writing)),
            readers,
            changed: Arc::default(),
        })
    }
}

async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    for _ in 0..TRIES {
        match SqliteConnection::connect_with(options).await {
            Err(error) if is_busy(&error) => tokio::time::sleep(BETWEEN).await,
            connected => return connected,
        }
    }
    SqliteConnection::connect_with(options).await
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    // The low byte is the code, whatever the extended one says.
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

async fn migrate(writing: &mut Writing, path: &Path) -> Result<(), StoreError> {
    let wrong = |error| {
        failed(
            &format!("bring the history in {} up to date", path.display()),
            error,
        )
    };
    let connection = &mut writing.connection;
    if ours(connection).await.map_err(wrong)?
        && migration::missing(&applied(connection).await.map_err(wrong)?)?.is_empty()
    {
        return Ok(());
    }
    let connection = writing.begin().await.map_err(wrong)?;
    // Another process may have done it while this one waited for the lock.
    let done = if ours(connection).await.map_err(wrong)? {
        applied(connection).await.map_err(wrong)?
    } else if empty(connection).await.map_err(wrong)? {
        Vec::new()
    } else {
        return Err(StoreError::invalid(format!(
            "{} is an SQLite database of something else; give the history a file of its own",
            path.display()
        )));
    };
    let missing = migration::missing(&done)?;
    if missing.len() == migration::MIGRATIONS.len() {
        let tables = format!(
            "pragma application_id = {APPLICATION};
            create table if not exists migrations (name text primary key, applied integer not null) strict;"
        );
        sqlx::raw_sql(AssertSqlSafe(tables))
            .execute(&mut *connection)
            .await
            .map_err(wrong)?;
    }
    for step in missing {
        sqlx::raw_sql(AssertSqlSafe(step.sqlite))
            .execute(&mut *connection)
            .await
            .map_err(wrong)?;
        let sql = "insert into migrations (name, applied) values (?, cast(unixepoch('subsec') * 1000000 as integer))";
        sqlx::query(sql)
            .bind(step.name)
            .execute(&mut *connection)
            .await
            .map_err(wrong)?;
    }
    writing.commit().await.map_err(wrong)
}

async fn ours(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let application: i64 = sqlx::query_scalar("pragma application_id")
        .fetch_one(connection)
        .await?;
    Ok(application == APPLICATION)
}

async fn empty(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let sql = "select not exists (select 1 from sqlite_schema where type = 'table')";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

async fn applied(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select name from migrations order by name")
        .fetch_all(connection)
        .await
}
