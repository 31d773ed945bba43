use pipectl_engine::operator::testing::{TestProject, complaints, frame};
use polars::prelude::*;
use serde_json::{Value, json};

use super::{Window, *};

fn sales() -> DataFrame {
    let mut frame = df![
        "shop" => ["b", "a", "a", "b", "a", "a"],
        "day" => [3, 2, 1, 1, 4, 9],
        "amount" => [Some(30), Some(20), Some(10), None, Some(40), Some(90)],
        "share" => [0.5, 0.25, 0.75, 1.0, 0.5, 0.0],
        "name" => ["u", "v", "w", "x", "y", "z"],
    ]
    .unwrap();
    let day = frame.column("day").unwrap().cast(&DataType::Date).unwrap();
    frame.with_column(day).unwrap();
    frame
}

async fn window(new: Value) -> Result<Column, TaskError> {
    let settings = json!({"by": "shop", "order_by": "day", "columns": {"new": new}});
    let project = TestProject::new();
    let output = project.run_on::<Window>(sales(), settings).await?;
    let found = frame(&output);
    assert_eq!(
        found.get_column_names(),
        ["shop", "day", "amount", "share", "name", "new"]
    );
    Ok(found.column("new").unwrap().clone())
}

#[tokio::test]
async fn whole_numbers_stay_whole() {
    let rolling = |function: &str, key: &str, value: Value| json!({"function": function, "of": "amount", key: value});
    for (new, expected) in [
        (
            json!({"function": "sum", "of": "amount"}),
            [Some(30), Some(30), Some(10), None, Some(70), Some(160)],
        ),
        (
            rolling("sum", "rows", json!(2)),
            [Some(30), Some(30), Some(10), None, Some(60), Some(130)],
        ),
        (
            rolling("sum", "within", json!("3d")),
            [Some(30), Some(30), Some(10), None, Some(60), Some(90)],
        ),
        (
            rolling("sum", "whole", json!(true)),
            [
                Some(30),
                Some(160),
                Some(160),
                Some(30),
                Some(160),
                Some(160),
            ],
        ),
        (
            rolling("sum", "exclude_current", json!(true)),
            [None, Some(10), None, None, Some(30), Some(70)],
        ),
        (
            rolling("count", "rows", json!(2)),
            [Some(1), Some(2), Some(1), Some(0), Some(2), Some(2)],
        ),
        (
            json!({"function": "count", "rows": 2}),
            [Some(2), Some(2), Some(1), Some(1), Some(2), Some(2)],
        ),
        (
            json!({"function": "row_number"}),
            [Some(2), Some(2), Some(1), Some(1), Some(3), Some(4)],
        ),
        (
            json!({"function": "diff", "of": "amount"}),
            [None, Some(10), None, None, Some(20), Some(50)],
        ),
    ] {
        let found = window(new.clone()).await.unwrap();
        assert_eq!(found.dtype(), &DataType::Int64, "{new}");
        assert_eq!(
            found.i64().unwrap().iter().collect::<Vec<_>>(),
            expected,
            "{new}"
        );
    }
}

#[tokio::test]
async fn values_are_chosen_with_their_type() {
    for (new, expected) in [
        (
            json!({"function": "lag", "of": "name"}),
            [Some("x"), Some("w"), None, None, Some("v"), Some("y")],
        ),
        (
            json!({"function": "lead", "of": "name", "steps": 2}),
            [None, Some("z"), Some("y"), None, None, None],
        ),
        (
            json!({"function": "max", "of": "name", "rows": 2}),
            [
                Some("x"),
                Some("w"),
                Some("w"),
                Some("x"),
                Some("y"),
                Some("z"),
            ],
        ),
        (
            json!({"function": "min", "of": "name"}),
            [
                Some("u"),
                Some("v"),
                Some("w"),
                Some("x"),
                Some("v"),
                Some("v"),
            ],
        ),
        (
            json!({"function": "first", "of": "name", "within": "4d"}),
            [
                Some("x"),
                Some("w"),
                Some("w"),
                Some("x"),
                Some("w"),
                Some("z"),
            ],
        ),
        (
            json!({"function": "last", "of": "name", "exclude_current": true}),
            [Some("x"), Some("w"), None, None, Some("v"), Some("y")],
        ),
    ] {
        let found = window(new.clone()).await.unwrap();
        assert_eq!(
            found.str().unwrap().iter().collect::<Vec<_>>(),
            expected,
            "{new}"
        );
    }
}

