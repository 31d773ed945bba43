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
    Arguments, AssertSqlSafe, Column as _, Connection as _, Decode, Executor, Row, SqlitePool,
    Statement, TypeInfo, ValueRef,
    sqlite::{SqliteArguments, SqliteValueRef},
};

use super::{
    bound::unbound,
    interval::Bounds,
    request::{Found, Request, VALUE, narrowed},
    table::{Holds, quoted},
};
use crate::support::{
    frame::polars_error,
    iso::{Form, converted, form},
    text::{count, hint_for_name, shortened},
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

/// What a column was declared to hold; an expression is declared nothing.
fn declared(name: &str) -> Option<Holds> {
    match name {
        "NULL" => None,
        "DATETIME" => Some(Holds::Timestamp),
        other => Some(Holds::of_sqlite(other)),
    }
}

enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    fn of(raw: SqliteValueRef<'_>) -> Result<Self, sqlx::error::BoxDynError> {
        if raw.is_null() {
            return Ok(Self::Null);
        }
        let kind = raw.type_info().name().to_owned();
        Ok(match kind.as_str() {
            "INTEGER" => Self::Integer(Decode::<sqlx::Sqlite>::decode(raw)?),
            "REAL" => Self::Real(Decode::<sqlx::Sqlite>::decode(raw)?),
            "TEXT" => Self::Text(Decode::<sqlx::Sqlite>::decode(raw)?),
            _ => Self::Bytes(Decode::<sqlx::Sqlite>::decode(raw)?),
        })
    }

    fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Integer(value) => value.to_string(),
            Self::Real(value) => value.to_string(),
            Self::Text(text) => format!("'{}'", shortened(text, 60)),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }
}

struct Gathered {
    name: String,
    declared: Option<Holds>,
    values: Vec<Cell>,
}

