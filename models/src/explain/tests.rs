use std::path::Path;

use indexmap::IndexMap;
use polars::prelude::{DataFrame, DataType, IntoColumn, NamedFrom, Series, df};
use serde_json::{Value, json};

use super::{Effects, Explainer};
use crate::data::Goal;
use crate::prepare::Pca;
use crate::random::Random;
use crate::rooms::Rooms;
use crate::scorer::{Answer, Model};
use crate::train::{Hooks, Method, Settings, Trained, Validation, train};

/// What `models/tests/fixtures/foreign/make.py` has written.
struct Fixture {
    bytes: Vec<u8>,
    frame: DataFrame,
    expected: Value,
}

fn fixture(name: &str) -> Fixture {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign");
    let expected = std::fs::read(directory.join("expected.json")).unwrap();
    let mut expected: Value = serde_json::from_slice(&expected).unwrap();
    let expected = expected[name].take();
    let columns = expected["columns"].as_object().unwrap().iter();
    let columns = columns.map(|(name, values)| {
        let values = values.as_array().unwrap();
        if values[0].is_string() {
            let texts: Vec<&str> = values.iter().map(|value| value.as_str().unwrap()).collect();
            Series::new(name.into(), texts).into_column()
        } else {
            Series::new(name.into(), numbers(&Value::from(values.clone()))).into_column()
        }
    });
    let columns: Vec<_> = columns.collect();
    Fixture {
        bytes: std::fs::read(directory.join(format!("{name}.onnx"))).unwrap(),
        frame: DataFrame::new(columns[0].len(), columns).unwrap(),
        expected,
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

fn close(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    let unit = wanted
        .iter()
        .fold(1.0, |unit: f64, value| unit.max(value.abs()));
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(
            (found - wanted).abs() <= tolerance * unit,
            "{found} {wanted}"
        );
    }
}

/// The models of which there are reasons.
const EXPLAINED: [&str; 7] = [
    "tree",
    "forest",
    "extra_trees",
    "boosting",
    "logistic",
    "linear",
    "mixed",
];
const X: [&str; 5] = ["x0", "x1", "x2", "x3", "x4"];

fn opened(name: &str, fixture: &Fixture) -> Model {
    let columns: Vec<String> = match name {
        "mixed" => Vec::new(),
        _ => X.map(str::to_owned).to_vec(),
    };
    Model::open(&fixture.bytes, &Rooms::default(), &columns).unwrap()
}

#[test]
fn foreign_models_answer_as_where_they_were_made() {
    for name in EXPLAINED.into_iter().chain(["network"]) {
        let fixture = fixture(name);
        let model = opened(name, &fixture);
        let answer = model.predict(&fixture.frame, None).unwrap();
        let found = match &answer {
            Answer::Classes(prediction) => {
                let labels = prediction.classes.names();
                let codes = prediction.codes.iter();
                let labels: Vec<&str> = codes.map(|code| labels[*code as usize].as_str()).collect();
                let wanted = fixture.expected["label"].as_array().unwrap();
                assert_eq!(
                    labels,
                    wanted
                        .iter()
                        .map(|one| one.as_str().unwrap())
                        .collect::<Vec<_>>()
                );
                &prediction.probabilities
            }
            Answer::Quantity(values) => values,
            other => panic!("{other:?}"),
        };
        close(found, &numbers(&fixture.expected["answer"]), 1e-6);
    }
}

#[test]
fn effects_are_those_that_shap_computes() {
    for name in EXPLAINED {
        let fixture = fixture(name);
        let model = opened(name, &fixture);
        let explainer = Explainer::new(&fixture.bytes, &model, &fixture.frame).unwrap();
        let answer = model.predict(&fixture.frame, None).unwrap();
        let found = explainer.explain(&model, &fixture.frame, &answer).unwrap();
        match name {
            "mixed" => assert_eq!(found.names, ["city", "radius", "texture"]),
            _ => assert_eq!(found.names, X),
        }
        close(&found.values, &numbers(&fixture.expected["effects"]), 1e-6);
        close(&found.base, &numbers(&fixture.expected["base"]), 1e-6);
    }
}

#[test]
fn a_network_has_no_reasons_and_the_message_says_what_has() {
    let fixture = fixture("network");
    let model = opened("network", &fixture);
    let error = Explainer::new(&fixture.bytes, &model, &fixture.frame).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are reasons for trees, forests, boosting and linear models, and this model is none of them"
    );
}

