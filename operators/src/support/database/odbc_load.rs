//! Rows into a database behind an ODBC driver, with the ledger's entry in the same transaction where there is one.

use std::sync::{
    Arc,
    mpsc::{SyncSender, sync_channel},
};

use pipectl_connections::{OdbcDatabase, OdbcFailure, OdbcKind};
use pipectl_engine::{
    failpoint,
    operator::{TaskContext, TaskError},
};
use polars::prelude::*;

use super::{
    fit::Piece,
    interval::Bounds,
    job::{Job, Mode, Once},
    odbc::Session,
    odbc_ledger::Ledger,
    odbc_read::ends,
    stopped_rows,
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
        let load = Load {
            target: Arc::new(Target::new(job, columns)?),
            context: inner,
        };
        load.run(&mut session)
    };
    context.compute(work).await
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
    target: Arc<Target>,
    context: TaskContext,
}

/// The rows, and the table that they are for.
struct Target {
    job: Job,
    columns: Vec<TableColumn>,
    bounds: Option<Bounds>,
}

impl Target {
    fn new(job: Job, columns: Vec<TableColumn>) -> Result<Self, TaskError> {
        let bounds = job.interval.as_ref();
        let bounds = bounds.map(|interval| job.bounds(interval, &columns));
        Ok(Self {
            bounds: bounds.transpose()?,
            job,
            columns,
        })
    }

