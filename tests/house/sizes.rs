//! Files stay small: what passes 400 lines wants to be two.

use std::fs;

use super::{production, root, sources};

const LINES: usize = 400;

/// Files that have outgrown that and want to be two; they may shrink, not grow.
const GROWN: [(&str, usize); 1] = [("engine/src/runner/finish.rs", 470)];

#[test]
fn no_source_has_more_than_400_lines_of_production() {
    let rooms = [
        "cli",
        "engine/src",
        "connections/src",
        "store/src",
        "models/src",
        "operators/src",
        "daemon/src",
    ];
    for path in rooms.iter().flat_map(|room| sources(&root().join(room))) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = production(&text).lines().count();
        let grown = GROWN.iter().find(|(file, _)| path.ends_with(file));
        let limit = grown.map_or(LINES, |(_, limit)| *limit);
        assert!(
            lines <= limit || path.ends_with("tests.rs"),
            "{} has {lines} lines",
            path.display()
        );
    }
}
