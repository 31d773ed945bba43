//! `from:` in its three forms.

use super::{
    super::{
        codes,
        file::{DatasetRef, FromFile},
        yaml::{Node, NodeValue},
    },
    Reader,
    reader::is_name,
};

impl Reader<'_> {
    /// `a`, `[a, b.part]` or `{name: a, other: {first: [b, c]}}`.
    pub(super) fn inputs(&mut self, node: &Node) -> Vec<FromFile> {
        let NodeValue::Map(entries) = &node.value else {
            return self
                .items(node)
                .iter()
                .filter_map(|item| {
                    Some(FromFile {
                        name: None,
                        sources: vec![self.dataset(item)?],
                    })
                })
                .collect();
        };
        let mut inputs = Vec::new();
        for entry in entries {
            let name = self.name(&entry.key, entry.key_mark);
            let sources = match &entry.value.value {
                NodeValue::Map(_) => self.first(&entry.value),
                _ => self.dataset(&entry.value).into_iter().collect(),
            };
            if !sources.is_empty() {
                inputs.push(FromFile {
                    name: Some(name),
                    sources,
                });
            }
        }
        inputs
    }

    /// `{first: [a, b]}`: the one that ran.
    fn first(&mut self, node: &Node) -> Vec<DatasetRef> {
        let Some(section) = self.section(node, "an input", &["first"]) else {
            return Vec::new();
        };
        let Some(list) = section.get("first") else {
            return Vec::new();
        };
        self.items(list)
            .iter()
            .filter_map(|item| self.dataset(item))
            .collect()
    }

    /// `task` or `task.dataset`.
    pub(super) fn dataset(&mut self, node: &Node) -> Option<DatasetRef> {
        let text = self.text(node)?.value;
        let (task, dataset) = match text.split_once('.') {
            Some((task, dataset)) => (task, Some(dataset)),
            None => (&*text, None),
        };
        if !is_name(task) || dataset.is_some_and(|dataset| !is_name(dataset)) {
            self.found
                .error(codes::NAME, node.mark, format!("`{text}` names no dataset"))
                .hint("a dataset is `task` or `task.dataset`");
            return None;
        }
        Some(DatasetRef {
            task: task.into(),
            dataset: dataset.map(Into::into),
            mark: node.mark,
        })
    }
}
