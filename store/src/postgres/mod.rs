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
use sqlx::{PgPool, Postgres, pool::PoolConnection};

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

    /// After an error that may mean that the server has cut connections: the others are asked before they are used.
    fn mistrust(&self, error: &StoreError) {
        if matches!(error, StoreError::Unavailable { .. }) {
            self.trust.lose();
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
