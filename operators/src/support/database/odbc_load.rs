//! Rows into a database behind an ODBC driver, with the ledger's entry in the same transaction where there is one.

use pipectl_connections::{OdbcDatabase, OdbcFailure, OdbcKind};
use pipectl_engine::{
    failpoint,
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;

use super::{
    fit::Piece,
    job::{Job, Mode, Once},
    odbc::Session,
    odbc_ledger::Ledger,
    odbc_read::ends,
    table::{Holds, TableColumn},
};
use crate::support::{frame::polars_error, settings::type_name, text::count};

/// Writes the rows.
pub(super) async fn load(
    database: &OdbcDatabase,
    connection: &str,
    job: Job,
    context: &TaskContext,
) -> Result<Once<u64>, TaskError> {
    if !job.newer.is_empty() {
        return Err(TaskError::user(format!(
            "`{connection}` is reached by ODBC, where online tables of feature views are not kept"
        ))
        .hint("keep them in Postgres or SQLite"));
    }
    let (database, inner) = (database.clone(), context.clone());
    let doing = format!("write to `{connection}`");
    let work = move || {
        let mut session = Session::open(&database, doing, &inner)?;
        let columns = ready_table(&mut session, &job)?;
        let load = Load::new(job, columns)?;
        load.run(&mut session, &inner)
    };
    context.compute(work).await
}

fn stopped() -> TaskError {
    TaskError::external("the attempt was stopped before its rows were committed")
}

/// Makes the table and its columns where that was asked for, and gives those that are written. Many databases commit
/// with each such statement, so they come before the transaction.
fn ready_table(session: &mut Session, job: &Job) -> Result<Vec<TableColumn>, TaskError> {
    let known = session.columns(&job.table);
    let mut columns = match known {
        Ok(columns) => columns,
        Err(_) if job.create => {
            let sql = create_table(session, job)?;
            session.execute(&sql, &[])?;
            session.columns(&job.table)?
        }
        Err(error) => {
            return Err(error.hint(format!(
                "is there a table `{}`? `create: true` makes one",
                job.table
            )));
        }
    };
    let missing = job.missing(&columns);
    if job.add_columns && !missing.is_empty() {
        for column in missing {
            let sql = format!(
                "alter table {} add {}",
                session.dialect.table(&job.table),
                declared(session, job, column)?
            );
            session.execute(&sql, &[])?;
        }
        columns = session.columns(&job.table)?;
    }
    job.matched(&columns)
}

fn create_table(session: &Session, job: &Job) -> Result<String, TaskError> {
    let mut parts = Vec::new();
    for column in job.rows.columns() {
        parts.push(declared(session, job, column)?);
    }
    if !job.key.is_empty() && job.mode != Mode::DeleteInsert {
        let key = session.dialect.list(job.key.iter().map(String::as_str));
        parts.push(format!("primary key ({key})"));
    }
    Ok(format!(
        "create table {} ({})",
        session.dialect.table(&job.table),
        parts.join(", ")
    ))
}

fn declared(session: &Session, job: &Job, column: &Column) -> Result<String, TaskError> {
    let is_key = job.key.iter().any(|key| key == column.name());
    let of = session.dialect.type_of(column.dtype(), is_key);
    let of = of.ok_or_else(|| {
        TaskError::user(format!(
            "`{}` of `{}` is {}, for which a table has no type",
            column.name(),
            job.name,
            type_name(column.dtype())
        ))
        .hint("turn it into text or numbers in a `transform: sql`, or leave it out")
    })?;
    let required = if is_key { " not null" } else { "" };
    Ok(format!(
        "{} {of}{required}",
        session.dialect.quoted(column.name())
    ))
}

/// One load under way.
struct Load {
    job: Job,
    columns: Vec<TableColumn>,
    /// The rows in the types that the table holds.
    rows: DataFrame,
}

impl Load {
    fn new(job: Job, columns: Vec<TableColumn>) -> Result<Self, TaskError> {
        // A driver takes whole columns.
        let frame = job.rows.whole(&job.name)?;
        if let Some(interval) = &job.interval {
            let bounds = job.bounds(interval, &columns)?;
            job.all_within(&frame, 0, &bounds)?;
        }
        let given = frame.columns().iter().zip(&columns);
        let fitted = given.map(|(column, target)| {
            let piece = Piece {
                column,
                dataset: &job.name,
                before: 0,
            };
            // Decimals keep their scale.
            if column.dtype().is_decimal() && target.holds == Holds::Numeric {
                Ok(column.clone())
            } else {
                piece.fitted(target)
            }
        });
        let fitted = fitted.collect::<Result<Vec<_>, _>>()?;
        let fail = |error: PolarsError| polars_error("fit the rows to the table", &error);
        let rows = DataFrame::new(frame.height(), fitted).map_err(fail)?;
        Ok(Self { job, columns, rows })
    }

    fn run(self, session: &mut Session, context: &TaskContext) -> Result<Once<u64>, TaskError> {
        let rows = self.rows.height() as u64;
        let ledger = Ledger::ready(session, Some(&self.job.table), context);
        session.with(|session| session.begin())?;
        if let Some(ledger) = &ledger
            && let Some(before) = ledger.claim(session, rows)?
        {
            return Ok(Once::Before(before));
        }
        self.make_room(session, context)?;
        let counted = !session.dialect.refuses_whole_batches();
        let there = if counted {
            session.count(&self.job.table)?
        } else {
            0
        };
        if let Err(failure) = self.insert(session, 0, self.rows.height()) {
            return Err(self.blamed(session, context, failure));
        }
        if counted && session.count(&self.job.table)? < there + rows {
            let message = format!(
                "the driver has written fewer than the {} and did not say why",
                count(rows, "row")
            );
            return Err(session.fail(&OdbcFailure::Other(message)));
        }
        failpoint::hit("load_sql_before_commit");
        if context.cancel.is_cancelled() {
            return Err(stopped());
        }
        session.with(|session| session.commit())?;
        failpoint::hit("load_sql_after_commit");
        Ok(match ledger {
            Some(_) => Once::Now(rows),
            None => Once::Unkept(rows),
        })
    }

    /// Deletes the rows that the new ones take the place of.
    fn make_room(&self, session: &mut Session, context: &TaskContext) -> Result<(), TaskError> {
        let table = session.dialect.table(&self.job.table);
        match (self.job.mode, &self.job.interval) {
            (Mode::Append, _) => {}
            (Mode::Replace, _) => {
                session.execute(&format!("delete from {table}"), &[])?;
            }
            (Mode::DeleteInsert, Some(interval)) => {
                let bounds = self.job.bounds(interval, &self.columns)?;
                let name = session.dialect.quoted(&interval.column);
                let of = self.columns.iter();
                let mut of = of.filter(|column| column.name == interval.column);
                let kind = match of.next().map(|column| column.holds) {
                    Some(Holds::Date) => OdbcKind::Date,
                    _ => OdbcKind::Moment,
                };
                let sql = format!("delete from {table} where {name} >= ? and {name} < ?");
                let deleted = session.execute(&sql, &ends(&bounds, kind))?;
                let rows = count(deleted, "row");
                context.log.info(format!("{rows} of the interval deleted"));
            }
            (Mode::Upsert | Mode::DeleteInsert, _) => {
                let keys = self.rows.select(self.job.key.iter());
                let keys = keys.map_err(|error| polars_error("look at the keys", &error))?;
                let equal = self.job.key.iter();
                let equal = equal.map(|name| format!("{} = ?", session.dialect.quoted(name)));
                let equal: Vec<_> = equal.collect();
                let sql = format!("delete from {table} where {}", equal.join(" and "));
                session
                    .write(&sql, &keys)
                    .map_err(|failure| session.fail(&failure))?;
            }
        }
        Ok(())
    }

    fn insert(&self, session: &mut Session, first: usize, rows: usize) -> Result<(), OdbcFailure> {
        let names = self.rows.columns().iter();
        let names = names.map(|column| column.name().as_str());
        let sql = format!(
            "insert into {} ({}) values ({})",
            session.dialect.table(&self.job.table),
            session.dialect.list(names),
            vec!["?"; self.rows.width()].join(", ")
        );
        let part = self
            .rows
            .slice(i64::try_from(first).unwrap_or(i64::MAX), rows);
        session.write(&sql, &part)
    }

    /// Finds the row that was refused: a batch says only that one of its rows was.
    fn blamed(
        &self,
        session: &mut Session,
        context: &TaskContext,
        failure: OdbcFailure,
    ) -> TaskError {
        let OdbcFailure::Rows { first, last, .. } = &failure else {
            return match failure {
                OdbcFailure::Stopped => stopped(),
                other => session.fail(&other),
            };
        };
        let (first, last) = (*first, *last);
        let alone = |session: &mut Session| {
            session.with(|session| session.rollback())?;
            session.with(|session| session.begin())?;
            self.make_room(session, context)?;
            let refused = (first..=last).find_map(|row| {
                let outcome = self.insert(session, row - 1, 1).err();
                outcome.map(|failure| (row, failure))
            });
            Ok::<_, TaskError>(refused)
        };
        match alone(session) {
            Ok(Some((row, OdbcFailure::Rows { source, .. }))) => {
                let mut error = session.fail(&source);
                error.message = format!("{}: row {row} of `{}`", error.message, self.job.name);
                error
            }
            // It is refused only beside the rows before it.
            _ => session.fail(&failure),
        }
    }
}
