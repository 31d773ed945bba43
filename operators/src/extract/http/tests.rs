//! `extract: http` against a real API.

mod slices;
mod trouble;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pipectl_engine::{
    operator::{
        Checkpoint, CheckpointStore, Fault, Interval, Operator as _,
        testing::{TestProject, complaints, frame, run_in},
    },
    store::StoreError,
};
use pipectl_test_support::{ApiOptions, ApiTrouble, TestApi};
use polars::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A checkpoint that stays, and refuses to after so many times.
#[derive(Debug)]
struct Kept {
    value: Mutex<Option<Value>>,
    saves: AtomicUsize,
    refuse_after: AtomicUsize,
}

impl Kept {
    fn new(refuse_after: usize) -> Arc<Self> {
        Arc::new(Self {
            value: Mutex::default(),
            saves: AtomicUsize::new(0),
            refuse_after: AtomicUsize::new(refuse_after),
        })
    }
}

#[async_trait]
impl CheckpointStore for Kept {
    async fn load(&self) -> Result<Option<Value>, StoreError> {
        Ok(self.value.lock().unwrap().clone())
    }

    async fn save(&self, value: &Value) -> Result<(), StoreError> {
        if self.saves.fetch_add(1, Ordering::SeqCst) >= self.refuse_after.load(Ordering::SeqCst) {
            return Err(StoreError::NotFound("the store".to_owned()));
        }
        *self.value.lock().unwrap() = Some(value.clone());
        Ok(())
    }
}

fn days(from: &str, to: &str) -> Interval {
    let moment = |day: &str| format!("{day}T00:00:00Z").parse().unwrap();
    Interval {
        start: moment(from),
        end: moment(to),
    }
}

fn ids(table: &DataFrame) -> Vec<String> {
    let ids = table.column("id").unwrap().str().unwrap();
    ids.iter().map(|id| id.unwrap().to_owned()).collect()
}

fn expected(days: &[&str], records: u32) -> Vec<String> {
    let day = |day: &&str| {
        (0..records)
            .map(|number| format!("{day}-{number:04}"))
            .collect::<Vec<_>>()
    };
    days.iter().flat_map(day).collect()
}

fn sliced(api: &TestApi) -> Value {
    json!({
        "url": format!("{}/records/cursor", api.url()),
        "records": "data",
        "pagination": {"by": "cursor", "next": "meta.next", "size": 4},
        "slice": {"every": "1d", "start": "start", "end": "end", "format": "date"},
    })
}

