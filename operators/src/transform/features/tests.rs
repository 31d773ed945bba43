use pipectl_engine::operator::testing::{TestProject, complaints, frame, run_in};
use serde_json::json;

use super::*;

const VIEW: &str = "name: bills\nentity: customer\nevent_time: at\ncreated_time: known\nttl: 10s\ncolumns: [amount]\n\
                    source: {path: bills.csv}\n";

/// Each row: customer, event, created, amount.
const BILLS: &str = "customer,at,known,amount\n\
    a,2026-03-01T00:00:10Z,2026-03-01T00:00:10Z,1\n\
    a,2026-03-01T00:00:20Z,2026-03-01T00:00:50Z,2\n\
    a,2026-03-01T00:00:30Z,2026-03-01T00:00:30Z,3\n\
    a,2026-03-01T00:00:30Z,2026-03-01T00:00:31Z,\n\
    b,2026-03-01T00:00:10Z,2026-03-01T00:00:12Z,9\n\
    b,2026-03-01T00:00:11Z,,10\n\
    ,2026-03-01T00:00:11Z,2026-03-01T00:00:11Z,11\n";

fn project(view: &str) -> TestProject {
    let project = TestProject::new();
    project.write("features/bills.yaml", view);
    project.write("bills.csv", BILLS);
    project
}

/// Customers at seconds of one minute.
fn at(rows: &[(Option<&str>, Option<i64>)]) -> DataFrame {
    let start = 1_772_323_200_000_000;
    let micros: Vec<_> = rows
        .iter()
        .map(|(_, at)| at.map(|at| start + at * 1_000_000))
        .collect();
    let of = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
    let customers: Vec<_> = rows.iter().map(|(customer, _)| *customer).collect();
    let mut frame = df!["customer" => customers].unwrap();
    frame
        .with_column(Column::new("time".into(), micros).cast(&of).unwrap())
        .unwrap();
    frame
}

