//! Preparation that settings spell out: what it does, that it looks at training rows alone, and what misuse is told.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "data of tests is made by arithmetic"
)]

use pipectl_models::data::Goal;
use pipectl_models::scorer::{Cell, Model};
use pipectl_models::train::{Hooks, Settings, Trained, train};
use polars::prelude::{Column, DataFrame, df};
use serde_json::{Value, json};

fn learned(
    frame: &DataFrame,
    goal: Goal,
    candidates: &Value,
    recipes: &Value,
) -> Result<Trained, String> {
    let mut settings = Settings::new(goal, "y");
    settings.candidates = serde_json::from_value(candidates.clone()).unwrap();
    settings.preprocess = serde_json::from_value(recipes.clone()).unwrap();
    train(frame, &settings, &Hooks::silent()).map_err(|error| error.to_string())
}

fn metric(trained: &Trained, name: &str) -> f64 {
    let mut metrics = trained.metadata.metrics.iter();
    let found = metrics.find(|entry| entry.metric.name() == name);
    found.unwrap().value.unwrap()
}

fn mixed(row: u64) -> u64 {
    let mixed = row.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}

/// A straight line in `size`, whose levels have an order that is not that of the alphabet.
fn sizes() -> DataFrame {
    let names = ["small", "medium", "large", "huge"];
    let size: Vec<&str> = (0..400).map(|row| names[row * 7 % 4]).collect();
    let y: Vec<f64> = (0..400)
        .map(|row| f64::from(row * 7 % 4) * 5.0 + 2.0)
        .collect();
    df!("size" => size, "y" => y).unwrap()
}

fn answer(model: &Model, size: &str) -> f64 {
    let row = [("size", Cell::Text(size.to_owned()))];
    model.predict_row(row, None).unwrap().values[0]
}

#[test]
fn ordinal_levels_stand_in_the_order_that_is_given() {
    let line = json!({"linear_regression": {}});
    let order =
        json!({"size": {"encode": "ordinal", "order": ["small", "medium", "large", "huge"]}});
    let trained = learned(&sizes(), Goal::Quantity, &line, &order).unwrap();
    assert!(metric(&trained, "r2") > 0.999_999);
    let model = Model::load(&trained.bytes.unwrap()).unwrap();
    for (size, wanted) in [("small", 2.0), ("huge", 17.0), ("tiny", -3.0)] {
        assert!((answer(&model, size) - wanted).abs() < 1e-6, "{size}");
    }
    let mixed =
        json!({"size": {"encode": "ordinal", "order": ["medium", "small", "huge", "large"]}});
    let trained = learned(&sizes(), Goal::Quantity, &line, &mixed).unwrap();
    assert!(metric(&trained, "r2") < 0.9);
}

#[test]
fn a_level_becomes_the_mean_of_its_target_and_a_new_one_the_mean_of_all() {
    let line = json!({"linear_regression": {}});
    let trained = learned(
        &sizes(),
        Goal::Quantity,
        &line,
        &json!({"size": {"encode": "target"}}),
    )
    .unwrap();
    assert!(metric(&trained, "r2") > 0.99);
    let model = Model::load(&trained.bytes.unwrap()).unwrap();
    assert!((answer(&model, "large") - 12.0).abs() < 0.3);
    assert!((answer(&model, "tiny") - 9.5).abs() < 0.3);
}

#[test]
fn a_rare_level_does_not_tell_its_rows_their_own_target() {
    let rows = 0..1200u64;
    let shop: Vec<String> = rows
        .clone()
        .map(|row| format!("shop {}", mixed(row) % 500))
        .collect();
    let x: Vec<f64> = rows
        .clone()
        .map(|row| (mixed(row + 9_000) % 1000) as f64)
        .collect();
    let y: Vec<bool> = rows
        .map(|row| {
            (x[usize::try_from(row).unwrap()] > 500.0) != mixed(row + 77_000).is_multiple_of(5)
        })
        .collect();
    let frame = df!("shop" => shop, "x" => x, "y" => y).unwrap();
    let line = json!({"logistic_regression": {}});
    let with = learned(
        &frame,
        Goal::Classes,
        &line,
        &json!({"shop": {"encode": "target"}}),
    )
    .unwrap();
    let without = learned(
        &frame.drop("shop").unwrap(),
        Goal::Classes,
        &line,
        &json!({}),
    )
    .unwrap();
    let (with, without) = (metric(&with, "accuracy"), metric(&without, "accuracy"));
    assert!(with > without - 0.02, "{with} {without}");
}

