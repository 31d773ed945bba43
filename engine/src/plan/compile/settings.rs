//! Checks the settings under `with:`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Compiler, Draft,
    expressions::Mention,
    shape::{Shape, Shapes},
    walk::{Notes, Settled, Walk},
};
use crate::{
    operator::{Complaint, Complaints, DynOperator},
    spec::{
        Found, Mark, Scope, Template, TemplateNode, codes,
        file::{FromFile, Placed},
        yaml::{Entry, Node, NodeValue},
    },
};

impl Compiler<'_> {
    /// Walks the settings of every task whose operator is known.
    pub(super) fn check_settings(&mut self) {
        let samples = self.param_samples();
        for index in 0..self.drafts.len() {
            if let Some(operator) = self.drafts[index].operator {
                self.task_settings(index, operator, &samples);
            }
        }
    }

    /// The defaults of parameters: samples of what they will be.
    pub(super) fn param_samples(&self) -> Scope {
        let defaults: Map<String, Value> = self
            .file
            .params
            .iter()
            .filter_map(|(name, spec)| Some((name.value.to_string(), spec.default.clone()?)))
            .collect();
        let mut scope = Scope::default();
        scope.set("params", Value::Object(defaults));
        scope
    }

    fn shapes(&mut self, operator: &dyn DynOperator) -> Arc<Shapes> {
        let key = (operator.kind(), operator.name());
        self.shapes
            .entry(key)
            .or_insert_with(|| Arc::new(Shapes::of(&operator.schema())))
            .clone()
    }

    fn task_settings(&mut self, index: usize, operator: &'static dyn DynOperator, samples: &Scope) {
        let task = self.drafts[index].file;
        let shapes = self.shapes(operator);
        let empty;
        let (node, owner) = match &task.with {
            Some(Placed {
                value:
                    Node {
                        value: NodeValue::Null,
                        ..
                    },
                mark,
            }) => {
                empty = Node {
                    mark: *mark,
                    value: NodeValue::Map(Vec::new()),
                };
                (&empty, *mark)
            }
            Some(with) => (&with.value, with.mark),
            None => {
                empty = Node {
                    mark: task.operator.mark,
                    value: NodeValue::Map(Vec::new()),
                };
                (&empty, task.operator.mark)
            }
        };
        // In a repeated task `item` is its element.
        let has_rows = !task.from.is_empty() && task.foreach.is_none();
        let by_row = if has_rows {
            operator.row_settings()
        } else {
            &[]
        };
        let mut walk = Walk {
            shapes: &shapes,
            source: &self.file.source,
            project: self.project,
            samples,
            notes: Notes::new(self.found.scratch()),
            path: Vec::new(),
            what: format!("`{}: {}`", operator.kind(), operator.name()),
            by_row,
        };
        let settled = walk.settle(&shapes.root, node, owner);
        let notes = walk.notes;
        let mut open = notes.open.clone();
        let mut sample = settled.sample;
        let faulty = faulty(&notes.found, node);
        if let (Some(faulty), Some(sample)) = (&faulty, sample.as_object_mut()) {
            // The other settings can be looked at without it.
            open.extend(faulty.iter().map(|name| vec![(*name).to_owned()]));
            sample.retain(|name, _| !faulty.contains(&name.as_str()));
        }
        self.drafts[index].models.clone_from(&notes.models);
        let connections = &mut self.drafts[index].connections;
        connections.clone_from(&notes.connections);
        connections.sort();
        connections.dedup();
        self.take_notes(notes, Some(index), task.foreach.is_some());
        if let Some(faulty) = faulty {
            let asked = Asked {
                sample: &sample,
                open: &open,
                faulty: &faulty,
            };
            self.ask_operator(index, operator, &asked, (node, owner));
        }
        self.drafts[index].with = Template::new(settled.node);
    }

    /// Lets the operator itself look at the settings.
    fn ask_operator(
        &mut self,
        index: usize,
        operator: &'static dyn DynOperator,
        asked: &Asked<'_>,
        (node, owner): (&Node, Mark),
    ) {
        let config = match operator.parse(asked.sample) {
            Ok(config) => config,
            Err(error) => {
                if asked.open.is_empty() {
                    self.found.error(codes::SETTING, owner, error.to_string());
                }
                return;
            }
        };
        let mut complaints = Complaints::within(self.inputs(index), &self.project.connections);
        operator.check(&config, &mut complaints);
        for complaint in complaints.into_vec() {
            if !is_open(&complaint.path, asked.open) && !asked.is_of_faulty(&complaint) {
                self.complain(&complaint, node, owner);
            }
        }
        if asked.faulty.is_empty() {
            self.drafts[index].outputs = Some(operator.outputs(&config));
        }
    }

    /// The names under which a task reads its datasets; nothing when one of them comes from nowhere, which is complained
    /// about elsewhere.
    fn inputs(&self, index: usize) -> Option<Vec<String>> {
        let from = &self.drafts[index].file.from;
        let known = |input: &FromFile| {
            let mut sources = input.sources.iter();
            sources.all(|source| self.names.task(&source.task).index().is_some())
        };
        (!from.is_empty() && from.iter().all(known)).then(|| {
            let names = from.iter().filter_map(FromFile::called);
            names.map(ToString::to_string).collect()
        })
    }

    fn complain(&mut self, complaint: &Complaint, node: &Node, owner: Mark) {
        let mark = place_of(&complaint.path, node).unwrap_or(owner);
        let diagnostic = if complaint.warning {
            self.found
                .warning(codes::SETTING, mark, complaint.message.clone())
        } else {
            self.found
                .error(codes::SETTING, mark, complaint.message.clone())
        };
        diagnostic.hint.clone_from(&complaint.hint);
    }

    /// Takes over what a walk has found.
    pub(super) fn take_notes(&mut self, notes: Notes, task: Option<usize>, repeated: bool) {
        self.found.absorb(notes.found);
        self.mentions
            .extend(notes.pending.into_iter().map(|pending| Mention {
                expression: pending.expression,
                mark: pending.mark,
                task,
                wanted: pending.wanted,
                repeated: repeated || pending.by_row,
            }));
    }

    /// A value that is not an operator's: anything, with expressions.
    pub(super) fn free_value(&mut self, node: &Node, task: Option<usize>) -> TemplateNode {
        let samples = self.param_samples();
        let shapes = Shapes::of(&schemars::Schema::from(true));
        let mut walk = Walk {
            shapes: &shapes,
            source: &self.file.source,
            project: self.project,
            samples: &samples,
            notes: Notes::new(self.found.scratch()),
            path: Vec::new(),
            what: "this".to_owned(),
            by_row: &[],
        };
        let Settled { node: template, .. } = walk.settle(&Shape::Any, node, node.mark);
        let notes = walk.notes;
        self.take_notes(notes, task, false);
        template
    }
}

