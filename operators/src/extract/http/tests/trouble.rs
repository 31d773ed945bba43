//! What an API gets wrong, and what is asked for wrongly.

use super::*;

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
