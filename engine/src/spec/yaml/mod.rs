//! YAML 1.2 as a tree in which every key and value knows its place.
//!
//! Built from the events of granit-parser (the parser beneath serde-saphyr): events keep the style of a scalar and
//! the bytes it comes from, and building goes on after a duplicate key, so that all complaints appear at once.

mod builder;
mod syntax;

use std::sync::Arc;

use serde_json::{Number, Value};

use super::Mark;

pub use builder::parse;

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub mark: Mark,
    /// What it is.
    pub value: NodeValue,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeValue {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(Arc<str>),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Where the key stands.
    pub key_mark: Mark,
    /// The value.
    pub value: Node,
}

impl Entry {
    /// Whether it may be the rest of a text that had a comma: it has blanks and no value, as `b from t` in
    /// `{sql: select a, b from t}`.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.value.value, NodeValue::Null) && self.key.contains(char::is_whitespace)
    }
}

impl Node {
    /// What it is, as messages say it.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Null => "nothing",
            NodeValue::Bool(_) => "true or false",
            NodeValue::Number(number) if number.is_f64() => "a number",
            NodeValue::Number(_) => "a whole number",
            NodeValue::Text(_) => "text",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a map",
        }
    }

    /// How what is wanted is written, for somebody who wrote this instead.
    pub fn hint(&self, wanted: &str) -> Option<&'static str> {
        let is_number = |text: &&str| text.trim().parse::<f64>().is_ok();
        Some(match &self.value {
            NodeValue::Null => {
                "a value is missing behind the colon: write one, or leave the line out"
            }
            NodeValue::Number(_) | NodeValue::Bool(_) if wanted.contains("text") => {
                "put it in quotes if it is text"
            }
            _ if wanted.contains("a list") => "a list is `[a, b]`, or lines that begin with `- `",
            _ if wanted.contains("a map") => {
                "a map is `{key: value}`, or lines `key: value`, indented below"
            }
            _ if wanted.contains("a duration") => "such as 30s, 15m, 2h or 7d",
            _ if wanted.contains("a size") => "such as 512MiB or 2GB",
            NodeValue::Text(_) if wanted == "true or false" => {
                "YAML 1.2 knows `true` and `false` only"
            }
            NodeValue::Text(text) if wanted.contains("number") && is_number(&&**text) => {
                "without quotes it is a number"
            }
            _ => return None,
        })
    }

    /// Its text, when it is text.
    pub fn text(&self) -> Option<&Arc<str>> {
        match &self.value {
            NodeValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a key, when it is a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            NodeValue::Map(entries) => entries
                .iter()
                .find(|entry| &*entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The value without its places.
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(value) => Value::Bool(*value),
            NodeValue::Number(number) => Value::Number(number.clone()),
            NodeValue::Text(text) => Value::String(text.to_string()),
            NodeValue::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            NodeValue::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.to_string(), entry.value.to_json()))
                    .collect(),
            ),
        }
    }
}
