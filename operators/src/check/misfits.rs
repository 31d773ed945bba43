//! Tables that are other than their rules were made for: tests.

use pipectl_engine::operator::{
    Output, TaskError,
    testing::{TestProject, run_in},
};
use polars::prelude::*;
use serde_json::{Value, json};

use super::expectations::Expectations;

async fn check(settings: Value) -> Result<Output, TaskError> {
    let orders = df!["id" => [1_i64, 1], "shop" => ["a", "z"], "day" => ["x", "y"]].unwrap();
    let shops = df!["name" => ["a", "b"], "id" => [1_i64, 2]].unwrap();
    let project = TestProject::new();
    let context = project.context_with([("orders", orders), ("shops", shops)]);
    run_in::<Expectations>(&context, settings).await
}

#[tokio::test]
async fn a_rule_that_does_not_fit_is_broken_beside_others() {
    let columns = "its columns are: `id`, `shop`, `day`";
    for (rule, broken, message, hint) in [
        (
            json!({"freshness": {"column": "dya", "max_age": "1d"}}),
            "freshness",
            "`orders` has no column `dya`",
            format!("did you mean `day`? {columns}"),
        ),
        (
            json!({"freshness": {"column": "day", "max_age": "1d"}}),
            "freshness",
            "`day` is string; freshness needs dates or times",
            "declare it where it is read, as in `types: {day: date}`; or cast it in a `transform: sql`".to_owned(),
        ),
        (
            json!({"unique": [["id", "shp"]]}),
            "unique id, shp",
            "`orders` has no column `shp`",
            format!("did you mean `shop`? {columns}"),
        ),
        (
            json!({"foreign_keys": [{"columns": "sho", "to": "shops", "key": "name"}]}),
            "sho in shops",
            "`orders` has no column `sho`",
            format!("did you mean `shop`? {columns}"),
        ),
        (
            json!({"foreign_keys": [{"columns": "shop", "to": "shops", "key": "nme"}]}),
            "shop in shops",
            "`shops` has no column `nme`",
            "did you mean `name`? its columns are: `name`, `id`".to_owned(),
        ),
        (
            json!({"distribution": [{"reference": "shops", "columns": ["shop"]}]}),
            "shop distribution",
            "`shops` has no column `shop`",
            "its columns are: `name`, `id`".to_owned(),
        ),
        (
            json!({"sql": [{"name": "paid", "expression": "pid > 0"}]}),
            "paid",
            "rule `paid`: line 1, column 1 of the query: there is no column `pid`",
            "did you mean `id`?".to_owned(),
        ),
    ] {
        let mut settings = json!({"columns": {"id": {"unique": true}}});
        for (key, value) in rule.as_object().unwrap() {
            settings[key] = value.clone();
        }
        let error = check(settings.clone()).await.unwrap_err();
        let unique = "2 rows of `orders` have a value of `id` that occurs more than once (row 1: 1)";
        assert_eq!(error.message, format!("{unique}; {message}"), "{rule}");
        settings["columns"] = json!({});
        let alone = check(settings.clone()).await.unwrap_err();
        assert!(alone.hint.unwrap().starts_with(&hint), "{rule}");
        settings["severity"] = json!("warn");
        let output = check(settings).await.unwrap();
        assert_eq!(output.warnings, [message], "{rule}");
        assert_eq!(output.values["failed"], json!([broken]));
    }
}

#[tokio::test]
async fn a_column_of_another_type_breaks_its_rules() {
    let rules = json!({"severity": "warn", "columns": {"id": {"regex": "x", "min": 2, "unique": true}, "shop": {"min": 3}}});
    let warnings = check(rules).await.unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "2 rows of `orders` have `id` below 2 (row 1: 1)",
            "`id` is integer; `regex` is for strings",
            "2 rows of `orders` have a value of `id` that occurs more than once (row 1: 1)",
            "`shop` is string and cannot be compared with 3",
        ]
    );
}

#[tokio::test]
async fn a_mistake_in_a_rule_is_an_error_whatever_its_severity() {
    for (rule, message) in [
        (
            json!({"sql": [{"name": "paid", "expression": "id + shop > 'x"}]}),
            "rule `paid`: ",
        ),
        (
            json!({"foreign_keys": [{"columns": "shop", "to": "shpos"}]}),
            "there is no dataset `shpos`",
        ),
    ] {
        let mut settings = json!({"severity": "warn"});
        settings
            .as_object_mut()
            .unwrap()
            .extend(rule.as_object().unwrap().clone());
        let error = check(settings).await.unwrap_err();
        assert!(error.message.starts_with(message), "{error}");
    }
}
