//! Data that is not as it should be: what is told, and what is learned in spite of it.

use std::path::Path;

use indexmap::IndexMap;
use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series, df};
use serde_json::{Value, json};

use crate::data::Goal;
use crate::explain::Explainer;
use crate::random::Random;
use crate::rooms::Rooms;
use crate::scorer::{Answer, Model};
use crate::train::{Hooks, Settings, Trained, Validation, train};

/// A number that tells the class, and a text that does not.
fn rows(count: usize) -> DataFrame {
    let mut random = Random::new(2, 0);
    let x: Vec<f64> = (0..count).map(|_| random.share()).collect();
    let city: Vec<&str> = (0..count)
        .map(|_| ["Bern", "Genève"][random.below(2)])
        .collect();
    let class: Vec<&str> = x
        .iter()
        .map(|x| {
            if x + random.share() / 2.0 > 0.75 {
                "ja"
            } else {
                "nein"
            }
        })
        .collect();
    df!("x" => x, "city" => city, "class" => class).unwrap()
}

fn with(mut frame: DataFrame, column: Series) -> DataFrame {
    frame.with_column(column.into_column()).unwrap();
    frame
}

fn settings(candidate: &str, parameters: Value) -> Settings {
    Settings {
        candidates: IndexMap::from([(
            candidate.to_owned(),
            serde_json::from_value(parameters).unwrap(),
        )]),
        validation: Validation {
            folds: 3,
            ..Validation::default()
        },
        ..Settings::new(Goal::Classes, "class")
    }
}

fn learned(frame: &DataFrame) -> Trained {
    let settings = settings("decision_tree", json!({"max_depth": 3}));
    train(frame, &settings, &Hooks::silent()).unwrap()
}

/// What was warned of, but which class is the positive one.
fn warnings(trained: &Trained) -> Vec<String> {
    let mut warnings = trained.metadata.warnings.clone();
    warnings.retain(|warning| !warning.contains("positive class"));
    warnings
}

fn refused(frame: &DataFrame, settings: &Settings) -> String {
    train(frame, settings, &Hooks::silent())
        .unwrap_err()
        .to_string()
}

fn logistic() -> Settings {
    settings("logistic_regression", json!({}))
}

#[test]
fn a_target_with_one_class() {
    let frame = with(rows(60), Series::new("class".into(), vec!["ja"; 60]));
    assert_eq!(
        refused(&frame, &logistic()),
        "the target `class` is always `ja`: a classifier needs at least two classes"
    );
}

#[test]
fn ten_rows() {
    let three = df!("x" => [1.0, 2.0, 3.0], "class" => ["ja", "nein", "nein"]).unwrap();
    assert_eq!(
        refused(&three, &logistic()),
        "class `ja` of `class` has 1 row, fewer than the 3 folds: take fewer folds or more data"
    );
    let cased =
        df!("x" => [1.0, 2.0, 3.0, 4.0, 5.0], "class" => ["ja", "nein", "nein", "JA", "ja"]);
    assert_eq!(
        refused(&cased.unwrap(), &logistic()),
        "class `JA` of `class` has 1 row, fewer than the 3 folds: it differs from `ja` by case alone; `lower(class)` in a query before makes them one"
    );
    let trained = learned(&rows(10));
    assert_eq!(trained.metadata.rows, 10);
}

#[test]
fn a_column_without_any_value_and_one_with_only_one() {
    let frame = with(rows(60), Series::new("empty".into(), vec![None::<f64>; 60]));
    let frame = with(frame, Series::new("same".into(), vec![7.0; 60]));
    for candidate in [
        "logistic_regression",
        "gaussian_naive_bayes",
        "gradient_boosting",
        "k_nearest_neighbors",
    ] {
        let trained = train(&frame, &settings(candidate, json!({})), &Hooks::silent()).unwrap();
        assert_eq!(
            warnings(&trained),
            ["column `empty` has no value and is left out"],
            "{candidate}"
        );
        let columns: Vec<&str> = trained
            .metadata
            .columns
            .iter()
            .map(|one| &*one.name)
            .collect();
        assert_eq!(columns, ["x", "city", "same"], "{candidate}");
    }
}

