//! Rows into SQLite, with the ledger's entry in the same transaction.

use pipectl_engine::{
    failpoint,
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection, SqlitePool, sqlite::SqliteArguments};

use super::{
    fit::Piece,
    interval::Bounds,
    job::{Job, LEDGER, Mode, Once},
    numeric,
    sqlite_session::Session,
    stopped_rows,
    table::{TableColumn, quoted, quoted_list},
};
use crate::support::{frame::polars_error, text::count};

/// How many values one statement may bind (`SQLITE_MAX_VARIABLE_NUMBER` is 32,766), and rows that are worth it.
const VALUES: usize = 30_000;
const ROWS: usize = 1_000;

/// Writes the rows.
pub(super) async fn load(
    pool: &SqlitePool,
    connection: &str,
    job: Job,
    context: &TaskContext,
) -> Result<Once<u64>, TaskError> {
    let session = Session::new(format!("write to `{connection}`"), context);
    let fail = |error| session.fail(error);
    // The writer's lock is taken now: a read that becomes a write later could fail at once.
    let mut transaction = pool.begin_with("begin immediate").await.map_err(fail)?;
    let ledger = job.table.beside(LEDGER);
    let rows = job.frame.height() as u64;
    if let Some(before) = session.claim(&mut transaction, &ledger, rows).await? {
        return Ok(Once::Before(before));
    }
    let columns = session.ready_table(&mut transaction, &job).await?;
    let load = context
        .compute(move || {
            // SQLite would make null of them.
            job.check_finite(|_| false, &columns)?;
            let bounds = job.interval.as_ref();
            let bounds = bounds
                .map(|interval| job.bounds(interval, &columns))
                .transpose()?;
            let given = job.frame.columns().iter().zip(&columns);
            let cells = given
                .map(|(column, target)| Cells::new(column, target, &job.name))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Load {
                job,
                columns,
                cells,
                bounds,
            })
        })
        .await?;
    load.write(&session, &mut transaction, context).await?;
    failpoint::hit("load_sql_before_commit");
    if context.cancel.is_cancelled() {
        return Err(stopped_rows());
    }
    transaction.commit().await.map_err(fail)?;
    failpoint::hit("load_sql_after_commit");
    Ok(Once::Now(rows))
}

/// One load under way.
struct Load {
    job: Job,
    columns: Vec<TableColumn>,
    cells: Vec<Cells>,
    bounds: Option<Bounds>,
}

impl Load {
    async fn write(
        &self,
        session: &Session,
        connection: &mut SqliteConnection,
        context: &TaskContext,
    ) -> Result<(), TaskError> {
        match (self.job.mode, &self.bounds) {
            (Mode::Replace, _) => {
                let sql = format!("delete from {}", self.job.table.quoted());
                session.run(&mut *connection, sql).await?;
            }
            (Mode::DeleteInsert, Some(bounds)) => {
                let deleted = self.delete(session, &mut *connection, bounds).await?;
                let rows = count(deleted, "row");
                context.log.info(format!("{rows} of the interval deleted"));
            }
            (Mode::DeleteInsert, None) => {
                self.delete_by_key(session, &mut *connection, context)
                    .await?;
            }
            _ => {}
        }
        self.insert(session, connection, context).await
    }

    /// Deletes the rows of the run's interval. SQLite has no type for moments; its own function reads all their forms.
    async fn delete(
        &self,
        session: &Session,
        connection: &mut SqliteConnection,
        bounds: &Bounds,
    ) -> Result<u64, TaskError> {
        let Some(interval) = &self.job.interval else {
            return Ok(0);
        };
        let column = quoted(&interval.column);
        let sql = format!(
            "delete from {} where julianday({column}) >= julianday(?) and julianday({column}) < julianday(?)",
            self.job.table.quoted()
        );
        let delete = sqlx::query(AssertSqlSafe(sql))
            .bind(&bounds.start)
            .bind(&bounds.end)
            .execute(connection)
            .await;
        delete
            .map(|done| done.rows_affected())
            .map_err(|error| session.fail(error))
    }

    async fn delete_by_key(
        &self,
        session: &Session,
        connection: &mut SqliteConnection,
        context: &TaskContext,
    ) -> Result<(), TaskError> {
        let of = |name: &String| self.columns.iter().position(|column| column.name == *name);
        let keys = self.job.key.iter();
        let keys: Vec<_> = keys
            .filter_map(|name| Some((name, self.cells.get(of(name)?)?)))
            .collect();
        let equal = keys.iter().map(|(name, _)| format!("{} = ?", quoted(name)));
        let sql = format!(
            "delete from {} where {}",
            self.job.table.quoted(),
            equal.collect::<Vec<_>>().join(" and ")
        );
        for row in 0..self.job.frame.height() {
            if context.cancel.is_cancelled() {
                return Err(stopped_rows());
            }
            let mut arguments = SqliteArguments::default();
            for (_, cell) in &keys {
                cell.bind(row, &mut arguments)
                    .map_err(|error| session.fail(sqlx::Error::Encode(error)))?;
            }
            let delete = sqlx::query_with(AssertSqlSafe(sql.clone()), arguments);
            let done = delete.execute(&mut *connection).await;
            done.map_err(|error| session.fail(error))?;
        }
        Ok(())
    }

    async fn insert(
        &self,
        session: &Session,
        connection: &mut SqliteConnection,
        context: &TaskContext,
    ) -> Result<(), TaskError> {
        let (table, height) = (self.job.table.quoted(), self.job.frame.height());
        let names = quoted_list(self.columns.iter().map(|column| column.name.as_str()));
        let conflict = match self.job.mode {
            Mode::Upsert => self.job.on_conflict(&self.columns),
            _ => String::new(),
        };
        let at_once = (VALUES / self.columns.len().max(1)).clamp(1, ROWS);
        for first in (0..height).step_by(at_once) {
            if context.cancel.is_cancelled() {
                return Err(stopped_rows());
            }
            let last = (first + at_once).min(height);
            let places = vec!["?"; self.columns.len()].join(", ");
            let rows = vec![format!("({places})"); last - first].join(", ");
            let mut arguments = SqliteArguments::default();
            for row in first..last {
                for cell in &self.cells {
                    cell.bind(row, &mut arguments)
                        .map_err(|error| session.fail(sqlx::Error::Encode(error)))?;
                }
            }
            let insert = format!("insert into {table} ({names}) values {rows}{conflict}");
            let insert = sqlx::query_with(AssertSqlSafe(insert), arguments);
            let done = insert.execute(&mut *connection).await;
            done.map_err(|error| session.fail(error))?;
        }
        Ok(())
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
        let column = if column.dtype().is_decimal() {
            column.clone()
        } else {
            let piece = Piece {
                column,
                dataset,
                before: 0,
            };
            piece.fitted(target)?
        };
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