async fn fails(project: &TestProject, settings: Value) -> TaskError {
    let error = project.run::<Http>(settings.clone()).await.unwrap_err();
    assert_eq!(error.fault, Fault::User, "{settings}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_paging_gives_the_same() {
    let api = TestApi::with(ApiOptions {
        records_per_day: 10,
        ..ApiOptions::default()
    });
    let project = TestProject::new().with_connection("api", &api.url());
    for (way, records, pagination, calls) in [
        (
            "page",
            Some("data"),
            json!({"by": "page", "size": 4, "size_parameter": "per_page"}),
            4,
        ),
        (
            "page",
            Some("data"),
            json!({"by": "page", "size": 4, "size_parameter": "per_page", "total_pages": "pages"}),
            3,
        ),
        (
            "page",
            Some("data"),
            json!({"by": "page", "size": 5, "size_parameter": "per_page", "total": "total"}),
            2,
        ),
        (
            "offset",
            Some("data.items"),
            json!({"by": "offset", "size": 4}),
            4,
        ),
        (
            "offset",
            Some("data.items"),
            json!({"by": "offset", "size": 4, "total": "total"}),
            3,
        ),
        (
            "cursor",
            Some("data"),
            json!({"by": "cursor", "size": 4, "next": "meta.next"}),
            3,
        ),
        ("link", None, json!({"by": "link", "size": 4}), 3),
        (
            "next",
            Some("data"),
            json!({"by": "next_url", "size": 4, "next": "links.next"}),
            3,
        ),
    ] {
        let before = api.calls().len();
        let mut settings = json!({"connection": "api", "path": format!("records/{way}"), "pagination": pagination.clone()});
        if let Some(records) = records {
            settings["records"] = json!(records);
        }
        let output = project.run::<Http>(settings).await.unwrap();
        assert_eq!(ids(&frame(&output)), expected(&["2026-01-01"], 10), "{way}");
        assert_eq!(api.calls().len() - before, calls, "{way} {pagination}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_different_kinds_become_one_table() {
    let api = TestApi::start();
    let project = TestProject::new();
    let page = |records: Value, next: Value| {
        ApiTrouble::Text(json!({"data": records, "meta": {"next": next}}).to_string())
    };
    let mut settings = sliced(&api);
    settings.as_object_mut().unwrap().remove("slice");
    settings["key"] = json!("id");
    // Each page stands in a file of its own only when the one before has been written: both ways must give the same.
    for wait in [0, 60] {
        api.trouble([
            page(json!([{"id": 1, "a": null, "b": {"c": 1}, "x": 1}, {"id": 2, "a": 1, "b": null, "x": true}]), json!("c1")),
            page(json!([{"id": 2, "a": 1.5, "x": "t"}, {"id": 3, "late": "z"}]), json!(null)),
        ]);
        let slow = Duration::from_millis(wait);
        tokio::time::sleep(slow).await;
        let output = project.run::<Http>(settings.clone()).await.unwrap();
        let table = frame(&output);
        let expected = df![
            "id" => [1_i64, 2, 3],
            "a" => [None, Some(1.0), None],
            "b_c" => [Some(1_i64), None, None],
            "x" => [Some("1"), Some("true"), None],
            "late" => [None, None, Some("z")],
        ];
        assert!(table.equals_missing(&expected.unwrap()), "{table:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_records_are_no_mistake() {
    let api = TestApi::start();
    let project = TestProject::new().with_connection("api", &api.url());
    for (path, text) in [
        ("status/204", None),
        ("records/link", Some("[]")),
        ("records/link", Some("{\"items\": null}")),
        ("records/link", Some("{\"items\": []}")),
    ] {
        let mut settings = json!({"connection": "api", "path": path});
        if let Some(text) = text {
            api.trouble([ApiTrouble::Text(text.to_owned())]);
            if text != "[]" {
                settings["records"] = json!("items");
            }
        }
        let config = serde_json::from_value(settings.clone()).unwrap();
        let outcome = Http::run(config, &project.context()).await.unwrap();
        assert!(matches!(outcome, Outcome::Skipped(_)), "{settings}");
    }
    api.trouble([ApiTrouble::Text("[]".to_owned())]);
    let settings = json!({"connection": "api", "path": "records/link", "types": {"id": "integer", "at": "timestamp"}});
    let table = frame(&project.run::<Http>(settings).await.unwrap());
    assert_eq!(table.height(), 0);
    assert_eq!(table.get_column_names(), ["id", "at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_asked_for_by_a_body() {
    let api = TestApi::start();
    let project = TestProject::new().with_connection("api", &api.url());
    let mut context = project.context();
    context.run.interval = Some(days("2026-01-01", "2026-01-03"));
    let settings = json!({
        "connection": "api", "path": "records/offset", "method": "post", "records": "data.items",
        "query": {"zone": "a b", "none": null}, "headers": {"X-Team": "data"}, "body": {"sort": "id"},
        "pagination": {"by": "offset", "size": 5, "total": "total"},
        "slice": {"every": "1d", "start": "start", "end": "end"},
    });
    let output = run_in::<Http>(&context, settings).await.unwrap();
    assert_eq!(frame(&output).height(), 20);
    let call = &api.calls()[0];
    let body: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(
        (
            call.method.as_str(),
            call.query["zone"].as_str(),
            call.headers["x-team"].as_str()
        ),
        ("POST", "a b", "data")
    );
    assert_eq!(
        (&body["sort"], &body["limit"], &body["offset"]),
        (&json!("id"), &json!(5), &json!(0))
    );
    assert!(body["start"].as_str().unwrap().ends_with("T00:00:00Z"));
}
