//! `tests:`.

use std::sync::Arc;

use super::{
    super::{
        file::{Placed, TestFile},
        yaml::Node,
    },
    Reader,
};

impl Reader<'_> {
    /// The tests of a pipeline.
    pub(super) fn tests(&mut self, node: &Node) -> Vec<TestFile> {
        let Some(section) = self.map(node, "a map of tests") else {
            return Vec::new();
        };
        section
            .entries()
            .iter()
            .filter_map(|entry| {
                let name = self.name(&entry.key, entry.key_mark);
                let test = self.section(&entry.value, "a test", &["params", "given", "expect"])?;
                Some(TestFile {
                    name,
                    params: self.named(test.get("params")),
                    given: self.named(test.get("given")),
                    expect: self.named(test.get("expect")),
                })
            })
            .collect()
    }

    fn named(&mut self, node: Option<&Node>) -> Vec<(Placed<Arc<str>>, Node)> {
        let Some(section) = node.and_then(|node| self.map(node, "a map")) else {
            return Vec::new();
        };
        section
            .entries()
            .iter()
            .map(|entry| {
                (
                    Placed {
                        value: entry.key.clone(),
                        mark: entry.key_mark,
                    },
                    entry.value.clone(),
                )
            })
            .collect()
    }
}
