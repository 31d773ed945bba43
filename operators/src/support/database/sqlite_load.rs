//! Rows into SQLite, with the ledger's entry in the same transaction.

use std::sync::Arc;

use pipectl_engine::{
    failpoint,
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection, SqlitePool, sqlite::SqliteArguments};
use tokio::sync::mpsc;

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
    let known = job.rows.known();
    let claimed = session.claim(&mut transaction, &ledger, known.unwrap_or(0));
    if let Some(before) = claimed.await? {
        return Ok(Once::Before(before));
    }
    let Some(columns) = session.ready_table(&mut transaction, &job).await? else {
        transaction.commit().await.map_err(fail)?;
        return Ok(Once::Now(0));
    };
    let bounds = job.interval.as_ref();
    let bounds = bounds.map(|interval| job.bounds(interval, &columns));
    let load = Load {
        session: &session,
        given: Arc::new(Rows {
            bounds: bounds.transpose()?,
            job,
            columns,
        }),
        context,
    };
    let rows = load.write(&mut transaction).await?;
    if known.is_none() {
        session.counted(&mut transaction, &ledger, rows).await?;
    }
    failpoint::hit("load_sql_before_commit");
    if context.cancel.is_cancelled() {
        return Err(stopped_rows());
    }
    transaction.commit().await.map_err(fail)?;
    failpoint::hit("load_sql_after_commit");
    Ok(Once::Now(rows))
}

/// One load under way.
struct Load<'a> {
    session: &'a Session,
    given: Arc<Rows>,
    context: &'a TaskContext,
}

/// The rows, and the table that they are for.
struct Rows {
    job: Job,
    columns: Vec<TableColumn>,
    bounds: Option<Bounds>,
}

/// Rows in SQLite's form.
struct Part {
    cells: Vec<Cells>,
    height: usize,
}

impl Rows {
    /// Brings all rows into their form, part by part, until `send` wants no more.
    fn parts(
        self: Arc<Self>,
        mut send: impl FnMut(Part) -> bool + Send + 'static,
    ) -> Result<(), TaskError> {
        let (given, name) = (self.job.rows.clone(), self.job.name.clone());
        given.parts(&name, move |part, before| {
            if send(self.part(&part, before)?) {
                Ok(())
            } else {
                Err(stopped_rows())
            }
        })
    }

    fn part(&self, part: &DataFrame, before: usize) -> Result<Part, TaskError> {
        let Self {
            job,
            columns,
            bounds,
        } = self;
        // SQLite would make null of them.
        job.check_finite(part, before, |_| false, columns)?;
        if let Some(bounds) = bounds {
            job.all_within(part, before, bounds)?;
        }
        let given = part.columns().iter().zip(columns);
        let cells = given.map(|(column, target)| {
            Cells::new(
                Piece {
                    column,
                    dataset: &job.name,
                    before,
                },
                target,
            )
        });
        Ok(Part {
            cells: cells.collect::<Result<_, _>>()?,
            height: part.height(),
        })
    }

    /// The columns of the key, and where they stand.
    fn keys(&self) -> Vec<(&str, usize)> {
        let of = |name: &str| self.columns.iter().position(|column| column.name == name);
        let keys = self.job.key.iter();
        keys.filter_map(|name| Some((name.as_str(), of(name)?)))
            .collect()
    }
}

/// What is done with rows.
#[derive(Clone, Copy)]
enum Step {
    /// Those that share their key with one of them are deleted.
    Delete,
    /// They are added.
    Insert,
}

