//! Files stay small: what passes 400 lines wants to be two.

use std::fs;

use super::{production, root, sources};

const LINES: usize = 400;

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
        "server/src",
    ];
    for path in rooms.iter().flat_map(|room| sources(&root().join(room))) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = production(&text).lines().count();
        assert!(
            lines <= LINES || path.ends_with("tests.rs"),
            "{} has {lines} lines",
            path.display()
        );
    }
}
