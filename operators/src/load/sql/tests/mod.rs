//! `load: sql` and `extract: sql` against each other, the same on SQLite and on a real Postgres.

mod ledger;
mod modes;
mod parts;
mod refusals;
mod round_trip;
mod types;

use pipectl_engine::{
    id::RunId,
    operator::{
        Fault, Output, TaskContext,
        testing::{TestProject, complaints, frame, run_in},
    },
    time::Timestamp,
};
use pipectl_test_support::TestPostgres;
use polars::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{extract, support::iso};

/// A project for each database.
pub(crate) fn projects() -> [TestProject; 2] {
    let connector = std::sync::Arc::new(pipectl_connections::Connector::default());
    [
        TestProject::new()
            .with_connection("warehouse", "sqlite:warehouse.db")
            .with_service(connector.clone()),
        TestProject::new()
            .with_connection("warehouse", &TestPostgres::shared().database())
            .with_service(std::sync::Arc::new(
                pipectl_connections::Connector::default(),
            )),
    ]
}

pub(crate) fn is_postgres(project: &TestProject) -> bool {
    let context = project.context();
    context.connection("warehouse").unwrap().scheme() == "postgres"
}

pub(crate) fn people() -> DataFrame {
    df!["id" => [1i64, 2, 3], "name" => [Some("ada"), None, Some("o'hara")], "height" => [1.7, 1.8, 1.6]].unwrap()
}

/// A new run of the same task.
pub(crate) fn another_run(project: &TestProject, rows: DataFrame, seconds: i64) -> TaskContext {
    let mut context = project.context_with([("people", rows)]);
    context.run.id = RunId::new(Timestamp::default() + chrono::TimeDelta::seconds(seconds));
    context
}

pub(crate) async fn load(context: &TaskContext, settings: Value) -> Result<Output, TaskError> {
    let mut with = json!({"connection": "warehouse", "table": "people", "create": true});
    with.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    Box::pin(run_in::<Sql>(context, with)).await
}

pub(crate) async fn query(
    project: &TestProject,
    sql: &str,
    values: Value,
) -> Result<DataFrame, TaskError> {
    let query = json!({"connection": "warehouse", "query": {"sql": sql, "values": values}});
    Box::pin(run_in::<extract::sql::Sql>(&project.context(), query))
        .await
        .map(|output| frame(&output))
}

pub(crate) async fn ids(project: &TestProject) -> Vec<i64> {
    let table = query(project, "select id from people order by id", json!([]))
        .await
        .unwrap();
    table
        .column("id")
        .unwrap()
        .i64()
        .unwrap()
        .iter()
        .flatten()
        .collect()
}

pub(crate) async fn execute(context: &TaskContext, sql: &str) {
    let connector = context
        .services
        .get::<pipectl_connections::Connector>()
        .unwrap_or_default();
    let connection = context.connection("warehouse").unwrap();
    match connector
        .database(&context.project, connection)
        .await
        .unwrap()
    {
        pipectl_connections::Database::Postgres(pool) => {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
                .execute(&pool)
                .await
                .map(|_| ())
                .unwrap();
        }
        pipectl_connections::Database::Sqlite(pool) => {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
                .execute(&pool)
                .await
                .map(|_| ())
                .unwrap();
        }
        pipectl_connections::Database::Odbc(_) => unreachable!("it has tests of its own"),
    }
}