/// The settings that an operator is asked about.
struct Asked<'a> {
    sample: &'a Value,
    /// What is a sample of what the run will give, or left out.
    open: &'a [Vec<String>],
    /// The settings that are left out, for they are complained about already.
    faulty: &'a [&'a str],
}

impl Asked<'_> {
    /// Whether a complaint may come of what was left out.
    fn is_of_faulty(&self, complaint: &Complaint) -> bool {
        let of_all = complaint.path.is_empty() && !self.faulty.is_empty();
        let named = |name: &&str| {
            let name = format!("`{name}");
            let hint = complaint.hint.as_deref().unwrap_or_default();
            complaint.message.contains(&name) || hint.contains(&name)
        };
        of_all || self.faulty.iter().any(named)
    }
}

/// The settings that are complained about; `None` when not all complaints are about one of them.
fn faulty<'a>(found: &Found, node: &'a Node) -> Option<Vec<&'a str>> {
    let mut faulty = Vec::new();
    for complaint in found.iter() {
        let NodeValue::Map(entries) = &node.value else {
            return None;
        };
        let place = (complaint.place.line, complaint.place.column);
        let before = |entry: &&Entry| (entry.key_mark.line, entry.key_mark.column) <= place;
        let name = &*entries.iter().rev().find(before)?.key;
        if !faulty.contains(&name) {
            faulty.push(name);
        }
    }
    Some(faulty)
}

/// Whether a complaint is about a sample.
fn is_open(path: &[String], open: &[Vec<String>]) -> bool {
    open.iter()
        .any(|open| !path.is_empty() && (open.starts_with(path) || path.starts_with(open)))
}

/// Where a setting stands: its value when it is a scalar, else its key.
fn place_of(path: &[String], node: &Node) -> Option<Mark> {
    let mut node = node;
    let mut place = None;
    for part in path {
        match &node.value {
            NodeValue::Map(entries) => {
                let Some(entry) = entries.iter().find(|entry| *entry.key == **part) else {
                    break;
                };
                node = &entry.value;
                let whole = matches!(node.value, NodeValue::Map(_) | NodeValue::List(_));
                place = Some(if whole { entry.key_mark } else { node.mark });
            }
            NodeValue::List(items) => {
                let Some(item) = part
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                else {
                    break;
                };
                node = item;
                place = Some(node.mark);
            }
            _ => break,
        }
    }
    place
}

impl Draft<'_> {
    /// The datasets that it puts out, when these are known.
    pub(super) fn datasets(&self) -> Option<Vec<&str>> {
        Some(
            self.outputs
                .as_ref()
                .filter(|outputs| !outputs.open)?
                .datasets
                .iter()
                .map(|dataset| dataset.name.as_str())
                .collect(),
        )
    }
}
