//! What gradient boosting promises beside good answers: directions, categories, missing values, an early end.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "data of tests is made by arithmetic"
)]

use pipectl_models::data::Goal;
use pipectl_models::scorer::{Answer, Cell, Model};
use pipectl_models::train::{Hooks, Settings, Trained, train};
use polars::prelude::{DataFrame, df};
use serde_json::{Value, json};

fn learned(frame: &DataFrame, goal: Goal, parameters: &Value) -> Result<Trained, String> {
    let mut settings = Settings::new(goal, "y");
    settings.candidates = serde_json::from_value(json!({"gradient_boosting": parameters})).unwrap();
    settings.validation.folds = 3;
    train(frame, &settings, &Hooks::silent()).map_err(|error| error.to_string())
}

fn model(frame: &DataFrame, goal: Goal, parameters: &Value) -> Model {
    let trained = learned(frame, goal, parameters).unwrap();
    Model::load(&trained.bytes.unwrap()).unwrap()
}

/// A number that rises with `x` on the whole, with waves.
fn waves() -> DataFrame {
    let x: Vec<f64> = (0..900)
        .map(|row| f64::from(row * 619 % 900) / 90.0)
        .collect();
    let noise: Vec<f64> = (0..900).map(|row| f64::from(row * 7919 % 101)).collect();
    let y: Vec<f64> = x.iter().map(|x| 2.0 * x + 3.0 * (3.0 * x).sin()).collect();
    df!("x" => x, "noise" => noise, "y" => y).unwrap()
}

fn curve(model: &Model) -> Vec<f64> {
    let cells = |x: f64| [("x", Cell::Number(x)), ("noise", Cell::Number(50.0))];
    (0..200)
        .map(|step| {
            model
                .predict_row(cells(f64::from(step) / 20.0), None)
                .unwrap()
                .values[0]
        })
        .collect()
}

#[test]
fn a_direction_holds_everywhere() {
    let falls = |curve: &[f64]| curve.windows(2).any(|pair| pair[1] < pair[0]);
    let free = curve(&model(&waves(), Goal::Quantity, &json!({})));
    assert!(falls(&free));
    let rising = curve(&model(
        &waves(),
        Goal::Quantity,
        &json!({"monotonic_cst": {"x": 1}}),
    ));
    assert!(!falls(&rising));
    assert!(rising[199] - rising[0] > 15.0);
    let falling = curve(&model(
        &waves(),
        Goal::Quantity,
        &json!({"monotonic_cst": {"x": -1}}),
    ));
    assert!(falling.windows(2).all(|pair| pair[1] <= pair[0]));
    let mut classes = waves();
    let sign: Vec<bool> = classes
        .column("y")
        .unwrap()
        .f64()
        .unwrap()
        .iter()
        .map(|y| y.unwrap() > 10.0)
        .collect();
    classes
        .with_column(polars::prelude::Column::new("y".into(), sign))
        .unwrap();
    let model = model(&classes, Goal::Classes, &json!({"monotonic_cst": {"x": 1}}));
    let shares: Vec<f64> = curve(&model).into_iter().map(|no| 1.0 - no).collect();
    assert!(!falls(&shares) && shares[199] > 0.9);
}

/// Eighty shops; whether one sells well is in its name alone, and neighbours in the alphabet have nothing in common.
fn shops(rows: u32) -> DataFrame {
    let shop: Vec<u32> = (0..rows).map(|row| row * 7919 % 80).collect();
    let y: Vec<f64> = shop
        .iter()
        .zip(0u32..)
        .map(|(shop, row)| f64::from(shop * 37 % 80 % 2) * 10.0 + f64::from(row % 3))
        .collect();
    let names: Vec<String> = shop.iter().map(|shop| format!("shop {shop:02}")).collect();
    df!("shop" => names, "y" => y).unwrap()
}

