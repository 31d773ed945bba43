//! The history on Postgres: everything stands in the schema `pipectl`.

mod commit;
mod models;
mod open;
mod outbox;
mod runs;
mod statement;

use sqlx::PgPool;

/// A store on Postgres.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
}
