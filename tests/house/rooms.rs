//! Which room of the engine may look into which: only into those that stand below it.

use std::fs;

use super::{production, root, sources};

/// The engine's rooms from the top; rooms of one line may use each other.
const LAYERS: [&[&str]; 8] = [
    &["runner"],
    &["scheduler", "store"],
    &["plan"],
    &["operator"],
    &["project"],
    &["spec", "trigger"],
    &["preview"],
    &[
        "alert",
        "address",
        "artifact",
        "connection",
        "dataset",
        "env",
        "event",
        "failpoint",
        "failure",
        "id",
        "kind",
        "model",
        "random",
        "retention",
        "secret",
        "services",
        "size",
        "slot",
        "state",
        "time",
    ],
];

fn layer(room: &str) -> usize {
    let found = LAYERS.iter().position(|rooms| rooms.contains(&room));
    found.unwrap_or_else(|| panic!("the room `{room}` is not in the table of layers"))
}

/// The rooms that a source names after `crate::`, also within braces.
fn named(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("crate::") {
        let before = text[..start]
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start();
        if before.starts_with("//") {
            continue;
        }
        let rest = &text[start + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 1 => break,
                    '}' => depth -= 1,
                    ',' if depth == 1 => found.push(std::mem::take(&mut word)),
                    c if depth == 1 && !c.is_whitespace() => word.push(c),
                    _ => {}
                }
            }
            found.push(word);
        } else {
            found.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    found
        .into_iter()
        .map(|path| path.split("::").next().unwrap_or_default().to_owned())
        .filter(|room| !room.is_empty())
        .collect()
}

#[test]
fn no_room_looks_up() {
    let engine = root().join("engine/src");
    for path in sources(&engine) {
        let relative = path
            .strip_prefix(&engine)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let room = relative
            .split('/')
            .next()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        let is_testing = relative.contains("test") || relative.contains("conformance");
        if room == "lib" || is_testing {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for other in named(production(&text)) {
            assert!(
                layer(&other) >= layer(&room),
                "engine/src/{relative} looks up into `{other}`: {:?} stands above {:?}",
                LAYERS[layer(&other)],
                LAYERS[layer(&room)]
            );
        }
    }
}

#[test]
fn the_reader_of_use_lines_reads_braces() {
    assert_eq!(
        named("use crate::{a::{b, c}, d};\nlet x = crate::e::f;"),
        ["a", "d", "e"]
    );
}
