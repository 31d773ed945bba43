//! Rows out of a database behind an ODBC driver.

use chrono::{NaiveDate, NaiveDateTime};
use pipectl_connections::{OdbcDatabase, OdbcKind, OdbcValue};
use pipectl_engine::operator::{SqlText, TaskContext, TaskError};
use polars::prelude::DataFrame;

use super::{
    cursor::greatest_of,
    interval::Bounds,
    named_column,
    odbc::{Session, positional, value_for},
    request::{Found, Request, without_end},
    table::Holds,
};
use crate::support::text::count;

/// The rows of a query.
pub(super) async fn read(
    database: &OdbcDatabase,
    connection: &str,
    request: &Request,
    context: &TaskContext,
) -> Result<Found, TaskError> {
    let (database, connection) = (database.clone(), connection.to_owned());
    let (request, inner) = (request.clone(), context.clone());
    let work = move || {
        let mut session = Session::open(&database, format!("read from `{connection}`"), &inner)?;
        let dialect = session.dialect;
        let request = request.spelt(|name| dialect.quoted(name));
        let (sql, values) = narrowed(&mut session, &request)?;
        let (rows, number) = session.read(&sql, &values)?;
        let cursor = request.cursor.as_ref();
        let cursor = cursor.map(|cursor| greatest_of(&rows, &cursor.column));
        let cursor = cursor.transpose()?.flatten();
        let told = count(number, "row");
        inner.log.info(format!("{told} from `{connection}`"));
        Ok(Found { rows, cursor })
    };
    context.compute(work).await
}

/// The first row of a query.
pub(super) async fn first(
    database: &OdbcDatabase,
    connection: &str,
    query: &SqlText,
    context: &TaskContext,
) -> Result<DataFrame, TaskError> {
    let (database, query, inner) = (database.clone(), query.clone(), context.clone());
    let doing = format!("read from `{connection}`");
    let work = move || {
        let (sql, values) = positional(&query)?;
        let mut session = Session::open(&database, doing, &inner)?;
        session.first(without_end(&sql), &values)
    };
    context.compute(work).await
}

/// The query with the conditions that its rows have to meet.
fn narrowed(
    session: &mut Session,
    request: &Request,
) -> Result<(String, Vec<OdbcValue>), TaskError> {
    let (sql, mut values) = positional(&request.query)?;
    let sql = without_end(&sql).to_owned();
    if request.interval.is_none() && request.cursor.is_none() {
        return Ok((sql, values));
    }
    let all = format!("select * from (\n{sql}\n) pipectl_query where");
    let columns = session.describe(&format!("{all} 1 = 0"), &values)?;
    let mut conditions = Vec::new();
    if let Some(interval) = &request.interval {
        let of = named_column(
            &columns,
            |column| &column.name,
            &interval.column,
            "interval_column",
        )?;
        let name = session.dialect.quoted(&of.name);
        let holds = if of.kind == OdbcKind::Date {
            Holds::Date
        } else {
            Holds::Timestamp
        };
        let bounds = Bounds::of(interval, holds)?;
        conditions.push(format!("{name} >= ? and {name} < ?"));
        values.extend(ends(&bounds, of.kind));
    }
    if let Some(cursor) = &request.cursor {
        let of = named_column(
            &columns,
            |column| &column.name,
            &cursor.column,
            "incremental",
        )?;
        let name = session.dialect.quoted(&of.name);
        if let Some(after) = &cursor.after {
            conditions.push(format!("{name} > ?"));
            values.push(value_for(of.kind, after));
        } else {
            conditions.push(format!("{name} is not null"));
        }
    }
    Ok((format!("{all} {}", conditions.join(" and ")), values))
}

/// The ends of an interval as values for a column of this kind.
pub(super) fn ends(bounds: &Bounds, kind: OdbcKind) -> [OdbcValue; 2] {
    [&bounds.start, &bounds.end].map(|text| {
        let day = text.parse::<NaiveDate>().ok();
        let moment = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok();
        match kind {
            OdbcKind::Date => day.map(OdbcValue::Date),
            OdbcKind::Moment => moment.map(OdbcValue::Moment),
            _ => None,
        }
        .unwrap_or_else(|| OdbcValue::Text(text.clone()))
    })
}
