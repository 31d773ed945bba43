//! Files as they should be, and as they are.

use pipectl_engine::operator::{
    Fault,
    testing::{TestProject, frame},
};
use serde_json::json;

use super::*;

async fn extract(content: &str) -> Result<DataFrame, TaskError> {
    let project = TestProject::new();
    project.write("a.json", content);
    Ok(frame(
        &project.run::<Json>(json!({"path": "a.json"})).await?,
    ))
}

#[tokio::test]
async fn both_arrangements_give_the_same() {
    let expected = df!["a" => [Some(1i64), Some(2)], "b" => [Some("x"), None]].unwrap();
    for text in [
        "[{\"a\": 1, \"b\": \"x\"}, {\"a\": 2, \"b\": null}]",
        "{\"a\": 1, \"b\": \"x\"}\n\n{\"a\": 2}\n",
        "\u{feff}[{\"a\":1,\"b\":\"x\"},{\"a\":2}]",
    ] {
        let table = extract(text).await.unwrap();
        assert!(table.equals_missing(&expected), "{text}: {table:?}");
    }
}

#[tokio::test]
async fn a_record_without_an_end_is_not_held_in_memory() {
    let record = |bytes: usize| format!("{{\"a\": \"{}\"}}", "x".repeat(bytes));
    let long = record(65 << 20);
    let hint = "a record is held in memory as a whole: is this really one record?";
    for (text, message) in [
        (
            format!("{{\"a\": \"y\"}}\n{long}"),
            "line 2 of `a.json` is longer than 64 MiB",
        ),
        (
            format!("[{}, {{\"a\": \",[\\\"\"}}, {long}", record(33 << 20)),
            "record 3 of `a.json` is longer than 64 MiB",
        ),
        (
            format!("[{{\"a\": [{}", "1,".repeat(33 << 20)),
            "record 1 of `a.json` is longer than 64 MiB",
        ),
    ] {
        let error = extract(&text).await.unwrap_err();
        assert_eq!((error.fault, &*error.message), (Fault::User, message));
        assert_eq!(error.hint.as_deref(), Some(hint));
    }
}

#[tokio::test]
async fn what_is_no_json_is_named_with_its_place() {
    for (text, message) in [
        ("", "`a.json` is empty"),
        (
            "[{\"a\": 1},\n {\"a\": }]",
            "line 2, column 8 of `a.json` is no JSON: expected value",
        ),
        (
            "{\"a\": 1}\n{\"a\": 1\n",
            "line 2, column 7 of `a.json` is no JSON: EOF while parsing an object",
        ),
        (
            "{\"a\": 1}\n[2]\n",
            "line 2, column 0 of `a.json` is no JSON: invalid type: sequence, expected a record",
        ),
        (
            &format!("{{\"a\": {}1{}}}", "[".repeat(1_001), "]".repeat(1_001)),
            "line 1, column 133 of `a.json` is no JSON: it is nested more deeply than 127 levels",
        ),
        (
            "a,b\n",
            "line 1, column 1 of `a.json` is no JSON: expected value",
        ),
    ] {
        let error = extract(text).await.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, message)
        );
    }
}
#[tokio::test]
async fn a_column_of_two_kinds_is_named() {
    for (text, message) in [
        (
            "[{\"a\": 1}, {\"a\": {\"b\": 1}}]",
            "record 2 of `a.json`: `a` is an object, and in record 1 it was a number",
        ),
        (
            "{\"a\": [1]}\n\n{\"a\": null}\n{\"a\": {\"c\": 1}}\n",
            "record 3 of `a.json`: `a` is an object, and in record 1 it was a list",
        ),
        (
            "{\"a\": 1}\n{\"a\": true}\n",
            "record 2 of `a.json`: `a` is true or false, and in record 1 it was a number",
        ),
        (
            "{\"a\": {\"b\": 1}}\n{\"a\": {\"b\": {\"c\": 1}}}\n",
            "record 2 of `a.json`: `a.b` is an object, and in record 1 it was a number",
        ),
    ] {
        let error = extract(text).await.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, message)
        );
        assert!(error.hint.unwrap().contains("of one kind"));
    }
}

#[tokio::test]
async fn numbers_that_become_text_are_told() {
    let project = TestProject::new();
    project.write(
        "a.json",
        "[{\"a\": 1, \"b\": 2}, {\"a\": 2, \"b\": null}, {\"a\": \"x\"}]",
    );
    let output = project.run::<Json>(json!({"path": "a.json"})).await;
    assert_eq!(
        output.unwrap().warnings,
        [
            "`a` is text because of `x` in record 3: 1 of 3 values are texts, others are a number; where numbers are \
          meant, `try_cast(a as double)` in a `transform: sql` makes them"
        ]
    );
    let output = project.run::<Json>(json!({"path": "a.json", "columns": ["b"]}));
    assert_eq!(output.await.unwrap().warnings, Vec::<String>::new());
}