#[test]
fn categories_are_divided_as_sets() {
    let few = json!({"max_iter": 10, "max_leaf_nodes": 2, "learning_rate": 0.5});
    let mut native = few.clone();
    native["categorical_features"] = json!("from_dtype");
    let r2 = |parameters: &Value| {
        let trained = learned(&shops(2400), Goal::Quantity, parameters).unwrap();
        trained
            .metadata
            .metrics
            .iter()
            .find(|entry| entry.metric.name() == "r2")
            .unwrap()
            .value
            .unwrap()
    };
    // One split tells all shops apart; by a flag for each shop ten splits tell ten.
    assert!(r2(&native) > 0.95, "{}", r2(&native));
    assert!(r2(&few) < 0.5, "{}", r2(&few));
    let model = model(&shops(2400), Goal::Quantity, &native);
    for shop in ["shop 99", ""] {
        let row = model
            .predict_row([("shop", Cell::Text(shop.into()))], None)
            .unwrap();
        assert!(row.values[0].is_finite());
    }
}

#[test]
fn missing_values_and_missing_categories_are_learned() {
    let rows = 0..600u32;
    let x: Vec<Option<f64>> = rows
        .clone()
        .map(|row| (row % 3 != 0).then_some(f64::from(row % 7)))
        .collect();
    let city: Vec<Option<&str>> = rows
        .clone()
        .map(|row| [Some("Bern"), None, Some("Köln")][row as usize / 3 % 3])
        .collect();
    let y: Vec<bool> = rows.map(|row| row % 3 == 0 || row / 3 % 3 == 1).collect();
    let frame = df!("x" => x, "city" => city, "y" => y).unwrap();
    let model = model(
        &frame,
        Goal::Classes,
        &json!({"categorical_features": "from_dtype"}),
    );
    let Answer::Classes(found) = model.predict(&frame, None).unwrap() else {
        panic!("classes")
    };
    let truth = frame.column("y").unwrap().bool().unwrap();
    assert!(
        found
            .codes
            .iter()
            .zip(truth.iter())
            .all(|(code, truth)| (*code == 1) == truth.unwrap())
    );
}

#[test]
fn boosting_ends_early_when_it_learns_nothing_more() {
    let x: Vec<f64> = (0..4000).map(|row| f64::from(row * 7919 % 4001)).collect();
    let coin = |row: u64| {
        let mixed = row.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40 & 1 == 1
    };
    let y: Vec<bool> = (0..4000).map(coin).collect();
    let frame = df!("x" => x, "y" => y).unwrap();
    let size = |stop: bool| {
        let parameters = json!({"max_iter": 150, "early_stopping": stop});
        learned(&frame, Goal::Classes, &parameters)
            .unwrap()
            .bytes
            .unwrap()
            .len()
    };
    assert!(size(true) * 3 < size(false));
}

#[test]
fn misuse_says_what_is_wrong() {
    let mut three = shops(300);
    let class: Vec<i64> = (0..300).map(|row| row % 3).collect();
    three
        .with_column(polars::prelude::Column::new("y".into(), class))
        .unwrap();
    three
        .with_column(polars::prelude::Column::new(
            "x".into(),
            [1.0, 2.0, 3.0].repeat(100),
        ))
        .unwrap();
    let cases = [
        (
            json!({"monotonic_cst": {"x": 2}}),
            "`monotonic_cst: {\"x\":2}` of `gradient_boosting`: expected 1 (rising), -1 (falling) or 0 for columns, as in {tenure: -1}",
        ),
        (
            json!({"monotonic_cst": {"x": 1}}),
            "`monotonic_cst` of `gradient_boosting` goes with numbers and with two classes, not with more",
        ),
        (
            json!({"categorical_features": "all"}),
            "`categorical_features: \"all\"` of `gradient_boosting`: expected from_dtype (all text), null, or a list of columns within the list of what is tried",
        ),
        (
            json!({"categorical_features": [["x"]]}),
            "`categorical_features` names `x`, which is no text: cast it in a transform before",
        ),
        (
            json!({"categorical_features": [["town"]]}),
            "`categorical_features` names `town`, which is no column that is learned from",
        ),
    ];
    for (parameters, message) in cases {
        assert_eq!(
            learned(&three, Goal::Classes, &parameters).unwrap_err(),
            message
        );
    }
    let cases = [
        (
            "shop",
            "`monotonic_cst` names `shop`, which is text: only of numbers and dates there is more and less",
        ),
        (
            "age",
            "`monotonic_cst` names `age`, which is no column that is learned from",
        ),
    ];
    for (column, message) in cases {
        let error = learned(
            &shops(300),
            Goal::Quantity,
            &json!({"monotonic_cst": {column: 1}}),
        )
        .unwrap_err();
        assert_eq!(error, message);
    }
}
