//! Walks settings along the operator's schema: all complaints, each with its place, and the template that remains.

mod interpolated;
mod scalar;

use serde_json::{Map, Value};

use super::{
    shape::{Shape, Shapes},
    wanted::Wanted,
};
use crate::{
    project::Project,
    spec::{
        Expression, Found, Mark, Scope, SourceFile, TemplateNode, codes, interpolation,
        parse::TASK_KEYS,
        suggest,
        yaml::{Entry, Node, NodeValue},
    },
};

/// What settings are called elsewhere.
const ELSEWHERE: &[(&str, &str)] = &[
    ("command", "script"),
    ("commands", "script"),
    ("bash_command", "script"),
    ("cmd", "script"),
    ("code", "script"),
    ("run", "script"),
    ("working_directory", "workdir"),
    ("cwd", "workdir"),
    ("filename", "path"),
    ("file", "path"),
    ("filepath", "path"),
    ("output", "path"),
    ("sep", "delimiter"),
    ("separator", "delimiter"),
    ("sql", "query"),
    ("conn_id", "connection"),
    ("database", "connection"),
    ("if_exists", "mode"),
    ("write_mode", "mode"),
    ("label", "target"),
];

/// The setting that is meant by one that is not known: it looks like it, or is called so elsewhere.
fn meant<'k>(word: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> Option<&'k str> {
    suggest::similar(word, known.clone()).or_else(|| {
        let of_ours = |name: &&str| ELSEWHERE.contains(&(word, *name));
        known.into_iter().find(of_ours)
    })
}

/// A setting with its expressions, and a sample of what it will be.
pub(super) struct Settled {
    pub(super) node: TemplateNode,
    pub(super) sample: Value,
}

impl Settled {
    fn literal(value: Value) -> Self {
        Self {
            node: TemplateNode::Literal(value.clone()),
            sample: value,
        }
    }
}

/// An expression that was found, to be checked when all outputs are known.
pub(super) struct Pending {
    pub(super) expression: Expression,
    pub(super) mark: Mark,
    pub(super) wanted: Option<Wanted>,
    /// Whether it is resolved for each row, which it sees as `item`.
    pub(super) by_row: bool,
}

/// What a walk has found.
pub(super) struct Notes {
    pub(super) found: Found,
    pub(super) pending: Vec<Pending>,
    /// Where samples stand for values that are known only when the task runs.
    pub(super) open: Vec<Vec<String>>,
    /// The settings that name models.
    pub(super) models: Vec<Vec<String>>,
    /// The connections that are named, as far as no expression names them.
    pub(super) connections: Vec<String>,
}

impl Notes {
    pub(super) fn new(found: Found) -> Self {
        Self {
            found,
            pending: Vec::new(),
            open: Vec::new(),
            models: Vec::new(),
            connections: Vec::new(),
        }
    }

    fn absorb(&mut self, other: Self) {
        self.found.absorb(other.found);
        self.pending.extend(other.pending);
        self.open.extend(other.open);
        self.models.extend(other.models);
        self.connections.extend(other.connections);
    }
}

/// A walk through the settings of one task.
pub(super) struct Walk<'a> {
    pub(super) shapes: &'a Shapes,
    pub(super) source: &'a SourceFile,
    pub(super) project: &'a Project,
    /// The defaults of parameters, as samples.
    pub(super) samples: &'a Scope,
    pub(super) notes: Notes,
    pub(super) path: Vec<String>,
    /// What is walked, as messages say it: `` `extract: csv` ``.
    pub(super) what: String,
    /// The settings that see rows.
    pub(super) by_row: &'static [&'static str],
}

