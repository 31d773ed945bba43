//! A trained model gives Python's onnxruntime and the built-in scorer the same answers.

#![allow(
    clippy::unwrap_used,
    clippy::unreadable_literal,
    clippy::excessive_precision,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "data of tests is made by arithmetic and compared to the last digit"
)]

use std::process::Command;

use indexmap::IndexMap;
use pipectl_models::data::Goal;
use pipectl_models::metrics::Metric;
use pipectl_models::prepare::Pca;
use pipectl_models::scorer::{Answer, Cell, Model};
use pipectl_models::train::{
    Hooks, Method, Resample, Settings, Threshold, Trained, Validation, train,
};
use polars::prelude::{DataFrame, DataType, IntoColumn, NamedFrom, Series, TimeUnit};
use serde_json::{Value, json};

const ROWS: usize = 700;

/// Customers with missing values, umlauts, dates and a class that depends on several columns.
fn customers(classes: u32) -> DataFrame {
    let number = |row: usize, factor: usize, modulus: usize| (row * factor % modulus) as f64;
    let rows = 0..ROWS;
    let tenure: Vec<Option<i64>> = rows
        .clone()
        .map(|row| (row % 29 != 0).then_some((row * 37 % 72) as i64))
        .collect();
    let charges: Vec<Option<f64>> = rows
        .clone()
        .map(|row| (row % 17 != 3).then_some(number(row, 7919, 1009) / 10.0 + 0.1))
        .collect();
    let contract: Vec<Option<&str>> = rows
        .clone()
        .map(|row| {
            [
                Some("Month"),
                Some("One year"),
                Some("zwei Jahre für"),
                None,
                Some(""),
            ][row * 13 % 5]
        })
        .collect();
    let senior: Vec<Option<bool>> = rows
        .clone()
        .map(|row| [Some(true), Some(false), None][row * 11 % 3])
        .collect();
    let since: Vec<Option<i64>> = rows
        .clone()
        .map(|row| (row % 23 != 5).then_some(1_500_000_000_000_000 + row as i64 * 86_400_000_000))
        .collect();
    let bill: Vec<f64> = rows
        .clone()
        .map(|row| {
            let dear = f64::from(u8::from(contract[row] == Some("Month"))) * 300.0;
            charges[row].unwrap_or(50.0) * 12.0 + dear + 5000.0 + number(row, 104_729, 97)
        })
        .collect();
    let target: Vec<String> = rows
        .map(|row| {
            let score = f64::from(u8::from(contract[row] == Some("Month"))) * 2.0
                + charges[row].unwrap_or(50.0) / 50.0
                - tenure[row].unwrap_or(30) as f64 / 36.0
                + number(row, 104_729, 997) / 997.0;
            let class = if classes == 2 {
                u32::from(score > 1.5)
            } else {
                (score.max(0.0) as u32).min(classes - 1)
            };
            format!("class {class}")
        })
        .collect();
    let since = Series::new("since".into(), since)
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        .unwrap();
    let columns = vec![
        Series::new("tenure".into(), tenure).into_column(),
        Series::new("charges".into(), charges).into_column(),
        Series::new("contract".into(), contract).into_column(),
        Series::new("senior".into(), senior).into_column(),
        since.into_column(),
        Series::new("target".into(), target).into_column(),
        Series::new("bill".into(), bill).into_column(),
    ];
    DataFrame::new(ROWS, columns).unwrap()
}

fn settings(goal: Goal, candidate: &str, parameters: Value) -> Settings {
    let target = match goal {
        Goal::Classes => "target",
        Goal::Quantity => "bill",
        Goal::Clusters | Goal::Anomalies => "",
    };
    let others = ["target", "bill"]
        .into_iter()
        .filter(|name| *name != target);
    Settings {
        exclude: others.map(str::to_owned).collect(),
        features: IndexMap::from([
            ("ratio".to_owned(), "charges / nullif(tenure, 0)".to_owned()),
            (
                "short".to_owned(),
                "lower(contract) in ('month', 'one year') and tenure < 12".to_owned(),
            ),
            (
                "kind".to_owned(),
                "case when charges > 50 then upper(contract) else 'low' end".to_owned(),
            ),
        ]),
        candidates: IndexMap::from([(
            candidate.to_owned(),
            serde_json::from_value(parameters).unwrap(),
        )]),
        validation: Validation {
            folds: 3,
            ..Validation::default()
        },
        metric: (goal == Goal::Classes).then_some(Metric::F1),
        threshold: Threshold::Fixed(0.4),
        seed: 7,
        ..Settings::new(goal, target)
    }
}

