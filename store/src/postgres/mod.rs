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

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::PgPool;

/// A store on Postgres.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
    trust: Arc<Trust>,
    news: Arc<news::News>,
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
