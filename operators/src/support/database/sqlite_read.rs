//! Rows out of SQLite, where every value has a type of its own.

use futures::TryStreamExt;
use pipectl_connections::database_error;
use pipectl_engine::operator::{SqlText, TaskContext, TaskError};
use polars::prelude::DataFrame;
use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, Connection as _, Executor, Row, SqlitePool, Statement,
    TypeInfo,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    bound::unbound,
    cursor::Greatest,
    hint_tables,
    interval::Bounds,
    missing_table,
    request::{Found, Request, VALUE, narrowed},
    sqlite_column::{Cell, Column, declared},
    sqlite_session::table_names,
    sqlite_spool::{self, Room, Spool},
    table::{Holds, quoted},
};
use crate::support::{
    frame::collect,
    text::{count, hint_for_name, thousands},
};

/// After how many rows it is told of them.
const TELL: u64 = 100_000;

/// The rows of a query.
pub(super) async fn read(
    pool: &SqlitePool,
    connection: &str,
    request: &Request,
    context: &TaskContext,
) -> Result<Found, TaskError> {
    let read = query_rows(pool, connection, request, context).await;
    let error = match read {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let Some(name) = missing_table(&error) else {
        return Err(error);
    };
    Err(match pool.acquire().await {
        Ok(mut session) => hint_tables(error, &name, &table_names(&mut session).await),
        Err(_) => error,
    })
}

async fn query_rows(
    pool: &SqlitePool,
    connection: &str,
    request: &Request,
    context: &TaskContext,
) -> Result<Found, TaskError> {
    let query = narrow(pool, connection, request).await?;
    let column = request.cursor.as_ref().map(|cursor| cursor.column.as_str());
    let rows = gather(pool, connection, &query, column, context);
    let (found, number) = tokio::select! {
        found = rows => found?,
        () = context.cancel.cancelled() => {
            return Err(TaskError::external("the attempt was stopped while it read"));
        }
    };
    let log = format!("{} from `{connection}`", count(number, "row"));
    context.log.info(log);
    Ok(found)
}

/// The query with the conditions that its rows have to meet.
async fn narrow(
    pool: &SqlitePool,
    connection: &str,
    request: &Request,
) -> Result<SqlText, TaskError> {
    if request.interval.is_none() && request.cursor.is_none() {
        return Ok(request.query.clone());
    }
    let fail = |error| database_error(&format!("read from `{connection}`"), error);
    let mut session = pool.acquire().await.map_err(fail)?;
    session.clear_cached_statements().await.map_err(fail)?;
    let text = AssertSqlSafe(request.query.sql.clone());
    let text = sqlx::SqlSafeStr::into_sql_str(text);
    let statement = (&mut *session).prepare(text).await.map_err(fail)?;
    // SQLite takes the name of a column that is not there for a text.
    let check = |name: &str, setting: &str| {
        let mut names = statement.columns().iter().map(sqlx::Column::name);
        if names.any(|known| known == name) {
            return Ok(quoted(name));
        }
        let known = statement.columns().iter().map(sqlx::Column::name);
        Err(TaskError::user(format!(
            "the query has no column `{name}`, which is named under `{setting}`"
        ))
        .hint(hint_for_name(name, "its columns are", known)))
    };
    let mut conditions = Vec::new();
    if let Some(interval) = &request.interval {
        let name = check(&interval.column, "interval_column")?;
        let columns = statement.columns().iter();
        let mut of = columns.filter(|column| column.name() == interval.column);
        let holds = of
            .next()
            .and_then(|column| declared(column.type_info().name()));
        let bounds = Bounds::of(interval, holds.unwrap_or(Holds::Timestamp))?;
        conditions.push((
            format!(
                "julianday({name}) >= julianday({VALUE}) and julianday({name}) < julianday({VALUE})"
            ),
            vec![bounds.start.into(), bounds.end.into()],
        ));
    }
    if let Some(cursor) = &request.cursor {
        let name = check(&cursor.column, "incremental")?;
        conditions.push(match &cursor.after {
            Some(after) => (format!("{name} > {VALUE}"), vec![after.clone()]),
            None => (format!("{name} is not null"), Vec::new()),
        });
    }
    Ok(narrowed(&request.query, "*", &conditions))
}

/// The rows, and how many they are.
async fn gather(
    pool: &SqlitePool,
    connection: &str,
    query: &SqlText,
    cursor: Option<&str>,
    context: &TaskContext,
) -> Result<(Found, u64), TaskError> {
    let doing = format!("read from `{connection}`");
    let fail = |error| database_error(&doing, error);
    let mut session = pool.acquire().await.map_err(fail)?;
    // A statement that was prepared before its table has changed would give the old columns, or fail.
    session.clear_cached_statements().await.map_err(fail)?;
    let text = AssertSqlSafe(query.sql.clone());
    let statement = (&mut *session)
        .prepare(sqlx::SqlSafeStr::into_sql_str(text))
        .await
        .map_err(fail)?;
    let columns: Vec<_> = statement
        .columns()
        .iter()
        .map(|column| Column::new(column.name(), declared(column.type_info().name())))
        .collect();
    if columns.is_empty() {
        return Err(TaskError::user("the statement gives no rows").hint("write a `select`"));
    }
    if let Some(sqlx::Either::Right(places)) = statement.parameters()
        && places > query.values.len()
    {
        return Err(unbound(query.values.len()));
    }
    let arguments = arguments(&query.values).map_err(|error| fail(sqlx::Error::Encode(error)))?;
    let mut rows = Rows {
        cursor: cursor.and_then(|name| columns.iter().position(|column| column.name == name)),
        width: columns.len(),
        greatest: Greatest::default(),
        count: 0,
    };
    let (mut spool, chunks) = Spool::new(columns, Room::default());
    let inner = context.clone();
    let write = context.compute(move || sqlite_spool::write(&inner, chunks));
    let read = async {
        let mut stream = statement.query_with(arguments).fetch(&mut *session);
        while let Some(row) = stream.try_next().await.map_err(fail)? {
            rows.take(&row, &mut spool).map_err(fail)?;
            rows.tell(context);
            if !spool.relieve().await {
                break;
            }
        }
        Ok::<_, TaskError>(spool.end())
    };
    let (gathered, spilled) = tokio::join!(read, write);
    let (spilled, gathered) = (spilled?, gathered?);
    let inner = context.clone();
    let table = context.compute(move || gathered.table(spilled, &inner));
    let found = Found {
        rows: table.await?,
        cursor: rows.greatest.value(),
    };
    Ok((found, rows.count))
}

/// Rows that are being read.
struct Rows {
    /// The place of the column whose greatest value is wanted.
    cursor: Option<usize>,
    width: usize,
    greatest: Greatest,
    count: u64,
}

impl Rows {
    fn take(&mut self, row: &SqliteRow, spool: &mut Spool) -> Result<(), sqlx::Error> {
        for index in 0..self.width {
            let cell = Cell::of(row.try_get_raw(index)?).map_err(sqlx::Error::Decode)?;
            if self.cursor == Some(index) {
                self.greatest.see(&cell);
            }
            spool.push(index, cell);
        }
        self.count += 1;
        Ok(())
    }

    fn tell(&self, context: &TaskContext) {
        if self.count.is_multiple_of(TELL) {
            context.progress.set(self.count, None);
            let log = format!("{} rows so far", thousands(self.count));
            context.log.info(log);
        }
    }
}

/// The first row of a query, for those who only want to know whether there is one.
pub(super) async fn first(
    pool: &SqlitePool,
    connection: &str,
    query: &SqlText,
    context: &TaskContext,
) -> Result<DataFrame, TaskError> {
    let mut one = narrowed(query, "*", &[]);
    one.sql.push_str(" limit 1");
    let (found, _) = gather(pool, connection, &one, None, context).await?;
    collect(context, "the row", &found.rows).await
}

/// Values as SQLite keeps them.
pub(super) fn arguments(values: &[Value]) -> Result<SqliteArguments, sqlx::error::BoxDynError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(Option::<String>::None)?,
            Value::Bool(value) => arguments.add(*value)?,
            Value::Number(number) => match number.as_i64() {
                Some(whole) => arguments.add(whole)?,
                None => arguments.add(number.as_f64())?,
            },
            Value::String(text) => arguments.add(text.clone())?,
            other => arguments.add(other.to_string())?,
        }
    }
    Ok(arguments)
}