#[test]
fn infinite_values_are_missing_ones() {
    let mut random = Random::new(3, 0);
    let values: Vec<f64> = (0..90)
        .map(|row| [f64::INFINITY, f64::NEG_INFINITY, random.share()][row % 3])
        .collect();
    let frame = with(rows(90), Series::new("wild".into(), values));
    for candidate in ["logistic_regression", "gradient_boosting"] {
        let trained = train(&frame, &settings(candidate, json!({})), &Hooks::silent()).unwrap();
        let model = Model::load(trained.bytes.as_ref().unwrap()).unwrap();
        let Answer::Classes(prediction) = model.predict(&frame, None).unwrap() else {
            panic!("classes")
        };
        assert!(
            prediction
                .probabilities
                .iter()
                .all(|share| share.is_finite()),
            "{candidate}"
        );
    }
}

#[test]
fn a_category_that_was_never_seen() {
    let frame = rows(60);
    let bytes = learned(&frame).bytes.unwrap();
    let model = Model::load(&bytes).unwrap();
    let new = with(frame, Series::new("city".into(), vec!["Zürich"; 60]));
    assert_eq!(model.predict(&new, None).unwrap().rows(), 60);
}

#[test]
fn a_hundred_thousand_levels() {
    let count = 400_000;
    let many: Vec<String> = (0..count)
        .map(|row| format!("c{}", row % 100_000))
        .collect();
    let frame = with(rows(count), Series::new("shop".into(), many));
    assert_eq!(
        warnings(&learned(&frame)),
        [
            "column `shop` has 100000 different texts: the 100 most frequent are features, the others count as not seen"
        ]
    );
    let most: Vec<String> = (0..count).map(|row| format!("c{row}")).collect();
    let frame = with(frame, Series::new("shop".into(), most));
    let message = refused(&frame, &logistic());
    assert!(
        message.starts_with("column `shop` has ")
            && message.ends_with(
                "add it to `exclude`, or make words of it (`preprocess`, `encode: tfidf`)"
            ),
        "{message}"
    );
}

#[test]
fn five_thousand_columns() {
    let mut random = Random::new(4, 0);
    let mut columns = rows(60).columns().to_vec();
    columns.extend((0..5_000).map(|place| {
        let values: Vec<f64> = (0..60).map(|_| random.share()).collect();
        Series::new(format!("n{place}").into(), values).into_column()
    }));
    let frame = DataFrame::new(60, columns).unwrap();
    let trained = learned(&frame);
    assert_eq!(trained.metadata.columns.len(), 5_002);
    let model = Model::load(trained.bytes.as_ref().unwrap()).unwrap();
    assert_eq!(model.predict(&frame, None).unwrap().rows(), 60);
}

#[test]
fn a_feature_with_the_name_of_a_column() {
    let settings = Settings {
        features: IndexMap::from([("x".to_owned(), "x * 2".to_owned())]),
        ..logistic()
    };
    assert_eq!(
        refused(&rows(60), &settings),
        "the feature `x` has the name of a column: choose another"
    );
}

#[test]
fn a_column_that_tells_the_target() {
    let frame = rows(120);
    let told = frame
        .column("class")
        .unwrap()
        .as_materialized_series()
        .clone();
    let frame = with(frame, told.with_name("answer".into()));
    assert_eq!(
        warnings(&learned(&frame)),
        [
            "the target of held-out rows is predicted almost without error: does the column `answer` tell it? `exclude` \
             leaves a column out"
        ]
    );
}

#[test]
fn a_positive_class_that_nobody_has_named() {
    let warned = |labels: [&str; 2], positive: Option<&str>| {
        let frame = rows(200);
        let class = frame.column("class").unwrap().str().unwrap();
        let class: Vec<&str> = class
            .iter()
            .map(|label| labels[usize::from(label == Some("ja"))])
            .collect();
        let frame = with(frame, Series::new("class".into(), class));
        let settings = Settings {
            positive: positive.map(str::to_owned),
            ..settings("decision_tree", json!({"max_depth": 3}))
        };
        let trained = train(&frame, &settings, &Hooks::silent()).unwrap();
        let warnings = trained.metadata.warnings.into_iter();
        warnings
            .filter(|warning| warning.contains("positive class"))
            .count()
    };
    assert_eq!(warned(["ja", "nein"], None), 1);
    assert_eq!(warned(["ja", "nein"], Some("ja")), 0);
    assert_eq!(warned(["No", "Yes"], None), 0);
}

