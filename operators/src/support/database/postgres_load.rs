//! Rows into Postgres, with the ledger's entry in the same transaction.

use pipectl_engine::{
    failpoint,
    operator::{TaskContext, TaskError},
};
use polars::prelude::DataFrame;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, postgres::PgDatabaseError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    copy,
    fit::plain,
    interval::Bounds,
    job::{Job, LEDGER, Mode, Once},
    postgres_session::Session,
    stopped_rows,
    table::{Holds, TableColumn, quoted, quoted_list},
};

/// The table that rows are gathered in before they meet the others.
const STAGE: &str = "pg_temp.pipectl_stage";
/// How many pieces of rows are ready before the server takes them.
const AHEAD: usize = 4;

/// Writes the rows.
pub(super) async fn load(
    pool: &PgPool,
    connection: &str,
    job: Job,
    context: &TaskContext,
) -> Result<Once<u64>, TaskError> {
    let session = Session::new(format!("write to `{connection}`"), context);
    let fail = |error| session.fail(error);
    let ledger = job.table.beside(LEDGER);
    session.make_ledger(pool, &ledger).await?;
    let mut connection = pool.acquire().await.map_err(fail)?;
    // When writing is given up in the middle of a `COPY`, the connection is of no more use.
    connection.close_on_drop();
    let mut transaction = connection.begin().await.map_err(fail)?;
    let known = job.rows.known();
    let entered = session.enter(&mut transaction, &ledger, known.unwrap_or(0));
    if let Some(before) = entered.await? {
        return Ok(Once::Before(before));
    }
    if job.create || job.add_columns {
        session.lock_making(&mut transaction, &job.table).await?;
    }
    let Some(columns) = session.ready_table(&mut transaction, &job).await? else {
        transaction.commit().await.map_err(fail)?;
        return Ok(Once::Now(0));
    };
    let bounds = job.interval.as_ref();
    let bounds = bounds.map(|interval| job.bounds(interval, &columns));
    let load = Load {
        session: &session,
        job: &job,
        columns: &columns,
        bounds: bounds.transpose()?,
        context,
    };
    let rows = tokio::select! {
        rows = load.write(&mut transaction) => rows?,
        () = context.cancel.cancelled() => return Err(stopped_rows()),
    };
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
    job: &'a Job,
    columns: &'a [TableColumn],
    bounds: Option<Bounds>,
    context: &'a TaskContext,
}

