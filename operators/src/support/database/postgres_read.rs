//! Rows out of Postgres: by binary `COPY`, straight into columns.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::TryStreamExt;
use pipectl_connections::database_error;
use pipectl_engine::operator::{SqlText, TaskContext, TaskError};
use polars::prelude::DataFrame;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Column as _, Connection as _, PgConnection, PgPool, Statement as _};

use super::{
    bound::{self, Prepared},
    cursor, hint_tables,
    interval::Bounds,
    missing_table, named_column, postgres_parts,
    postgres_table::table_names,
    request::{Found, Request, VALUE, narrowed, without_end},
    rows::{ReadColumn, Rows},
    spool::{self, Gathered, Room, Spool},
    table::{Holds, quoted},
};
use crate::support::{
    frame::polars_error,
    text::{count, thousands},
};

/// After how many rows a session tells of them.
const TELL: u64 = 100_000;

/// A database to read from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) pool: PgPool,
    pub(super) context: TaskContext,
    doing: String,
    /// How many rows all sessions have told of.
    told: Arc<AtomicU64>,
}

impl Source {
    /// A database to read from for an attempt; `doing` says what is done, as in ``read from `warehouse` ``.
    pub(super) fn new(pool: &PgPool, doing: String, context: &TaskContext) -> Self {
        Self {
            pool: pool.clone(),
            context: context.clone(),
            doing,
            told: Arc::default(),
        }
    }

    /// A failure of the database.
    pub(super) fn fail(&self, error: sqlx::Error) -> TaskError {
        database_error(&self.doing, error)
    }
}

/// The rows of a query.
pub(super) async fn read(
    pool: &PgPool,
    connection: &str,
    request: &Request,
    context: &TaskContext,
) -> Result<Found, TaskError> {
    let source = Source::new(pool, format!("read from `{connection}`"), context);
    let sessions = tokio::select! {
        sessions = source.rows(request) => match sessions {
            Ok(sessions) => sessions,
            Err(error) => return Err(source.with_tables(error).await),
        },
        () = context.cancel.cancelled() => {
            return Err(TaskError::external("the attempt was stopped while it read"));
        }
    };
    let rows = sessions.iter().map(|session| session.rows.count).sum();
    let log = format!("{} from `{connection}`", count(rows, "row"));
    context.log.info(log);
    let column = request.cursor.as_ref().map(|cursor| cursor.column.clone());
    let inner = context.clone();
    context
        .compute(move || {
            let rows = Gathered::table(sessions, &inner)?;
            let cursor = column.map(|column| cursor::greatest_of(&rows, &column));
            let cursor = cursor.transpose()?.flatten();
            Ok(Found { rows, cursor })
        })
        .await
}

impl Source {
    /// Says which tables there are, when the query names one that is not.
    async fn with_tables(&self, error: TaskError) -> TaskError {
        let Some(name) = missing_table(&error) else {
            return error;
        };
        // The session of the query is of no more use.
        match self.pool.acquire().await {
            Ok(mut session) => hint_tables(error, &name, &table_names(&mut session).await),
            Err(_) => error,
        }
    }

    async fn rows(&self, request: &Request) -> Result<Vec<Gathered>, TaskError> {
        let mut session = self
            .pool
            .acquire()
            .await
            .map_err(|error| self.fail(error))?;
        // When reading is given up in the middle of a `COPY`, the connection is of no more use.
        session.close_on_drop();
        // A statement that was prepared before its table has changed would give the old columns, or fail.
        let cleared = session.clear_cached_statements().await;
        cleared.map_err(|error| self.fail(error))?;
        let plan = self.plan(&mut session, request).await?;
        match &request.partitions {
            None => {
                let rows = self.copied(&mut session, &plan.query, &plan.columns, Room::of(1));
                Ok(vec![rows.await?])
            }
            Some(partitions) => postgres_parts::read(self, &mut session, &plan, partitions).await,
        }
    }

