//! Tables of Postgres, of SQLite and behind ODBC drivers: what the operators of databases share.

mod bound;
mod checked;
mod conflict;
mod copy;
mod cursor;
mod decode;
mod fit;
mod given;
mod interval;
mod job;
mod numbers;
mod numeric;
mod odbc;
mod odbc_dialect;
mod odbc_ledger;
mod odbc_load;
mod odbc_read;
mod odbc_run;
mod parts;
mod postgres_load;
mod postgres_parts;
mod postgres_read;
mod postgres_run;
mod postgres_session;
mod postgres_table;
mod request;
mod rows;
mod session;
mod spool;
mod sqlite_column;
mod sqlite_load;
mod sqlite_read;
mod sqlite_run;
mod sqlite_session;
mod sqlite_spool;
mod table;

use std::sync::Arc;

use pipectl_connections::{Connector, DATABASES, Database, is_database, no_database};
use pipectl_engine::{
    connection::Connection,
    operator::{Complaints, ConnectionName, ProbeContext, SqlText, TaskContext, TaskError},
    project::Project,
    services::Services,
};
use polars::prelude::DataFrame;

use crate::support::text::hint_for_name;

pub(crate) use self::{
    cursor::json_value,
    given::Given,
    job::{Job, Mode, Once, RowsInterval},
    odbc_ledger::NONE as NO_LEDGER,
    request::{Cursor, Found, Partitions, Request, named},
    table::{TableName, quoted, quoted_list},
};

/// Opens the database behind a connection.
///
/// # Errors
/// When there is no such connection, or its server does not let us in.
async fn open(
    project: &Project,
    services: &Services,
    connection: &Connection,
) -> Result<Database, TaskError> {
    let connector = services
        .get::<Connector>()
        .unwrap_or_else(|| Arc::new(Connector::default()));
    connector.database(project, connection).await
}

/// Looks whether a connection is one of a database, without speaking to it.
pub(crate) fn check_connection(name: &ConnectionName, found: &mut Complaints) {
    let scheme = found.scheme(&name.0);
    if let Some(scheme) = scheme.filter(|scheme| !is_database(scheme)) {
        found
            .error(&["connection"], no_database(&name.0, &scheme))
            .hint(DATABASES);
    }
}

/// Looks whether the database behind a connection lets us in.
///
/// # Errors
/// When it does not.
pub(crate) async fn probe(name: &ConnectionName, context: &ProbeContext) -> Result<(), TaskError> {
    match context.project.connections.get(&name.0) {
        Some(connection) => open(&context.project, &context.services, connection)
            .await
            .map(|_| ()),
        None => Ok(()),
    }
}

async fn database(context: &TaskContext, name: &str) -> Result<Database, TaskError> {
    let connection = context.connection(name)?;
    open(&context.project, &context.services, connection).await
}

/// The rows of a query.
///
/// # Errors
/// When the database refuses it, or a value cannot be held in a column.
pub(crate) async fn read(
    context: &TaskContext,
    connection: &str,
    request: &Request,
) -> Result<Found, TaskError> {
    match database(context, connection).await? {
        Database::Postgres(pool) => {
            postgres_read::read(&pool, connection, &request.spelt(quoted), context).await
        }
        Database::Sqlite(pool) => {
            sqlite_read::read(&pool, connection, &request.spelt(quoted), context).await
        }
        Database::Odbc(odbc) => odbc_read::read(&odbc, connection, request, context).await,
    }
}

/// The first row of a query, or none.
///
/// # Errors
/// As [`read`].
pub(crate) async fn first(
    context: &TaskContext,
    connection: &str,
    query: &SqlText,
) -> Result<DataFrame, TaskError> {
    match database(context, connection).await? {
        Database::Postgres(pool) => postgres_read::first(&pool, connection, query, context).await,
        Database::Sqlite(pool) => sqlite_read::first(&pool, connection, query, context).await,
        Database::Odbc(odbc) => odbc_read::first(&odbc, connection, query, context).await,
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
) -> Result<Once<u64>, TaskError> {
    match database(context, connection).await? {
        Database::Postgres(pool) => {
            Box::pin(postgres_load::load(&pool, connection, job, context)).await
        }
        Database::Sqlite(pool) => sqlite_load::load(&pool, connection, job, context).await,
        Database::Odbc(odbc) => odbc_load::load(&odbc, connection, job, context).await,
    }
}

/// Runs statements and makes the ledger's entry in one transaction; gives how many rows each has touched.
///
/// # Errors
/// When the database refuses one of them; then none of them has happened.
pub(crate) async fn run(
    context: &TaskContext,
    connection: &str,
    statements: &[SqlText],
) -> Result<Once<Vec<u64>>, TaskError> {
    match database(context, connection).await? {
        Database::Postgres(pool) => postgres_run::run(&pool, connection, statements, context).await,
        Database::Sqlite(pool) => sqlite_run::run(&pool, connection, statements, context).await,
        Database::Odbc(odbc) => odbc_run::run(&odbc, connection, statements, context).await,
    }
}

/// A statement's failure, which of them it was.
fn at_statement(mut failure: TaskError, number: usize, of: usize) -> TaskError {
    if failure.full_message().contains("multiple commands") {
        failure.hint =
            Some("write each statement as an entry of its own under `statements`".to_owned());
    }
    if of > 1 {
        failure.message = format!("{} (statement {number} of {of})", failure.message);
    }
    failure
}

fn stopped_statements() -> TaskError {
    TaskError::external("the attempt was stopped; none of its statements has happened")
}

fn stopped_rows() -> TaskError {
    TaskError::external("the attempt was stopped before its rows were committed")
}

/// The column of a query that a setting names.
fn named_column<'a, C>(
    columns: &'a [C],
    name_of: impl Fn(&'a C) -> &'a String,
    name: &str,
    setting: &str,
) -> Result<&'a C, TaskError> {
    let found = columns.iter().find(|column| *name_of(column) == name);
    found.ok_or_else(|| {
        let known: Vec<_> = columns
            .iter()
            .map(|column| name_of(column).as_str())
            .collect();
        TaskError::user(format!(
            "the query has no column `{name}`, which is named under `{setting}`"
        ))
        .hint(hint_for_name(name, "its columns are", known))
    })
}

/// The table that a query names and that is not there, when that is why it failed.
fn missing_table(failure: &TaskError) -> Option<String> {
    let text = failure.full_message();
    if let Some((_, name)) = text.split_once("no such table: ") {
        let name = name.split(|letter: char| letter.is_whitespace()).next()?;
        return Some(name.to_owned());
    }
    let (_, rest) = text.split_once("relation \"")?;
    let (name, rest) = rest.split_once('"')?;
    rest.starts_with(" does not exist").then(|| name.to_owned())
}

/// Says which tables there are.
fn hint_tables(failure: TaskError, name: &str, known: &[String]) -> TaskError {
    let known = known.iter().map(String::as_str);
    let known = known.filter(|table| !table.ends_with(job::LEDGER));
    failure.hint(hint_for_name(name, "the tables are", known))
}
