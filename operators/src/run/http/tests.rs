//! `run: http` against a real API.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pipectl_engine::{
    operator::{
        Checkpoint, CheckpointStore, Fault,
        testing::{TestProject, complaints, frame, run_in},
    },
    store::StoreError,
};
use pipectl_test_support::{ApiOptions, ApiTrouble, TestApi};
use polars::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A checkpoint that stays.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<Value>>);

#[async_trait]
impl CheckpointStore for Kept {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn save(&self, value: &Value) -> Result<(), StoreError> {
        *self.0.lock().unwrap() = Some(value.clone());
        Ok(())
    }
}

/// What the engine keeps of an expression that sees rows.
fn by_row(text: &str, expression: &str) -> Value {
    json!({"$item": {"parts": [[text, expression]], "whole": text.is_empty(), "scope": {"params": {"unit": "kg"}}}})
}

fn clients() -> DataFrame {
    let at = Column::new("at".into(), [1_772_323_200_000_000_i64, 0, 0]);
    let at = at
        .cast(&DataType::Datetime(
            TimeUnit::Microseconds,
            Some(TimeZone::UTC),
        ))
        .unwrap();
    let mut frame = df!["id" => [1_i64, 2, 3], "name" => [Some("a"), None, Some("ü/x")], "score" => [0.5, 1.0, 2.5]].unwrap();
    frame.with_column(at).unwrap();
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_gives_its_answer() {
    let api = TestApi::start();
    let project = TestProject::new().with_connection("api", &api.url());
    let settings = json!({"connection": "api", "path": "echo", "query": {"q": 1}, "body": {"a": [1, null]}, "values": {"a": "body.a.0"}});
    let output = project.run::<Http>(settings).await.unwrap();
    assert_eq!(
        (
            &output.values["status"],
            &output.values["body"]["body"]["a"]
        ),
        (&json!(200), &json!([1, null]))
    );
    let table = frame(&output);
    assert_eq!(
        (
            table.height(),
            table.column("a").unwrap().i64().unwrap().get(0)
        ),
        (1, Some(1))
    );
    let key = api.calls()[0].headers["idempotency-key"].clone();
    assert!(key.ends_with("-task-0-0"), "{key}");
    let output = project
        .run::<Http>(json!({"url": format!("{}/status/202", api.url()), "method": "delete"}))
        .await
        .unwrap();
    assert_eq!(output.values["body"], json!("as you wish"));
    let error = project
        .run::<Http>(json!({"connection": "api", "path": "status/409"}))
        .await
        .unwrap_err();
    assert_eq!(error.fault, Fault::User);
    assert!(
        error
            .message
            .ends_with("/status/409` answered 409 Conflict: as you wish"),
        "{}",
        error.message
    );
    let error = project
        .run::<Http>(json!({"connection": "api", "path": "value", "status": [201]}))
        .await
        .unwrap_err();
    assert!(
        error
            .message
            .ends_with("answered 200 OK, which does not count as success"),
        "{}",
        error.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_a_call() {
    let api = TestApi::start();
    let project = TestProject::new().with_connection("api", &api.url());
    let settings = json!({"connection": "api", "path": "echo", "values": {"back": "body.id", "all": "body"}, "keep": ["id"]});
    let table = frame(&project.run_on::<Http>(clients(), settings).await.unwrap());
    assert_eq!(
        table.get_column_names(),
        ["id", "status", "body", "error", "back", "all"]
    );
    assert!(
        table
            .column("back")
            .unwrap()
            .equals(&table.column("id").unwrap().clone().with_name("back".into()))
    );
    let first: Value =
        serde_json::from_str(table.column("all").unwrap().str().unwrap().get(0).unwrap()).unwrap();
    assert_eq!(
        first,
        json!({"id": 1, "name": "a", "score": 0.5, "at": "2026-03-01T00:00:00Z"})
    );
    assert_eq!(table.column("error").unwrap().null_count(), 3);
    let settings = json!({
        "connection": "api", "path": by_row("echo/../echo?name=", "item.name | default('none')"), "query": {"n": by_row("", "index")},
        "headers": {"X-Unit": by_row("", "params.unit ~ item.id")}, "body": {"text": by_row("id ", "item.id * 2"), "fixed": true},
    });
    let before = api.calls().len();
    project.run_on::<Http>(clients(), settings).await.unwrap();
    let calls = api.calls().split_off(before);
    let third = calls.iter().find(|call| call.query["n"] == "2").unwrap();
    assert_eq!(
        (
            third.query["name"].as_str(),
            third.headers["x-unit"].as_str()
        ),
        ("ü/x", "kg3")
    );
    assert_eq!(
        serde_json::from_str::<Value>(&third.body).unwrap(),
        json!({"text": "id 6", "fixed": true})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_rows_may_fail() {
    let api = TestApi::start();
    let project = TestProject::new().with_connection("api", &api.url());
    let settings = json!({"connection": "api", "path": "echo", "parallel": 1, "retries": 0, "max_failures": 1});
    api.trouble([ApiTrouble::Status(500)]);
    let output = project
        .run_on::<Http>(clients(), settings.clone())
        .await
        .unwrap();
    assert_eq!(
        (&output.values["succeeded"], &output.values["failed"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        output.warnings,
        ["1 of 3 calls has failed: see the column `error`"]
    );
    let table = frame(&output);
    let error = table
        .column("error")
        .unwrap()
        .str()
        .unwrap()
        .get(0)
        .unwrap()
        .to_owned();
    assert!(
        error.ends_with("answered 500 Internal Server Error: out of order"),
        "{error}"
    );
    assert_eq!(
        table.column("status").unwrap().i64().unwrap().get(0),
        Some(500)
    );
    api.trouble([ApiTrouble::Status(500), ApiTrouble::Status(404)]);
    let before = api.calls().len();
    let error = project
        .run_on::<Http>(clients(), settings)
        .await
        .unwrap_err();
    assert_eq!(api.calls().len() - before, 2);
    assert!(
        error
            .message
            .starts_with("2 rows failed, more than 1; row 1: `POST http://"),
        "{}",
        error.message
    );
    let evidence = String::from_utf8(error.evidence.artifacts[0].content.to_vec()).unwrap();
    assert_eq!(evidence.lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_attempt_sends_only_the_rest() {
    let api = TestApi::start();
    let project = TestProject::new().with_connection("api", &api.url());
    let mut context = project.context_with([("rows", clients())]);
    context.checkpoint = Checkpoint::new(Arc::new(Kept::default()));
    let settings = json!({"connection": "api", "path": "echo", "parallel": 1, "retries": 0});
    api.trouble([
        ApiTrouble::Slow(std::time::Duration::ZERO),
        ApiTrouble::Status(500),
    ]);
    let error = run_in::<Http>(&context, settings.clone())
        .await
        .unwrap_err();
    assert!(
        error.message.starts_with("1 row failed; row 2: "),
        "{}",
        error.message
    );
    context.task.attempt = 2;
    let table = frame(&run_in::<Http>(&context, settings.clone()).await.unwrap());
    assert_eq!(table.height(), 3);
    let keys: Vec<String> = api
        .calls()
        .iter()
        .map(|call| call.headers["idempotency-key"].clone())
        .collect();
    let rows: Vec<&str> = keys
        .iter()
        .map(|key| key.rsplit('-').next().unwrap())
        .collect();
    assert_eq!(rows, ["0", "1", "1", "2"]);
    assert_eq!(keys[1], keys[2]);
    (context.run.redo, context.task.attempt) = (1, 3);
    run_in::<Http>(&context, settings).await.unwrap();
    assert_eq!(api.calls().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_side_by_side_within_bounds() {
    let api = TestApi::with(ApiOptions {
        latency: std::time::Duration::from_millis(20),
        ..ApiOptions::default()
    });
    let project = TestProject::new().with_connection("api", &api.url());
    let rows = df!["id" => (0..40_i64).collect::<Vec<_>>()].unwrap();
    let table = frame(
        &project
            .run_on::<Http>(
                rows.clone(),
                json!({"connection": "api", "path": "echo", "parallel": 8}),
            )
            .await
            .unwrap(),
    );
    assert!(
        table
            .column("id")
            .unwrap()
            .equals(rows.column("id").unwrap())
    );
    assert!(
        (2..=8).contains(&api.most_at_once()),
        "{}",
        api.most_at_once()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named() {
    let project = TestProject::new().with_connection("api", "http://127.0.0.1:1");
    for (settings, message) in [
        (
            json!({"path": by_row("", "item.nobody.x")}),
            "row 1: `${{ item.nobody.x }}`: ",
        ),
        (
            json!({"keep": ["nobody"]}),
            "the rows have no column `nobody`, which `keep` names",
        ),
        (
            json!({"values": {"name": "a"}}),
            "the rows have a column `name`, and so have the answers",
        ),
    ] {
        let mut whole = json!({"connection": "api", "retries": 0});
        whole
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        let error = project.run_on::<Http>(clients(), whole).await.unwrap_err();
        assert!(error.message.starts_with(message), "{}", error.message);
    }
    for (settings, complaint) in [
        (
            json!({"connection": "a", "method": "get", "body": 1}),
            "body: a call by `get` has no body",
        ),
        (
            json!({"connection": "a", "parallel": 0}),
            "parallel: nothing would be sent",
        ),
        (
            json!({"connection": "a", "values": {"status": "a"}}),
            "values.status: `status` is a column of its own already",
        ),
        (json!({}), ": neither `connection` nor `url` is given"),
    ] {
        assert_eq!(complaints::<Http>(settings), [complaint]);
    }
}
