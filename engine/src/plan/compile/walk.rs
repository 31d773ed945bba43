//! Walks settings along the operator's schema: all complaints, each with its place, and the template that remains.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    expressions::{Wanted, compile},
    shape::{Shape, Shapes, plain},
    sql,
};
use crate::{
    operator::{ConnectionName, DurationText, ModelRef, Script, SqlText},
    project::Project,
    spec::{
        Expression, Found, Mark, Scope, SourceFile, TemplateNode, codes,
        interpolation::{self, Piece},
        parse::TASK_KEYS,
        suggest,
        yaml::{Entry, Node, NodeValue},
    },
    time::parse_duration,
};

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
}

/// What a walk has found.
pub(super) struct Notes {
    pub(super) found: Found,
    pub(super) pending: Vec<Pending>,
    /// Where samples stand for values that are known only when the task runs.
    pub(super) open: Vec<Vec<String>>,
    /// The settings that name models.
    pub(super) models: Vec<Vec<String>>,
}

impl Notes {
    pub(super) fn new(found: Found) -> Self {
        Self {
            found,
            pending: Vec::new(),
            open: Vec::new(),
            models: Vec::new(),
        }
    }

    fn absorb(&mut self, other: Self) {
        self.found.absorb(other.found);
        self.pending.extend(other.pending);
        self.open.extend(other.open);
        self.models.extend(other.models);
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
                    !properties.contains_key(&entry.key)
                        && suggest::similar(&entry.key, [&**key]).is_some()
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
        let hint = match suggest::similar(&entry.key, known.iter().copied()) {
            None if self.path.is_empty() && TASK_KEYS.contains(&&*entry.key) => {
                format!("`{}` belongs to the task, beside `with:`", entry.key)
            }
            _ => suggest::hint(&entry.key, known),
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

    fn wrong_type(&mut self, shape: &Shape, node: &Node) {
        let wanted = shape.phrase(self.shapes);
        let complaint = self.notes.found.error(
            codes::WRONG_TYPE,
            node.mark,
            format!("this must be {wanted}, not {}", node.kind()),
        );
        match (&node.value, shape) {
            (NodeValue::Number(_) | NodeValue::Bool(_), Shape::Text { .. }) => {
                complaint.hint("put it in quotes if it is text");
            }
            (NodeValue::Text(_), Shape::Boolean) => {
                complaint.hint("YAML 1.2 knows `true` and `false` only");
            }
            _ => {}
        }
    }

    fn scalar(&mut self, shape: &Shape, node: &Node) {
        match (shape, &node.value) {
            (Shape::Any | Shape::Named(_), _)
            | (Shape::Null, NodeValue::Null)
            | (Shape::Boolean, NodeValue::Bool(_)) => {}
            (Shape::Choices(choices), _) => self.choice(choices, node),
            (Shape::Number { whole, bounds }, NodeValue::Number(number)) => {
                if *whole && number.is_f64() {
                    self.wrong_type(shape, node);
                    return;
                }
                self.range(number.as_f64().unwrap_or_default(), bounds, node.mark);
            }
            (
                Shape::Text {
                    format,
                    length,
                    pattern,
                },
                NodeValue::Text(text),
            ) => {
                self.size(text.chars().count(), *length, "characters", node.mark);
                if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                    let message = format!("`{text}` does not look like `{pattern}`");
                    self.notes
                        .found
                        .error(codes::OUT_OF_RANGE, node.mark, message);
                }
                if let Some(format) = format {
                    self.format(format, text, node.mark);
                }
            }
            _ => self.wrong_type(shape, node),
        }
    }

    fn choice(&mut self, choices: &[Value], node: &Node) {
        let value = node.to_json();
        if choices.contains(&value) {
            return;
        }
        let words: Vec<String> = choices.iter().map(plain).collect();
        let text = plain(&value);
        self.notes
            .found
            .error(
                codes::NOT_A_CHOICE,
                node.mark,
                format!("`{text}` is not one of the choices"),
            )
            .hint(suggest::hint(&text, words.iter().map(String::as_str)));
    }

    fn range(&mut self, value: f64, bounds: &[Option<(f64, bool)>; 2], mark: Mark) {
        let [least, most] = bounds;
        let message = match (least, most) {
            (Some((bound, true)), _) if value <= *bound => {
                format!("this must be greater than {bound}, not {value}")
            }
            (Some((bound, false)), _) if value < *bound => {
                format!("this must be at least {bound}, not {value}")
            }
            (_, Some((bound, true))) if value >= *bound => {
                format!("this must be less than {bound}, not {value}")
            }
            (_, Some((bound, false))) if value > *bound => {
                format!("this must be at most {bound}, not {value}")
            }
            _ => return,
        };
        self.notes.found.error(codes::OUT_OF_RANGE, mark, message);
    }

    fn size(&mut self, size: usize, [least, most]: [Option<u64>; 2], of: &str, mark: Mark) {
        let size = size as u64;
        let message = match (least, most) {
            (Some(least), _) if size < least => {
                format!("this must have at least {least} {of}, not {size}")
            }
            (_, Some(most)) if size > most => {
                format!("this must have at most {most} {of}, not {size}")
            }
            _ => return,
        };
        self.notes.found.error(codes::OUT_OF_RANGE, mark, message);
    }

    fn format(&mut self, format: &str, text: &str, mark: Mark) {
        match format {
            DurationText::FORMAT => {
                if let Err(message) = parse_duration(text) {
                    self.notes.found.error(codes::DURATION, mark, message);
                }
            }
            ConnectionName::FORMAT if self.project.connections.get(text).is_none() => {
                let known = self
                    .project
                    .connections
                    .iter()
                    .map(|connection| connection.name.as_str());
                let hint = match suggest::similar(text, known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!(
                        "add it under `connections:` in pipectl.yaml, or set PIPECTL_CONNECTION_{}",
                        text.to_uppercase()
                    ),
                };
                let message = format!("there is no connection `{text}`");
                self.notes
                    .found
                    .error(codes::UNKNOWN_CONNECTION, mark, message)
                    .hint(hint);
            }
            ModelRef::FORMAT => self.notes.models.push(self.path.clone()),
            _ => {}
        }
    }

    /// Text with `${{ … }}` in it.
    fn with_expressions(&mut self, shape: &Shape, node: &Node, text: &Arc<str>) -> Settled {
        let format = self.text_format(shape);
        let unusable = || Settled::literal(shape.sample(self.shapes, 0));
        if format.as_deref() == Some(Script::FORMAT) {
            let mark = self.expression_mark(node.mark, 0);
            self.notes
                .found
                .error(
                    codes::EXPRESSION_IN_SCRIPT,
                    mark,
                    "an expression in a script: no value is pasted into code",
                )
                .hint("pass it by `env:`, and read the variable in the script");
            return unusable();
        }
        let pieces = match interpolation::split(text) {
            Ok(pieces) => pieces,
            Err(number) => {
                let mark = self.expression_mark(node.mark, number);
                self.notes
                    .found
                    .error(codes::EXPRESSION, mark, "this `${{` has no `}}`");
                return unusable();
            }
        };
        if format.as_deref() == Some(SqlText::FORMAT) {
            return self.sql(&pieces, node);
        }
        if format.as_deref() == Some(ModelRef::FORMAT) {
            self.notes.models.push(self.path.clone());
        }
        let whole = interpolation::split(text.trim())
            .ok()
            .filter(|pieces| pieces.len() == 1);
        if let Some([Piece::Expression(inside)]) = whole.as_deref() {
            return self.whole(shape, node, inside);
        }
        self.parts(shape, node, &pieces)
    }

    fn whole(&mut self, shape: &Shape, node: &Node, inside: &str) -> Settled {
        let mark = self.expression_mark(node.mark, 0);
        let wanted = Wanted::of(shape, self.shapes);
        let Some(expression) = compile(inside, mark, &mut self.notes.found) else {
            return Settled::literal(shape.sample(self.shapes, 0));
        };
        self.notes.pending.push(Pending {
            expression: expression.clone(),
            mark,
            wanted: Some(wanted),
        });
        let sample = self.sample(&expression, shape, mark);
        Settled {
            node: TemplateNode::Whole(expression),
            sample,
        }
    }

    /// A value for an expression: its own when it is the same in every run, else one that fits.
    fn sample(&mut self, expression: &Expression, shape: &Shape, mark: Mark) -> Value {
        let fixed = expression.paths().next().is_none();
        if fixed {
            match expression.evaluate(self.samples) {
                Ok(value) => {
                    let node = node_of(&value, mark);
                    self.settle(shape, &node, mark);
                    return value;
                }
                Err(error) => {
                    self.notes
                        .found
                        .error(codes::EXPRESSION_FAILS, mark, error.message);
                    return shape.sample(self.shapes, 0);
                }
            }
        }
        self.notes.open.push(self.path.clone());
        let by_default = expression
            .paths()
            .all(|path| path.starts_with("params."))
            .then(|| expression.evaluate(self.samples).ok())
            .flatten();
        if let Some(value) = by_default {
            let scratch = Notes::new(self.notes.found.scratch());
            let before = std::mem::replace(&mut self.notes, scratch);
            let node = node_of(&value, mark);
            self.settle(shape, &node, mark);
            let notes = std::mem::replace(&mut self.notes, before);
            if notes.found.is_empty() {
                return value;
            }
        }
        shape.sample(self.shapes, 0)
    }

    fn parts(&mut self, shape: &Shape, node: &Node, pieces: &[Piece<'_>]) -> Settled {
        const TEXT: Shape = Shape::Text {
            format: None,
            length: [None, None],
            pattern: None,
        };
        let takes_text = Wanted::of(shape, self.shapes).takes_text();
        if !takes_text {
            let wanted = shape.phrase(self.shapes);
            self.notes
                .found
                .error(
                    codes::EXPRESSION_TYPE,
                    node.mark,
                    format!("this must be {wanted}, but it is text"),
                )
                .hint("an expression keeps its type only when it is the whole value");
        }
        let mut parts: Vec<(String, Option<Expression>)> = Vec::new();
        let mut sample = String::new();
        let mut number = 0;
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    sample.push_str(text);
                    parts.push(((*text).to_owned(), None));
                }
                Piece::Expression(inside) => {
                    let mark = self.expression_mark(node.mark, number);
                    number += 1;
                    let Some(expression) = compile(inside, mark, &mut self.notes.found) else {
                        continue;
                    };
                    self.notes.pending.push(Pending {
                        expression: expression.clone(),
                        mark,
                        wanted: None,
                    });
                    sample.push_str(&plain(&self.sample(&expression, &Shape::Any, mark)));
                    match parts.last_mut() {
                        Some((_, slot @ None)) => *slot = Some(expression),
                        _ => parts.push((String::new(), Some(expression))),
                    }
                }
            }
        }
        self.notes.open.push(self.path.clone());
        let fits =
            matches!(self.shapes.follow(shape), Shape::Text { .. } | Shape::Any) || takes_text;
        let sample = if fits {
            Value::String(sample)
        } else {
            TEXT.sample(self.shapes, 0)
        };
        Settled {
            node: TemplateNode::Parts(parts),
            sample,
        }
    }

    fn sql(&mut self, pieces: &[Piece<'_>], node: &Node) -> Settled {
        let mut values = Vec::new();
        let mut number = 0;
        let statement = sql::placeholders(pieces, |place| {
            let mark = self.expression_mark(node.mark, number);
            number += 1;
            if let Some((message, hint)) = place.wrong() {
                self.notes
                    .found
                    .error(codes::EXPRESSION_IN_SQL, mark, message)
                    .hint(hint);
            }
            if let Some(expression) = compile(place.inside, mark, &mut self.notes.found) {
                self.notes.pending.push(Pending {
                    expression: expression.clone(),
                    mark,
                    wanted: None,
                });
                values.push(expression);
            }
        });
        self.notes.open.push(self.path.clone());
        let sample =
            serde_json::json!({"sql": statement, "values": vec![Value::Null; values.len()]});
        Settled {
            node: TemplateNode::Sql {
                sql: statement,
                values,
            },
            sample,
        }
    }

    /// The format of a shape that is text, or may be.
    fn text_format(&self, shape: &Shape) -> Option<Arc<str>> {
        match self.shapes.follow(shape) {
            Shape::Text { format, .. } => format.clone(),
            Shape::OneOf(branches) => branches.iter().find_map(|branch| self.text_format(branch)),
            _ => None,
        }
    }

    /// Where the expression with this number stands within a value.
    fn expression_mark(&self, value: Mark, number: usize) -> Mark {
        let text = self.source.slice(value.start, value.end);
        let Some((offset, _)) = text.match_indices("${{").nth(number) else {
            return value;
        };
        let behind = text.get(offset..).unwrap_or_default();
        let length = behind.find("}}").map_or(3, |end| end + 2);
        let at = |bytes: usize| value.start + u32::try_from(bytes).unwrap_or_default();
        self.source
            .mark_within(value, at(offset), at(offset + length))
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

/// A value as a node that stands at one place.
fn node_of(value: &Value, mark: Mark) -> Node {
    let value = match value {
        Value::Null => NodeValue::Null,
        Value::Bool(value) => NodeValue::Bool(*value),
        Value::Number(number) => NodeValue::Number(number.clone()),
        // A value is no template: what looks like an expression in it stays text.
        Value::String(text) => NodeValue::Text(text.replace("${{", "$ {{").into()),
        Value::Array(items) => {
            NodeValue::List(items.iter().map(|item| node_of(item, mark)).collect())
        }
        Value::Object(map) => NodeValue::Map(
            map.iter()
                .map(|(key, value)| Entry {
                    key: key.as_str().into(),
                    key_mark: mark,
                    value: node_of(value, mark),
                })
                .collect(),
        ),
    };
    Node { mark, value }
}
