//! `extract: sql`: reads a table or a query from Postgres or SQLite.

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, ConnectionName, Kind, Operator, Outcome, Output, Outputs, ProbeContext,
        SqlText, Takes, TaskContext, TaskError,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::database::{self, TableName};

/// `extract: sql`.
pub(crate) struct Sql;

/// From where, and what.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The connection to the database.
    connection: ConnectionName,
    /// A query. An expression in it is a bound value; its rows come in the order that `order by` says.
    query: Option<SqlText>,
    /// A whole table, in place of a query: `table` or `schema.table`.
    table: Option<String>,
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
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        match context.project.connections.get(&config.connection.0) {
            Some(connection) => database::open(&context.project, &context.services, connection)
                .await
                .map(|_| ()),
            None => Ok(()),
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let query = match (config.query, config.table) {
            (Some(query), _) => query,
            (None, table) => {
                let table = table.as_deref().and_then(TableName::parse);
                let table =
                    table.ok_or_else(|| TaskError::user("neither `query` nor `table` is given"))?;
                SqlText {
                    sql: format!("select * from {}", table.quoted()),
                    values: Vec::new(),
                }
            }
        };
        let frame = database::read(context, &config.connection.0, &query).await?;
        Ok(Outcome::Done(Output::table(Dataset::from_frame(frame))))
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::complaints;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_or_a_table_is_needed() {
        for (settings, complaint) in [
            (
                json!({"connection": "a"}),
                ": neither `query` nor `table` is given",
            ),
            (
                json!({"connection": "a", "query": "select 1", "table": "t"}),
                "table: both `query` and `table` are given",
            ),
            (
                json!({"connection": "a", "table": "a.b.c"}),
                "table: this is no table's name",
            ),
            (
                json!({"connection": "a", "query": " "}),
                "query: the query is empty",
            ),
        ] {
            assert_eq!(complaints::<Sql>(settings), [complaint]);
        }
        assert!(complaints::<Sql>(json!({"connection": "a", "table": "s.t"})).is_empty());
    }
}