/// Every estimator, with what its held-out accuracy or R² must reach.
fn candidates() -> Vec<(Goal, &'static str, Value, f64)> {
    use Goal::{Anomalies, Classes, Clusters, Quantity};
    vec![
        (
            Classes,
            "logistic_regression",
            json!({"max_iter": 300}),
            0.6,
        ),
        (
            Classes,
            "logistic_regression",
            json!({"penalty": "l1", "C": 0.5}),
            0.6,
        ),
        (Classes, "linear_svm", json!({}), 0.6),
        (Classes, "random_forest", json!({"n_estimators": 60}), 0.6),
        (Classes, "extra_trees", json!({"n_estimators": 60}), 0.6),
        (Classes, "decision_tree", json!({"max_depth": 6}), 0.6),
        (Classes, "gradient_boosting", json!({"max_iter": 40}), 0.6),
        (
            Classes,
            "gradient_boosting",
            json!({"max_iter": 40, "categorical_features": "from_dtype"}),
            0.6,
        ),
        (Classes, "gaussian_naive_bayes", json!({}), 0.6),
        (
            Classes,
            "k_nearest_neighbors",
            json!({"n_neighbors": 7}),
            0.6,
        ),
        (Quantity, "linear_regression", json!({}), 0.6),
        (Quantity, "ridge", json!({"alpha": 2.0}), 0.6),
        (Quantity, "lasso", json!({"alpha": 0.1}), 0.6),
        (Quantity, "elastic_net", json!({"alpha": 0.1}), 0.6),
        (
            Quantity,
            "k_nearest_neighbors",
            json!({"weights": "distance"}),
            0.6,
        ),
        (Quantity, "decision_tree", json!({"max_depth": 8}), 0.6),
        (Quantity, "random_forest", json!({"n_estimators": 40}), 0.6),
        (Quantity, "extra_trees", json!({"n_estimators": 40}), 0.6),
        (Quantity, "gradient_boosting", json!({"max_iter": 60}), 0.6),
        (
            Quantity,
            "gradient_boosting",
            json!({"max_iter": 60, "categorical_features": [["contract", "kind"]], "monotonic_cst": {"charges": 1}}),
            0.6,
        ),
        (Clusters, "k_means", json!({"n_clusters": 4}), -1.0),
        (
            Anomalies,
            "isolation_forest",
            json!({"contamination": 0.05}),
            -1.0,
        ),
    ]
}

/// The raw columns as onnxruntime takes them.
fn inputs(frame: &DataFrame) -> Value {
    let numbers = |name: &str| -> Vec<Option<f64>> {
        let series = frame
            .column(name)
            .unwrap()
            .cast(&DataType::Float64)
            .unwrap();
        series.f64().unwrap().iter().collect()
    };
    let texts: Vec<&str> = frame
        .column("contract")
        .unwrap()
        .str()
        .unwrap()
        .iter()
        .map(|text| text.unwrap_or(""))
        .collect();
    let since = frame
        .column("since")
        .unwrap()
        .cast(&DataType::Int64)
        .unwrap();
    let dates: Vec<i64> = since
        .i64()
        .unwrap()
        .iter()
        .map(|date| date.unwrap_or(i64::MIN))
        .collect();
    json!({
        "tenure": numbers("tenure"),
        "charges": numbers("charges"),
        "senior": numbers("senior"),
        "contract": texts,
        "since": dates,
    })
}

fn onnxruntime(trained: &Trained, frame: &DataFrame) -> (Vec<String>, Vec<f64>) {
    let directory = tempfile::tempdir().unwrap();
    let (model, rows) = (
        directory.path().join("model.onnx"),
        directory.path().join("rows.json"),
    );
    std::fs::write(&model, file(trained)).unwrap();
    std::fs::write(&rows, inputs(frame).to_string()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/score.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(&model)
        .arg(&rows)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !errors.contains("ModuleNotFoundError"),
        "this test compares with Python's onnxruntime: pip install onnxruntime numpy"
    );
    assert!(output.status.success(), "{errors}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    (
        serde_json::from_value(answer["label"].clone()).unwrap(),
        serde_json::from_value(answer["values"].clone()).unwrap(),
    )
}

fn file(trained: &Trained) -> &[u8] {
    trained.bytes.as_deref().unwrap()
}

/// The numbers behind answers, and what they mean as Python shows it.
fn told(answer: &Answer) -> (Vec<f64>, Vec<String>) {
    match answer {
        Answer::Classes(prediction) => {
            let names = prediction.classes.names();
            let labels = prediction
                .codes
                .iter()
                .map(|code| names[*code as usize].clone());
            (prediction.probabilities.clone(), labels.collect())
        }
        Answer::Quantity(values) => (values.clone(), Vec::new()),
        Answer::Clusters {
            codes, distances, ..
        } => (
            distances.clone(),
            codes.iter().map(ToString::to_string).collect(),
        ),
        Answer::Anomalies { scores, threshold } => {
            let odd = |score: &f64| if score >= threshold { "True" } else { "False" };
            (
                scores.clone(),
                scores.iter().map(|score| odd(score).to_owned()).collect(),
            )
        }
    }
}

