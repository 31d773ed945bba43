//! Every model of the test set gives the same answers in every room that claims it.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use indexmap::IndexMap;
use pipectl_models::data::{Goal, TextColumn};
use pipectl_models::metrics::Metric;
use pipectl_models::rooms::Room::{Embedded, Own, Runtime};
use pipectl_models::rooms::{ModelFile, Room, Rooms};
use pipectl_models::scorer::{ElementKind, Elements, Tensor};
use pipectl_models::text::{TextFiles, TextHooks, TextModel, TextSettings};
use pipectl_models::train::{Hooks, Settings, Validation, train};
use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};
use serde::Deserialize;
use serde_json::json;

const ROOMS: [Room; 3] = [Room::Own, Room::Runtime, Room::Embedded];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The library that Python's onnxruntime brings.
fn library() -> PathBuf {
    let script = "import glob, os, onnxruntime; print(glob.glob(os.path.join(os.path.dirname(onnxruntime.__file__), 'capi', 'libonnxruntime.*'))[0])";
    let output = Command::new("python3")
        .args(["-c", script])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "this test compares with the library of Python's onnxruntime: pip install onnxruntime numpy"
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn rooms() -> Rooms {
    Rooms {
        runtime: Some(library()),
        runtime_is_wanted: true,
    }
}

/// A model that pipectl has trained, with text, numbers and a derived feature.
fn trained(candidate: &str) -> Vec<u8> {
    let rows = 300;
    let number: Vec<f64> = (0..rows)
        .map(|row: u32| f64::from(row * 37 % 101) / 10.0)
        .collect();
    let text: Vec<&str> = (0..rows as usize)
        .map(|row| ["red", "grün", "blue"][row * 7 % 3])
        .collect();
    let target: Vec<String> = (0..rows as usize)
        .map(|row| format!("{}", usize::from(number[row] + row as f64 % 5.0 > 6.0)))
        .collect();
    let columns = vec![
        Series::new("number".into(), number).into_column(),
        Series::new("colour".into(), text).into_column(),
        Series::new("target".into(), target).into_column(),
    ];
    let frame = DataFrame::new(rows as usize, columns).unwrap();
    let settings = Settings {
        features: IndexMap::from([("twice".to_owned(), "number * 2 + 1".to_owned())]),
        seed: 3,
        candidates: IndexMap::from([(
            candidate.to_owned(),
            serde_json::from_value(json!({})).unwrap(),
        )]),
        validation: Validation {
            folds: 2,
            ..Validation::default()
        },
        metric: Some(Metric::F1),
        ..Settings::new(Goal::Classes, "target")
    };
    train(&frame, &settings, &Hooks::silent())
        .unwrap()
        .bytes
        .unwrap()
}

/// Inputs of a few rows, as the graph wants them.
fn inputs(file: &ModelFile) -> Vec<Tensor> {
    let (rows, tokens) = (5, 7);
    let ports = file.inputs().iter();
    ports
        .map(|port| {
            let network = matches!(
                port.name.as_str(),
                "input_ids" | "attention_mask" | "token_type_ids"
            );
            let width = if network {
                tokens
            } else {
                port.width.unwrap_or(1)
            };
            let count = rows * width;
            let elements = match (port.name.as_str(), port.kind.unwrap()) {
                ("input_ids", _) => {
                    Elements::Integer((0i64..).take(count).map(|place| place * 31 % 170).collect())
                }
                // Texts of different lengths.
                ("attention_mask", _) => Elements::Integer(
                    (0..count)
                        .map(|place| i64::from(place % width <= place / width + 2))
                        .collect(),
                ),
                (_, ElementKind::Integer) => Elements::Integer(vec![0; count]),
                (_, ElementKind::Float) => Elements::Float(
                    (0..count)
                        .map(|place| (place * 7 % 11) as f32 - 5.0)
                        .collect(),
                ),
                (_, ElementKind::Double) => {
                    Elements::Double((0..count).map(|place| (place * 7 % 11) as f64).collect())
                }
                (_, ElementKind::Boolean) => Elements::Boolean(vec![true; count]),
                (_, ElementKind::Text) => Elements::Text(TextColumn::new(
                    (0..count).map(|row| Some(["grün", "red", "?"][row % 3])),
                )),
            };
            Tensor {
                shape: vec![rows, width],
                elements,
            }
        })
        .collect()
}

/// The largest difference of two answers; all other things have to be equal.
fn difference(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.shape, other.shape);
    let pairs: Vec<(f64, f64)> = match (&one.elements, &other.elements) {
        (Elements::Float(one), Elements::Float(other)) => one
            .iter()
            .zip(other)
            .map(|(one, other)| (f64::from(*one), f64::from(*other)))
            .collect(),
        (Elements::Double(one), Elements::Double(other)) => one
            .iter()
            .zip(other)
            .map(|(one, other)| (*one, *other))
            .collect(),
        (Elements::Text(one), Elements::Text(other)) => {
            assert_eq!(one.codes.len(), other.codes.len());
            assert!((0..one.codes.len()).all(|row| one.get(row) == other.get(row)));
            return 0.0;
        }
        (one, other) => {
            assert_eq!(one, other);
            return 0.0;
        }
    };
    pairs
        .into_iter()
        .map(|(one, other)| (one - other).abs())
        .fold(0.0, f64::max)
}