    /// Looks at the query: its columns, and the conditions that its rows have to meet.
    async fn plan(&self, session: &mut PgConnection, request: &Request) -> Result<Plan, TaskError> {
        let query = &request.query;
        let prepared = bound::prepare(session, query, |error| self.fail(error)).await?;
        let columns = columns(&prepared)?;
        let mut conditions = Vec::new();
        if let Some(interval) = &request.interval {
            let column = named_column(
                &columns,
                |column| &column.name,
                &interval.column,
                "interval_column",
            )?;
            let bounds = Bounds::of(interval, column.holds()?)?;
            let name = quoted(&column.name);
            conditions.push((
                format!("{name} >= {VALUE} and {name} < {VALUE}"),
                vec![Value::from(bounds.start), Value::from(bounds.end)],
            ));
        }
        if let Some(cursor) = &request.cursor {
            let column = named_column(
                &columns,
                |column| &column.name,
                &cursor.column,
                "incremental",
            )?;
            let name = quoted(&column.name);
            conditions.push(match &cursor.after {
                Some(after) => (format!("{name} > {VALUE}"), vec![after.clone()]),
                // A row without a cursor would be read again each time.
                None => (format!("{name} is not null"), Vec::new()),
            });
        }
        let by_text = columns.iter().find(|column| column.by_text());
        if conditions.is_empty() && by_text.is_none() && request.partitions.is_none() {
            let query = query.clone();
            return Ok(Plan { query, columns });
        }
        if !is_query(&query.sql) {
            return Err(match by_text {
                Some(column) => column.unheld(),
                None => TaskError::user("only a `select` can be narrowed or shared out")
                    .hint("write the query as a `select`"),
            });
        }
        let selected: Vec<_> = columns.iter().map(ReadColumn::selected).collect();
        let query = narrowed(query, &selected.join(", "), &conditions);
        Ok(Plan { query, columns })
    }

    /// Reads a query in a transaction of its own.
    pub(super) async fn copied(
        &self,
        session: &mut PgConnection,
        query: &SqlText,
        columns: &[ReadColumn],
        room: Room,
    ) -> Result<Gathered, TaskError> {
        let fail = |error| self.fail(error);
        let prepared = bound::prepare(session, query, fail).await?;
        let mut transaction = session.begin().await.map_err(fail)?;
        let rows = self
            .copy(&mut transaction, &prepared, columns, room)
            .await?;
        transaction.commit().await.map_err(fail)?;
        Ok(rows)
    }

    /// Reads a query in the transaction that is open.
    pub(super) async fn copy(
        &self,
        transaction: &mut PgConnection,
        prepared: &Prepared,
        columns: &[ReadColumn],
        room: Room,
    ) -> Result<Gathered, TaskError> {
        let (mut spool, parts) = Spool::new(room);
        let inner = self.context.clone();
        let write = self.context.compute(move || spool::write(&inner, parts));
        let read = async move {
            let mut rows = Rows::new(columns);
            self.receive(transaction, prepared, &mut rows, &mut spool)
                .await?;
            spool.end(&mut rows).await?;
            Ok::<_, TaskError>(rows)
        };
        let (rows, files) = tokio::join!(read, write);
        let files = files?;
        rows.map(|rows| Gathered { rows, files })
    }

    async fn receive(
        &self,
        transaction: &mut PgConnection,
        prepared: &Prepared,
        rows: &mut Rows,
        spool: &mut Spool,
    ) -> Result<(), TaskError> {
        let fail = |error| self.fail(error);
        prepared.bind(&mut *transaction).await.map_err(fail)?;
        if !can_be_copied(&prepared.sql) {
            // `show`, `explain` and the like give rows too, but are not to be copied.
            let query = sqlx::query(AssertSqlSafe(prepared.sql.clone())).persistent(false);
            let mut stream = query.fetch(transaction);
            while let Some(row) = stream.try_next().await.map_err(fail)? {
                rows.row(&row)?;
                spool.relieve(rows).await?;
            }
            return Ok(());
        }
        let statement = format!(
            "copy (\n{}\n) to stdout with (format binary)",
            without_end(&prepared.sql)
        );
        let mut stream = transaction.copy_out_raw(&statement).await.map_err(fail)?;
        let mut told = 0;
        while let Some(data) = stream.try_next().await.map_err(fail)? {
            rows.copied(&data)?;
            spool.relieve(rows).await?;
            if rows.count >= told + TELL {
                let more = rows.count - told;
                told = rows.count;
                let all = self.told.fetch_add(more, Ordering::Relaxed) + more;
                self.context.progress.set(all, None);
                let log = format!("{} rows so far", thousands(all));
                self.context.log.info(log);
            }
        }
        Ok(())
    }
}

/// A query that is ready to be read.
pub(super) struct Plan {
    pub(super) query: SqlText,
    pub(super) columns: Vec<ReadColumn>,
}