impl Load<'_> {
    /// Gives how many rows were written.
    async fn write(&self, session: &mut PgConnection) -> Result<u64, TaskError> {
        let table = self.job.table.quoted();
        match (self.job.mode, &self.bounds) {
            // Not `truncate`: others go on reading the old rows until we commit.
            (Mode::Replace, _) => {
                let delete = format!("delete from {table}");
                self.session.run(session, delete).await?;
            }
            (Mode::DeleteInsert, Some(bounds)) => self.delete(session, bounds).await?,
            _ => {}
        }
        let by_key = self.job.mode == Mode::Upsert
            || (self.job.mode == Mode::DeleteInsert && self.bounds.is_none());
        let given = self.job.rows.columns().iter();
        let mut as_text = given
            .zip(self.columns)
            .map(|(have, want)| want.as_text(have.dtype()));
        if !by_key && !as_text.any(|text| text) {
            return self.copy(session, &table).await;
        }
        self.stage(session).await?;
        let rows = self.copy(session, STAGE).await?;
        if self.job.mode == Mode::DeleteInsert && by_key {
            let is_key = |name: &&str| self.job.key.iter().any(|key| key == name);
            let names = self.columns.iter().map(|column| column.name.as_str());
            let key = quoted_list(names.filter(is_key));
            let given = self.values(|name| self.job.key.iter().any(|key| key == name));
            let delete =
                format!("delete from {table} where ({key}) in (select {given} from {STAGE})");
            self.session.run(session, delete).await?;
        }
        let insert = self.insert();
        self.session.run(session, insert).await?;
        Ok(rows)
    }

    /// Deletes the rows of the run's interval.
    async fn delete(&self, session: &mut PgConnection, bounds: &Bounds) -> Result<(), TaskError> {
        let Some(interval) = &self.job.interval else {
            return Ok(());
        };
        let column = quoted(&interval.column);
        let target = self
            .columns
            .iter()
            .find(|target| target.name == interval.column);
        let of = match target.map(|target| target.holds) {
            Some(Holds::Date) => "date",
            Some(Holds::TimestampTz) => "timestamptz",
            _ => "timestamp",
        };
        let sql = format!(
            "delete from {} where {column} >= $1::text::{of} and {column} < $2::text::{of}",
            self.job.table.quoted()
        );
        let delete = sqlx::query(AssertSqlSafe(sql))
            .bind(&bounds.start)
            .bind(&bounds.end)
            .execute(session)
            .await;
        let deleted = delete.map_err(|error| self.session.fail(error))?;
        let rows = crate::support::text::count(deleted.rows_affected(), "row");
        self.context
            .log
            .info(format!("{rows} of the interval deleted"));
        Ok(())
    }

    /// Makes the table that rows are gathered in: columns like the table's, or text for the server to read.
    async fn stage(&self, session: &mut PgConnection) -> Result<(), TaskError> {
        let given = self.job.rows.columns().iter().zip(self.columns);
        let columns: Vec<_> = given
            .map(|(have, want)| {
                let name = quoted(&want.name);
                match (want.as_text(have.dtype()), want.array_of) {
                    (false, _) => name,
                    (true, None) => format!("null::text as {name}"),
                    (true, Some(_)) => format!("null::text[] as {name}"),
                }
            })
            .collect();
        let sql = format!(
            "create temp table pipectl_stage on commit drop as select {} from {} with no data",
            columns.join(", "),
            self.job.table.quoted()
        );
        self.session.run(session, sql).await.map(|_| ())
    }

    /// The gathered values of some columns, in the table's types.
    fn values(&self, wanted: impl Fn(&str) -> bool) -> String {
        let given = self.job.rows.columns().iter().zip(self.columns);
        let values: Vec<_> = given
            .filter(|(_, want)| wanted(&want.name))
            .map(|(have, want)| {
                let name = quoted(&want.name);
                if want.as_text(have.dtype()) {
                    format!("{name}::{}", want.type_name)
                } else {
                    name
                }
            })
            .collect();
        values.join(", ")
    }

    /// The statement that takes the gathered rows over.
    fn insert(&self) -> String {
        let names = quoted_list(self.columns.iter().map(|column| column.name.as_str()));
        let insert = format!(
            "insert into {} ({names}) select {} from {STAGE}",
            self.job.table.quoted(),
            self.values(|_| true)
        );
        if self.job.mode != Mode::Upsert {
            return insert;
        }
        insert + &self.job.on_conflict(self.columns)
    }

    /// Sends the rows while they are being read and brought into their form; gives how many they were.
    async fn copy(&self, session: &mut PgConnection, table: &str) -> Result<u64, TaskError> {
        let names = quoted_list(self.columns.iter().map(|column| column.name.as_str()));
        let statement = format!("copy {table} ({names}) from stdin with (format binary)");
        let fail = |error| self.session.fail(error);
        let mut copy = session.copy_in_raw(&statement).await.map_err(fail)?;
        let (sender, pieces) = mpsc::channel::<Vec<u8>>(AHEAD);
        let encoder = Encoder {
            job: self.job.clone(),
            columns: self.columns.to_vec(),
            bounds: self.bounds.clone(),
            cancel: self.context.cancel.clone(),
            sender,
        };
        let encode = self.context.compute(move || encoder.all());
        let sending = &mut copy;
        let transfer = async move {
            // When sending fails, this end goes, and so the other one stops.
            let mut pieces = pieces;
            sending.send(copy::HEAD).await?;
            while let Some(piece) = pieces.recv().await {
                sending.send(piece).await?;
            }
            sending.send(copy::TAIL).await?;
            Ok::<_, sqlx::Error>(())
        };
        let (encoded, sent) = tokio::join!(encode, transfer);
        sent.map_err(fail)?;
        let stop = if self.context.cancel.is_cancelled() {
            encoded.and(Err(stopped_rows()))
        } else {
            encoded
        };
        if let Err(error) = stop {
            // Whatever the server says to that, the transaction is not committed.
            drop(copy.abort("the rows cannot be sent").await);
            return Err(error);
        }
        match copy.finish().await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.refused(error).await),
        }
    }

    /// The server's refusal, with the row and the value that it is about.
    async fn refused(&self, error: sqlx::Error) -> TaskError {
        let postgres = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        let place = postgres.and_then(|error| {
            let (row, column) = copied(error.r#where()?)?;
            Some((
                row,
                column.or_else(|| error.column().map(ToOwned::to_owned)),
            ))
        });
        let mut failure = self.session.fail(error);
        let Some((row, column)) = place else {
            return failure;
        };
        let place = format!("row {row} of `{}`", self.job.name);
        let (given, number) = (self.job.rows.clone(), row.saturating_sub(1));
        let value = self.context.compute(move || {
            let value = column.and_then(|name| {
                let value = plain(&given.value(&name, number)?);
                Some(format!("`{name}` is {value}, which the table refuses"))
            });
            Ok(value)
        });
        let value = value.await.ok().flatten();
        let value = value.unwrap_or_else(|| "the table refuses it".to_owned());
        failure.message = format!("{place}: {value}");
        failure
    }
}

