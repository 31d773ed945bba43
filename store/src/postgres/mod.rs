//! The history on Postgres: everything stands in the schema `pipectl`.

mod backfills;
mod commit;
mod create;
mod history;
mod models;
mod news;
mod open;
mod outbox;
mod queue;
mod runs;
mod sensors;
mod statement;
mod tables;
mod triggers;
mod values;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pipectl_engine::store::StoreError;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, pool::PoolConnection};

use open::place;

/// How long a server may take to say whether it is there.
const KNOCK: Duration = Duration::from_secs(2);

/// A store on Postgres.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
    trust: Arc<Trust>,
    news: Arc<news::News>,
}

impl PostgresStore {
    /// Where reading statements go.
    fn reader(&self) -> &PgPool {
        &self.pool
    }

    /// A connection that writes.
    async fn writer(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.pool.acquire().await
    }

    /// After an error that may mean that the server has cut connections the others are asked before they are used. One
    /// that only tells that the wait for a connection is over becomes the one that tells why there was none.
    async fn explained(&self, what: &str, error: StoreError) -> StoreError {
        let StoreError::Unavailable { source, .. } = &error else {
            return error;
        };
        if error.is_locked() {
            return error;
        }
        self.trust.lose();
        let source = source.as_ref().and_then(|source| source.downcast_ref());
        if !matches!(source, Some(sqlx::Error::PoolTimedOut)) {
            return error;
        }
        let options = self.pool.connect_options();
        match tokio::time::timeout(KNOCK, PgConnection::connect_with(&options)).await {
            Err(_) => {
                let message = format!("cannot {what}: {} does not answer", place(&options));
                StoreError::unavailable(message, "it neither accepts nor refuses connections")
            }
            Ok(Err(cause)) => {
                let message = format!("cannot {what}: {} cannot be reached", place(&options));
                StoreError::unavailable(message, cause)
            }
            Ok(Ok(connection)) => {
                // Closing politely; nothing depends on it.
                drop(connection.close().await);
                error
            }
        }
    }
}

/// When a connection was last found broken: those that are older are asked whether they live before they are used.
#[derive(Debug, Default)]
struct Trust(Mutex<Option<Instant>>);

impl Trust {
    fn lose(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn holds(&self, age: Duration) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none_or(|lost| age < lost.elapsed())
    }
}
