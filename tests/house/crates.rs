//! Which crate may know which.

use std::{collections::BTreeSet, fs};

use super::root;

/// A crate and the crates of ours that it may know. Only the binary knows everyone; siblings never import each other.
const MAY_KNOW: [(&str, &[&str]); 8] = [
    ("engine", &[]),
    ("connections", &["engine"]),
    ("models", &[]),
    ("store", &["engine", "connections"]),
    ("operators", &["engine", "connections", "models"]),
    ("daemon", &["engine", "connections"]),
    ("server", &["models"]),
    ("odbc", &["connections"]),
];

/// What the engine must do without.
const NOT_IN_THE_ENGINE: [&str; 7] = [
    "sqlx",
    "axum",
    "reqwest",
    "linfa",
    "lettre",
    "handlebars",
    "clap",
];

fn dependencies(krate: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
    let section = text
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_crate_knows_only_those_below_it() {
    for (krate, allowed) in MAY_KNOW {
        for name in dependencies(krate) {
            if let Some(other) = name.strip_prefix("pipectl-") {
                assert!(allowed.contains(&other), "{krate} must not know {other}");
            }
        }
    }
}

#[test]
fn the_engine_opens_nothing_and_draws_nothing() {
    let found = dependencies("engine");
    for name in NOT_IN_THE_ENGINE {
        assert!(!found.contains(name), "engine must do without {name}");
    }
}

#[test]
fn no_arrow_or_parquet_crate_beside_polars() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["arrow", "parquet", "serde_yaml", "aws-lc-rs"] {
        assert!(
            !lock.contains(&format!("name = \"{name}\"\n")),
            "{name} is in the tree"
        );
    }
}
