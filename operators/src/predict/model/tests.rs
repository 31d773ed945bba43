use std::path::Path;

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Fault, Inputs,
        testing::{TestProject, complaints, frame, run_in},
    },
};
use polars::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::train::classifier::{Classifier, tests::customers};

async fn trained(project: &TestProject) {
    let settings = json!({
        "target": "Churn",
        "exclude": ["customerID"],
        "candidates": {"random_forest": {"n_estimators": 20}},
        "path": "models/churn.onnx",
    });
    let output = project
        .run_on::<Classifier>(customers(400), settings)
        .await
        .unwrap();
    assert_eq!(output.values["model"], json!("models/churn.onnx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_keep_their_columns_and_get_predictions() {
    let project = TestProject::new();
    trained(&project).await;
    let today = customers(50).drop("Churn").unwrap();
    let output = project
        .run_on::<Model>(today.clone(), json!({"model": "models/churn.onnx"}))
        .await
        .unwrap();
    let scored = frame(&output);
    let names: Vec<&str> = scored
        .get_column_names()
        .into_iter()
        .map(PlSmallStr::as_str)
        .collect();
    assert_eq!(
        names,
        [
            "customerID",
            "tenure",
            "TotalCharges",
            "Contract",
            "prediction",
            "probability"
        ]
    );
    assert!(output.warnings.is_empty());
    let all = project
        .run_on::<Model>(
            today,
            json!({"model": "models/churn.onnx", "threshold": 0.0}),
        )
        .await
        .unwrap();
    assert!((all.metrics["share_Yes"] - 1.0).abs() < 1e-12);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_are_missing_are_imputed_with_a_warning() {
    let project = TestProject::new();
    trained(&project).await;
    let rows = df!["tenure" => [3], "contract" => ["One year"]].unwrap();
    let error = project
        .run_on::<Model>(rows.clone(), json!({"model": "models/churn.onnx"}))
        .await
        .unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.hint.as_deref()),
        (
            "the rows lack `TotalCharges`, `Contract`, which the model `models/churn.onnx` reads",
            Some(
                "the rows have: `tenure`, `contract`; `missing_columns: impute` scores them as if nothing were known of it"
            )
        )
    );
    let settings = json!({"model": "models/churn.onnx", "missing_columns": "impute"});
    let output = project.run_on::<Model>(rows, settings).await.unwrap();
    assert_eq!(
        output.warnings,
        ["the rows lack `TotalCharges`, `Contract`, which the model reads: imputed as in training"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_training_never_saw_are_told() {
    let project = TestProject::new();
    trained(&project).await;
    let mut rows = customers(50);
    let new = [Some("Two weeks"), None, Some("Two weeks"), Some("Day")];
    let contract = rows.column("Contract").unwrap().str().unwrap().clone();
    let contract = contract.iter().enumerate();
    let contract: StringChunked = contract
        .map(|(row, known)| new.get(row).copied().unwrap_or(known))
        .collect();
    rows.with_column(contract.with_name("Contract".into()).into_column())
        .unwrap();
    let output = project
        .run_on::<Model>(rows, json!({"model": "models/churn.onnx"}))
        .await
        .unwrap();
    assert_eq!(
        output.warnings,
        ["3 rows have a `Contract` that training never saw: `Day`, `Two weeks`"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_ignores_case_knows_the_other_spelling() {
    let project = TestProject::new();
    let kinds = ["car", "bus", "car", "van"].repeat(50);
    let made = |spelled: fn(&str) -> String| {
        let kinds: Vec<String> = kinds.iter().copied().map(spelled).collect();
        let far: Vec<bool> = kinds
            .iter()
            .map(|kind| kind.to_lowercase() == "car")
            .collect();
        df!["kind" => kinds, "far" => far].unwrap()
    };
    let loud = || made(str::to_uppercase);
    for (ignore_case, warned) in [(true, 0), (false, 1)] {
        let settings = json!({
            "target": "far",
            "ignore_case": ignore_case,
            "candidates": {"gaussian_naive_bayes": {}},
            "path": "models/far.onnx",
        });
        project
            .run_on::<Classifier>(made(str::to_owned), settings)
            .await
            .unwrap();
        let output = project
            .run_on::<Model>(loud(), json!({"model": "models/far.onnx"}))
            .await
            .unwrap();
        assert_eq!(output.warnings.len(), warned, "{:?}", output.warnings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_used_says_why() {
    let project = TestProject::new();
    project.write("a.onnx", [0x80, 4, 0x95]);
    let rows = df!["tenure" => [3]].unwrap();
    let context = project.context_with([("rows", rows)]);
    let cases = [
        ("none", "no model `none` is registered"),
        ("none:3", "no model `none:3` is registered"),
        (
            "a.onnx",
            "the model `a.onnx`: not a usable model: this is a Python pickle",
        ),
    ];
    for (model, message) in cases {
        let error = run_in::<Model>(&context, json!({"model": model}))
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::User);
        assert!(error.message.starts_with(message), "{}", error.message);
    }
}

fn texts(frame: &DataFrame, column: &str) -> Vec<String> {
    let column = frame.column(column).unwrap().str().unwrap().clone();
    column.iter().map(|text| text.unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_get_reasons_likely_classes_and_the_uncertain_ones_stand_apart() {
    let project = TestProject::new();
    trained(&project).await;
    let settings = json!({
        "model": "models/churn.onnx", "keep": ["customerID"], "reasons": 2, "top_k": 2, "least_certain": 5,
    });
    let output = project
        .run_on::<Model>(customers(60), settings)
        .await
        .unwrap();
    let scored = frame(&output);
    assert_eq!(
        scored.get_column_names(),
        [
            "customerID",
            "prediction",
            "probability",
            "top_1",
            "top_1_probability",
            "top_2",
            "top_2_probability",
            "reasons"
        ]
    );
    let probability = scored.column("probability").unwrap().f64().unwrap().clone();
    let distance: Vec<f64> = probability
        .iter()
        .map(|share| (share.unwrap() - 0.5).abs())
        .collect();
    for reasons in texts(&scored, "reasons") {
        let reasons: Vec<Value> = serde_json::from_str(&reasons).unwrap();
        assert!(!reasons.is_empty() && reasons.len() <= 2, "{reasons:?}");
        let effect = |place: usize| reasons[place]["effect"].as_f64().unwrap().abs();
        assert!(reasons.len() < 2 || effect(0) >= effect(1));
        let column = reasons[0]["column"].as_str().unwrap();
        assert!(["tenure", "TotalCharges", "Contract"].contains(&column));
    }
    let (name, uncertain) = &output.datasets[1];
    let uncertain = uncertain.collect().unwrap();
    assert_eq!((name.as_str(), uncertain.height()), ("uncertain", 5));
    let certainty: Vec<f64> = uncertain
        .column("certainty")
        .unwrap()
        .f64()
        .unwrap()
        .into_no_null_iter()
        .collect();
    let mut wanted = distance;
    wanted.sort_by(f64::total_cmp);
    assert_eq!(certainty, wanted[..5]);
}

/// What scikit-learn has learned: a text and two numbers in, two classes out; see `models/tests/fixtures/foreign`.
fn foreign(project: &TestProject, name: &str) -> DataFrame {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures/foreign");
    let file = format!("{name}.onnx");
    project.write(&file, std::fs::read(fixtures.join(&file)).unwrap());
    let expected = std::fs::read_to_string(fixtures.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let columns = expected[name]["columns"].as_object().unwrap().iter();
    let columns = columns.map(|(name, values)| {
        let values = values.as_array().unwrap();
        let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
        let numbers = || -> Vec<f64> { values.iter().filter_map(Value::as_f64).collect() };
        let series = texts.map_or_else(
            || Series::new(name.into(), numbers()),
            |texts| Series::new(name.into(), texts),
        );
        series.into_column()
    });
    DataFrame::new(24, columns.collect()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_model_scores_in_parts_what_it_scores_at_once() {
    let project = TestProject::new();
    let rows = foreign(&project, "mixed");
    let settings =
        json!({"model": "mixed.onnx", "reasons": 1, "least_certain": 3, "keep": ["city"]});
    let whole = project
        .run_on::<Model>(rows.clone(), settings.clone())
        .await
        .unwrap();
    let mut context = project.context();
    // Of a plan it is not known how large it is.
    let plan = Dataset::from_lazy(rows.lazy()).unwrap();
    context.inputs = Inputs::new([("rows".to_owned(), plan)]);
    let parts = run_in::<Model>(&context, settings).await.unwrap();
    assert!(parts.datasets[0].1.in_memory().is_none());
    for place in 0..2 {
        let of = |output: &Output| output.datasets[place].1.collect().unwrap();
        assert!(of(&whole).equals(&of(&parts)), "{}", of(&parts));
    }
    assert_eq!(whole.metrics, parts.metrics);
    assert_eq!(frame(&whole).height(), 24);
    assert!(whole.warnings.is_empty() && parts.warnings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rows_are_scored_too() {
    let project = TestProject::new();
    trained(&project).await;
    let mut context = project.context();
    let plan = Dataset::from_lazy(customers(9).head(Some(0)).lazy()).unwrap();
    context.inputs = Inputs::new([("rows".to_owned(), plan)]);
    let settings = json!({"model": "models/churn.onnx", "reasons": 2, "least_certain": 2});
    let output = run_in::<Model>(&context, settings).await.unwrap();
    let rows = output
        .datasets
        .iter()
        .map(|(_, rows)| rows.collect().unwrap().height());
    assert_eq!(rows.collect::<Vec<_>>(), [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misuse_says_what_to_do() {
    let project = TestProject::new();
    trained(&project).await;
    let tree = foreign(&project, "tree");
    let _ = foreign(&project, "network");
    let _ = foreign(&project, "extra_trees");
    let all = json!(["x0", "x1", "x2", "x3", "x4"]);
    let cases = [
        (
            json!({"model": "models/churn.onnx", "keep": ["customerId"]}),
            "`keep` names `customerId`, which is no column",
        ),
        (
            json!({"model": "models/churn.onnx", "top_k": 3}),
            "`top_k`: the model `models/churn.onnx` has only 2 classes",
        ),
        (
            json!({"model": "models/churn.onnx", "columns": ["tenure"]}),
            "the model `models/churn.onnx`: the model knows the names of its columns: leave `columns` out",
        ),
        (
            json!({"model": "tree.onnx"}),
            "the model `tree.onnx`: the model reads columns without names (`X` of 5), and `columns` names 0",
        ),
        (
            json!({"model": "tree.onnx", "columns": ["x0", "x1", "x2", "x3", "age"]}),
            "the rows have no column `age`, which the model reads",
        ),
        (
            json!({"model": "network.onnx", "columns": &all, "reasons": 1}),
            "the model `network.onnx`: there are reasons for trees, forests, boosting and linear models",
        ),
        (
            json!({"model": "extra_trees.onnx", "columns": &all, "top_k": 1}),
            "`top_k`: the model `extra_trees.onnx` tells no classes",
        ),
        (
            json!({"model": "extra_trees.onnx", "columns": &all, "least_certain": 1}),
            "`least_certain`: the model `extra_trees.onnx` tells neither classes nor anomalies",
        ),
    ];
    let customers = customers(9);
    for (settings, message) in cases {
        let own = settings["model"] == "models/churn.onnx";
        let rows = if own { customers.clone() } else { tree.clone() };
        let error = project.run_on::<Model>(rows, settings).await.unwrap_err();
        assert_eq!(error.fault, Fault::User, "{}", error.message);
        assert!(error.message.starts_with(message), "{}", error.message);
    }
    let taken = customers
        .lazy()
        .with_column(lit("because").alias("reasons"))
        .collect()
        .unwrap();
    let settings = json!({"model": "models/churn.onnx", "reasons": 1});
    let error = project.run_on::<Model>(taken, settings).await.unwrap_err();
    assert_eq!(
        error.message,
        "the input already has a column `reasons`: rename it before, or leave it out by `keep`"
    );
}

#[test]
fn settings_are_checked_before_anything_runs() {
    for (key, value, message) in [
        ("threshold", json!(1.5), "threshold"),
        ("reasons", json!(0), "reasons"),
        ("top_k", json!(0), "top_k"),
        ("least_certain", json!(0), "least_certain"),
    ] {
        let found = complaints::<Model>(json!({"model": "churn", key: value}));
        assert!(
            found.iter().any(|complaint| complaint.contains(message)),
            "{found:?}"
        );
    }
}
