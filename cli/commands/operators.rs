//! `pipectl operators [KIND[: NAME]]`: what there is, what it takes, what it puts out.

use pipectl_engine::{
    operator::{DynOperator, Kind, Outputs, Registry, Takes, ValueType},
    plan::sample_settings,
};
use pipectl_operators::example;
use serde_json::{Value, json};

use crate::{
    arguments::{self, Format},
    exit::{Exit, Problem},
    output::{BOLD, DIM, Output, Painter},
    project::{Context, registry},
    table::{Table, wrapped},
};

pub(crate) fn run(context: &Context, arguments: &arguments::Operators) -> anyhow::Result<Exit> {
    let registry = registry();
    let wanted = arguments.operator.join(" ").replace(':', " ");
    let words: Vec<&str> = wanted.split_whitespace().collect();
    let found = select(&registry, &words)?;
    let output = &context.output;
    match (arguments.format, found.as_slice()) {
        (Format::Json, [one]) if !words.is_empty() => output.json(&document(*one)),
        (Format::Json, all) => {
            let all: Vec<Value> = all.iter().map(|one| document(*one)).collect();
            output.json(&json!({"operators": all}));
        }
        (Format::Text, [one]) if !words.is_empty() => page(output, *one),
        (Format::Text, all) => list(output, all),
    }
    Ok(Exit::Done)
}

fn select(registry: &Registry, words: &[&str]) -> Result<Vec<&'static dyn DynOperator>, Problem> {
    let all = registry.iter().chain(registry.found());
    let found: Vec<_> = match words {
        [] => all.collect(),
        [word] => all
            .filter(|one| one.name() == *word || one.kind().name() == *word)
            .collect(),
        [kind, name] => kind
            .parse::<Kind>()
            .ok()
            .and_then(|kind| registry.get(kind, name))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    };
    if found.is_empty() {
        let names = registry
            .iter()
            .flat_map(|one| [one.name(), one.kind().name()]);
        let last = words.last().copied().unwrap_or_default();
        let similar = pipectl_engine::spec::suggest::similar(last, names)
            .map(|name| format!("did you mean `{name}`? "))
            .unwrap_or_default();
        return Err(
            Problem::usage(format!("there is no operator `{}`", words.join(": ")))
                .hint(format!("{similar}`pipectl operators` lists them all")),
        );
    }
    Ok(found)
}

fn list(output: &Output, operators: &[&'static dyn DynOperator]) {
    let mut table = Table::new(["Operator", "What it does"]);
    for one in operators {
        table.row([
            format!("{}: {}", one.kind(), one.name()).into(),
            one.summary().into(),
        ]);
    }
    output.print(table.render(output.out));
}

fn page(output: &Output, one: &'static dyn DynOperator) {
    let painter = output.out;
    let title = format!("{}: {}", one.kind(), one.name());
    output.line(painter.paint(BOLD, title));
    output.line(one.summary());
    output.line(format_args!("Reads {}.", takes(one.takes())));
    let schema = one.schema();
    if let Some(text) = schema.get("description").and_then(Value::as_str) {
        output.line("");
        output.line(text);
    }
    output.line("");
    let settings = settings(schema.as_value());
    if settings.is_empty() {
        output.line("It has no settings.");
    } else {
        output.line(painter.paint(BOLD, "Settings"));
        for setting in &settings {
            output.print(setting.told(painter));
        }
    }
    output.line("");
    put_out(output, &outputs(one));
    if let Some(example) = example(one.kind(), one.name()) {
        output.line("");
        output.line(painter.paint(BOLD, "Example"));
        output.print(example);
    }
}

fn takes(takes: Takes) -> String {
    match takes {
        Takes::Nothing => "no dataset".to_owned(),
        Takes::One => "one dataset, by `from:`".to_owned(),
        Takes::Optional => "one dataset or none, by `from:`".to_owned(),
        Takes::Many => "one or more datasets, by `from:`".to_owned(),
        Takes::Any => "any number of datasets, by `from:`".to_owned(),
        Takes::Named(names) => format!("the datasets {}, by `from:`", names.join(" and ")),
        Takes::NamedAnd { needed, optional } => format!(
            "the datasets {} and perhaps {}, by `from:`",
            needed.join(" and "),
            optional.join(" and ")
        ),
    }
}

/// What it puts out with settings as somebody might write them.
fn outputs(one: &'static dyn DynOperator) -> Outputs {
    let config = one.parse(&sample_settings(&one.schema()));
    config
        .map(|config| one.outputs(&config))
        .unwrap_or_default()
}

fn put_out(output: &Output, outputs: &Outputs) {
    let mut table = Table::new(["Output", "Type", "What it is"]);
    for (index, dataset) in outputs.datasets.iter().enumerate() {
        let read = match index {
            0 => "the main dataset, read by `from: TASK`".to_owned(),
            _ => format!("read by `from: TASK.{}`", dataset.name),
        };
        table.row([dataset.name.as_str().into(), "dataset".into(), read.into()]);
    }
    for value in &outputs.values {
        table.row([
            value.name.as_str().into(),
            type_of_value(value.of).into(),
            value.description.into(),
        ]);
    }
    if outputs.open {
        let what = "datasets and values as the task names them; any name may be read";
        table.row(["…".into(), "".into(), what.into()]);
    }
    if outputs.datasets.is_empty() && outputs.values.is_empty() && !outputs.open {
        output.line("It puts nothing out.");
        return;
    }
    output.print(table.render(output.out));
    if let Some(value) = outputs.values.first() {
        output.line(output.out.paint(
            DIM,
            format_args!("A value is read by `${{{{ tasks.TASK.{} }}}}`.", value.name),
        ));
    }
}

fn type_of_value(of: ValueType) -> &'static str {
    match of {
        ValueType::String => "text",
        ValueType::Integer => "whole number",
        ValueType::Number => "number",
        ValueType::Boolean => "boolean",
        ValueType::Any => "anything",
    }
}

