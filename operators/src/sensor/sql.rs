//! `sensor: sql`: waits until a query has an answer.

use std::time::Duration;

use pipectl_engine::operator::{
    Complaints, ConnectionName, DurationText, Kind, Operator, Outcome, Output, Outputs,
    ProbeContext, SqlText, Takes, TaskContext, TaskError, ValueType, Wait,
};
use polars::prelude::AnyValue;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::{
    database::{self, json_value},
    frame::polars_error,
};

/// `sensor: sql`.
pub(crate) struct Sql;

/// What is asked, and how often. It fires when the query gives a row whose first value is neither null nor false nor 0; so
/// `select count(*) from …` waits for the first row, as `select 1 from …` does. Between two looks it holds no slot and
/// no connection; how long it waits at most is the task's `timeout`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The connection to the database.
    connection: ConnectionName,
    /// The query. An expression in it is a bound value. On Postgres it cannot write.
    query: SqlText,
    /// How often to look.
    #[serde(default = "minute")]
    poll: DurationText,
}

fn minute() -> DurationText {
    DurationText(Duration::from_secs(60))
}

impl Operator for Sql {
    type Config = Config;
    const KIND: Kind = Kind::Sensor;
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "Waits until a query has an answer.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("value", ValueType::Any, "the first value of the first row")
            .value("row", ValueType::Any, "the first row, its values by column")
    }

    fn check(config: &Config, found: &mut Complaints) {
        database::check_connection(&config.connection, found);
        if config.query.sql.trim().is_empty() {
            found.error(&["query"], "the query is empty");
        }
        if config.poll.0.is_zero() {
            found
                .error(
                    &["poll"],
                    "a sensor that looks all the time leaves nothing for others",
                )
                .hint("write `1s`");
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        database::probe(&config.connection, context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let frame = database::first(context, &config.connection.0, &config.query).await?;
        let mut row = Map::new();
        if frame.height() > 0 {
            for column in frame.columns() {
                let value = column
                    .get(0)
                    .map_err(|error| polars_error("read the query's row", &error))?;
                row.insert(column.name().to_string(), json_value(&value));
            }
        }
        let first = frame
            .columns()
            .first()
            .and_then(|column| column.get(0).ok());
        if !first.as_ref().is_some_and(is_true) {
            return Ok(Outcome::Wait(Wait::Until(
                context.clock.now() + config.poll.0,
            )));
        }
        let value = row.values().next().cloned().unwrap_or_default();
        let output = Output::default()
            .value("value", value)
            .value("row", Value::Object(row));
        Ok(Outcome::Done(output))
    }
}

/// Whether a value is an answer.
fn is_true(value: &AnyValue<'_>) -> bool {
    match value {
        AnyValue::Null | AnyValue::Boolean(false) => false,
        number if number.dtype().is_numeric() || number.dtype().is_decimal() => {
            number.extract::<f64>().is_some_and(|number| number != 0.0)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{
        Woken,
        testing::{TestProject, complaints},
    };
    use pipectl_test_support::TestPostgres;
    use serde_json::json;

    use super::*;
    use crate::load::sql::tests::execute;

    async fn sense(project: &TestProject, query: Value) -> Result<Outcome, TaskError> {
        let settings = json!({"connection": "warehouse", "query": query, "poll": "5s"});
        let config = serde_json::from_value(settings).unwrap();
        let mut context = project.context();
        context.woken = Some(Woken::Time);
        Box::pin(Sql::run(config, &context)).await
    }

    #[tokio::test]
    async fn it_waits_until_the_first_value_is_true() {
        for address in ["sqlite:warehouse.db", &TestPostgres::shared().database()] {
            let project = TestProject::new().with_connection("warehouse", address);
            for query in [
                json!("select 1 as one where 1 = 0"),
                json!("select 0 as zero"),
                json!("select cast(null as integer) as missing"),
                json!("select count(*) as n from (select 1 where 1 = 0) as t;"),
                json!({"sql": "select 1 as one where $1 = 2", "values": [1]}),
            ] {
                let Outcome::Wait(Wait::Until(time)) =
                    sense(&project, query.clone()).await.unwrap()
                else {
                    panic!("{query} does not wait")
                };
                let context = project.context();
                assert_eq!(time, context.clock.now() + chrono::TimeDelta::seconds(5));
            }
            let query = json!({"sql": "select $1 + 0 as batch, 'x' as name", "values": [7]});
            let Outcome::Done(output) = sense(&project, query).await.unwrap() else {
                panic!("it waits")
            };
            assert_eq!(output.values["value"], json!(7), "{address}");
            assert_eq!(output.values["row"], json!({"batch": 7, "name": "x"}));
        }
    }

    #[tokio::test]
    async fn it_cannot_write_to_postgres() {
        let project =
            TestProject::new().with_connection("warehouse", &TestPostgres::shared().database());
        execute(&project.context(), "create sequence s").await;
        let query = json!("select nextval('s') as next");
        let error = sense(&project, query).await.unwrap_err();
        assert!(
            error.full_message().contains("read-only transaction"),
            "{}",
            error.full_message()
        );
    }

    #[test]
    fn settings_are_checked() {
        let settings = json!({"connection": "a", "query": " ", "poll": "0s"});
        assert_eq!(
            complaints::<Sql>(settings),
            [
                "query: the query is empty",
                "poll: a sensor that looks all the time leaves nothing for others"
            ]
        );
    }
}
