//! `tests:`: what is given and what is expected.

use std::{collections::BTreeMap, sync::Arc};

use indexmap::IndexMap;
use petgraph::graph::NodeIndex;
use serde_json::{Map, Value};

use super::Compiler;
use crate::{
    operator::Outputs,
    plan::{Expectation, Given, GivenData, TaskIndex, TestCase},
    spec::{
        codes,
        file::{Placed, TestFile},
        parse::Reader,
        suggest,
        yaml::{Entry, Node, NodeValue},
    },
    state::TaskState,
};

const STATES: &[(&str, TaskState)] = &[
    ("success", TaskState::Success),
    ("failed", TaskState::Failed),
    ("skipped", TaskState::Skipped),
    ("upstream_failed", TaskState::UpstreamFailed),
];

impl Compiler<'_> {
    /// The tests, of which every task must exist.
    pub(super) fn check_tests(&mut self) -> IndexMap<String, TestCase> {
        let file = self.file;
        file.tests
            .iter()
            .map(|test| (test.name.value.to_string(), self.test(test)))
            .collect()
    }

    fn test(&mut self, test: &TestFile) -> TestCase {
        let mut case = TestCase {
            params: self.test_params(test),
            given: IndexMap::new(),
            expect: IndexMap::new(),
            place: self.file.source.place(test.name.mark),
        };
        for (name, node) in &test.given {
            if let Some(task) = self.test_task(name) {
                let given = self.given(node, task);
                case.given.insert(NodeIndex::new(task), given);
            }
        }
        for (name, node) in &test.expect {
            if let Some(task) = self.test_task(name) {
                let index: TaskIndex = NodeIndex::new(task);
                if case.given.contains_key(&index) {
                    self.found.error(
                        codes::TEST,
                        name.mark,
                        format!("`{}` is given, so nothing can be expected", name.value),
                    );
                }
                let expectation = self.expectation(node);
                case.expect.insert(index, expectation);
            }
        }
        if test.expect.is_empty() {
            self.found
                .error(
                    codes::TEST,
                    test.name.mark,
                    format!("the test `{}` expects nothing", test.name.value),
                )
                .hint("`expect: {<task>: {rows: 2}}`");
        }
        case
    }

    fn test_params(&mut self, test: &TestFile) -> Map<String, Value> {
        let file = self.file;
        let mut params = Map::new();
        for (name, node) in &test.params {
            let value = node.to_json();
            match file
                .params
                .iter()
                .find(|(known, _)| known.value == name.value)
            {
                None => {
                    let known = file.params.iter().map(|(name, _)| &*name.value);
                    let hint = suggest::hint(&name.value, known);
                    self.found
                        .error(
                            codes::UNKNOWN_PARAM,
                            name.mark,
                            format!("there is no parameter `{}`", name.value),
                        )
                        .hint(hint);
                }
                Some((_, spec)) if !spec.of.accepts(&value) => {
                    let message = format!("this must be {}, not {}", spec.of.phrase(), node.kind());
                    self.found.error(codes::WRONG_TYPE, node.mark, message);
                }
                Some(_) => {}
            }
            params.insert(name.value.to_string(), value);
        }
        params
    }

    fn test_task(&mut self, name: &Placed<Arc<str>>) -> Option<usize> {
        self.names.look_up(&name.value, name.mark, &mut self.found)
    }

    /// `{csv: path}`, `{rows: […]}`, `{datasets: {train: {…}}, values: {…}}`.
    fn given(&mut self, node: &Node, task: usize) -> Given {
        let known: Option<Vec<String>> = self.drafts[task]
            .datasets()
            .map(|names| names.into_iter().map(ToOwned::to_owned).collect());
        let mut given = Given::default();
        let mut reader = Reader {
            found: &mut self.found,
        };
        let Some(section) = reader.section(
            node,
            "what is given",
            &["csv", "parquet", "json", "rows", "datasets", "values"],
        ) else {
            return given;
        };
        if let Some(data) = reader.data(section.entries(), node) {
            let main = known.as_ref().and_then(|names| names.first().cloned());
            given
                .datasets
                .insert(main.unwrap_or_else(|| Outputs::MAIN.to_owned()), data);
        }
        if let Some(Node {
            value: NodeValue::Map(entries),
            ..
        }) = section.get("datasets")
        {
            for entry in entries {
                if let Some(names) = known
                    .as_ref()
                    .filter(|names| !names.iter().any(|name| **name == *entry.key))
                {
                    reader
                        .found
                        .error(
                            codes::UNKNOWN_DATASET,
                            entry.key_mark,
                            format!("there is no dataset `{}`", entry.key),
                        )
                        .hint(suggest::hint(&entry.key, names.iter().map(String::as_str)));
                }
                if let Some(data) = reader.data_of(&entry.value) {
                    given.datasets.insert(entry.key.to_string(), data);
                }
            }
        }
        if let Some(Value::Object(values)) = section.get("values").map(Node::to_json) {
            given.values = values;
        }
        given
    }

    fn expectation(&mut self, node: &Node) -> Expectation {
        let mut reader = Reader {
            found: &mut self.found,
        };
        let mut expectation = Expectation::default();
        let keys = ["state", "rows", "equals", "columns", "values", "metrics"];
        let Some(section) = reader.section(node, "an expectation", &keys) else {
            return expectation;
        };
        expectation.state = section
            .get("state")
            .and_then(|node| reader.choice(node, STATES));
        expectation.rows = section
            .get("rows")
            .and_then(|node| reader.count(node, 0))
            .map(u64::from);
        expectation.equals = section.get("equals").and_then(|node| match &node.value {
            NodeValue::List(_) => reader.rows(node),
            _ => reader.data_of(node),
        });
        expectation.columns = section.get("columns").map(|node| {
            reader
                .texts(node)
                .into_iter()
                .map(|name| name.value.to_string())
                .collect()
        });
        if let Some(Value::Object(values)) = section.get("values").map(Node::to_json) {
            expectation.values = values;
        }
        if let Some(node) = section.get("metrics") {
            expectation.metrics = reader.bounds(node);
        }
        expectation
    }
}

