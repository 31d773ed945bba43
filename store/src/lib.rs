//! History, registry and outbox on Postgres and SQLite.