#[test]
fn numbers_are_filled_and_scaled_as_said() {
    let x: Vec<Option<f64>> = (0..100)
        .map(|row| (row % 10 != 0).then_some(f64::from(row % 10)))
        .collect();
    let y: Vec<f64> = (0..100).map(|row| f64::from(row % 10)).collect();
    let frame = df!("x" => x, "y" => y).unwrap();
    let filled = |recipe: Value| {
        let trained = learned(
            &frame,
            Goal::Quantity,
            &json!({"linear_regression": {}}),
            &json!({"x": recipe}),
        )
        .unwrap();
        trained.metadata.imputed["x"].as_f64().unwrap()
    };
    assert_eq!(filled(json!({"impute": "mean"})), 5.0);
    assert_eq!(filled(json!({"impute": "most_frequent"})), 9.0);
    assert_eq!(
        filled(json!({"impute": "constant", "fill_value": 0, "scale": "minmax"})),
        0.0
    );
    assert_eq!(filled(json!({"scale": "none"})), 5.0);
}

#[test]
fn levels_in_few_rows_count_as_not_seen() {
    let city: Vec<&str> = (0..200)
        .map(|row| {
            if row < 3 {
                "Ulm"
            } else {
                ["Bern", "Köln"][row % 2]
            }
        })
        .collect();
    let y: Vec<bool> = (0..200).map(|row| row % 2 == 0).collect();
    let frame = df!("city" => city, "y" => y).unwrap();
    let row = |recipe: Value, city: &str| {
        let trained = learned(
            &frame,
            Goal::Classes,
            &json!({"logistic_regression": {}}),
            &json!({"city": recipe}),
        )
        .unwrap();
        let model = Model::load(&trained.bytes.unwrap()).unwrap();
        let cells = [("city", Cell::Text(city.to_owned()))];
        model.predict_row(cells, None).unwrap().values
    };
    let few = json!({"encode": "one_hot", "min_frequency": 5});
    assert_eq!(row(few.clone(), "Ulm"), row(few, "Paris"));
    let all = json!({"encode": "one_hot"});
    assert_ne!(row(all.clone(), "Ulm"), row(all, "Paris"));
    let two = json!({"max_categories": 2});
    assert_eq!(row(two.clone(), "Ulm"), row(two, "Paris"));
}

#[test]
fn misuse_says_what_is_wrong() {
    let mut frame = sizes();
    frame
        .with_column(Column::new("x".into(), [1.0, 2.0].repeat(200)))
        .unwrap();
    let cases = [
        (
            json!({"shape": {"encode": "ordinal"}}),
            "`preprocess` names `shape`, which is no column that is learned from",
        ),
        (
            json!({"x": {"encode": "ordinal"}}),
            "`preprocess` of `x`: it is no text, and levels are encoded of text: cast it in a transform before",
        ),
        (
            json!({"x": {"impute": "constant"}}),
            "`preprocess` of `x`: `impute: constant` and `fill_value` go together",
        ),
        (
            json!({"x": {"impute": "constant", "fill_value": "a"}}),
            "`preprocess` of `x`: `fill_value` must be a number, or true or false of such a column",
        ),
        (
            json!({"size": {"scale": "minmax"}}),
            "`preprocess` of `size`: it is text, and `scale` goes with numbers",
        ),
        (
            json!({"size": {"impute": "mean"}}),
            "`preprocess` of `size`: it is text: `impute` most_frequent or constant",
        ),
        (
            json!({"size": {"parts": ["day"]}}),
            "`preprocess` of `size`: it is no date, and `parts` are of dates",
        ),
        (
            json!({"size": {"parts": []}}),
            "`preprocess` of `size`: `parts` names every part that is wanted once",
        ),
        (
            json!({"size": {"order": ["a"]}}),
            "`preprocess` of `size`: `order` goes with `encode: ordinal`",
        ),
        (
            json!({"size": {"encode": "ordinal", "order": ["a", "a"]}}),
            "`preprocess` of `size`: `order` names every level once",
        ),
        (
            json!({"size": {"min_frequency": 500}}),
            "`preprocess` of `size`: no level is in 500 rows (`min_frequency`)",
        ),
        (
            json!({"size": {"impute": "constant", "fill_value": "mini"}}),
            "`preprocess` of `size`: `fill_value: mini` is no level of it in the rows that are learned from",
        ),
    ];
    for (recipes, message) in cases {
        let error = learned(&frame, Goal::Quantity, &json!({"ridge": {}}), &recipes).unwrap_err();
        assert_eq!(error, message);
    }
    let classes: Vec<i64> = (0..400).map(|row| row % 3).collect();
    frame.with_column(Column::new("y".into(), classes)).unwrap();
    let recipes = json!({"size": {"encode": "target"}});
    assert_eq!(
        learned(
            &frame,
            Goal::Classes,
            &json!({"decision_tree": {}}),
            &recipes
        )
        .unwrap_err(),
        "`preprocess` of `size`: `encode: target` goes with numbers and with two classes"
    );
}