impl Gathered {
    /// The greatest value in SQLite's own order: numbers before texts.
    fn greatest(&self) -> Option<Value> {
        #[expect(clippy::cast_precision_loss, reason = "SQLite itself compares them so")]
        let number = |cell: &Cell| match cell {
            Cell::Integer(value) => Some(*value as f64),
            Cell::Real(value) => Some(*value),
            _ => None,
        };
        let text = |cell: &'_ Cell| match cell {
            Cell::Text(text) => Some(text.clone()),
            _ => None,
        };
        if let Some(greatest) = self.values.iter().filter_map(text).max() {
            return Some(Value::from(greatest));
        }
        let integers = self.values.iter().filter_map(|cell| match cell {
            Cell::Integer(value) => Some(*value),
            _ => None,
        });
        let greatest = self
            .values
            .iter()
            .filter_map(number)
            .max_by(f64::total_cmp)?;
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let whole = integers.max().filter(|whole| *whole as f64 >= greatest);
        Some(whole.map_or_else(|| Value::from(greatest), Value::from))
    }

    /// The type of the column: that which was declared, unless the values are numbers of another kind or nothing was.
    fn holds(&self) -> Holds {
        let any = |is: fn(&Cell) -> bool| self.values.iter().any(is);
        let (real, text, bytes) = (
            any(|cell| matches!(cell, Cell::Real(_))),
            any(|cell| matches!(cell, Cell::Text(_))),
            any(|cell| matches!(cell, Cell::Bytes(_))),
        );
        match self.declared {
            Some(Holds::Numeric | Holds::Anything) | None if bytes => Holds::Bytes,
            Some(Holds::Numeric | Holds::Anything) | None if text => Holds::Text,
            Some(Holds::Numeric) => Holds::Float64,
            Some(Holds::Int64 | Holds::Anything) | None if real => Holds::Float64,
            Some(Holds::Anything) | None if any(|cell| matches!(cell, Cell::Integer(_))) => {
                Holds::Int64
            }
            Some(Holds::Anything) | None => Holds::Text,
            Some(holds) => holds,
        }
    }

    fn finish(self) -> Result<Column, TaskError> {
        let holds = self.holds();
        let name = PlSmallStr::from_str(&self.name);
        let integers = || {
            self.gather("a whole number", |cell| match cell {
                Cell::Integer(value) => Some(*value),
                _ => None,
            })
        };
        let texts = |what| {
            self.gather(what, |cell| match cell {
                Cell::Text(text) => Some(text.clone()),
                _ => None,
            })
        };
        #[expect(clippy::cast_precision_loss, reason = "SQLite itself mixes them so")]
        let floats = || {
            self.gather("a number", |cell| match cell {
                Cell::Integer(value) => Some(*value as f64),
                Cell::Real(value) => Some(*value),
                _ => None,
            })
        };
        Ok(match holds {
            Holds::Int64 => Column::new(name, integers()?),
            Holds::Boolean => Column::new(
                name,
                integers()?
                    .into_iter()
                    .map(|value| value.map(|value| value != 0))
                    .collect::<Vec<_>>(),
            ),
            Holds::Float64 => Column::new(name, floats()?),
            Holds::Bytes => Column::new(
                name,
                self.gather("bytes", |cell| match cell {
                    Cell::Bytes(bytes) => Some(bytes.clone()),
                    Cell::Text(text) => Some(text.clone().into_bytes()),
                    _ => None,
                })?,
            ),
            Holds::Date => self.moments(&texts("a date")?, &DataType::Date)?,
            Holds::Time => self.moments(&texts("a time")?, &DataType::Time)?,
            Holds::Timestamp | Holds::TimestampTz => {
                let texts = texts("a date with a time")?;
                // Whether they have a zone is told by the first of them.
                let first = texts.iter().flatten().next().and_then(|text| form(text));
                let zone = (first == Some(Form::Zoned)).then_some(TimeZone::UTC);
                self.moments(&texts, &DataType::Datetime(TimeUnit::Microseconds, zone))?
            }
            _ => Column::new(
                name,
                self.gather("text", |cell| match cell {
                    Cell::Text(text) => Some(text.clone()),
                    Cell::Integer(value) => Some(value.to_string()),
                    Cell::Real(value) => Some(value.to_string()),
                    _ => None,
                })?,
            ),
        })
    }

    /// All values as one type.
    fn gather<T>(
        &self,
        what: &str,
        of: impl Fn(&Cell) -> Option<T>,
    ) -> Result<Vec<Option<T>>, TaskError> {
        let one = |(row, cell): (usize, &Cell)| match cell {
            Cell::Null => Ok(None),
            cell => of(cell).map(Some).ok_or_else(|| {
                TaskError::user(format!(
                    "row {} of the query: `{}` is {}, not {what} like the column",
                    row + 1,
                    self.name,
                    cell.shown()
                ))
                .hint(format!(
                    "change it in the query, for example by `cast({} as text)`",
                    self.name
                ))
            }),
        };
        self.values.iter().enumerate().map(one).collect()
    }

    /// Texts as dates or times; other programs write them in other ways: then they stay text.
    fn moments(&self, texts: &[Option<String>], to: &DataType) -> Result<Column, TaskError> {
        let texts = StringChunked::from_iter_options(
            PlSmallStr::from_str(&self.name),
            texts.iter().map(Option::as_deref),
        );
        match converted(&texts, to) {
            Ok(column) => Ok(column),
            Err(Ok(_)) => Ok(texts.into_column()),
            Err(Err(error)) => Err(polars_error(&format!("read `{}`", self.name), &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(declared: Option<Holds>, values: Vec<Cell>) -> Result<Column, TaskError> {
        Gathered {
            name: "c".to_owned(),
            declared,
            values,
        }
        .finish()
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn a_column_is_what_it_was_declared_or_what_its_values_are() {
        let utc = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
        let naive = DataType::Datetime(TimeUnit::Microseconds, None);
        for (declared, values, expected) in [
            (None, vec![Cell::Null, Cell::Integer(1)], DataType::Int64),
            (
                None,
                vec![Cell::Integer(1), Cell::Real(1.5)],
                DataType::Float64,
            ),
            (None, vec![Cell::Integer(1), text("x")], DataType::String),
            (None, vec![], DataType::String),
            (Some(Holds::Int64), vec![], DataType::Int64),
            (
                Some(Holds::Boolean),
                vec![Cell::Integer(1)],
                DataType::Boolean,
            ),
            (Some(Holds::Date), vec![text("2026-03-01")], DataType::Date),
            (Some(Holds::Date), vec![text("1.3.2026")], DataType::String),
            (
                Some(Holds::Timestamp),
                vec![text("2026-03-01 12:00:00")],
                naive,
            ),
            (
                Some(Holds::Timestamp),
                vec![text("2026-03-01 12:00:00.123456+00:00")],
                utc,
            ),
        ] {
            assert_eq!(gathered(declared, values).unwrap().dtype(), &expected);
        }
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let error = gathered(Some(Holds::Int64), vec![Cell::Integer(1), text("many")]).unwrap_err();
        assert_eq!(
            error.message,
            "row 2 of the query: `c` is 'many', not a whole number like the column"
        );
    }
}