#[test]
fn what_a_foreign_model_reads_has_to_be_told() {
    let tree = fixture("tree");
    let message = |bytes: &[u8], columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        Model::open(bytes, &Rooms::default(), &columns)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(&tree.bytes, &["x0"]),
        "the model reads columns without names (`X` of 5), and `columns` names 1: name those that it has learned from, in \
         their order"
    );
    let named = "the model knows the names of its columns: leave `columns` out";
    assert_eq!(message(&fixture("mixed").bytes, &["city"]), named);
    assert_eq!(
        message(&trained("ridge", Goal::Quantity).bytes.unwrap(), &["city"]),
        named
    );
    let model = opened("tree", &tree);
    let error = model
        .predict(&tree.frame.drop("x3").unwrap(), None)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the rows have no column `x3`, which the model reads"
    );
}

/// Customers with gaps, texts and a derived feature.
fn customers() -> DataFrame {
    let mut random = Random::new(5, 0);
    let rows = 300;
    let age: Vec<Option<f64>> = (0..rows)
        .map(|_| (random.share() > 0.1).then(|| (random.share() * 60.0).floor()))
        .collect();
    let city: Vec<&str> = (0..rows)
        .map(|_| ["Bern", "Genève", "Zürich"][random.below(3)])
        .collect();
    let paid: Vec<f64> = (0..rows).map(|_| random.share() * 100.0).collect();
    let left: Vec<bool> = (0..rows)
        .map(|row| {
            let score = paid[row] / 50.0 - age[row].unwrap_or(40.0) / 30.0;
            score + f64::from(u8::from(city[row] == "Bern")) + random.share() > 0.7
        })
        .collect();
    let bill: Vec<f64> = (0..rows)
        .map(|row| 10.0 * paid[row] - age[row].unwrap_or(0.0))
        .collect();
    df!("age" => age, "city" => city, "paid" => paid, "left" => left, "bill" => bill).unwrap()
}

fn trained(candidate: &str, goal: Goal) -> Trained {
    let (target, other) = match goal {
        Goal::Quantity => ("bill", "left"),
        _ => ("left", "bill"),
    };
    let parameters = match candidate {
        "random_forest" | "extra_trees" => IndexMap::from([
            ("n_estimators".to_owned(), Value::from(10)),
            ("max_depth".to_owned(), Value::from(6)),
        ]),
        "gradient_boosting" => IndexMap::from([("max_iter".to_owned(), Value::from(20))]),
        _ => IndexMap::new(),
    };
    let settings = Settings {
        exclude: vec![other.to_owned()],
        features: IndexMap::from([("per_year".to_owned(), "paid / nullif(age, 0)".to_owned())]),
        candidates: IndexMap::from([(candidate.to_owned(), parameters)]),
        validation: Validation {
            folds: 2,
            ..Validation::default()
        },
        calibration: (candidate == "linear_svm").then_some(Method::Isotonic),
        ..Settings::new(goal, target)
    };
    train(&customers(), &settings, &Hooks::silent()).unwrap()
}

fn explained(trained: &Trained, frame: &DataFrame) -> (Effects, Answer) {
    let bytes = trained.bytes.as_ref().unwrap();
    let model = Model::load(bytes).unwrap();
    // What the rows at hand are does not matter: what is compared with stands in the file.
    let explainer = Explainer::new(bytes, &model, &frame.head(Some(0))).unwrap();
    let answer = model.predict(frame, None).unwrap();
    (explainer.explain(&model, frame, &answer).unwrap(), answer)
}