async fn amounts(
    project: &TestProject,
    rows: &[(Option<&str>, Option<i64>)],
    settings: Value,
) -> Vec<Option<i64>> {
    let context = project.context_with([("orders", at(rows))]);
    let output = Box::pin(run_in::<Features>(&context, settings))
        .await
        .unwrap();
    let found = frame(&output);
    assert_eq!(found.get_column_names(), ["customer", "time", "amount"]);
    let amount = found
        .column("amount")
        .unwrap()
        .cast(&DataType::Int64)
        .unwrap();
    amount.i64().unwrap().iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_then_is_joined() {
    let (a, b) = (Some("a"), Some("b"));
    let rows = [
        (a, Some(9)),  // before anything
        (a, Some(10)), // at the event itself
        (a, Some(20)), // the next event is not known yet; the age is the ttl
        (a, Some(21)), // and now too old
        (a, Some(30)), // the first of two with the same event
        (a, Some(31)), // the last one created has no amount
        (b, Some(11)), // known a second later
        (b, Some(12)),
        (b, Some(13)), // when the newest was created is not known
        (Some("c"), Some(30)),
        (None, Some(30)),
        (a, None),
        (a, Some(10)), // the same again
    ];
    let settings = json!({"time": "time", "views": ["bills"]});
    let found = amounts(&project(VIEW), &rows, settings.clone()).await;
    let expected = [
        None,
        Some(1),
        Some(1),
        None,
        Some(3),
        None,
        None,
        Some(9),
        Some(9),
        None,
        None,
        None,
        Some(1),
    ];
    assert_eq!(found, expected);
    // Rows that were created later count where one asks for them.
    let late = json!({"time": "time", "views": ["bills"], "late_rows": true});
    let found = amounts(
        &project(VIEW),
        &[(a, Some(21)), (a, Some(30)), (b, Some(11))],
        late,
    )
    .await;
    assert_eq!(found, [Some(2), None, Some(9)]);
    // Without a column of creation every row was known at once.
    let plain = VIEW.replace("created_time: known\n", "");
    let found = amounts(&project(&plain), &[(a, Some(21)), (b, Some(11))], settings).await;
    assert_eq!(found, [Some(2), Some(10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_views_are_joined_under_their_names() {
    let project = project(VIEW);
    project.write(
        "features/plans.yaml",
        "name: plans\nentity: id\nevent_time: at\ncolumns: [plan, amount]\nsource: {path: plans.parquet}\n",
    );
    let mut plans = at(&[(Some("a"), Some(5)), (Some("b"), Some(50))]);
    plans.rename("customer", "id".into()).unwrap();
    plans.rename("time", "at".into()).unwrap();
    plans
        .with_column(Column::new("plan".into(), ["free", "team"]))
        .unwrap();
    plans
        .with_column(Column::new("amount".into(), [5, 7]))
        .unwrap();
    project
        .run_on::<crate::load::parquet::Parquet>(plans, json!({"path": "plans.parquet"}))
        .await
        .unwrap();
    let settings = json!({
        "time": "time", "views": ["bills", "plans"], "prefix": true, "event_times": true,
        "keys": {"id": "customer"}, "columns": {"plans": ["plan"]},
    });
    let context = project.context_with([(
        "orders",
        at(&[(Some("a"), Some(12)), (Some("b"), Some(12))]),
    )]);
    let output = Box::pin(run_in::<Features>(&context, settings.clone()))
        .await
        .unwrap();
    let found = frame(&output);
    assert_eq!(
        found.get_column_names(),
        [
            "customer",
            "time",
            "bills__amount",
            "bills__at",
            "plans__plan",
            "plans__at"
        ]
    );
    let plan: Vec<_> = found
        .column("plans__plan")
        .unwrap()
        .str()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(plan, [Some("free"), None]);
    assert_eq!(
        (output.metrics["known.bills"], output.metrics["known.plans"]),
        (1.0, 0.5)
    );
    let version = FeatureView::load(&context.project, "plans")
        .unwrap()
        .version();
    assert_eq!(output.values["feature_views"]["plans"], version.as_str());
    let mut clash = settings;
    clash["prefix"] = false.into();
    clash["columns"] = json!({});
    let error = Box::pin(run_in::<Features>(&context, clash))
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "`orders` already has a column `amount`, which the feature view `plans` adds"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn misuse_is_explained() {
    let rows = at(&[(Some("a"), Some(12))]);
    for (view, settings, message) in [
        (
            VIEW.to_owned(),
            json!({"time": "tim", "views": ["bills"]}),
            "`orders` has no column `tim`",
        ),
        (
            VIEW.to_owned(),
            json!({"time": "customer", "views": ["bills"]}),
            "`customer` of `orders` is string, not a date or a time",
        ),
        (
            VIEW.to_owned(),
            json!({"time": "time", "views": ["bils"]}),
            "there is no feature view `bils`",
        ),
        (
            VIEW.to_owned(),
            json!({"time": "time", "views": ["bills"], "columns": {"bills": ["x"]}}),
            "the feature view `bills` has no column `x`",
        ),
        (
            VIEW.to_owned(),
            json!({"time": "time", "views": ["bills"], "keys": {"customer": "time"}}),
            "the key `time` is timestamp on the left and string on the right",
        ),
        (
            VIEW.replace("[amount]", "[amont]"),
            json!({"time": "time", "views": ["bills"]}),
            "feature view `bills`: `bills.csv` has no column `amont`",
        ),
        (
            VIEW.replace("bills.csv", "b.csv"),
            json!({"time": "time", "views": ["bills"]}),
            "feature view `bills`: there is no file `b.csv`",
        ),
        (
            VIEW.replace("ttl: 10s", "ttl: 10"),
            json!({"time": "time", "views": ["bills"]}),
            "the feature view `bills` is not valid: features/bills.yaml:5: `10` is a duration without a unit",
        ),
    ] {
        let project = project(&view);
        let context = project.context_with([("orders", rows.clone())]);
        let error = Box::pin(run_in::<Features>(&context, settings))
            .await
            .unwrap_err();
        assert_eq!(error.message, message);
    }
}

#[test]
fn settings_are_checked() {
    assert_eq!(
        complaints::<Features>(json!({"time": "t", "views": ["a", "a"], "columns": {"b": []}})),
        [
            "views.1: `a` is named twice",
            "columns.b: `b` is not among the views"
        ]
    );
}