/// Brings rows into their form.
struct Encoder {
    job: Job,
    columns: Vec<TableColumn>,
    bounds: Option<Bounds>,
    cancel: CancellationToken,
    sender: mpsc::Sender<Vec<u8>>,
}

impl Encoder {
    fn all(self) -> Result<(), TaskError> {
        let (given, name) = (self.job.rows.clone(), self.job.name.clone());
        given.parts(&name, move |part, before| self.part(&part, before))
    }

    fn part(&self, part: &DataFrame, before: usize) -> Result<(), TaskError> {
        let floats = |column: &TableColumn| matches!(column.holds, Holds::Float32 | Holds::Float64);
        self.job.check_finite(part, before, floats, &self.columns)?;
        if let Some(bounds) = &self.bounds {
            self.job.all_within(part, before, bounds)?;
        }
        let mut going = true;
        copy::encode(part, &self.columns, &self.job.name, before, |piece| {
            going = !self.cancel.is_cancelled() && self.sender.blocking_send(piece).is_ok();
            going
        })?;
        if going { Ok(()) } else { Err(stopped_rows()) }
    }
}

/// Row and column in the place that an error names: `COPY people, line 3, column name: "…"`.
fn copied(place: &str) -> Option<(usize, Option<String>)> {
    let line = place.lines().find_map(|line| line.strip_prefix("COPY "))?;
    let (_, rest) = line.split_once(", line ")?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let row = rest.get(..digits)?.parse().ok()?;
    let column = rest.split_once(", column ").map(|(_, column)| {
        let end = column.find(": ").unwrap_or(column.len());
        column.get(..end).unwrap_or(column).to_owned()
    });
    Some((row, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_error_is_read() {
        for (place, expected) in [
            (
                "COPY people, line 3, column name: \"o'hara\"",
                Some((3, Some("name"))),
            ),
            (
                "COPY people, line 12, column price",
                Some((12, Some("price"))),
            ),
            (
                "JSON data, line 1: {a\nCOPY t, line 2, column doc",
                Some((2, Some("doc"))),
            ),
            ("COPY people, line 3", Some((3, None))),
            ("SQL statement \"select 1\"", None),
        ] {
            let found = copied(place);
            let found = found
                .as_ref()
                .map(|(row, column)| (*row, column.as_deref()));
            assert_eq!(found, expected, "{place}");
        }
    }
}