fn document(one: &'static dyn DynOperator) -> Value {
    let outputs = outputs(one);
    let values: Vec<Value> = outputs
        .values
        .iter()
        .map(|value| {
            json!({
                "name": value.name,
                "type": type_of_value(value.of),
                "description": value.description,
            })
        })
        .collect();
    let datasets: Vec<&str> = outputs.datasets.iter().map(|one| &*one.name).collect();
    json!({
        "kind": one.kind(),
        "name": one.name(),
        "summary": one.summary(),
        "takes": takes(one.takes()),
        "schema": one.schema(),
        "outputs": {"datasets": datasets, "values": values, "open": outputs.open},
        "example": example(one.kind(), one.name()),
    })
}

struct Setting {
    name: String,
    of: String,
    default: String,
    required: bool,
    description: String,
}

/// What lines of a page are wrapped at.
const COLUMNS: usize = 100;

impl Setting {
    /// Its lines: the name, its type and default, and below them what it is.
    fn told(&self, painter: Painter) -> String {
        let default = match (self.required, self.default.as_str()) {
            (true, _) => ", required".to_owned(),
            (false, "") => String::new(),
            (false, default) => format!(", by default {default}"),
        };
        let of = wrapped(
            &format!("{}{default}", self.of),
            COLUMNS - self.name.len() - 4,
        );
        let of: Vec<String> = of.iter().map(|line| painter.paint(DIM, line)).collect();
        let under = format!("\n{}", " ".repeat(self.name.len() + 4));
        let name = painter.paint(BOLD, &self.name);
        let mut text = format!("  {name}  {}\n", of.join(&under));
        for line in wrapped(&self.description, COLUMNS - 6) {
            text.extend(["      ", &line, "\n"]);
        }
        text
    }
}

/// The settings that a JSON Schema describes, in its order; those within one follow it as `rejects.limit`.
fn settings(schema: &Value) -> Vec<Setting> {
    let mut found = Vec::new();
    settings_of(schema, schema, "", &mut found);
    found
}

/// How deep settings within others are shown.
const DEPTH: usize = 2;

fn settings_of(root: &Value, schema: &Value, above: &str, found: &mut Vec<Setting>) {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = match above {
            "" => name.clone(),
            above => format!("{above}.{name}"),
        };
        found.push(Setting {
            of: type_of(root, property, 0),
            default: match &property["default"] {
                Value::Null => String::new(),
                value => value.to_string(),
            },
            required: required.contains(&name.rsplit('.').next().unwrap_or(&name)),
            description: first_sentence(description(root, property)),
            name: name.clone(),
        });
        if name.matches('.').count() + 1 < DEPTH
            && let Some((form, inner)) = within(root, property)
        {
            settings_of(root, inner, &format!("{name}{form}"), found);
        }
    }
}