impl Reader<'_> {
    fn data_of(&mut self, node: &Node) -> Option<GivenData> {
        let section = self.section(node, "a dataset", &["csv", "parquet", "json", "rows"])?;
        let data = self.data(section.entries(), node);
        if data.is_none() {
            self.found
                .error(codes::TEST, node.mark, "this says no data")
                .hint("`{csv: path}`, `{parquet: path}`, `{json: path}` or `{rows: […]}`");
        }
        data
    }

    fn data(&mut self, entries: &[Entry], whole: &Node) -> Option<GivenData> {
        let mut found = None;
        for entry in entries {
            let data = match &*entry.key {
                "csv" => self
                    .text(&entry.value)
                    .map(|text| GivenData::Csv(text.value.to_string())),
                "parquet" => self
                    .text(&entry.value)
                    .map(|text| GivenData::Parquet(text.value.to_string())),
                "json" => self
                    .text(&entry.value)
                    .map(|text| GivenData::Json(text.value.to_string())),
                "rows" => self.rows(&entry.value),
                _ => continue,
            };
            if found.is_some() {
                self.found
                    .error(codes::TEST, whole.mark, "the data is said twice");
            }
            found = data.or(found);
        }
        found
    }

    /// A list of maps.
    fn rows(&mut self, node: &Node) -> Option<GivenData> {
        let mut rows = Vec::new();
        for item in self.items(node) {
            let Value::Object(row) = item.to_json() else {
                self.wrong_type(item, "a row: a map of columns");
                return None;
            };
            rows.push(row);
        }
        Some(GivenData::Rows(rows))
    }

    /// `name: 0.8` or `name: [0.7, 0.9]`.
    fn bounds(&mut self, node: &Node) -> BTreeMap<String, (f64, f64)> {
        let mut bounds = BTreeMap::new();
        let Some(section) = self.map(node, "a map of measures") else {
            return bounds;
        };
        for entry in section.entries() {
            let numbers = match entry.value.to_json() {
                Value::Number(number) => number.as_f64().map(|value| (value, value)),
                Value::Array(pair) => match pair.as_slice() {
                    [low, high] => low.as_f64().zip(high.as_f64()),
                    _ => None,
                },
                _ => None,
            };
            match numbers {
                Some(numbers) => {
                    bounds.insert(entry.key.to_string(), numbers);
                }
                None => self.wrong_type(&entry.value, "a number, or a pair of bounds"),
            }
        }
        bounds
    }
}
