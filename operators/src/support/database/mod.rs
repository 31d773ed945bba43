//! Tables of Postgres and SQLite: what `extract: sql` and `load: sql` share.

mod checked;
mod copy;
mod decode;
mod numeric;
mod postgres_load;
mod postgres_read;
mod sqlite_load;
mod sqlite_read;
mod table;

use std::sync::Arc;

use pipectl_connections::{Connector, Database};
use pipectl_engine::{
    connection::Connection,
    operator::{SqlText, TaskContext, TaskError},
    project::Project,
    services::Services,
};
use polars::prelude::DataFrame;

pub(crate) use self::{
    checked::{Job, Loaded, Mode},
    table::TableName,
};

/// Opens the database behind a connection.
///
/// # Errors
/// When there is no such connection, or its server does not let us in.
pub(crate) async fn open(
    project: &Project,
    services: &Services,
    connection: &Connection,
) -> Result<Database, TaskError> {
    let connector = services
        .get::<Connector>()
        .unwrap_or_else(|| Arc::new(Connector::default()));
    connector.database(project, connection).await
}

/// The rows of a query.
///
/// # Errors
/// When the database refuses it, or a value cannot be held in a column.
pub(crate) async fn read(
    context: &TaskContext,
    connection: &str,
    query: &SqlText,
) -> Result<DataFrame, TaskError> {
    match open(
        &context.project,
        &context.services,
        context.connection(connection)?,
    )
    .await?
    {
        Database::Postgres(pool) => postgres_read::read(&pool, connection, query, context).await,
        Database::Sqlite(pool) => sqlite_read::read(&pool, connection, query, context).await,
    }
}

/// Writes rows and the ledger's entry in one transaction.
///
/// # Errors
/// When the rows do not fit the table, or the database refuses them; the table is then as before.
pub(crate) async fn load(
    context: &TaskContext,
    connection: &str,
    job: Job,
) -> Result<Loaded, TaskError> {
    match open(
        &context.project,
        &context.services,
        context.connection(connection)?,
    )
    .await?
    {
        Database::Postgres(pool) => postgres_load::load(&pool, connection, job, context).await,
        Database::Sqlite(pool) => sqlite_load::load(&pool, connection, job, context).await,
    }
}