/// The map of settings that a property is, or may be, itself or for each of its parts; and how those are written: `[]` for
/// an element of a list, `<name>` for what a map has under any name.
fn within<'a>(root: &'a Value, property: &'a Value) -> Option<(&'static str, &'a Value)> {
    let forms = choices(root, property).flat_map(|choice| {
        let parts = [("[]", "items"), (".<name>", "additionalProperties")];
        let parts = parts.into_iter().flat_map(move |(form, key)| {
            let maps = choices(root, &choice[key]);
            maps.map(move |map| (form, map))
        });
        std::iter::once(("", choice)).chain(parts)
    });
    let mut maps = forms.filter(|(_, map)| map["properties"].is_object());
    maps.next().filter(|_| maps.next().is_none())
}

/// What a property may be.
fn choices<'a>(root: &'a Value, property: &'a Value) -> impl Iterator<Item = &'a Value> {
    let choices = property["anyOf"].as_array().into_iter().flatten();
    let all = std::iter::once(property).chain(choices);
    all.map(|choice| resolve(root, choice))
}

fn description<'a>(root: &'a Value, property: &'a Value) -> &'a str {
    property["description"]
        .as_str()
        .or_else(|| resolve(root, property)["description"].as_str())
        .unwrap_or_default()
}

/// What a `$ref` points to.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    schema["$ref"]
        .as_str()
        .and_then(|path| root.pointer(path.trim_start_matches('#')))
        .unwrap_or(schema)
}

/// The type in words: `text`, `list of text`, `one of a, b`.
fn type_of(root: &Value, schema: &Value, depth: u32) -> String {
    let schema = resolve(root, schema);
    if depth > 3 {
        return "…".to_owned();
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<String> = choices
            .iter()
            .filter(|choice| !choice.is_null())
            .map(plain)
            .collect();
        return choices.join(" | ");
    }
    if let Some(constant) = schema.get("const") {
        return plain(constant);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            let mut words: Vec<String> = choices
                .iter()
                .filter(|choice| choice["type"] != "null")
                .map(|choice| type_of(root, choice, depth + 1))
                .collect();
            words.dedup();
            return words.join(" | ");
        }
    }
    let one = |name: &str| match name {
        "string" => match schema["format"].as_str() {
            Some(format) if !format.contains("int") => format.to_owned(),
            _ => "text".to_owned(),
        },
        "integer" => "whole number".to_owned(),
        "array" => format!("list of {}", type_of(root, &schema["items"], depth + 1)),
        "object" => match &schema["additionalProperties"] {
            of @ Value::Object(_) => format!("map to {}", type_of(root, of, depth + 1)),
            _ => "map".to_owned(),
        },
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => one(name),
        Value::Array(names) => {
            let names: Vec<String> = names
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| *name != "null")
                .map(one)
                .collect();
            names.join(" | ")
        }
        _ => "anything".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn first_sentence(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_becomes_a_table() {
        let schema = json!({
            "required": ["path"],
            "properties": {
                "path": {"type": "string", "description": "The file.\n\nMore."},
                "mode": {"$ref": "#/$defs/Mode", "default": "append"},
                "key": {"type": ["array", "null"], "items": {"type": "string"}},
                "query": {"type": "string", "format": "sql"},
                "ranges": {"type": "object", "additionalProperties": {"type": "number"}},
                "maybe": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]},
                "rules": {"type": "array", "items": {"$ref": "#/$defs/Rule"}},
                "columns": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Rule"}},
                "rejects": {"anyOf": [{"$ref": "#/$defs/Rejects"}, {"type": "null"}]},
            },
            "$defs": {
                "Rule": {"type": "object", "properties": {"query": {"type": "string"}}},
                "Rejects": {
                    "type": "object",
                    "required": ["limit"],
                    "properties": {"limit": {"type": "integer", "description": "How many."}, "deep": {"$ref": "#/$defs/Rejects"}},
                },
                "Mode": {"description": "How.", "oneOf": [{"const": "append"}, {"const": "replace"}]}},
        });
        let found: Vec<String> = settings(&schema)
            .iter()
            .map(|s| {
                format!(
                    "{} {} {} {} {}",
                    s.name, s.of, s.default, s.required, s.description
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "path text  true The file.",
                "mode append | replace \"append\" false How.",
                "key list of text  false ",
                "query sql  false ",
                "ranges map to number  false ",
                "maybe append | replace  false ",
                "rules list of map  false ",
                "rules[].query text  false ",
                "columns map to map  false ",
                "columns.<name>.query text  false ",
                "rejects map  false ",
                "rejects.limit whole number  true How many.",
                "rejects.deep map  false ",
            ]
        );
    }
}
