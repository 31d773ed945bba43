//! Rows out of SQLite, where every value has a type of its own.

use futures::TryStreamExt;
use pipectl_connections::database_error;
use pipectl_engine::{
    dataset::Dataset,
    operator::{SqlText, TaskContext, TaskError},
};
use polars::prelude::*;
use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, Connection as _, Executor, Row, SqlitePool, Statement,
    TypeInfo, sqlite::SqliteArguments,
};

use super::{
    bound::unbound,
    interval::Bounds,
    request::{Found, Request, VALUE, narrowed},
    sqlite_column::{Cell, Gathered, declared},
    table::{Holds, quoted},
};
use crate::support::{
    frame::polars_error,
    text::{count, hint_for_name},
};

/// The rows of a query.
pub(super) async fn read(
    pool: &SqlitePool,
    connection: &str,
    request: &Request,
    context: &TaskContext,
) -> Result<Found, TaskError> {
    let query = narrow(pool, connection, request).await?;
    let column = request.cursor.as_ref().map(|cursor| cursor.column.as_str());
    let rows = gather(pool, connection, &query, column, context);
    let (frame, cursor) = tokio::select! {
        rows = rows => rows?,
        () = context.cancel.cancelled() => {
            return Err(TaskError::external("the attempt was stopped while it read"));
        }
    };
    let log = format!(
        "{} from `{connection}`",
        count(frame.height() as u64, "row")
    );
    context.log.info(log);
    Ok(Found {
        rows: Dataset::from_frame(frame),
        cursor,
    })
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

async fn gather(
    pool: &SqlitePool,
    connection: &str,
    query: &SqlText,
    cursor: Option<&str>,
    context: &TaskContext,
) -> Result<(DataFrame, Option<Value>), TaskError> {
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
    let mut columns: Vec<_> = statement
        .columns()
        .iter()
        .map(|column| Gathered {
            name: column.name().to_owned(),
            declared: declared(column.type_info().name()),
            values: Vec::new(),
        })
        .collect();
    if columns.is_empty() {
        return Err(TaskError::user("the statement gives no rows").hint("write a `select`"));
    }
    if let Some(sqlx::Either::Right(places)) = statement.parameters()
        && places > query.values.len()
    {
        return Err(unbound(query.values.len()));
    }
    let mut rows = 0_usize;
    {
        let arguments =
            arguments(&query.values).map_err(|error| fail(sqlx::Error::Encode(error)))?;
        let mut stream = statement.query_with(arguments).fetch(&mut *session);
        while let Some(row) = stream.try_next().await.map_err(fail)? {
            for (index, column) in columns.iter_mut().enumerate() {
                let raw = row.try_get_raw(index).map_err(fail)?;
                column
                    .values
                    .push(Cell::of(raw).map_err(|error| fail(sqlx::Error::Decode(error)))?);
            }
            rows += 1;
        }
    }
    let cursor = cursor.and_then(|name| {
        let column = columns.iter().find(|column| column.name == name)?;
        column.greatest()
    });
    context
        .compute(move || {
            let columns = columns
                .into_iter()
                .map(Gathered::finish)
                .collect::<Result<Vec<_>, _>>()?;
            let frame = DataFrame::new(rows, columns)
                .map_err(|error| polars_error("read the query's rows", &error))?;
            Ok((frame, cursor))
        })
        .await
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
    let (frame, _) = gather(pool, connection, &one, None, context).await?;
    Ok(frame)
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