fn compare(classes: u32, settings: &Settings, least: f64) {
    let frame = customers(classes);
    let name = settings.candidates.keys().next().unwrap();
    let trained = train(&frame, settings, &Hooks::silent()).unwrap();
    let (labels, mut values) = onnxruntime(&trained, &frame);
    let model = Model::load(file(&trained)).unwrap();
    let (own, own_labels) = told(&model.predict(&frame, None).unwrap());
    if settings.goal == Goal::Clusters {
        // Of the distances to all centres the answer keeps the nearest.
        let width = values.len() / ROWS;
        values = values
            .chunks(width)
            .map(|row| row.iter().copied().fold(f64::INFINITY, f64::min))
            .collect();
    }
    assert_eq!(own.len(), values.len(), "{name}");
    let unit = own
        .iter()
        .fold(1.0, |unit: f64, value| unit.max(value.abs()));
    let differences = own
        .iter()
        .zip(&values)
        .map(|(own, other)| (own - other).abs());
    let largest = differences.fold(0.0, f64::max) / unit;
    assert!(
        largest < 1e-6,
        "{name} of {classes} classes differs by {largest:e}"
    );
    assert_eq!(own_labels, labels, "{name} of {classes} classes");
    // The distance of a row to itself is rounding, and neighbours count by its inverse.
    let most = if name == "k_nearest_neighbors" {
        1e-6
    } else {
        1e-9
    };
    assert!(trained.metadata.max_difference < most, "{name}");
    let first = trained
        .metadata
        .metrics
        .iter()
        .find(|entry| matches!(entry.metric, Metric::Accuracy | Metric::R2));
    if let Some(value) = first.and_then(|entry| entry.value) {
        assert!(value > least, "{name} of {classes}: {value}");
    }
}

#[test]
fn onnxruntime_gives_the_same_answers() {
    for (goal, candidate, parameters, least) in candidates() {
        compare(2, &settings(goal, candidate, parameters.clone()), least);
        if goal == Goal::Classes {
            compare(3, &settings(goal, candidate, parameters), least);
        }
    }
}

#[test]
fn spelled_out_preparation_is_the_same_in_the_file() {
    let recipes = json!({
        "tenure": {"impute": "mean", "scale": "minmax"},
        "ratio": {"scale": "minmax"},
        "charges": {"impute": "constant", "fill_value": 50, "scale": "none"},
        "since": {"parts": ["year", "month", "day", "weekday", "hour"]},
        "senior": {"impute": "constant", "fill_value": true},
        "contract": {"encode": "ordinal", "order": ["Month", "One year", "zwei Jahre für"]},
        "kind": {"encode": "target", "min_frequency": 20},
    });
    for (goal, candidate) in [
        (Goal::Classes, "logistic_regression"),
        (Goal::Classes, "random_forest"),
        (Goal::Classes, "gradient_boosting"),
        (Goal::Quantity, "ridge"),
        (Goal::Quantity, "k_nearest_neighbors"),
    ] {
        let mut settings = settings(goal, candidate, json!({}));
        settings.preprocess = serde_json::from_value(recipes.clone()).unwrap();
        compare(2, &settings, 0.6);
        if goal == Goal::Classes {
            compare(3, &settings, 0.6);
        }
    }
}

#[test]
fn words_of_a_text_are_the_same_in_the_file() {
    let recipes = json!({
        "contract": {"encode": "tfidf", "ngram_range": [1, 3], "sublinear_tf": true},
        "kind": {"encode": "tfidf", "min_df": 0.01, "max_features": 4},
        "senior": {"impute": "constant", "fill_value": true},
    });
    for (goal, candidate) in [
        (Goal::Classes, "logistic_regression"),
        (Goal::Classes, "gradient_boosting"),
        (Goal::Quantity, "ridge"),
    ] {
        let mut settings = settings(goal, candidate, json!({}));
        settings.preprocess = serde_json::from_value(recipes.clone()).unwrap();
        compare(2, &settings, 0.6);
    }
}

#[test]
fn small_and_capital_letters_are_the_same_in_the_file() {
    for (goal, candidate) in [
        (Goal::Classes, "logistic_regression"),
        (Goal::Classes, "gradient_boosting"),
        (Goal::Quantity, "ridge"),
    ] {
        let mut settings = settings(goal, candidate, json!({}));
        settings.ignore_case = true;
        compare(2, &settings, 0.6);
    }
}