/// The columns of a query.
pub(super) fn columns(prepared: &Prepared) -> Result<Vec<ReadColumn>, TaskError> {
    let found = prepared.statement.columns().iter();
    let columns: Vec<_> = found
        .map(|column| ReadColumn::of(column.name(), column.type_info()))
        .collect();
    if columns.is_empty() {
        return Err(TaskError::user("the statement gives no rows").hint("write a `select`"));
    }
    for (index, column) in columns.iter().enumerate() {
        let same = |other: &ReadColumn| other.name == column.name;
        if columns.iter().take(index).any(same) {
            return Err(
                TaskError::user(format!("the query has two columns `{}`", column.name)).hint(
                    format!("name one of them anew, as in `{} as other`", column.name),
                ),
            );
        }
    }
    Ok(columns)
}

/// The first word of a statement, behind comments and parentheses.
fn first_word(sql: &str) -> String {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        rest = if rest.starts_with("--") {
            rest.split_once('\n').map_or("", |(_, rest)| rest)
        } else if rest.starts_with("/*") {
            rest.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            break;
        };
    }
    let end = rest
        .find(|c: char| !c.is_alphabetic())
        .unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default().to_ascii_lowercase()
}

fn is_query(sql: &str) -> bool {
    matches!(
        first_word(sql).as_str(),
        "select" | "with" | "values" | "table"
    )
}

fn can_be_copied(sql: &str) -> bool {
    is_query(sql)
        || matches!(
            first_word(sql).as_str(),
            "insert" | "update" | "delete" | "merge"
        )
}

/// The first row of a query, for those who only want to know whether there is one.
pub(super) async fn first(
    pool: &PgPool,
    connection: &str,
    query: &SqlText,
    context: &TaskContext,
) -> Result<DataFrame, TaskError> {
    let source = Source::new(pool, format!("ask `{connection}`"), context);
    let fail = |error| source.fail(error);
    let mut session = pool.acquire().await.map_err(fail)?;
    session.clear_cached_statements().await.map_err(fail)?;
    let prepared = bound::prepare(&mut session, query, fail).await?;
    let columns = columns(&prepared)?;
    let mut transaction = session.begin().await.map_err(fail)?;
    sqlx::query("set transaction read only")
        .execute(&mut *transaction)
        .await
        .map_err(fail)?;
    prepared.bind(&mut transaction).await.map_err(fail)?;
    let rows = first_row(&mut transaction, &prepared, &columns).await;
    let rows = match rows {
        Ok(rows) => rows?,
        Err(error) => return Err(fail(error)),
    };
    transaction.commit().await.map_err(fail)?;
    rows.finish()
        .map_err(|error| polars_error("read the query's row", &error))
}

async fn first_row(
    transaction: &mut PgConnection,
    prepared: &Prepared,
    columns: &[ReadColumn],
) -> Result<Result<Rows, TaskError>, sqlx::Error> {
    let selected: Vec<_> = columns.iter().map(ReadColumn::selected).collect();
    let sql = if is_query(&prepared.sql) {
        format!(
            "select {} from (\n{}\n) as pipectl_query limit 1",
            selected.join(", "),
            without_end(&prepared.sql)
        )
    } else {
        prepared.sql.clone()
    };
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_optional(transaction)
        .await?;
    let mut rows = Rows::new(columns);
    Ok(match row.map(|row| rows.row(&row)) {
        Some(Err(error)) => Err(error),
        _ => Ok(rows),
    })
}

impl ReadColumn {
    /// What it holds, when that can be told apart by intervals.
    fn holds(&self) -> Result<Holds, TaskError> {
        match self.kind() {
            Some(holds @ (Holds::Date | Holds::Timestamp | Holds::TimestampTz)) => Ok(holds),
            _ => Err(TaskError::user(format!(
                "`{}` is {}: an interval has dates or times",
                self.name,
                self.type_name()
            ))
            .hint("cast it in the query")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_tells_what_a_statement_is() {
        for (sql, word) in [
            ("select 1", "select"),
            ("  (select 1) union (select 2)", "select"),
            (
                "-- all of them\nWITH a as (select 1) select * from a",
                "with",
            ),
            ("/* a */ /* b */values (1)", "values"),
            ("show all", "show"),
            ("--", ""),
        ] {
            assert_eq!(first_word(sql), word, "{sql}");
        }
        assert!(can_be_copied("insert into t values (1) returning id"));
        assert!(!can_be_copied("explain select 1"));
    }
}
