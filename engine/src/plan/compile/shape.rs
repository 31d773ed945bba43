//! An operator's JSON Schema in the form in which settings are walked: read once an operator.

use std::{collections::BTreeMap, sync::Arc};

use schemars::Schema;
use serde_json::{Map, Value};

/// What a setting may be.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// Anything.
    Any,
    /// Nothing.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number {
        /// Whether it must be whole.
        whole: bool,
        /// The least and greatest value; `true` when the bound itself is left out.
        bounds: [Option<(f64, bool)>; 2],
    },
    /// Text.
    Text {
        /// What it means, such as `sql`.
        format: Option<Arc<str>>,
        /// Its least and greatest length in characters.
        length: [Option<u64>; 2],
        /// What it must look like.
        pattern: Option<Arc<regex::Regex>>,
    },
    /// One of a few values.
    Choices(Vec<Value>),
    /// A list.
    List {
        /// What is in it.
        items: Box<Shape>,
        /// What its first items are, when they differ.
        first: Vec<Shape>,
        /// Its least and greatest length.
        length: [Option<u64>; 2],
    },
    /// A map.
    Map {
        /// Its known keys.
        properties: BTreeMap<Arc<str>, Shape>,
        /// Those that must be there.
        required: Vec<Arc<str>>,
        /// What other keys may hold; `None` when there may be none.
        others: Option<Box<Shape>>,
        /// The least number of keys.
        least: u64,
    },
    /// One of several shapes.
    OneOf(Vec<Shape>),
    /// A shape with a name.
    Named(Arc<str>),
}

/// The shape of an operator's settings, with the named shapes in it.
#[derive(Clone, Debug)]
pub(super) struct Shapes {
    /// The settings as a whole.
    pub(super) root: Shape,
    named: BTreeMap<Arc<str>, Shape>,
}

impl Shapes {
    /// Reads a schema.
    pub(super) fn of(schema: &Schema) -> Self {
        let value = schema.as_value();
        let named = ["$defs", "definitions"]
            .iter()
            .filter_map(|key| value.get(key)?.as_object())
            .flatten()
            .map(|(name, schema)| (Arc::from(name.as_str()), read(schema)))
            .collect();
        Self {
            root: read(value),
            named,
        }
    }

    /// Follows a name.
    pub(super) fn follow<'a>(&'a self, mut shape: &'a Shape) -> &'a Shape {
        for _ in 0..32 {
            match shape {
                Shape::Named(name) => match self.named.get(name) {
                    Some(named) => shape = named,
                    None => return &Shape::Any,
                },
                _ => return shape,
            }
        }
        &Shape::Any
    }
}

fn read(schema: &Value) -> Shape {
    let Some(schema) = schema.as_object() else {
        return Shape::Any;
    };
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return Shape::Named(name.rsplit('/').next().unwrap_or(name).into());
    }
    if let Some(value) = schema.get("const") {
        return Shape::Choices(vec![value.clone()]);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Shape::Choices(values.clone());
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(branches) = schema.get(key).and_then(Value::as_array) {
            return one_of(branches.iter().map(read).collect());
        }
    }
    if let Some([only]) = schema
        .get("allOf")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        return read(only);
    }
    match schema.get("type") {
        Some(Value::String(of)) => of_type(of, schema),
        Some(Value::Array(types)) => one_of(
            types
                .iter()
                .filter_map(Value::as_str)
                .map(|of| of_type(of, schema))
                .collect(),
        ),
        _ if schema.contains_key("properties") || schema.contains_key("additionalProperties") => {
            map(schema)
        }
        _ => Shape::Any,
    }
}

/// One of several shapes; lists of single choices become one list of choices.
fn one_of(branches: Vec<Shape>) -> Shape {
    let mut choices = Vec::new();
    let mut others = Vec::new();
    for branch in branches {
        match branch {
            Shape::Choices(values) => choices.extend(values),
            Shape::OneOf(branches) => others.extend(branches),
            other => others.push(other),
        }
    }
    if !choices.is_empty() {
        others.insert(0, Shape::Choices(choices));
    }
    match others.len() {
        1 => others.remove(0),
        _ => Shape::OneOf(others),
    }
}

fn of_type(of: &str, schema: &Map<String, Value>) -> Shape {
    match of {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "integer" | "number" => {
            let bound = |with: &str, without: &str| {
                let number = |key: &str| schema.get(key).and_then(Value::as_f64);
                number(without)
                    .map(|value| (value, true))
                    .or_else(|| number(with).map(|value| (value, false)))
            };
            Shape::Number {
                whole: of == "integer",
                bounds: [
                    bound("minimum", "exclusiveMinimum"),
                    bound("maximum", "exclusiveMaximum"),
                ],
            }
        }
        "string" => Shape::Text {
            format: schema.get("format").and_then(Value::as_str).map(Into::into),
            length: [count(schema, "minLength"), count(schema, "maxLength")],
            pattern: schema
                .get("pattern")
                .and_then(Value::as_str)
                .and_then(|pattern| regex::Regex::new(pattern).ok())
                .map(Arc::new),
        },
        "array" => Shape::List {
            items: Box::new(schema.get("items").map_or(Shape::Any, read)),
            first: schema
                .get("prefixItems")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(read)
                .collect(),
            length: [count(schema, "minItems"), count(schema, "maxItems")],
        },
        "object" => map(schema),
        _ => Shape::Any,
    }
}

