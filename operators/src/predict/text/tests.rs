use pipectl_engine::operator::{
    Fault,
    testing::{TestProject, complaints, frame, run_in},
};
use polars::prelude::*;
use serde_json::json;

use super::*;

const NETWORK: &[u8] = include_bytes!("../../../../models/zoo/sentiment/model.onnx");
const TOKENIZER: &[u8] = include_bytes!("../../../../models/zoo/sentiment/tokenizer.json");
const CONFIG: &[u8] = include_bytes!("../../../../models/zoo/sentiment/config.json");

/// An export directory in the project.
fn export(project: &TestProject, directory: &str) {
    project.write(&format!("{directory}/model.onnx"), NETWORK);
    project.write(&format!("{directory}/tokenizer.json"), TOKENIZER);
    project.write(&format!("{directory}/config.json"), CONFIG);
}

fn reviews() -> DataFrame {
    df![
        "id" => [1, 2, 3, 4],
        "review" => [
            Some("The battery is excellent, I love this lamp."),
            Some("Terrible quality, a waste of money."),
            None,
            Some("   "),
        ],
    ]
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_keep_their_rows_and_get_labels_and_none_where_there_is_no_text() {
    let project = TestProject::new();
    let settings = json!({"column": "review", "model": "zoo:sentiment"});
    let output = project.run_on::<Text>(reviews(), settings).await.unwrap();
    let rows = frame(&output);
    assert_eq!(
        rows.get_column_names(),
        ["id", "review", "prediction", "probability"]
    );
    let labels: Vec<Option<&str>> = rows
        .column("prediction")
        .unwrap()
        .str()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(labels, [Some("positive"), Some("negative"), None, None]);
    let scores: Vec<Option<f64>> = rows
        .column("probability")
        .unwrap()
        .f64()
        .unwrap()
        .iter()
        .collect();
    assert!(
        scores[0].unwrap() > 0.9 && scores[1].unwrap() < 0.1,
        "{scores:?}"
    );
    assert_eq!(
        (
            output.metrics["without_text"],
            output.metrics["share_positive"]
        ),
        (2.0, 0.5)
    );
    assert!(output.warnings.is_empty());
    let log = project.log().join("\n");
    assert!(
        log.contains("2 rows without a text: their prediction is null"),
        "{log}"
    );
    assert!(log.contains("`zoo:sentiment` runs in "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_the_project_and_one_in_a_bucket_are_the_same_model() {
    let mut project = TestProject::new();
    export(&project, "models/mine");
    export(&project, "bucket/exports/mine");
    let bucket = format!("file://{}/bucket", project.root().display());
    project = project.with_connection("lake", &bucket);
    let mut outputs = Vec::new();
    for model in ["zoo:sentiment", "models/mine", "lake://exports/mine/"] {
        let settings = json!({"column": "review", "model": model});
        outputs.push(project.run_on::<Text>(reviews(), settings).await.unwrap());
    }
    for other in &outputs[1..] {
        assert!(frame(other).equals_missing(&frame(&outputs[0])));
        assert_eq!(other.values["digest"], outputs[0].values["digest"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_says_why() {
    let project = TestProject::new();
    export(&project, "mine");
    project.write("trained/pytorch_model.bin", "PK");
    export(&project, "other");
    let larger = String::from_utf8(TOKENIZER.to_vec()).unwrap().replacen(
        "\"[MASK]\":4",
        "\"[MASK]\":99999",
        1,
    );
    project.write("other/tokenizer.json", larger);
    export(&project, "broken");
    project.write("broken/model.onnx", &NETWORK[..5_000]);
    let context = project.context_with([("rows", reviews())]);
    let cases = [
        (
            "review",
            "nowhere",
            "the model `nowhere`: not a usable model: there is no such directory",
        ),
        (
            "review",
            "trained",
            "the model `trained`: not a usable model: there is no `model.onnx`, only `pytorch_model.bin`",
        ),
        (
            "review",
            "other",
            "the model `other`: not a usable model: its `tokenizer.json` does not match its `model.onnx`: it numbers 100000 tokens",
        ),
        (
            "review",
            "broken",
            "the model `broken`: not a usable model: this is no ONNX file, or a damaged one",
        ),
        (
            "review",
            "zoo:churn",
            "the model `zoo:churn`: no text model `churn` ships with pipectl: there is sentiment",
        ),
        ("revue", "mine", "`rows` has no column `revue`"),
        ("id", "mine", "the column `id` holds i32, not text"),
    ];
    for (column, model, message) in cases {
        let error = run_in::<Text>(&context, json!({"column": column, "model": model}))
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::User, "{model}");
        assert!(error.message.starts_with(message), "{}", error.message);
    }
    let taken = reviews()
        .lazy()
        .with_column(lit(1).alias("prediction"))
        .collect()
        .unwrap();
    let settings = json!({"column": "review", "model": "mine"});
    let error = project.run_on::<Text>(taken, settings).await.unwrap_err();
    assert_eq!(
        error.message,
        "the input already has a column `prediction`: rename or drop it before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_are_cut_or_refused() {
    let project = TestProject::new();
    let rows = df!["review" => ["good lamp", &"great lamp ".repeat(100)]].unwrap();
    let settings = json!({"column": "review", "model": "zoo:sentiment", "max_tokens": 32});
    let output = project
        .run_on::<Text>(rows.clone(), settings)
        .await
        .unwrap();
    assert!((output.metrics["cut"] - 1.0).abs() < 1e-9);
    assert!(
        project
            .log()
            .join("\n")
            .contains("1 text longer than 32 tokens, and cut")
    );
    let settings = json!({"column": "review", "model": "zoo:sentiment", "truncate": "never"});
    let error = project.run_on::<Text>(rows, settings).await.unwrap_err();
    assert_eq!(
        error.message,
        "the text of row 2: it has 202 tokens, the model reads 128"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_stops() {
    let project = TestProject::new();
    let context = project.context_with([("rows", reviews())]);
    context.cancel.cancel();
    let settings = json!({"column": "review", "model": "zoo:sentiment"});
    let error = run_in::<Text>(&context, settings).await.unwrap_err();
    assert_eq!(error.message, "the attempt was stopped");
}

#[test]
fn settings_that_make_no_sense_are_complained_about() {
    let found = complaints::<Text>(json!({
        "column": "a", "model": "b", "threshold": 1.5, "max_tokens": 2, "batch": {"rows": 0, "tokens": 0},
    }));
    assert_eq!(
        found,
        [
            "threshold: a threshold is a probability, from 0 to 1",
            "max_tokens: a text has two special tokens besides its own: 3 at least",
            "batch.rows: a batch holds one text at least",
            "batch.tokens: a batch holds one token at least",
        ]
    );
}
