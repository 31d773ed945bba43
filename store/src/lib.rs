//! History, registry and outbox on Postgres and SQLite; artifacts in a directory or a bucket.

mod artifacts;
mod batch;
mod error;
mod history;
mod mails;
mod migration;
mod model_rows;
mod open;
mod postgres;
mod rows;
mod shared;
mod sqlite;
mod things;
mod trigger_rows;

pub use artifacts::{LocalArtifacts, ObjectArtifacts};
pub use open::{check_address, open, open_artifacts};
pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;