    /// Rows in the types that the table holds; `before` come before them.
    fn fitted(&self, part: &DataFrame, before: usize) -> Result<DataFrame, TaskError> {
        if let Some(bounds) = &self.bounds {
            self.job.all_within(part, before, bounds)?;
        }
        let given = part.columns().iter().zip(&self.columns);
        let fitted = given.map(|(column, target)| {
            let piece = Piece {
                column,
                dataset: &self.job.name,
                before,
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
        DataFrame::new(part.height(), fitted).map_err(fail)
    }

    /// Gives all rows as [`Target::fitted`] has made them, part by part, until nobody takes them.
    fn send(self: Arc<Self>, parts: SyncSender<(DataFrame, usize)>) -> Result<(), TaskError> {
        let (given, name) = (self.job.rows.clone(), self.job.name.clone());
        given.parts(&name, move |part, before| {
            let taken = parts.send((self.fitted(&part, before)?, before));
            taken.map_err(|_| stopped_rows())
        })
    }
}

/// Rows that the driver has refused.
struct Refused {
    part: DataFrame,
    before: usize,
    failure: OdbcFailure,
}

impl Load {
    fn run(&self, session: &mut Session) -> Result<Once<u64>, TaskError> {
        let job = &self.target.job;
        let known = job.rows.known();
        let ledger = Ledger::ready(session, Some(&job.table), &self.context);
        session.with(|session| session.begin())?;
        if let Some(ledger) = &ledger
            && let Some(before) = ledger.claim(session, known.unwrap_or(0))?
        {
            return Ok(Once::Before(before));
        }
        self.make_room(session)?;
        let counted = !session.dialect.refuses_whole_batches();
        let there = if counted {
            session.count(&job.table)?
        } else {
            0
        };
        let rows = self.add(session)?;
        if counted && session.count(&job.table)? < there + rows {
            let message = format!(
                "the driver has written fewer than the {} and did not say why",
                count(rows, "row")
            );
            return Err(session.fail(&OdbcFailure::Other(message)));
        }
        if let (Some(ledger), None) = (&ledger, known) {
            ledger.counted(session, rows)?;
        }
        failpoint::hit("load_sql_before_commit");
        if self.context.cancel.is_cancelled() {
            return Err(stopped_rows());
        }
        session.with(|session| session.commit())?;
        failpoint::hit("load_sql_after_commit");
        Ok(match ledger {
            Some(_) => Once::Now(rows),
            None => Once::Unkept(rows),
        })
    }

    /// Gives all rows to `take`, part by part, each with the number of rows before it, while the next ones are brought
    /// into their types.
    fn each(
        &self,
        mut take: impl FnMut(DataFrame, usize) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let (sender, parts) = sync_channel(0);
        let target = Arc::clone(&self.target);
        std::thread::scope(|scope| {
            let sent = scope.spawn(move || target.send(sender));
            let taken = parts
                .iter()
                .try_for_each(|(part, before)| take(part, before));
            // Without this end the other one stops.
            drop(parts);
            let sent = sent.join();
            let sent = sent.unwrap_or_else(|_| Err(TaskError::bug("the rows' thread panicked")));
            taken.and(sent)
        })
    }

    /// Deletes the rows that the new ones take the place of.
    fn make_room(&self, session: &mut Session) -> Result<(), TaskError> {
        let Target {
            job,
            columns,
            bounds,
        } = &*self.target;
        let table = session.dialect.table(&job.table);
        match (job.mode, &job.interval, bounds) {
            (Mode::Append, ..) => {}
            (Mode::Replace, ..) => {
                session.execute(&format!("delete from {table}"), &[])?;
            }
            (Mode::DeleteInsert, Some(interval), Some(bounds)) => {
                let name = session.dialect.quoted(&interval.column);
                let mut of = columns
                    .iter()
                    .filter(|column| column.name == interval.column);
                let kind = match of.next().map(|column| column.holds) {
                    Some(Holds::Date) => OdbcKind::Date,
                    _ => OdbcKind::Moment,
                };
                let sql = format!("delete from {table} where {name} >= ? and {name} < ?");
                let deleted = session.execute(&sql, &ends(bounds, kind))?;
                let rows = count(deleted, "row");
                let log = format!("{rows} of the interval deleted");
                self.context.log.info(log);
            }
            (Mode::Upsert | Mode::DeleteInsert, ..) => {
                let equal = job.key.iter();
                let equal = equal.map(|name| format!("{} = ?", session.dialect.quoted(name)));
                let equal: Vec<_> = equal.collect();
                let sql = format!("delete from {table} where {}", equal.join(" and "));
                self.each(|part, _| {
                    let keys = part.select(job.key.iter());
                    let keys = keys.map_err(|error| polars_error("look at the keys", &error))?;
                    let deleted = session.write(&sql, &keys);
                    deleted.map_err(|failure| session.fail(&failure))
                })?;
            }
        }
        Ok(())
    }

    /// Adds all rows; gives how many they were.
    fn add(&self, session: &mut Session) -> Result<u64, TaskError> {
        let (mut rows, mut refused) = (0, None);
        let added = self.each(|part, before| {
            rows += part.height() as u64;
            self.insert(session, &part).map_err(|failure| {
                refused = Some(Refused {
                    part,
                    before,
                    failure,
                });
                stopped_rows()
            })
        });
        match refused {
            Some(refused) => Err(self.blamed(session, refused)),
            None => added.map(|()| rows),
        }
    }

    fn insert(&self, session: &mut Session, part: &DataFrame) -> Result<(), OdbcFailure> {
        let names = part.columns().iter();
        let names = names.map(|column| column.name().as_str());
        let sql = format!(
            "insert into {} ({}) values ({})",
            session.dialect.table(&self.target.job.table),
            session.dialect.list(names),
            vec!["?"; part.width()].join(", ")
        );
        session.write(&sql, part)
    }

    /// Finds the row that was refused: a batch says only that one of its rows was.
    fn blamed(&self, session: &mut Session, refused: Refused) -> TaskError {
        let Refused {
            part,
            before,
            failure,
        } = refused;
        let (first, last) = match &failure {
            OdbcFailure::Rows { first, last, .. } => (*first, *last),
            OdbcFailure::Stopped => return stopped_rows(),
            other => return session.fail(other),
        };
        let alone = |session: &mut Session| {
            session.with(|session| session.rollback())?;
            session.with(|session| session.begin())?;
            self.make_room(session)?;
            let refused = (first..=last).find_map(|row| {
                let row_alone = part.slice(i64::try_from(row - 1).unwrap_or(i64::MAX), 1);
                let outcome = self.insert(session, &row_alone).err();
                outcome.map(|failure| (before + row, failure))
            });
            Ok::<_, TaskError>(refused)
        };
        match alone(session) {
            Ok(Some((row, OdbcFailure::Rows { source, .. }))) => {
                let mut error = session.fail(&source);
                error.message =
                    format!("{}: row {row} of `{}`", error.message, self.target.job.name);
                error
            }
            // It is refused only beside the rows before it.
            _ => session.fail(&failure.behind(before)),
        }
    }
}