#[test]
fn principal_components_are_the_same_in_the_file() {
    for (goal, candidate, components, whiten) in [
        (Goal::Classes, "logistic_regression", Some(0.95), false),
        (Goal::Classes, "random_forest", Some(5.0), true),
        (Goal::Classes, "gradient_boosting", None, false),
        (Goal::Quantity, "ridge", Some(0.9), true),
        (Goal::Clusters, "k_means", Some(2.0), false),
    ] {
        let mut settings = settings(goal, candidate, json!({}));
        settings.pca = Some(Pca {
            n_components: components,
            whiten,
        });
        compare(2, &settings, 0.5);
    }
}

#[test]
fn calibrated_and_resampled_models_are_the_same_in_the_file() {
    for method in [Method::Sigmoid, Method::Isotonic] {
        let settings = Settings {
            calibration: Some(method),
            resample: Some(Resample::Under),
            threshold: Threshold::Cheapest {
                false_negative: 5.0,
                false_positive: 1.0,
            },
            ..settings(Goal::Classes, "random_forest", json!({"n_estimators": 30}))
        };
        compare(2, &settings, 0.5);
    }
}

#[test]
fn equal_input_gives_equal_bytes_on_any_number_of_threads() {
    let frame = customers(2);
    for (goal, candidate, parameters, _) in candidates() {
        let bytes = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let settings = settings(goal, candidate, parameters.clone());
            pool.install(|| train(&frame, &settings, &Hooks::silent()).unwrap().bytes)
        };
        assert!(bytes(1) == bytes(3), "{candidate}");
    }
}

#[test]
fn a_row_is_scored_as_in_a_batch_and_left_out_columns_are_imputed() {
    let frame = customers(2);
    let trained = train(
        &frame,
        &settings(Goal::Classes, "random_forest", json!({"n_estimators": 20})),
        &Hooks::silent(),
    )
    .unwrap();
    let model = Model::load(file(&trained)).unwrap();
    let row = [
        ("charges", Cell::Number(77.5)),
        ("contract", Cell::Text("Month".into())),
    ];
    let score = model.predict_row(row, None).unwrap();
    let batch = DataFrame::new(
        1,
        vec![
            Series::new("charges".into(), [77.5]).into_column(),
            Series::new("contract".into(), ["Month"]).into_column(),
        ],
    )
    .unwrap();
    let prediction = model.predict(&batch, None).unwrap();
    assert_eq!(score.values, told(&prediction).0);
    assert_eq!(model.missing_columns(&batch), ["tenure", "senior", "since"]);
    let error = model
        .predict_row([("chargse", Cell::Null)], None)
        .unwrap_err();
    assert_eq!(error.to_string(), "the model has no column `chargse`");
}

#[test]
fn predictions_of_held_out_rows_stand_beside_the_training_rows() {
    let frame = customers(3);
    let trained = train(
        &frame,
        &settings(Goal::Classes, "gaussian_naive_bayes", json!({})),
        &Hooks::silent(),
    )
    .unwrap();
    let names: Vec<String> = trained
        .scored
        .columns()
        .iter()
        .map(|column| column.name().to_string())
        .collect();
    assert_eq!(
        names[7..],
        [
            "prediction",
            "probability_class 0",
            "probability_class 1",
            "probability_class 2"
        ]
    );
    assert_eq!(trained.scored.height(), ROWS);
    assert_eq!(trained.metadata.trials[0].estimator, "dummy");
}

#[test]
fn damaged_and_foreign_files_are_refused_without_a_panic() {
    let frame = customers(2);
    let trained = train(
        &frame,
        &settings(Goal::Classes, "gradient_boosting", json!({"max_iter": 3})),
        &Hooks::silent(),
    )
    .unwrap();
    let bytes = file(&trained);
    for length in (0..bytes.len()).step_by(97) {
        assert!(Model::load(&bytes[..length]).is_err(), "cut at {length}");
    }
    // A flipped bit may hit a number and stay unseen; what is loaded must answer or refuse, never panic.
    for place in (0..bytes.len()).step_by(31) {
        let mut damaged = bytes.to_vec();
        damaged[place] ^= 1 << (place % 8);
        if let Ok(model) = Model::load(&damaged) {
            drop(model.predict(&frame.head(Some(20)), None));
        }
    }
    let pickle = [0x80, 4, 0x95, 0, 0, 0];
    let message = Model::load(&pickle).unwrap_err().to_string();
    assert!(
        message.contains("Python pickle") && message.contains("skl2onnx"),
        "{message}"
    );
    for other in [&b"PK\x03\x04"[..], b"hello world", b"{}", &[0; 64]] {
        assert!(Model::load(other).is_err());
    }
}
