use pipectl_engine::operator::{
    Fault,
    testing::{complaints, run_in},
};
use serde_json::{Value, json};

use super::*;
use crate::load::sql::tests::{execute, is_postgres, projects, query};

async fn run(context: &TaskContext, statements: Value) -> Result<Output, TaskError> {
    let settings = json!({"connection": "warehouse", "statements": statements});
    Box::pin(run_in::<Sql>(context, settings)).await
}

#[tokio::test]
async fn statements_take_effect_once_and_together() {
    for project in projects() {
        let mut context = project.context();
        execute(
            &context,
            "create table t (id integer primary key, name text)",
        )
        .await;
        let statements = json!([
            {"sql": "insert into t (id, name) values ($1, $2), (2, 'b;c -- $1')", "values": [1, "o'hara"]},
            "create table u as select * from t;",
            {"sql": "update t set name = name where id >= $1", "values": [1]},
        ]);
        let output = run(&context, statements.clone()).await.unwrap();
        assert_eq!(
            output.values["rows"].as_f64(),
            Some(output.metrics["rows_affected"])
        );
        assert_eq!(output.values["each"][0], 2);
        assert_eq!(output.values["each"][2], 2);
        assert_eq!(output.values["already_run"], false);
        context.task.attempt = 2;
        let again = run(&context, statements.clone()).await.unwrap();
        assert_eq!(again.values["already_run"], true);
        assert_eq!(again.values["rows"], output.values["rows"]);
        context.run.redo = 1;
        let error = run(&context, statements).await.unwrap_err();
        assert_eq!(error.fault, Fault::User);
        assert!(
            error.message.ends_with("(statement 1 of 3)"),
            "{}",
            error.full_message()
        );
        context.run.redo = 2;
        let wrong = json!(["delete from t", "delete from nothing"]);
        let error = run(&context, wrong).await.unwrap_err();
        assert!(
            error.message.ends_with("(statement 2 of 2)"),
            "{}",
            error.full_message()
        );
        let rows = query(&project, "select name from t order by id", json!([]))
            .await
            .unwrap();
        let names = rows.column("name").unwrap().str().unwrap().clone();
        assert_eq!(
            names.iter().collect::<Vec<_>>(),
            [Some("o'hara"), Some("b;c -- $1")]
        );
    }
}

#[tokio::test]
async fn a_placeholder_without_a_value_and_two_statements_in_one_are_refused() {
    for project in projects() {
        let context = project.context();
        execute(&context, "create table t (id integer)").await;
        let error = run(&context, json!(["delete from t where id = $1"]))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "the query has a placeholder `$1` without a value"
        );
        if !is_postgres(&project) {
            continue;
        }
        let error = run(&context, json!(["delete from t; delete from t"]))
            .await
            .unwrap_err();
        assert_eq!(
            error.hint.as_deref(),
            Some("write each statement as an entry of its own under `statements`")
        );
    }
}

#[test]
fn settings_are_checked() {
    let found =
        |statements: Value| complaints::<Sql>(json!({"connection": "a", "statements": statements}));
    assert_eq!(found(json!([])), ["statements: there is no statement"]);
    assert_eq!(
        found(json!(["delete from t", " "])),
        ["statements.1: the statement is empty"]
    );
}