#[test]
fn a_positive_class_among_three() {
    let frame = rows(200);
    let labels: Vec<&str> = (0..200).map(|row| ["a", "b", "c"][row % 3]).collect();
    let frame = with(frame, Series::new("class".into(), labels));
    let settings = Settings {
        positive: Some("a".to_owned()),
        ..settings("decision_tree", json!({"max_depth": 3}))
    };
    let trained = train(&frame, &settings, &Hooks::silent()).unwrap();
    let idle = "`positive: a` changes nothing: `class` has 3 classes, and only of two one is the positive class; a query before may make two of them";
    let warnings = trained.metadata.warnings;
    assert!(
        warnings.iter().any(|warning| warning == idle),
        "{warnings:?}"
    );
}

#[test]
fn labels_that_differ_by_case_alone() {
    let frame = rows(200);
    let class = frame.column("class").unwrap().str().unwrap();
    let labels = class.iter().enumerate();
    let labels: Vec<String> = labels
        .map(|(row, label)| match label {
            Some("ja") if row % 3 == 0 => "Ja".to_owned(),
            label => label.unwrap_or_default().to_owned(),
        })
        .collect();
    let frame = with(frame, Series::new("class".into(), labels));
    let settings = settings("decision_tree", json!({"max_depth": 3}));
    let trained = train(&frame, &settings, &Hooks::silent()).unwrap();
    let told =
        "labels of `class` differ by case alone and are learned as different ones: `Ja`, `ja`";
    let warnings = trained.metadata.warnings;
    assert!(
        warnings.iter().any(|warning| warning.starts_with(told)),
        "{warnings:?}"
    );
}

#[test]
fn labels_that_are_one_and_two_or_have_umlauts() {
    let frame = rows(60);
    let yes: Vec<bool> = frame
        .column("class")
        .unwrap()
        .str()
        .unwrap()
        .iter()
        .map(|class| class == Some("ja"))
        .collect();
    let numbers: Vec<i64> = yes.iter().map(|yes| 1 + i64::from(*yes)).collect();
    let texts: Vec<&str> = yes
        .iter()
        .map(|yes| if *yes { "übel" } else { "böse 🙂" })
        .collect();
    for (labels, names) in [
        (Series::new("class".into(), numbers), ["1", "2"]),
        (Series::new("class".into(), texts), ["böse 🙂", "übel"]),
    ] {
        let trained = learned(&with(frame.clone(), labels.clone()));
        assert_eq!(trained.metadata.classes.names(), names);
        let prediction = trained.scored.column("prediction").unwrap();
        assert_eq!(prediction.dtype(), labels.dtype());
        let model = Model::load(trained.bytes.as_ref().unwrap()).unwrap();
        assert_eq!(model.metadata().classes.names(), names);
    }
}

/// What others have written is cut, and its bits are flipped: it may answer or be refused, but never panic.
#[test]
fn damaged_files_of_others() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign");
    let frame =
        df!("city" => ["Bern", "x"], "radius" => [1.0, 20.0], "texture" => [1.0, 20.0]).unwrap();
    let wide =
        df!("x0" => [1.0], "x1" => [2.0], "x2" => [3.0], "x3" => [4.0], "x4" => [5.0]).unwrap();
    let names = |frame: &DataFrame| -> Vec<String> {
        frame
            .columns()
            .iter()
            .map(|column| column.name().to_string())
            .collect()
    };
    for (name, frame, columns) in [
        ("mixed", &frame, Vec::new()),
        ("forest", &wide, names(&wide)),
        ("logistic", &wide, names(&wide)),
        ("network", &wide, names(&wide)),
    ] {
        let bytes = std::fs::read(directory.join(format!("{name}.onnx"))).unwrap();
        let mut seen = 0;
        let mut attempt = |bytes: &[u8]| {
            if let Ok(model) = Model::open(bytes, &Rooms::default(), &columns) {
                seen += 1;
                if let Ok(answer) = model.predict(frame, None)
                    && let Ok(explainer) = Explainer::new(bytes, &model, frame)
                {
                    drop(explainer.explain(&model, frame, &answer));
                }
            }
        };
        for length in (0..bytes.len()).step_by(53) {
            attempt(&bytes[..length]);
        }
        for place in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << (place % 8);
            attempt(&damaged);
        }
        assert!(seen > 10, "{name}");
    }
}