/// The number that the effects of a row add up to.
fn scores(candidate: &str, answer: &Answer) -> Vec<f64> {
    match answer {
        Answer::Classes(prediction) => {
            let shares = prediction.probabilities.iter().skip(1).step_by(2);
            let odds = matches!(candidate, "logistic_regression" | "gradient_boosting");
            shares
                .map(|p| if odds { (p / (1.0 - p)).ln() } else { *p })
                .collect()
        }
        Answer::Quantity(values) => values.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn effects_of_our_models_add_up_to_their_scores() {
    let frame = customers();
    for (candidate, goal) in [
        ("decision_tree", Goal::Classes),
        ("random_forest", Goal::Classes),
        ("extra_trees", Goal::Quantity),
        ("gradient_boosting", Goal::Classes),
        ("gradient_boosting", Goal::Quantity),
        ("logistic_regression", Goal::Classes),
        ("ridge", Goal::Quantity),
    ] {
        let (effects, answer) = explained(&trained(candidate, goal), &frame);
        assert_eq!(
            effects.names,
            ["age", "city", "paid", "per_year"],
            "{candidate}"
        );
        let sums: Vec<f64> = (0..frame.height())
            .map(|row| effects.base[row] + effects.row(row).iter().sum::<f64>())
            .collect();
        let scores = scores(candidate, &answer);
        if candidate.starts_with("extra")
            || (candidate, goal) == ("gradient_boosting", Goal::Quantity)
        {
            // Their trees tell the difference from the mean, which is the same for all rows.
            let start = scores[0] - sums[0];
            close(
                &sums.iter().map(|sum| sum + start).collect::<Vec<_>>(),
                &scores,
                1e-5,
            );
        } else {
            close(&sums, &scores, 1e-5);
        }
    }
}

/// Columns that become one number, several, or sets of categories bear their own names.
#[test]
fn effects_of_every_encoding_belong_to_the_raw_column() {
    let mut frame = customers();
    let days = (0..frame.height()).map(|row| i32::try_from(row * 37 % 900).unwrap());
    let days = Series::new("since".into(), days.collect::<Vec<i32>>());
    let days = days.cast(&DataType::Date).unwrap();
    frame.with_column(days.into_column()).unwrap();
    let recipes = json!({"city": {"encode": "target"}, "since": {"parts": ["month", "weekday"]}});
    let boosting = json!({"max_iter": 20, "categorical_features": "from_dtype"});
    for (candidate, parameters, recipes) in [
        ("logistic_regression", json!({}), recipes),
        ("gradient_boosting", boosting, json!({})),
    ] {
        let settings = Settings {
            exclude: vec!["bill".to_owned()],
            candidates: IndexMap::from([(
                candidate.to_owned(),
                serde_json::from_value(parameters).unwrap(),
            )]),
            preprocess: serde_json::from_value(recipes).unwrap(),
            ..Settings::new(Goal::Classes, "left")
        };
        let trained = train(&frame, &settings, &Hooks::silent()).unwrap();
        let mut told: Vec<&str> = trained
            .metadata
            .effects
            .iter()
            .map(|one| one.column.as_str())
            .collect();
        told.sort_unstable();
        assert_eq!(told, ["age", "city", "paid", "since"], "{candidate}");
        let (effects, answer) = explained(&trained, &frame);
        assert_eq!(
            effects.names,
            ["age", "city", "paid", "since"],
            "{candidate}"
        );
        assert!((0..frame.height()).any(|row| effects.row(row)[1].abs() > 0.1));
        let sums: Vec<f64> = (0..frame.height())
            .map(|row| effects.base[row] + effects.row(row).iter().sum::<f64>())
            .collect();
        close(&sums, &scores(candidate, &answer), 1e-5);
    }
}

fn mixed(candidate: &str, pca: Option<Pca>) -> Trained {
    let settings = Settings {
        exclude: vec!["city".to_owned(), "left".to_owned()],
        candidates: IndexMap::from([(candidate.to_owned(), IndexMap::new())]),
        pca,
        ..Settings::new(Goal::Quantity, "bill")
    };
    train(&customers(), &settings, &Hooks::silent()).unwrap()
}

#[test]
fn effects_behind_principal_components_are_those_of_the_columns() {
    let frame = customers();
    let all = Pca {
        n_components: None,
        whiten: true,
    };
    let (plain, _) = explained(&mixed("linear_regression", None), &frame);
    let (effects, answer) = explained(&mixed("linear_regression", Some(all)), &frame);
    assert_eq!(effects.names, ["age", "paid"]);
    close(&effects.values, &plain.values, 1e-6);
    close(&effects.base, &plain.base, 1e-6);
    let sums: Vec<f64> = (0..frame.height())
        .map(|row| effects.base[row] + effects.row(row).iter().sum::<f64>())
        .collect();
    close(&sums, &scores("linear_regression", &answer), 1e-6);
    let trees = mixed("decision_tree", Some(all));
    assert!(trees.metadata.effects.is_empty());
    let bytes = trees.bytes.unwrap();
    let model = Model::load(&bytes).unwrap();
    let error = Explainer::new(&bytes, &model, &frame).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are reasons behind `pca` for linear models alone: trees divide by its components, and each of them is a mixture of all columns"
    );
}

#[test]
fn a_calibrated_score_is_explained_as_it_was_before() {
    let (effects, _) = explained(&trained("linear_svm", Goal::Classes), &customers());
    assert!(effects.row(0).iter().any(|effect| *effect != 0.0));
}

#[test]
fn the_strongest_reasons_come_first_with_their_values() {
    let frame = df!("age" => [Some(30i64), None], "city" => ["Zürich", "Bern"]).unwrap();
    let effects = Effects {
        names: ["age", "city", "per_year"].map(str::to_owned).to_vec(),
        base: vec![0.0; 2],
        values: vec![0.125, -2.0, 0.5, 1.0, 0.0, 0.0],
    };
    assert_eq!(
        effects.reasons(&frame, 0, 3),
        r#"[{"column":"city","effect":-2.0,"value":"Zürich"},{"column":"per_year","effect":0.5},{"column":"age","effect":0.125,"value":30}]"#
    );
    assert_eq!(
        effects.reasons(&frame, 1, 3),
        r#"[{"column":"age","effect":1.0,"value":null}]"#
    );
}
