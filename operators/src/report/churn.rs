//! The learning half of the first pipeline, on the committed customers: learn, score, report, watch for drift.

use pipectl_engine::operator::testing::{TestProject, frame, run_in};
use polars::prelude::{
    CsvParseOptions, CsvReadOptions, DataFrame, NullValues, SerReader, UniqueKeepStrategy,
};
use serde_json::json;

use super::{drift::Drift, model::Model};
use crate::{predict, train::classifier::Classifier};

fn customers(file: &str) -> DataFrame {
    let path = format!("{}/../data/churn/{file}", env!("CARGO_MANIFEST_DIR"));
    let nulls = NullValues::AllColumns(vec!["".into(), " ".into()]);
    CsvReadOptions::default()
        .with_infer_schema_length(None)
        .with_parse_options(CsvParseOptions::default().with_null_values(Some(nulls)))
        .try_into_reader_with_file_path(Some(path.into()))
        .unwrap()
        .finish()
        .unwrap()
        .unique_stable(None, UniqueKeepStrategy::First, None)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_learned_scored_and_reported() {
    let project = TestProject::new();
    let settings = json!({
        "target": "Churn",
        "exclude": ["customerID"],
        "features": {"charges_per_month": "TotalCharges / nullif(tenure, 0)"},
        "candidates": {
            "logistic_regression": {"C": [0.1, 1.0]},
            "random_forest": {"n_estimators": 50, "max_depth": [6, 10]},
            "gradient_boosting": {},
        },
        "validation": {"folds": 5},
        "metric": "f1",
        "path": "churn.onnx",
    });
    let trained = project
        .run_on::<Classifier>(customers("history.csv"), settings)
        .await
        .unwrap();
    assert!(
        trained.metrics["f1"] > 0.5 && trained.metrics["roc_auc"] > 0.75,
        "{:?}",
        trained.metrics
    );
    let scores = project
        .run_on::<predict::model::Model>(
            customers("today.csv"),
            json!({"model": "churn.onnx", "threshold": 0.4}),
        )
        .await
        .unwrap();
    assert!(scores.warnings.is_empty(), "{:?}", scores.warnings);
    project
        .run::<Model>(json!({"model": "churn.onnx", "path": "model.html", "title": "churn"}))
        .await
        .unwrap();
    let inputs = [("reference", frame(&trained)), ("current", frame(&scores))];
    let watched = run_in::<Drift>(
        &project.context_with(inputs),
        json!({"path": "drift.html", "exclude": ["customerID"]}),
    )
    .await
    .unwrap();
    assert!(
        watched.metrics["drifted_share"] < 0.5,
        "{:?}",
        watched.warnings
    );
    for page in ["model.html", "drift.html"] {
        let html = project.read(page);
        assert!(html.len() < 300_000, "{page}: {} bytes", html.len());
    }
}
