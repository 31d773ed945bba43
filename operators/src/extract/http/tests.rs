//! `extract: http` against a real API.

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
async fn slices_keep_their_order_whatever_arrives_first() {
    let api = TestApi::with(ApiOptions {
        records_per_day: 10,
        trouble_in: Some(5),
        ..ApiOptions::default()
    });
    let project = TestProject::new();
    let mut context = project.context();
    context.run.interval = Some(days("2026-01-01", "2026-01-06"));
    let mut settings = sliced(&api);
    settings["columns"] = json!(["id", "pm2_5_value", "time", "note"]);
    settings["types"] = json!({"time": "timestamp"});
    let output = run_in::<Http>(&context, settings).await.unwrap();
    let table = frame(&output);
    let wanted = expected(
        &[
            "2026-01-01",
            "2026-01-02",
            "2026-01-03",
            "2026-01-04",
            "2026-01-05",
        ],
        10,
    );
    assert_eq!(ids(&table), wanted);
    assert_eq!(
        table.get_column_names(),
        ["id", "pm2_5_value", "time", "note"]
    );
    assert_eq!(
        (&output.values["pages"], &output.values["slices"]),
        (&json!(15), &json!(5))
    );
    assert!(
        api.most_at_once() > 1 && api.most_at_once() <= 4,
        "{}",
        api.most_at_once()
    );
    let first = api
        .calls()
        .into_iter()
        .find(|call| {
            call.query
                .get("start")
                .is_some_and(|start| start == "2026-01-03")
        })
        .unwrap();
    assert_eq!(
        (first.query["end"].as_str(), first.query["limit"].as_str()),
        ("2026-01-04", "4")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_lost_goes_on_at_its_page() {
    let api = TestApi::with(ApiOptions {
        records_per_day: 10,
        ..ApiOptions::default()
    });
    let project = TestProject::new();
    let kept = Kept::new(4);
    let mut context = project.context();
    context.run.interval = Some(days("2026-01-01", "2026-01-04"));
    context.checkpoint = Checkpoint::new(kept.clone());
    let mut settings = sliced(&api);
    settings["parallel"] = json!(1);
    let error = run_in::<Http>(&context, settings.clone())
        .await
        .unwrap_err();
    assert_eq!(error.message, "cannot keep the checkpoint");
    let saved = kept.value.lock().unwrap().clone().unwrap();
    let pages = saved["pages"].as_u64().unwrap();
    assert!((4..9).contains(&pages), "{saved}");
    kept.refuse_after.store(usize::MAX, Ordering::SeqCst);
    let before = api.calls().len();
    context.task.attempt = 2;
    let output = run_in::<Http>(&context, settings.clone()).await.unwrap();
    assert_eq!(
        ids(&frame(&output)),
        expected(&["2026-01-01", "2026-01-02", "2026-01-03"], 10)
    );
    assert_eq!((api.calls().len() - before) as u64, 9 - pages);
    // A person who has it done again wants all of it.
    (context.run.redo, context.task.attempt) = (1, 3);
    let before = api.calls().len();
    run_in::<Http>(&context, settings).await.unwrap();
    assert_eq!(api.calls().len() - before, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_before_a_failure_is_kept() {
    let api = TestApi::start();
    let project = TestProject::new();
    let kept = Kept::new(usize::MAX);
    let mut context = project.context();
    context.run.interval = Some(days("2026-01-01", "2026-01-03"));
    context.checkpoint = Checkpoint::new(kept.clone());
    let mut settings = sliced(&api);
    (settings["parallel"], settings["retries"]) = (json!(1), json!(0));
    let text = |value: Value| ApiTrouble::Text(value.to_string());
    api.trouble([
        text(json!({"data": [{"id": "a"}], "meta": {"next": "c4"}})),
        ApiTrouble::Status(500),
    ]);
    let error = run_in::<Http>(&context, settings).await.unwrap_err();
    assert!(
        error.message.starts_with("slice 2026-01-01: `GET http://"),
        "{}",
        error.message
    );
    assert!(
        error
            .message
            .ends_with("answered 500 Internal Server Error: out of order"),
        "{}",
        error.message
    );
    assert_eq!(
        kept.value.lock().unwrap().clone().unwrap()["pages"],
        json!(1)
    );
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
async fn what_does_not_end_is_told() {
    let api = TestApi::start();
    let project = TestProject::new().with_connection("api", &api.url());
    for (path, pagination, message) in [
        (
            "loop",
            json!({"by": "cursor", "next": "meta.next"}),
            "goes round in circles: after page 3 it names the same cursor `b` again",
        ),
        (
            "endless",
            json!({"by": "cursor", "next": "meta.next", "max_pages": 7}),
            "does not end: there is more after 7 pages",
        ),
        (
            "loop",
            json!({"by": "page"}),
            "gives the same page again and again",
        ),
        (
            "loop",
            json!({"by": "offset", "parameter": "skip"}),
            "gives the same page again and again",
        ),
    ] {
        let error = fails(
            &project,
            json!({"connection": "api", "path": path, "records": "data", "pagination": pagination}),
        )
        .await;
        assert!(
            error.message.ends_with(message),
            "{path}: {}",
            error.message
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_what_was_expected_are_told() {
    let api = TestApi::start();
    let project = TestProject::new().with_connection("api", &api.url());
    let text = |text: &str| ApiTrouble::Text(text.to_owned());
    for (trouble, settings, message) in [
        (
            ApiTrouble::Html,
            json!({}),
            "with HTML, where JSON was expected",
        ),
        (
            text("{\"a\": 1, \"rows\": []}"),
            json!({}),
            "with a map, not with a list of records",
        ),
        (text("3"), json!({}), "with 3, not with a list of records"),
        (
            text("{\"a\": 1}"),
            json!({"records": "rows"}),
            "without `rows`, where its records were expected",
        ),
        (
            text("{\"rows\": 3}"),
            json!({"records": "rows"}),
            "with no list at `rows`",
        ),
        (
            text("[{\"a\": 1}, 2]"),
            json!({}),
            "record 2 of page 1 is a number, where a map was expected",
        ),
        (
            text("[{\"a\": 1}]"),
            json!({"key": "id"}),
            "record 1 of page 1 has no `id`, which `key` names",
        ),
        (
            text("[{\"a\": \"x\"}]"),
            json!({"types": {"a": "integer"}}),
            "`a` of record 1 of page 1 is \"x\", which is no integer",
        ),
        (
            text("[{\"a\": \"x\"}]"),
            json!({"columns": ["b"]}),
            "the records have no `b`, which `columns` names",
        ),
    ] {
        api.trouble([trouble]);
        let mut whole = json!({"connection": "api", "path": "records/link"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        let error = fails(&project, whole).await;
        assert!(
            error.message.contains(message),
            "{message}: {}",
            error.message
        );
    }
    let error = fails(&project, json!({"connection": "api", "path": "nowhere"})).await;
    assert!(
        error.message.contains("answered 404 Not Found"),
        "{}",
        error.message
    );
    let error = fails(&project, sliced(&api)).await;
    assert_eq!(
        error.message,
        "`slice` cuts the run's interval, and this run has none"
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_attempt_ends_at_once() {
    let api = TestApi::with(ApiOptions {
        latency: Duration::from_secs(30),
        ..ApiOptions::default()
    });
    let project = TestProject::new().with_connection("api", &api.url());
    let context = project.context();
    let cancel = context.cancel.clone();
    let stop = async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    };
    let work = run_in::<Http>(
        &context,
        json!({"connection": "api", "path": "records/link"}),
    );
    let (result, ()) = tokio::join!(work, stop);
    assert_eq!(result.unwrap_err().message, "the attempt was stopped");
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (settings, complaint) in [
        (json!({"body": {}}), "body: a question by `get` has no body"),
        (
            json!({"method": "delete"}),
            "method: records are read by `get` or `post`",
        ),
        (
            json!({"pagination": {"by": "cursor"}}),
            "pagination.by: it is not said where the answer names the next page",
        ),
        (
            json!({"pagination": {"by": "page", "next": "a"}}),
            "pagination.next: only `by: cursor` and `by: next_url` read it",
        ),
        (
            json!({"pagination": {"by": "link", "parameter": "a"}}),
            "pagination.parameter: the whole address is in the answer",
        ),
        (
            json!({"pagination": {"by": "offset", "first": 0}}),
            "pagination.first: only pages by number have a first number",
        ),
        (
            json!({"slice": {"every": "1d"}}),
            "slice: the API is not told of the slice: each would get the same answer",
        ),
        (
            json!({"slice": {"every": "1d", "start": "a", "format": "dd.mm"}}),
            "slice.format: `dd.mm` is no way to write a moment",
        ),
        (
            json!({"slice": {"every": "1d", "start": "a", "timezone": "Mars"}}),
            "slice.timezone: there is no such zone",
        ),
        (
            json!({"slice": {"every": "10ms", "start": "a"}}),
            "slice.every: slices of less than a second are too many",
        ),
        (json!({"parallel": 0}), "parallel: nothing would be read"),
    ] {
        let mut whole = json!({"connection": "a"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        assert_eq!(complaints::<Http>(whole), [complaint]);
    }
    assert!(
        complaints::<Http>(
            json!({"connection": "a", "path": "days/{start}", "slice": {"every": "1d"}})
        )
        .is_empty()
    );
}