fn map(schema: &Map<String, Value>) -> Shape {
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, schema)| (Arc::from(name.as_str()), read(schema)))
        .collect();
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect();
    let others = match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => None,
        Some(schema) => Some(Box::new(read(schema))),
        None => Some(Box::new(Shape::Any)),
    };
    Shape::Map {
        properties,
        required,
        others,
        least: count(schema, "minProperties").unwrap_or(0),
    }
}

fn count(schema: &Map<String, Value>, key: &str) -> Option<u64> {
    schema.get(key).and_then(Value::as_u64)
}

impl Shape {
    /// What it is, as messages say it.
    pub(super) fn phrase(&self, shapes: &Shapes) -> String {
        match shapes.follow(self) {
            Self::Any | Self::Named(_) => "a value".to_owned(),
            Self::Null => "nothing".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Number { whole: true, .. } => "a whole number".to_owned(),
            Self::Number { .. } => "a number".to_owned(),
            Self::Text { format, .. } => match format.as_deref() {
                Some("sql") => "SQL".to_owned(),
                Some("duration") => "a duration".to_owned(),
                Some("size") => "a size".to_owned(),
                _ => "text".to_owned(),
            },
            Self::Choices(values) => {
                let words: Vec<String> = values
                    .iter()
                    .map(|value| format!("`{}`", plain(value)))
                    .collect();
                match words.split_last() {
                    Some((last, rest)) if !rest.is_empty() => {
                        format!("{} or {last}", rest.join(", "))
                    }
                    _ => words.join(""),
                }
            }
            Self::List { .. } => "a list".to_owned(),
            Self::Map { .. } => "a map".to_owned(),
            Self::OneOf(branches) => {
                let mut words: Vec<String> = Vec::new();
                for branch in branches
                    .iter()
                    .filter(|branch| !matches!(branch, Self::Null))
                {
                    let word = branch.phrase(shapes);
                    if !words.contains(&word) {
                        words.push(word);
                    }
                }
                match words.split_last() {
                    Some((last, rest)) if !rest.is_empty() => {
                        format!("{} or {last}", rest.join(", "))
                    }
                    _ => words.join(""),
                }
            }
        }
    }

    /// A value of this shape, which stands for one that is known only when the task runs.
    pub(super) fn sample(&self, shapes: &Shapes, depth: u8) -> Value {
        match shapes.follow(self) {
            _ if depth > 8 => Value::Null,
            Self::Null => Value::Null,
            Self::Boolean => Value::Bool(true),
            Self::Number { whole, bounds } => number(*whole, bounds),
            Self::Text { format, length, .. } => match format.as_deref() {
                Some("sql") => Value::String("select 1".to_owned()),
                Some("duration") => Value::String("1s".to_owned()),
                Some("size") => Value::String("1B".to_owned()),
                Some("promotion") => Value::String("true".to_owned()),
                _ => {
                    let least = length[0].unwrap_or(1).clamp(1, 1_000);
                    Value::String("x".repeat(usize::try_from(least).unwrap_or(1)))
                }
            },
            Self::Choices(values) => values.first().cloned().unwrap_or(Value::Null),
            Self::List {
                items,
                first,
                length,
            } => {
                let mut list: Vec<Value> = first
                    .iter()
                    .map(|shape| shape.sample(shapes, depth + 1))
                    .collect();
                let least = usize::try_from(length[0].unwrap_or(1).min(100)).unwrap_or(1);
                while list.len() < least {
                    list.push(items.sample(shapes, depth + 1));
                }
                Value::Array(list)
            }
            Self::Map {
                properties,
                required,
                ..
            } => Value::Object(
                required
                    .iter()
                    .filter_map(|key| {
                        Some((
                            key.to_string(),
                            properties.get(key)?.sample(shapes, depth + 1),
                        ))
                    })
                    .collect(),
            ),
            Self::OneOf(branches) => branches
                .iter()
                .find(|branch| !matches!(branch, Self::Null))
                .map_or(Value::Null, |branch| branch.sample(shapes, depth + 1)),
            Self::Any | Self::Named(_) => Value::String("x".to_owned()),
        }
    }
}

/// Settings as somebody might write them: the schema's own example, or only what must be there.
pub fn sample_settings(schema: &Schema) -> Value {
    let examples = schema.get("examples").and_then(Value::as_array);
    examples
        .and_then(|examples| examples.first().cloned())
        .unwrap_or_else(|| {
            let shapes = Shapes::of(schema);
            shapes.root.sample(&shapes, 0)
        })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "bounds of samples are small"
)]
fn number(whole: bool, bounds: &[Option<(f64, bool)>; 2]) -> Value {
    let step = if whole { 1.0 } else { 1e-3 };
    let least = bounds[0].map(|(bound, open)| if open { bound + step } else { bound });
    let most = bounds[1].map(|(bound, open)| if open { bound - step } else { bound });
    let value = least
        .unwrap_or(1.0_f64.min(most.unwrap_or(1.0)))
        .max(least.unwrap_or(f64::MIN));
    if whole {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}

/// A value as messages show it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