#[test]
fn every_model_gives_the_same_answers_in_every_room_that_claims_it() {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo/sentiment/model.onnx");
    let read = |path: PathBuf| ModelFile::read(&path).unwrap();
    let own = |candidate: &str| ModelFile::from_bytes(trained(candidate)).unwrap();
    let set: [(&str, ModelFile, &[Room], f64); 8] = [
        (
            "mlp",
            read(fixture("mlp.onnx")),
            &[Own, Runtime, Embedded],
            1e-6,
        ),
        (
            "bert",
            read(fixture("bert/model.onnx")),
            &[Runtime, Embedded],
            1e-4,
        ),
        (
            "distilbert",
            read(fixture("distilbert/model.onnx")),
            &[Runtime, Embedded],
            1e-4,
        ),
        ("sentiment", read(zoo), &[Runtime, Embedded], 1e-4),
        (
            "logistic",
            own("logistic_regression"),
            &[Own, Runtime],
            1e-6,
        ),
        ("forest", own("random_forest"), &[Own, Runtime], 1e-6),
        ("boosting", own("gradient_boosting"), &[Own, Runtime], 1e-6),
        ("bayes", own("gaussian_naive_bayes"), &[Own, Runtime], 1e-6),
    ];
    let rooms = rooms();
    for (name, file, claims, tolerance) in set {
        let opened: Vec<_> = ROOMS
            .into_iter()
            .filter_map(|room| {
                rooms
                    .open_in(room, &file)
                    .ok()
                    .map(|session| (room, session))
            })
            .collect();
        let who: Vec<Room> = opened.iter().map(|(room, _)| *room).collect();
        assert_eq!(who, claims, "{name}");
        let answers: Vec<_> = opened
            .iter()
            .map(|(room, session)| {
                let answers = session.run(inputs(&file));
                answers.unwrap_or_else(|error| panic!("{name} in {room:?}: {error}"))
            })
            .collect();
        for (answer, room) in answers.iter().zip(&who).skip(1) {
            for (one, other) in answers[0].iter().zip(answer) {
                let found = difference(one, other);
                assert!(found <= tolerance, "{name}: {room:?} differs by {found:e}");
            }
        }
    }
}

#[test]
fn the_room_is_chosen_by_what_a_graph_needs_and_what_is_there() {
    let embedded = Rooms::default();
    let (mlp, bert) = (fixture("mlp.onnx"), fixture("bert/model.onnx"));
    let open =
        |rooms: &Rooms, path: &Path| rooms.open(&ModelFile::read(path).unwrap()).unwrap().room;
    assert_eq!(open(&embedded, &mlp), Room::Own);
    assert_eq!(open(&embedded, &bert), Room::Embedded);
    assert_eq!(open(&rooms(), &mlp), Room::Own);
    assert_eq!(open(&rooms(), &bert), Room::Runtime);
}

#[derive(Deserialize)]
struct Expected {
    text: String,
    ids: Vec<u32>,
    logits: Vec<f64>,
}

#[test]
fn layouts_of_hugging_face_give_the_logits_of_pytorch() {
    for (name, room) in [
        ("bert", Room::Embedded),
        ("bert", Room::Runtime),
        ("distilbert", Room::Embedded),
        ("distilbert", Room::Runtime),
    ] {
        let files = TextFiles::read(&fixture(name)).unwrap();
        let text = std::fs::read_to_string(fixture(name).join("expected.json")).unwrap();
        let expected: Vec<Expected> = serde_json::from_str(&text).unwrap();
        let rooms = if room == Room::Runtime {
            rooms()
        } else {
            Rooms::default()
        };
        let model = TextModel::load(&files, &rooms).unwrap();
        assert_eq!(model.room, room);
        let texts: Vec<Option<&str>> = expected.iter().map(|one| Some(one.text.as_str())).collect();
        let found = model.logits_of(&texts).unwrap();
        for (one, found) in expected.iter().zip(found) {
            let mut ids = model.token_ids(&one.text).unwrap();
            if ids.len() > one.ids.len() {
                ids.truncate(one.ids.len() - 1);
                ids.push(3);
            }
            assert_eq!(ids, one.ids, "{name}: {}", one.text);
            let largest = found
                .iter()
                .zip(&one.logits)
                .map(|(found, wanted)| (f64::from(*found) - wanted).abs())
                .fold(0.0, f64::max);
            assert!(
                largest < 1e-4,
                "{name} in {room:?}: {largest:e} for {}",
                one.text
            );
        }
        let labels = model
            .classify(&texts, &TextSettings::default(), &TextHooks::silent())
            .unwrap()
            .labels;
        let wanted: &[&str] = if name == "bert" {
            &["calm", "angry", "sad"]
        } else {
            &["LABEL_0", "LABEL_1"]
        };
        assert_eq!(labels, wanted);
    }
}