impl Walk<'_> {
    /// Walks a value. `owner` is where a missing setting is missed.
    pub(super) fn settle(&mut self, shape: &Shape, node: &Node, owner: Mark) -> Settled {
        let shapes = self.shapes;
        let shape = shapes.follow(shape);
        if let NodeValue::Text(text) = &node.value
            && interpolation::has_expression(text)
        {
            return self.with_expressions(shape, node, text);
        }
        match (shape, &node.value) {
            (Shape::OneOf(branches), _) => self.one_of(shape, branches, node, owner),
            (Shape::Map { .. }, NodeValue::Map(entries)) => self.map(shape, entries, owner),
            (
                Shape::List {
                    items,
                    first,
                    length,
                },
                NodeValue::List(list),
            ) => {
                self.size(list.len(), *length, "items", node.mark);
                let settled = list.iter().enumerate().map(|(index, item)| {
                    let shape = first.get(index).unwrap_or(items);
                    (index, shape, item)
                });
                self.list(settled)
            }
            (Shape::Any, NodeValue::Map(entries)) => {
                let any = entries.iter().map(|entry| (&Shape::Any, entry)).collect();
                self.entries(any)
            }
            (Shape::Any, NodeValue::List(list)) => self.list(
                list.iter()
                    .enumerate()
                    .map(|(index, item)| (index, &Shape::Any, item)),
            ),
            _ => {
                self.scalar(shape, node);
                Settled::literal(node.to_json())
            }
        }
    }

    fn list<'s>(&mut self, items: impl Iterator<Item = (usize, &'s Shape, &'s Node)>) -> Settled {
        let mut nodes = Vec::new();
        let mut samples = Vec::new();
        for (index, shape, item) in items {
            self.path.push(index.to_string());
            let settled = self.settle(shape, item, item.mark);
            self.path.pop();
            nodes.push(settled.node);
            samples.push(settled.sample);
        }
        let literal = nodes
            .iter()
            .all(|node| matches!(node, TemplateNode::Literal(_)));
        let sample = Value::Array(samples);
        let node = if literal {
            TemplateNode::Literal(sample.clone())
        } else {
            TemplateNode::List(nodes)
        };
        Settled { node, sample }
    }

    fn map(&mut self, shape: &Shape, entries: &[Entry], owner: Mark) -> Settled {
        let Shape::Map {
            properties,
            required,
            others,
            least,
        } = shape
        else {
            return Settled::literal(Value::Null);
        };
        let mut known: Vec<(&Shape, &Entry)> = Vec::new();
        for entry in entries {
            match (properties.get(&entry.key), others) {
                (Some(shape), _) => known.push((shape, entry)),
                (None, Some(others)) => known.push((&**others, entry)),
                (None, None) => self.unknown(entry, properties.keys().map(|key| &**key)),
            }
        }
        for key in required {
            let present = entries.iter().any(|entry| entry.key == *key);
            let misspelt = others.is_none()
                && entries.iter().any(|entry| {
                    !properties.contains_key(&entry.key) && meant(&entry.key, [&**key]).is_some()
                });
            if !present && !misspelt {
                let what = self.place_name();
                self.notes.found.error(
                    codes::MISSING_SETTING,
                    owner,
                    format!("{what} needs the setting `{key}`"),
                );
            }
        }
        self.size(entries.len(), [Some(*least), None], "entries", owner);
        self.entries(known)
    }

    fn entries(&mut self, entries: Vec<(&Shape, &Entry)>) -> Settled {
        let mut nodes = Vec::new();
        let mut sample = Map::new();
        for (shape, entry) in entries {
            self.path.push(entry.key.to_string());
            let settled = self.settle(shape, &entry.value, entry.key_mark);
            self.path.pop();
            nodes.push((entry.key.to_string(), settled.node));
            sample.insert(entry.key.to_string(), settled.sample);
        }
        let literal = nodes
            .iter()
            .all(|(_, node)| matches!(node, TemplateNode::Literal(_)));
        let sample = Value::Object(sample);
        let node = if literal {
            TemplateNode::Literal(sample.clone())
        } else {
            TemplateNode::Map(nodes)
        };
        Settled { node, sample }
    }

    fn unknown<'k>(&mut self, entry: &Entry, known: impl Iterator<Item = &'k str>) {
        let known: Vec<&str> = known.collect();
        let hint = match meant(&entry.key, known.iter().copied()) {
            _ if entry.is_cut_off() => {
                "inside `{ }`, text with a comma must be in quotes".to_owned()
            }
            Some(meant) => format!("did you mean `{meant}`?"),
            None if self.path.is_empty() && TASK_KEYS.contains(&&*entry.key) => {
                format!("`{}` belongs to the task, beside `with:`", entry.key)
            }
            None => suggest::hint(&entry.key, known),
        };
        let what = self.place_name();
        self.notes
            .found
            .error(
                codes::UNKNOWN_SETTING,
                entry.key_mark,
                format!("{what} has no setting `{}`", entry.key),
            )
            .hint(hint);
    }

    /// What is walked here, as messages say it.
    fn place_name(&self) -> String {
        if self.path.is_empty() {
            self.what.clone()
        } else {
            format!("`{}`", self.path.join("."))
        }
    }

    /// Tries every branch and keeps the one that fits best.
    fn one_of(&mut self, whole: &Shape, branches: &[Shape], node: &Node, owner: Mark) -> Settled {
        let shapes = self.shapes;
        let candidates: Vec<&Shape> = branches
            .iter()
            .map(|branch| shapes.follow(branch))
            .filter(|branch| fits_kind(branch, node))
            .collect();
        if candidates.is_empty() {
            self.wrong_type(whole, node);
            return Settled::literal(node.to_json());
        }
        if let Some(settled) = self.unknown_variant(&candidates, node) {
            return settled;
        }
        let mut best: Option<(Notes, Settled)> = None;
        for candidate in candidates {
            let scratch = Notes::new(self.notes.found.scratch());
            let before = std::mem::replace(&mut self.notes, scratch);
            let settled = self.settle(candidate, node, owner);
            let notes = std::mem::replace(&mut self.notes, before);
            let perfect = notes.found.is_empty();
            if best
                .as_ref()
                .is_none_or(|(best, _)| notes.found.len() < best.found.len())
            {
                best = Some((notes, settled));
            }
            if perfect {
                break;
            }
        }
        match best {
            Some((notes, settled)) => {
                self.notes.absorb(notes);
                settled
            }
            None => Settled::literal(node.to_json()),
        }
    }

    /// A map with one key, where each branch is a map with one key of its own: the key is a choice.
    fn unknown_variant(&mut self, candidates: &[&Shape], node: &Node) -> Option<Settled> {
        let NodeValue::Map(entries) = &node.value else {
            return None;
        };
        let [entry] = entries.as_slice() else {
            return None;
        };
        let keys: Option<Vec<&str>> = candidates
            .iter()
            .map(|candidate| match candidate {
                Shape::Map {
                    required,
                    others: None,
                    properties,
                    ..
                } if properties.len() == 1 => required.first().map(|key| &**key),
                _ => None,
            })
            .collect();
        let keys = keys.filter(|keys| keys.len() > 1 && !keys.contains(&&*entry.key))?;
        self.notes
            .found
            .error(
                codes::NOT_A_CHOICE,
                entry.key_mark,
                format!("`{}` is not one of the choices", entry.key),
            )
            .hint(suggest::hint(&entry.key, keys));
        Some(Settled::literal(node.to_json()))
    }
}

/// Whether a value is of the kind that a branch wants.
fn fits_kind(shape: &Shape, node: &Node) -> bool {
    match (shape, &node.value) {
        (Shape::Any | Shape::Named(_) | Shape::OneOf(_), _)
        | (Shape::Null, NodeValue::Null)
        | (Shape::Boolean, NodeValue::Bool(_))
        | (Shape::Number { .. }, NodeValue::Number(_))
        | (Shape::Text { .. }, NodeValue::Text(_))
        | (Shape::List { .. }, NodeValue::List(_))
        | (Shape::Map { .. }, NodeValue::Map(_)) => true,
        (Shape::Choices(choices), _) => {
            let value = node.to_json();
            choices.contains(&value) || choices.iter().any(|choice| same_kind(choice, &value))
        }
        _ => false,
    }
}

fn same_kind(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}