impl Load<'_> {
    /// Gives how many rows were written.
    async fn write(&self, connection: &mut SqliteConnection) -> Result<u64, TaskError> {
        match (self.given.job.mode, &self.given.bounds) {
            (Mode::Replace, _) => {
                let sql = format!("delete from {}", self.given.job.table.quoted());
                self.session.run(&mut *connection, sql).await?;
            }
            (Mode::DeleteInsert, Some(bounds)) => {
                let deleted = self.delete(&mut *connection, bounds).await?;
                let rows = count(deleted, "row");
                let log = format!("{rows} of the interval deleted");
                self.context.log.info(log);
            }
            (Mode::DeleteInsert, None) => {
                self.each(&mut *connection, Step::Delete).await?;
            }
            _ => {}
        }
        self.each(connection, Step::Insert).await
    }

    /// Does a step with all rows, while the next ones are brought into their form; gives how many they were.
    async fn each(&self, connection: &mut SqliteConnection, step: Step) -> Result<u64, TaskError> {
        let (sender, mut parts) = mpsc::channel::<Part>(1);
        let given = Arc::clone(&self.given);
        let convert = self
            .context
            .compute(move || given.parts(move |part| sender.blocking_send(part).is_ok()));
        let write = async move {
            // When writing fails, this end goes, and so the other one stops.
            let mut rows = 0;
            while let Some(part) = parts.recv().await {
                match step {
                    Step::Delete => self.delete_by_key(&mut *connection, &part).await?,
                    Step::Insert => self.insert(&mut *connection, &part).await?,
                }
                rows += part.height as u64;
            }
            Ok::<_, TaskError>(rows)
        };
        let (converted, written) = tokio::join!(convert, write);
        let rows = written?;
        converted.map(|()| rows)
    }

    /// Deletes the rows of the run's interval. SQLite has no type for moments; its own function reads all their forms.
    async fn delete(
        &self,
        connection: &mut SqliteConnection,
        bounds: &Bounds,
    ) -> Result<u64, TaskError> {
        let Some(interval) = &self.given.job.interval else {
            return Ok(0);
        };
        let column = quoted(&interval.column);
        let sql = format!(
            "delete from {} where julianday({column}) >= julianday(?) and julianday({column}) < julianday(?)",
            self.given.job.table.quoted()
        );
        let delete = sqlx::query(AssertSqlSafe(sql))
            .bind(&bounds.start)
            .bind(&bounds.end)
            .execute(connection)
            .await;
        delete
            .map(|done| done.rows_affected())
            .map_err(|error| self.session.fail(error))
    }

    async fn delete_by_key(
        &self,
        connection: &mut SqliteConnection,
        part: &Part,
    ) -> Result<(), TaskError> {
        let keys = self.given.keys();
        let equal = keys.iter().map(|(name, _)| format!("{} = ?", quoted(name)));
        let sql = format!(
            "delete from {} where {}",
            self.given.job.table.quoted(),
            equal.collect::<Vec<_>>().join(" and ")
        );
        for row in 0..part.height {
            if self.context.cancel.is_cancelled() {
                return Err(stopped_rows());
            }
            let mut arguments = SqliteArguments::default();
            for cell in keys.iter().filter_map(|(_, place)| part.cells.get(*place)) {
                cell.bind(row, &mut arguments)
                    .map_err(|error| self.session.fail(sqlx::Error::Encode(error)))?;
            }
            let delete = sqlx::query_with(AssertSqlSafe(sql.clone()), arguments);
            let done = delete.execute(&mut *connection).await;
            done.map_err(|error| self.session.fail(error))?;
        }
        Ok(())
    }

    async fn insert(
        &self,
        connection: &mut SqliteConnection,
        part: &Part,
    ) -> Result<(), TaskError> {
        let Rows { job, columns, .. } = &*self.given;
        let table = job.table.quoted();
        let names = quoted_list(columns.iter().map(|column| column.name.as_str()));
        let conflict = match job.mode {
            Mode::Upsert => job.on_conflict(columns),
            _ => String::new(),
        };
        let at_once = (VALUES / columns.len().max(1)).clamp(1, ROWS);
        for first in (0..part.height).step_by(at_once) {
            if self.context.cancel.is_cancelled() {
                return Err(stopped_rows());
            }
            let last = (first + at_once).min(part.height);
            let places = vec!["?"; columns.len()].join(", ");
            let rows = vec![format!("({places})"); last - first].join(", ");
            let mut arguments = SqliteArguments::default();
            for row in first..last {
                for cell in &part.cells {
                    cell.bind(row, &mut arguments)
                        .map_err(|error| self.session.fail(sqlx::Error::Encode(error)))?;
                }
            }
            let insert = format!("insert into {table} ({names}) values {rows}{conflict}");
            let insert = sqlx::query_with(AssertSqlSafe(insert), arguments);
            let done = insert.execute(&mut *connection).await;
            done.map_err(|error| self.session.fail(error))?;
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
    fn new(piece: Piece<'_>, target: &TableColumn) -> Result<Self, TaskError> {
        let column = piece.column;
        let fail =
            |error: PolarsError| polars_error(&format!("convert `{}`", column.name()), &error);
        // SQLite keeps decimals as it keeps text that looks like a number.
        let column = if column.dtype().is_decimal() {
            column.clone()
        } else {
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
