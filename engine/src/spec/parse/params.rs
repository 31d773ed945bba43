//! `params:`.

use std::sync::Arc;

use serde_json::Value;

use super::{
    super::{
        codes,
        file::Placed,
        words::{ParamSpec, ParamType, type_name},
        yaml::{Entry, Node, NodeValue},
    },
    Reader,
};

const KEYS: &[&str] = &["type", "default", "description", "choices"];
const TYPES: &[(&str, ParamType)] = &[
    ("string", ParamType::String),
    ("integer", ParamType::Integer),
    ("number", ParamType::Number),
    ("boolean", ParamType::Boolean),
    ("array", ParamType::Array),
    ("object", ParamType::Object),
];

impl Reader<'_> {
    /// The parameters of a pipeline.
    pub(super) fn params(&mut self, node: &Node) -> Vec<(Placed<Arc<str>>, ParamSpec)> {
        let Some(section) = self.map(node, "a map of parameters") else {
            return Vec::new();
        };
        section
            .entries()
            .iter()
            .filter_map(|entry| self.param(entry))
            .collect()
    }

    /// `name: {type, default, description, choices}`, or `name: default`.
    fn param(&mut self, entry: &Entry) -> Option<(Placed<Arc<str>>, ParamSpec)> {
        let name = self.name(&entry.key, entry.key_mark);
        let place = entry.key_mark.place(self.found.file());
        if !matches!(entry.value.value, NodeValue::Map(_) | NodeValue::Null) {
            let default = entry.value.to_json();
            let of = type_of(&default);
            let spec = ParamSpec {
                of,
                default: Some(default),
                description: None,
                choices: None,
                place,
            };
            return Some((name, spec));
        }
        let section = self.section(&entry.value, "a parameter", KEYS)?;
        // A default of `null` is a default: the parameter may be nothing.
        let default = section.entry("default").map(|entry| entry.value.to_json());
        let of = match section.get("type") {
            Some(node) => self.choice(node, TYPES)?,
            None => default.as_ref().map_or(ParamType::String, type_of),
        };
        let choices = section.get("choices").map(|node| {
            let items = self.items(node);
            items
                .iter()
                .map(|item| (item.to_json(), item))
                .collect::<Vec<_>>()
        });
        for (choice, node) in choices.iter().flatten() {
            self.fits(of, choice, node);
        }
        let choices: Option<Vec<Value>> =
            choices.map(|choices| choices.into_iter().map(|(choice, _)| choice).collect());
        let node = section.entry("default").map(|entry| &entry.value);
        if let (Some(default), Some(node)) = (&default, node)
            && !default.is_null()
            && self.fits(of, default, node)
            && choices
                .as_ref()
                .is_some_and(|choices| !choices.contains(default))
        {
            self.found.error(
                codes::PARAM,
                node.mark,
                "the default is not one of the choices",
            );
        }
        let description = section
            .get("description")
            .and_then(|node| self.text(node))
            .map(|text| text.value.to_string());
        Some((
            name,
            ParamSpec {
                of,
                default,
                description,
                choices,
                place,
            },
        ))
    }

    fn fits(&mut self, of: ParamType, value: &Value, node: &Node) -> bool {
        let fits = of.accepts(value);
        if !fits {
            self.found.error(
                codes::PARAM,
                node.mark,
                format!("this must be {}, not {}", of.phrase(), type_name(value)),
            );
        }
        fits
    }
}

fn type_of(value: &Value) -> ParamType {
    match value {
        Value::Bool(_) => ParamType::Boolean,
        Value::Number(number) if number.is_f64() => ParamType::Number,
        Value::Number(_) => ParamType::Integer,
        Value::Array(_) => ParamType::Array,
        Value::Object(_) => ParamType::Object,
        Value::Null | Value::String(_) => ParamType::String,
    }
}
