//! A search goes on where an earlier one has stopped, and takes no more memory than it may.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "data of tests is made by arithmetic"
)]

use std::sync::Mutex;

use pipectl_models::data::Goal;
use pipectl_models::train::{Fit, Hooks, Progress, Search, Settings, Trained, train};
use polars::prelude::{DataFrame, df};
use serde_json::json;

fn rows() -> DataFrame {
    let a: Vec<f64> = (0..400).map(|row| f64::from(row * 37 % 101)).collect();
    let b: Vec<f64> = (0..400).map(|row| f64::from(row * 53 % 97)).collect();
    let y: Vec<bool> = (0..400)
        .map(|row| a[row] + b[row] + (row % 13) as f64 > 100.0)
        .collect();
    df!("a" => a, "b" => b, "y" => y).unwrap()
}

fn settings(search: Search) -> Settings {
    let candidates = json!({
        "logistic_regression": {"C": [0.1, 1.0, 10.0]},
        "decision_tree": {"max_depth": [2, 4, 8]},
    });
    Settings {
        candidates: serde_json::from_value(candidates).unwrap(),
        search,
        ..Settings::new(Goal::Classes, "y")
    }
}

/// Trains with what is known; the fits that were measured, and what was told of them.
fn learned(settings: &Settings, known: &[Fit]) -> (Trained, Vec<Fit>, Vec<Progress>) {
    let (fits, told) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let hooks = Hooks {
        progress: &|progress| told.lock().unwrap().push(progress),
        measured: &|fit| fits.lock().unwrap().push(fit),
        known,
        cancelled: &|| false,
    };
    let trained = train(&rows(), settings, &hooks).unwrap();
    (
        trained,
        fits.into_inner().unwrap(),
        told.into_inner().unwrap(),
    )
}

#[test]
fn what_was_measured_is_not_measured_again() {
    for (search, total) in [(Search::Grid, 35), (Search::Halving(3), 50)] {
        let settings = settings(search);
        let (whole, fits, told) = learned(&settings, &[]);
        assert_eq!(fits.len(), total, "{search:?}");
        let line = |progress: &Progress| {
            progress
                .message
                .contains(r#"{"C":0.1}, fold 1 of 5: accuracy 0."#)
        };
        assert!(told.iter().any(line), "{told:?}");
        for known in [&fits[..0], &fits[..17], &fits[3..29], &fits[..]] {
            let (again, fresh, told) = learned(&settings, known);
            assert_eq!(fresh.len(), total - known.len());
            assert!(
                fresh
                    .iter()
                    .all(|fit| !known.iter().any(|one| one.place == fit.place))
            );
            assert!(
                again.bytes == whole.bytes,
                "{search:?} after {}",
                known.len()
            );
            let last = told
                .iter()
                .map(|progress| progress.done)
                .max()
                .unwrap_or(total);
            assert_eq!(last, total, "{search:?}");
        }
    }
}

#[test]
fn a_limit_of_memory_changes_nothing_but_the_pace_and_one_that_is_too_small_is_told() {
    let (free, ..) = learned(&settings(Search::Grid), &[]);
    let limited = |memory| {
        let settings = Settings {
            memory: Some(memory),
            ..settings(Search::Grid)
        };
        learned(&settings, &[]).0
    };
    assert!(limited(1 << 30).bytes == free.bytes);
    let tight = limited(1_000);
    assert_eq!(tight.metadata.trials, free.metadata.trials);
    let warnings = tight.metadata.warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("more than the `memory` of the search allows"),
        "{warnings:?}"
    );
}
