//! `extract: sql`: reads a table or a query from Postgres or SQLite.

use pipectl_engine::operator::{
    Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext, SqlText,
    Takes, TaskContext, TaskError,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::database::{self, Cursor, Partitions, Request, RowsInterval, TableName};

/// `extract: sql`.
pub(crate) struct Sql;

/// From where, and what. Postgres is read by binary `COPY`; a type that datasets do not hold comes as text.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The connection to the database.
    connection: ConnectionName,
    /// A query. An expression in it is a bound value; its rows come in the order that `order by` says.
    query: Option<SqlText>,
    /// A whole table, in place of a query: `table` or `schema.table`.
    table: Option<String>,
    /// A column of dates or times: only the rows of the run's interval are read, from its start up to, not including, its
    /// end. Dates are days in the pipeline's time zone; times without a zone are UTC.
    interval_column: Option<String>,
    /// Only the rows that are new since this task's last success.
    incremental: Option<Incremental>,
    /// Reads with several sessions at once, all of which see the same snapshot. SQLite reads with one.
    partitions: Option<Shares>,
}

/// A column that is greater for later rows. The greatest value read is kept with the task's success, so the next run goes
/// on behind it; a row that appears later with a smaller or the same value is not read, nor is one without a value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incremental {
    /// The column: a number that is counted up, or the time of the last change.
    cursor: String,
    /// Where the first run begins: rows above this value. Without it, it reads all rows.
    start: Option<Value>,
    /// Begins anew, as if no run had been before.
    #[serde(default)]
    full: bool,
}

/// How the rows are shared out.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shares {
    /// A column of numbers, dates or times, evenly spread and best with an index: each session reads a range of it.
    column: String,
    /// How many sessions, from 2 to 64.
    number: u32,
}

impl Operator for Sql {
    type Config = Config;
    const KIND: Kind = Kind::Extract;
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "Reads a table or a query from Postgres or SQLite.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
    }

    fn check(config: &Config, found: &mut Complaints) {
        database::check_connection(&config.connection, found);
        match (&config.query, &config.table) {
            (None, None) => {
                found
                    .error(&[], "neither `query` nor `table` is given")
                    .hint("write one of them");
            }
            (Some(_), Some(_)) => {
                found
                    .error(&["table"], "both `query` and `table` are given")
                    .hint("leave one of them out");
            }
            (Some(query), None) if query.sql.trim().is_empty() => {
                found.error(&["query"], "the query is empty");
            }
            (None, Some(table)) if TableName::parse(table).is_none() => {
                found
                    .error(&["table"], "this is no table's name")
                    .hint("write `table` or `schema.table`");
            }
            _ => {}
        }
        if config.interval_column.is_some() && config.incremental.is_some() {
            found
                .error(&["incremental"], "an interval's rows are always the same")
                .hint("leave `incremental` or `interval_column` out");
        }
        if let Some(shares) = &config.partitions
            && !(2..=64).contains(&shares.number)
        {
            found.error(&["partitions", "number"], "there may be 2 to 64 sessions");
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        database::probe(&config.connection, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let cursor = match &config.incremental {
            Some(incremental) => Some(incremental.cursor(context).await?),
            None => None,
        };
        let request = Request {
            interval: config
                .interval_column
                .as_deref()
                .map(|column| RowsInterval::of(context, column))
                .transpose()?,
            partitions: config.partitions.as_ref().map(|shares| Partitions {
                column: shares.column.clone(),
                number: shares.number,
            }),
            query: config.query()?,
            cursor,
        };
        let found = database::read(context, &config.connection.0, &request).await?;
        let mut output = Output::table(found.rows);
        if let (Some(incremental), Some(after)) = (&config.incremental, found.cursor) {
            output = output.remember(json!({"cursor": incremental.cursor, "after": after}));
        }
        Ok(Outcome::Done(output))
    }
}

impl Config {
    fn query(&self) -> Result<SqlText, TaskError> {
        if let Some(query) = &self.query {
            return Ok(query.clone());
        }
        let table = self.table.as_deref().and_then(TableName::parse);
        let table = table.ok_or_else(|| TaskError::user("neither `query` nor `table` is given"))?;
        Ok(SqlText {
            sql: format!("select * from {}", table.named()),
            values: Vec::new(),
        })
    }
}

impl Incremental {
    /// Where to go on. What was kept for another column says nothing about this one.
    async fn cursor(&self, context: &TaskContext) -> Result<Cursor, TaskError> {
        let kept = if self.full {
            None
        } else {
            context.state.load().await?
        };
        let kept = kept.filter(|state| state["cursor"] == self.cursor);
        let after = kept.map(|state| state["after"].clone());
        let after = after
            .or_else(|| self.start.clone())
            .filter(|after| !after.is_null());
        context.log.info(match &after {
            Some(after) => format!("rows whose `{}` is greater than {after}", self.cursor),
            None => "all rows".to_owned(),
        });
        Ok(Cursor {
            column: self.cursor.clone(),
            after,
        })
    }
}

#[cfg(test)]
mod tests;