#[tokio::test]
async fn other_numbers_have_means_and_deviations() {
    let close = |found: Option<f64>, expected: Option<f64>| match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
        (found, expected) => found == expected,
    };
    for (new, expected) in [
        (
            json!({"function": "mean", "of": "share", "rows": 3}),
            [
                Some(0.75),
                Some(0.5),
                Some(0.75),
                Some(1.0),
                Some(0.5),
                Some(0.25),
            ],
        ),
        (
            json!({"function": "sum", "of": "share"}),
            [
                Some(1.5),
                Some(1.0),
                Some(0.75),
                Some(1.0),
                Some(1.5),
                Some(1.5),
            ],
        ),
        (
            json!({"function": "std", "of": "share", "rows": 2}),
            [
                Some(0.125_f64.sqrt()),
                Some(0.125_f64.sqrt()),
                None,
                None,
                Some(0.031_25_f64.sqrt()),
                Some(0.125_f64.sqrt()),
            ],
        ),
        (
            json!({"function": "diff", "of": "share"}),
            [Some(-0.5), Some(-0.5), None, None, Some(0.25), Some(-0.5)],
        ),
    ] {
        let found = window(new.clone()).await.unwrap();
        let found: Vec<_> = found.f64().unwrap().iter().collect();
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(found, expected)| close(*found, expected)),
            "{new} {found:?}"
        );
    }
}

#[tokio::test]
async fn equal_rows_share_a_rank() {
    let rows = df!["v" => [3, 1, 3, 2]].unwrap();
    let settings = json!({"order_by": "-v", "columns": {"r": {"function": "rank"}, "d": {"function": "dense_rank"}}});
    let project = TestProject::new();
    let found = frame(&project.run_on::<Window>(rows, settings).await.unwrap());
    let expected =
        df!["v" => [3, 1, 3, 2], "r" => [1_i64, 4, 1, 3], "d" => [1_i64, 3, 1, 2]].unwrap();
    assert!(found.equals(&expected), "{found:?}");
}

#[tokio::test]
async fn misuse_is_explained() {
    for (new, message) in [
        (
            json!({"function": "sum", "of": "name"}),
            "`name` is string: `sum` needs numbers",
        ),
        (
            json!({"function": "diff", "of": "name"}),
            "`name` is string: `diff` needs numbers, dates or times",
        ),
        (
            json!({"function": "sum", "of": "nme"}),
            "`rows` has no column `nme`",
        ),
    ] {
        assert_eq!(window(new).await.unwrap_err().message, message);
    }
    let project = TestProject::new();
    let settings = json!({"order_by": "amount", "columns": {"n": {"function": "sum", "of": "amount", "within": "1d"}}});
    let error = project
        .run_on::<Window>(sales(), settings)
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "`amount` of `rows` is no date or time, which `within` needs"
    );
}

#[test]
fn settings_are_checked() {
    for (new, complaint) in [
        (
            json!({"function": "sum"}),
            "columns.n: `sum` needs a column",
        ),
        (
            json!({"function": "rank", "of": "a"}),
            "columns.n.of: `rank` is not computed from a column",
        ),
        (
            json!({"function": "lag", "of": "a", "rows": 3}),
            "columns.n: `lag` does not take `rows`, `within`, `whole` or `exclude_current`",
        ),
        (
            json!({"function": "sum", "of": "a", "rows": 3, "whole": true}),
            "columns.n: only one of `rows`, `within` and `whole` can be given",
        ),
        (
            json!({"function": "sum", "of": "a", "steps": 3}),
            "columns.n.steps: `sum` takes no steps",
        ),
    ] {
        let found = complaints::<Window>(json!({"order_by": "day", "columns": {"n": new}}));
        assert_eq!(found, [complaint]);
    }
    let found = complaints::<Window>(
        json!({"columns": {"n": {"function": "rank"}, "m": {"function": "sum", "of": "a", "within": "1d"}}}),
    );
    assert_eq!(
        found,
        [
            "columns.n: `rank` needs `order_by`",
            "columns.m: `within` needs `order_by`"
        ]
    );
}
