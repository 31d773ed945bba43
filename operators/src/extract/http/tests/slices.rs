//! Slices, and what is kept of them when an attempt ends before them.

use super::*;

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
        // Pages that have come meanwhile are kept together: they shall not all come at once.
        latency: Duration::from_millis(20),
        ..ApiOptions::default()
    });
    let project = TestProject::new();
    let kept = Kept::new(1);
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
    assert!((1..9).contains(&pages), "{saved}");
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
