//! What the documentation says is tested is tested: each test that it names is there.

use std::fs;

use super::{root, sources};

#[test]
fn every_test_that_the_promises_name_is_there() {
    let page = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let named: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() > 30, "{named:?}");
    let rooms = ["tests", "daemon", "engine", "store", "operators"];
    let sources: Vec<String> = rooms
        .iter()
        .flat_map(|room| sources(&root().join(room)))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let is_there = |name: &str| {
        let function = format!("fn {name}(");
        sources.iter().any(|source| source.contains(&function))
    };
    let missing: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(
        missing.is_empty(),
        "docs/promises.md names no tests: {missing:?}"
    );
}
