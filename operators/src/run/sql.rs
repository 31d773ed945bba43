//! `run: sql`: runs statements on Postgres or SQLite, in one transaction, exactly once.

use pipectl_engine::operator::{
    Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext, SqlText,
    Takes, TaskContext, TaskError, ValueType,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    database::{self, Once},
    text::count,
};

/// `run: sql`.
pub(crate) struct Sql;

/// Where, and what. All statements are one transaction with an entry in the table `pipectl_ledger`: they take effect
/// together and once, however often the task is tried; only a redo on purpose runs them again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The connection to the database.
    connection: ConnectionName,
    /// The statements, one an entry. An expression in them is a bound value. Statements that a transaction does not allow,
    /// such as `vacuum`, are refused by the database.
    statements: Vec<SqlText>,
}

impl Operator for Sql {
    type Config = Config;
    const KIND: Kind = Kind::Run;
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str =
        "Runs statements on Postgres or SQLite, in one transaction, exactly once.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value(
                "rows",
                ValueType::Integer,
                "how many rows were inserted, updated or deleted",
            )
            .value(
                "each",
                ValueType::Any,
                "the same for each statement; empty when an earlier attempt ran them",
            )
            .value(
                "already_run",
                ValueType::Boolean,
                "whether an earlier attempt of this run had run them",
            )
    }

    fn check(config: &Config, found: &mut Complaints) {
        if config.statements.is_empty() {
            found.error(&["statements"], "there is no statement");
        }
        for (number, statement) in config.statements.iter().enumerate() {
            if statement.sql.trim().is_empty() {
                let number = number.to_string();
                found.error(&["statements", &number], "the statement is empty");
            }
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        database::probe(&config.connection, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let connection = &config.connection.0;
        let done = database::run(context, connection, &config.statements).await?;
        let unkept = matches!(done, Once::Unkept(_));
        let (rows, each, before) = match done {
            Once::Now(each) | Once::Unkept(each) => (each.iter().sum(), each, false),
            Once::Before(rows) => (rows, Vec::new(), true),
        };
        context.log.info(if before {
            format!(
                "an earlier attempt has already run them: {}, nothing to do",
                count(rows, "row")
            )
        } else {
            let statements = count(each.len() as u64, "statement");
            format!("{statements}: {}", count(rows, "row"))
        });
        #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
        let mut output = Output::default()
            .metric("rows_affected", rows as f64)
            .value("rows", rows)
            .value("each", each)
            .value("already_run", before);
        if unkept {
            output = output.warning(database::NO_LEDGER);
        }
        Ok(Outcome::Done(output))
    }
}

#[cfg(test)]
mod tests;
