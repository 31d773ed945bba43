//! Connecting, and bringing the tables up to date.

use std::{str::FromStr, sync::Arc, time::Duration};

use pipectl_engine::{secret::Secret, store::StoreError};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{PostgresStore, Trust};
use crate::{error::failed, migration};

/// How many connections a process has at most.
const CONNECTIONS: u32 = 8;
/// How long to wait for a free connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that has been idle for longer is asked whether it still lives.
const IDLE: Duration = Duration::from_secs(1);
/// How long a statement may take, but those that bring the tables up to date.
const LIMIT: &str = "60s";
/// The lock under which tables are changed: "pipectl" as a number.
const LOCK: i64 = 0x0070_6970_6563_746c;

impl PostgresStore {
    /// Connects to `address`, and makes or brings up to date what is needed in its schema `pipectl`.
    ///
    /// # Errors
    /// When the database cannot be reached, refuses the user, or was made by a newer version of this program.
    pub async fn open(address: &Secret) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(address.expose())
            .map_err(|error| failed("read the address of the history", error))?;
        let place = place(&options);
        let options = options
            .application_name("pipectl")
            // Plans must not depend on how many rows the first batches had; and these statements gain nothing by JIT.
            .options([("plan_cache_mode", "force_generic_plan"), ("jit", "off")]);
        // What waits for longer than that waits for something that does not come; it is tried again. A process that was
        // frozen keeps no locks for ever either.
        let limited = options.clone().options([
            ("statement_timeout", LIMIT),
            ("idle_in_transaction_session_timeout", LIMIT),
        ]);
        let what = format!("open the history in {place}");
        let trust = Arc::new(Trust::default());
        let asked = Arc::clone(&trust);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let trusted = meta.idle_for <= IDLE && asked.holds(meta.age);
                let asked = Arc::clone(&asked);
                Box::pin(async move {
                    if !trusted {
                        connection.ping().await.inspect_err(|_| asked.lose())?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(limited);
        // One connection is made by hand: the pool would try an unreachable host until its patience ends.
        let mut connection = tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options))
            .await
            .map_err(|_| unreachable(&place, "no answer within 10 seconds".into()))?
            .map_err(|error| match error {
                sqlx::Error::Io(error) => unreachable(&place, error.into()),
                error => failed(&what, error),
            })?;
        migrate(&mut connection).await?;
        // Closing politely; the history does not depend on it.
        drop(connection.close().await);
        Ok(Self {
            pool,
            trust,
            news: Arc::default(),
        })
    }

    /// The connections, for tests that look at the tables.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

pub(super) fn place(options: &PgConnectOptions) -> String {
    let database = options
        .get_database()
        .unwrap_or_else(|| options.get_username());
    format!(
        "Postgres at {}:{}/{database}",
        options.get_host(),
        options.get_port()
    )
}

fn unreachable(place: &str, cause: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::unavailable(format!("cannot reach {place}"), cause)
}

async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let wrong = |error| failed("bring the history's tables up to date", error);
    if migration::missing(&applied(connection).await?)?.is_empty() {
        return Ok(());
    }
    // Of several processes that come here at once, one works and the others then find it done. The lock is taken before
    // the transaction begins, for a transaction may not see a schema that was made while it waited; the connection is
    // closed afterwards, and that releases it.
    sqlx::query("select pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await
        .map_err(wrong)?;
    let mut transaction = connection.begin().await.map_err(wrong)?;
    let missing = migration::missing(&applied(&mut transaction).await?)?;
    if missing.len() == migration::MIGRATIONS.len() {
        let schema = "create schema if not exists pipectl;
            create table if not exists pipectl.migrations (name text primary key, applied timestamptz not null default now())";
        sqlx::raw_sql(schema)
            .execute(&mut *transaction)
            .await
            .map_err(wrong)?;
    }
    for step in missing {
        sqlx::raw_sql(AssertSqlSafe(step.postgres))
            .execute(&mut *transaction)
            .await
            .map_err(wrong)?;
        let insert =
            sqlx::query("insert into pipectl.migrations (name) values ($1)").bind(step.name);
        insert.execute(&mut *transaction).await.map_err(wrong)?;
    }
    transaction.commit().await.map_err(wrong)
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let wrong = |error| failed("read the history's version", error);
    let exists = sqlx::query_scalar("select to_regclass('pipectl.migrations') is not null");
    if !exists.fetch_one(&mut *connection).await.map_err(wrong)? {
        return Ok(Vec::new());
    }
    let names =
        sqlx::query_scalar("select name from pipectl.migrations order by name collate \"C\"");
    names.fetch_all(connection).await.map_err(wrong)
}
