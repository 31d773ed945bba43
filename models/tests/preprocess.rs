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

/// Four levels, each of which has mostly rows of one of three classes.
#[test]
fn of_more_classes_a_level_becomes_the_share_of_each() {
    let names = ["a", "b", "c", "d"];
    let size: Vec<&str> = (0..800u64)
        .map(|row| names[usize::try_from(mixed(row) % 4).unwrap()])
        .collect();
    let y: Vec<String> = (0..800u64)
        .map(|row| {
            let code = if mixed(row + 5_000).is_multiple_of(5) {
                mixed(row + 9_000)
            } else {
                mixed(row) % 4
            };
            format!("class {}", code % 3)
        })
        .collect();
    let frame = df!("size" => size, "y" => y).unwrap();
    let line = json!({"logistic_regression": {}});
    let recipe = json!({"size": {"encode": "target"}});
    let trained = learned(&frame, Goal::Classes, &line, &recipe).unwrap();
    assert_eq!(
        trained.metadata.background.as_ref().unwrap().columns[0]
            .means
            .len(),
        3
    );
    assert!(metric(&trained, "accuracy") > 0.75);
    let model = Model::load(&trained.bytes.unwrap()).unwrap();
    let shares = |size: &str| {
        let row = [("size", Cell::Text(size.to_owned()))];
        model.predict_row(row, None).unwrap().values
    };
    assert!(shares("b")[1] > 0.6 && shares("c")[2] > 0.6);
    assert!(shares("e").iter().all(|share| *share < 0.6));
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
fn words_of_a_free_text_are_features() {
    let praise = ["great", "lovely", "fine"];
    let blame = ["broken", "awful", "slow"];
    let review: Vec<String> = (0..400u64)
        .map(|row| {
            let words = if row.is_multiple_of(2) { praise } else { blame };
            let word = words[usize::try_from(mixed(row) % 3).unwrap()];
            format!("Order {row}: the thing is {word}, {}", mixed(row + 1_000))
        })
        .collect();
    let y: Vec<bool> = (0..400u64).map(|row| row.is_multiple_of(2)).collect();
    let frame = df!("review" => review, "y" => y).unwrap();
    let line = json!({"logistic_regression": {}});
    let message = learned(&frame, Goal::Classes, &line, &json!({})).unwrap_err();
    assert_eq!(
        message,
        "column `review` has 320 different texts in 320 rows: that is an identifier or free text; add it to `exclude`, or make words of it (`preprocess`, `encode: tfidf`)"
    );
    let recipe = json!({"review": {"encode": "tfidf", "min_df": 5}});
    let trained = learned(&frame, Goal::Classes, &line, &recipe).unwrap();
    assert!(metric(&trained, "accuracy") > 0.99);
    // What people wrote is not told on.
    assert!(
        trained.metadata.reference[0].levels.is_empty() && trained.metadata.dependence.is_empty()
    );
    let model = Model::load(&trained.bytes.unwrap()).unwrap();
    for (text, good) in [("GREAT!", true), ("so slow", false)] {
        let row = [("review", Cell::Text(text.to_owned()))];
        assert_eq!(
            model.predict_row(row, None).unwrap().class == 1,
            good,
            "{text}"
        );
    }
    let long = df!("review" => ["lovely ".repeat(150_000), String::new()]).unwrap();
    assert!(model.predict(&long, None).is_ok());
}

/// Two classes that are told apart along a direction of little variance.
#[test]
fn components_are_learned_where_is_learned_and_few_of_them_know_less() {
    let x: Vec<f64> = (0..300).map(|row| (mixed(row) % 1_000) as f64).collect();
    let small = |row: u64| if row.is_multiple_of(2) { 8.0 } else { -8.0 };
    let other: Vec<f64> = (0..300u64)
        .map(|row| x[usize::try_from(row).unwrap()] + small(row))
        .collect();
    let y: Vec<bool> = (0..300).map(|row| row % 2 == 0).collect();
    let frame = df!("x" => x, "other" => other, "y" => y).unwrap();
    let learned = |pca: Value, candidates: Value| {
        let mut settings = Settings::new(Goal::Classes, "y");
        settings.candidates = serde_json::from_value(candidates).unwrap();
        settings.pca = Some(serde_json::from_value(pca).unwrap());
        train(&frame, &settings, &Hooks::silent()).map_err(|error| error.to_string())
    };
    let line = || json!({"logistic_regression": {}});
    let accuracy = |pca| metric(&learned(pca, line()).unwrap(), "accuracy");
    assert!(accuracy(json!({"n_components": 0.9})) < 0.7);
    assert!(accuracy(json!({"n_components": 1})) < 0.7);
    assert!(accuracy(json!({"n_components": 2, "whiten": true})) > 0.95);
    let message = |pca, candidates| learned(pca, candidates).unwrap_err();
    assert_eq!(
        message(json!({"n_components": 3}), line()),
        "`pca`: `n_components: 3` of 2 features in 240 rows that are learned from"
    );
    assert_eq!(
        message(json!({"n_components": 1.5}), line()),
        "`n_components` of `pca` is a number of components, or below 1 the share of the variance that they tell"
    );
    let named = json!({"gradient_boosting": {"monotonic_cst": {"x": 1}}});
    assert_eq!(
        message(json!({}), named),
        "`pca` mixes the columns: leave `categorical_features` and `monotonic_cst`, which name some, out"
    );
}

/// Each of these recipes is refused with its message.
fn refused(frame: &DataFrame, cases: &[(Value, &str)]) {
    for (recipes, message) in cases {
        let error = learned(frame, Goal::Quantity, &json!({"ridge": {}}), recipes).unwrap_err();
        assert_eq!(error, *message);
    }
}

#[test]
fn misuse_of_words_says_what_is_wrong() {
    let mut frame = sizes();
    frame
        .with_column(Column::new("x".into(), [1.0, 2.0].repeat(200)))
        .unwrap();
    let cases = [
        (
            json!({"x": {"encode": "tfidf"}}),
            "`preprocess` of `x`: it is no text, and levels are encoded of text: cast it in a transform before",
        ),
        (
            json!({"size": {"min_df": 2}}),
            "`preprocess` of `size`: `ngram_range`, `min_df`, `max_features` and `sublinear_tf` go with `encode: tfidf`",
        ),
        (
            json!({"size": {"encode": "tfidf", "impute": "most_frequent"}}),
            "`preprocess` of `size`: `encode: tfidf` imputes nothing: missing text has no words",
        ),
        (
            json!({"size": {"encode": "tfidf", "max_categories": 5}}),
            "`preprocess` of `size`: of words `min_df` and `max_features` say which count",
        ),
        (
            json!({"size": {"encode": "tfidf", "ngram_range": [2, 1]}}),
            "`preprocess` of `size`: `ngram_range` is the words of the shortest and of the longest term, as in [1, 2]",
        ),
        (
            json!({"size": {"encode": "tfidf", "min_df": 1.5}}),
            "`preprocess` of `size`: `min_df` is a number of rows, or below 1 a share of them",
        ),
        (
            json!({"size": {"encode": "tfidf", "max_features": 0}}),
            "`preprocess` of `size`: `max_features` must be at least 1",
        ),
        (
            json!({"size": {"encode": "tfidf", "min_df": 500}}),
            "`preprocess` of `size`: no word is in 500 rows (`min_df`)",
        ),
    ];
    refused(&frame, &cases);
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
    refused(&frame, &cases);
    let recipes = json!({"size": {"encode": "target"}});
    let error = learned(&frame, Goal::Clusters, &json!({"k_means": {}}), &recipes).unwrap_err();
    assert_eq!(
        error,
        "`preprocess` of `size`: `encode: target` goes with classes and numbers that are learned"
    );
}

/// The same rows spelled in many ways: what is learned of them is as if they were all spelled alike, and so are answers.
#[test]
fn small_and_capital_letters_are_the_same_when_that_is_wished() {
    let spellings = [str::to_owned, str::to_uppercase, |text: &str| {
        text.replace('m', "M").replace('g', "G")
    }];
    let plain = sizes();
    let size = plain.column("size").unwrap().str().unwrap();
    let spelled: Vec<String> = size
        .iter()
        .flatten()
        .enumerate()
        .map(|(row, text)| spellings[(row * 7 + row / 5) % 3](text))
        .collect();
    let mut loud = plain.clone();
    loud.with_column(Column::new("size".into(), spelled))
        .unwrap();
    let order =
        json!({"size": {"encode": "ordinal", "order": ["Small", "Medium", "Large", "Huge"]}});
    for (candidate, recipes) in [
        ("ridge", json!({})),
        ("linear_regression", order),
        ("ridge", json!({"size": {"encode": "target"}})),
        (
            "ridge",
            json!({"size": {"impute": "constant", "fill_value": "HUGE"}}),
        ),
    ] {
        let learn = |frame: &DataFrame| {
            let mut settings = Settings::new(Goal::Quantity, "y");
            settings.candidates = serde_json::from_value(json!({candidate: {}})).unwrap();
            settings.preprocess = serde_json::from_value(recipes.clone()).unwrap();
            settings.ignore_case = true;
            train(frame, &settings, &Hooks::silent()).unwrap()
        };
        let (one, other) = (learn(&plain), learn(&loud));
        assert_eq!(metric(&one, "r2"), metric(&other, "r2"), "{recipes}");
        let levels = &other.metadata.reference[0].levels;
        assert_eq!(levels.len(), 4, "{levels:?}");
        let model = Model::load(&other.bytes.unwrap()).unwrap();
        let asked = ["small", "Small", "SMALL", "sMALL"].map(|size| answer(&model, size));
        assert!((asked[0] - 2.0).abs() < 0.2, "{recipes}: {asked:?}");
        assert_eq!(asked, [asked[0]; 4]);
    }
    let apart = learned(&loud, Goal::Quantity, &json!({"ridge": {}}), &json!({})).unwrap();
    assert_eq!(apart.metadata.reference[0].levels.len(), 12);
}
