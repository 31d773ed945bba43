//! Rows into SQLite, with the ledger's entry in the same transaction.

use pipectl_connections::database_error;
use pipectl_engine::{
    failpoint,
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;
use sqlx::{Arguments, AssertSqlSafe, Row, SqliteConnection, SqlitePool, sqlite::SqliteArguments};

use super::{
    checked::{Identity, Job, LEDGER, Loaded, Mode, fitted, given},
    numeric,
    postgres_load::missing_table,
    table::{Holds, TableColumn, TableName, quoted, quoted_list, sqlite_type},
};
use crate::support::frame::polars_error;

/// How many values one statement may bind (`SQLITE_MAX_VARIABLE_NUMBER` is 32,766), and rows that are worth it.
const VALUES: usize = 30_000;
const ROWS: usize = 1_000;

/// Writes the rows.
pub(super) async fn load(
    pool: &SqlitePool,
    connection: &str,
    job: Job,
    context: &TaskContext,
) -> Result<Loaded, TaskError> {
    let session = Session {
        doing: format!("write to `{connection}`"),
        identity: Identity::of(context),
    };
    let fail = |error| session.fail(error);
    // The writer's lock is taken now: a read that becomes a write later could fail at once.
    let mut transaction = pool.begin_with("begin immediate").await.map_err(fail)?;
    let ledger = job.table.beside(LEDGER);
    let rows = job.frame.height() as u64;
    if let Some(before) = session.claim(&mut transaction, &ledger, rows).await? {
        return Ok(Loaded::Before(before));
    }
    if job.create {
        session
            .run(&mut transaction, job.create_table(sqlite_type)?)
            .await?;
    }
    let columns = session.columns(&mut transaction, &job.table).await?;
    let columns: Vec<_> = job.matched(&columns)?.into_iter().cloned().collect();
    if job.mode == Mode::Upsert {
        job.check_unique(&session.unique_indexes(&mut transaction, &job.table).await?)?;
    }
    let (frame, name, targets) = (job.frame.clone(), job.name.clone(), columns.clone());
    let cells = context
        .compute(move || {
            let columns = frame.columns().iter().zip(&targets);
            columns
                .map(|(column, target)| Cells::new(column, target, &name))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    session
        .write(&mut transaction, &job, &columns, &cells)
        .await?;
    failpoint::hit("load_sql_before_commit");
    if context.cancel.is_cancelled() {
        return Err(TaskError::external(
            "the attempt was stopped before its rows were committed",
        ));
    }
    transaction.commit().await.map_err(fail)?;
    failpoint::hit("load_sql_after_commit");
    Ok(Loaded::Now(rows))
}

struct Session {
    doing: String,
    identity: Identity,
}

impl Session {
    fn fail(&self, error: sqlx::Error) -> TaskError {
        database_error(&self.doing, error)
    }

    /// Runs a statement that is made of quoted names and our own words.
    async fn run(&self, session: &mut SqliteConnection, sql: String) -> Result<u64, TaskError> {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(session).await;
        done.map(|done| done.rows_affected())
            .map_err(|error| self.fail(error))
    }

    async fn claim(
        &self,
        session: &mut SqliteConnection,
        ledger: &TableName,
        rows: u64,
    ) -> Result<Option<u64>, TaskError> {
        let table = ledger.quoted();
        let sql = format!(
            "create table if not exists {table} (run text not null, task text not null, element integer not null, \
             redo integer not null, rows integer not null, at text not null default current_timestamp, \
             primary key (run, task, element, redo))"
        );
        self.run(session, sql).await?;
        let Identity {
            run,
            task,
            element,
            redo,
        } = &self.identity;
        let sql = format!(
            "insert into {table} (run, task, element, redo, rows) values (?, ?, ?, ?, ?) on conflict do nothing"
        );
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let entered = sqlx::query(AssertSqlSafe(sql))
            .bind(run)
            .bind(task)
            .bind(element)
            .bind(redo)
            .bind(rows);
        if entered
            .execute(&mut *session)
            .await
            .map_err(|error| self.fail(error))?
            .rows_affected()
            == 1
        {
            return Ok(None);
        }
        let sql = format!(
            "select rows from {table} where run = ? and task = ? and element = ? and redo = ?"
        );
        let before = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql))
            .bind(run)
            .bind(task)
            .bind(element)
            .bind(redo);
        let before = before
            .fetch_one(session)
            .await
            .map_err(|error| self.fail(error))?;
        Ok(Some(u64::try_from(before).unwrap_or(0)))
    }

    async fn columns(
        &self,
        session: &mut SqliteConnection,
        table: &TableName,
    ) -> Result<Vec<TableColumn>, TaskError> {
        let rows = sqlx::query(
            "select name, type, \"notnull\" = 1 and dflt_value is null and not (pk = 1 and lower(type) = 'integer') \
             from pragma_table_info(?, ?)",
        );
        let rows = rows
            .bind(&table.name)
            .bind(table.schema.as_deref().unwrap_or("main"));
        let rows = rows
            .fetch_all(&mut *session)
            .await
            .map_err(|error| self.fail(error))?;
        if rows.is_empty() {
            let names = sqlx::query_scalar::<_, String>(
                "select name from sqlite_master where type = 'table' order by 1",
            );
            return Err(missing_table(
                table,
                &names.fetch_all(session).await.unwrap_or_default(),
            ));
        }
        let column = |row: &sqlx::sqlite::SqliteRow| {
            let declared: String = row.try_get(1)?;
            Ok(TableColumn {
                name: row.try_get(0)?,
                holds: Holds::of_sqlite(&declared),
                type_name: if declared.is_empty() {
                    "of any type".to_owned()
                } else {
                    declared
                },
                required: row.try_get(2)?,
            })
        };
        rows.iter()
            .map(column)
            .collect::<Result<_, _>>()
            .map_err(|error| self.fail(error))
    }

    async fn unique_indexes(
        &self,
        session: &mut SqliteConnection,
        table: &TableName,
    ) -> Result<Vec<Vec<String>>, TaskError> {
        let schema = table.schema.as_deref().unwrap_or("main");
        let rows = sqlx::query_as::<_, (String, Option<String>)>(
            "select l.name, i.name from pragma_index_list(?1, ?2) l, pragma_index_info(l.name, ?2) i \
             where l.\"unique\" = 1 and l.partial = 0 \
             union all select '', name from pragma_table_info(?1, ?2) where pk > 0",
        );
        let rows = rows
            .bind(&table.name)
            .bind(schema)
            .fetch_all(session)
            .await
            .map_err(|error| self.fail(error))?;
        let mut indexes: Vec<(String, Vec<String>)> = Vec::new();
        for (index, column) in rows {
            // An expression has no name and makes the index useless for us.
            let column = column.unwrap_or_default();
            match indexes.iter_mut().find(|(name, _)| *name == index) {
                Some((_, columns)) => columns.push(column),
                None => indexes.push((index, vec![column])),
            }
        }
        Ok(indexes.into_iter().map(|(_, columns)| columns).collect())
    }

    async fn write(
        &self,
        session: &mut SqliteConnection,
        job: &Job,
        columns: &[TableColumn],
        cells: &[Cells],
    ) -> Result<(), TaskError> {
        let table = job.table.quoted();
        if job.mode == Mode::Replace {
            self.run(session, format!("delete from {table}")).await?;
        }
        let height = job.frame.height();
        if job.mode == Mode::DeleteInsert {
            let keys: Vec<_> = job
                .key
                .iter()
                .filter_map(|name| {
                    Some((
                        name,
                        cells.get(columns.iter().position(|column| column.name == *name)?)?,
                    ))
                })
                .collect();
            let sql = keys
                .iter()
                .map(|(name, _)| format!("{} = ?", quoted(name)))
                .collect::<Vec<_>>()
                .join(" and ");
            for row in 0..height {
                let mut arguments = SqliteArguments::default();
                for (_, cell) in &keys {
                    cell.bind(row, &mut arguments)
                        .map_err(|error| self.fail(sqlx::Error::Encode(error)))?;
                }
                let delete = sqlx::query_with(
                    AssertSqlSafe(format!("delete from {table} where {sql}")),
                    arguments,
                );
                delete
                    .execute(&mut *session)
                    .await
                    .map_err(|error| self.fail(error))?;
            }
        }
        let names = quoted_list(columns.iter().map(|column| column.name.as_str()));
        let conflict = conflict(job, columns);
        let at_once = (VALUES / columns.len().max(1)).clamp(1, ROWS);
        let mut first = 0;
        while first < height {
            let last = (first + at_once).min(height);
            let places = vec!["?"; columns.len()].join(", ");
            let rows = vec![format!("({places})"); last - first].join(", ");
            let mut arguments = SqliteArguments::default();
            for row in first..last {
                for cell in cells {
                    cell.bind(row, &mut arguments)
                        .map_err(|error| self.fail(sqlx::Error::Encode(error)))?;
                }
            }
            let insert = format!("insert into {table} ({names}) values {rows}{conflict}");
            let insert = sqlx::query_with(AssertSqlSafe(insert), arguments);
            insert
                .execute(&mut *session)
                .await
                .map_err(|error| self.fail(error))?;
            first = last;
        }
        Ok(())
    }
}

fn conflict(job: &Job, columns: &[TableColumn]) -> String {
    if job.mode != Mode::Upsert {
        return String::new();
    }
    let key = quoted_list(job.key.iter().map(String::as_str));
    let others = columns
        .iter()
        .filter(|column| !job.key.contains(&column.name));
    let set: Vec<_> = others
        .map(|column| format!("{0} = excluded.{0}", quoted(&column.name)))
        .collect();
    match set.as_slice() {
        [] => format!(" on conflict ({key}) do nothing"),
        set => format!(" on conflict ({key}) do update set {}", set.join(", ")),
    }
}

/// A column, ready to be bound cell by cell.
enum Cells {
    Integer(Int64Chunked),
    Real(Float64Chunked),
    Text(StringChunked),
    Bytes(BinaryChunked),
}

impl Cells {
    fn new(column: &Column, target: &TableColumn, dataset: &str) -> Result<Self, TaskError> {
        let fail =
            |error: PolarsError| polars_error(&format!("convert `{}`", column.name()), &error);
        // SQLite keeps decimals as it keeps text that looks like a number.
        let to = if column.dtype().is_decimal() {
            column.dtype().clone()
        } else {
            given(target.holds, column.dtype())
        };
        let column = fitted(column, &to, dataset, &target.type_name)?;
        Self::of(&column.as_materialized_series().rechunk()).map_err(fail)
    }

    fn of(series: &Series) -> PolarsResult<Self> {
        Ok(match series.dtype() {
            of if of.is_integer() || of.is_bool() => {
                Self::Integer(series.cast(&DataType::Int64)?.i64()?.clone())
            }
            of if of.is_float() => Self::Real(series.cast(&DataType::Float64)?.f64()?.clone()),
            DataType::Decimal(_, scale) => {
                let digits = series.decimal()?.physical().clone();
                let texts = digits
                    .iter()
                    .map(|digits| digits.map(|digits| numeric::text(digits, *scale)));
                Self::Text(StringChunked::from_iter_options(
                    series.name().clone(),
                    texts,
                ))
            }
            DataType::Binary => Self::Bytes(series.binary()?.clone()),
            DataType::Time => {
                // polars' own text of a time ends at the second.
                let nanoseconds = series.cast(&DataType::Int64)?;
                let texts = nanoseconds.i64()?.iter().map(|time| time.map(clock));
                Self::Text(StringChunked::from_iter_options(
                    series.name().clone(),
                    texts,
                ))
            }
            DataType::Datetime(_, Some(_)) => {
                let utc = series.cast(&DataType::Datetime(
                    TimeUnit::Microseconds,
                    Some(TimeZone::UTC),
                ))?;
                let naive = utc
                    .cast(&DataType::Int64)?
                    .cast(&DataType::Datetime(TimeUnit::Microseconds, None))?;
                let texts = naive.cast(&DataType::String)?;
                let texts = texts
                    .str()?
                    .iter()
                    .map(|text| text.map(|text| format!("{text}+00:00")));
                Self::Text(StringChunked::from_iter_options(
                    series.name().clone(),
                    texts,
                ))
            }
            _ => Self::Text(series.cast(&DataType::String)?.str()?.clone()),
        })
    }

    fn bind(
        &self,
        row: usize,
        arguments: &mut SqliteArguments,
    ) -> Result<(), sqlx::error::BoxDynError> {
        match self {
            Self::Integer(values) => arguments.add(values.get(row)),
            Self::Real(values) => arguments.add(values.get(row)),
            Self::Text(values) => arguments.add(values.get(row).map(ToOwned::to_owned)),
            Self::Bytes(values) => arguments.add(values.get(row).map(<[u8]>::to_vec)),
        }
    }
}

/// A time of day, given in nanoseconds since midnight, to the microsecond: `12:30:00.500000`.
fn clock(nanoseconds: i64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let microsecond = nanoseconds / 1_000 % 1_000_000;
    format!("{hour:02}:{minute:02}:{second:02}.{microsecond:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_say_whether_they_are_utc() {
        let moments = Series::new("c".into(), [Some(1_772_366_400_000_000_i64), None]);
        for (zone, expected) in [
            (None, "2026-03-01 12:00:00.000000"),
            (Some(TimeZone::UTC), "2026-03-01 12:00:00.000000+00:00"),
        ] {
            let of = DataType::Datetime(TimeUnit::Microseconds, zone);
            let Cells::Text(texts) = Cells::of(&moments.cast(&of).unwrap()).unwrap() else {
                panic!("they are no text")
            };
            assert_eq!(texts.iter().collect::<Vec<_>>(), [Some(expected), None]);
        }
    }
}
