//! The JSON Schema of a pipeline's file, for editors: written from the lists that the checker uses and from the
//! operators' own settings.

use serde_json::{Map, Value, json};

use crate::{
    kind::Kind,
    operator::{DynOperator, Registry},
    spec::words::{ParamType, TriggerRule},
};

/// The pattern of a value with an expression in it.
const EXPRESSION: &str = r"\$\{\{.*\}\}";

/// The schema of a pipeline, with the settings of every operator of `operators`.
pub fn pipeline_schema(operators: &Registry) -> Value {
    let mut definitions = common();
    let mut branches = Vec::new();
    for operator in operators.iter() {
        let key = format!("{}_{}", operator.kind(), operator.name());
        settings(operator, &key, &mut definitions);
        let (kind, name) = (operator.kind().name(), operator.name());
        branches.push(json!({
            "if": {"properties": {kind: {"const": name}}, "required": [kind]},
            "then": {"properties": {"with": {"$ref": format!("#/$defs/{key}")}}},
        }));
    }
    definitions.insert("task".to_owned(), task(operators, &branches));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A pipeline of pipectl",
        "type": "object",
        "required": ["name", "tasks"],
        "additionalProperties": false,
        "properties": top(),
        "$defs": definitions,
    })
}

fn top() -> Value {
    json!({
        "version": {"const": 1, "description": "The version of the dialect."},
        "name": {"$ref": "#/$defs/name", "description": "The pipeline's name: that of its file without `.yaml`."},
        "description": {"type": "string", "description": "What it is for."},
        "tags": {"type": "array", "items": {"type": "string"}, "description": "Words to find it by."},
        "schedule": {"$ref": "#/$defs/schedule", "description": "What starts it."},
        "params": {"type": "object", "additionalProperties": {"$ref": "#/$defs/param"}, "description": "Its parameters."},
        "defaults": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "retry": {"$ref": "#/$defs/retry"},
                "timeout": {"$ref": "#/$defs/duration"},
                "pool": {"$ref": "#/$defs/pool"},
                "priority": {"type": "integer"},
            },
            "description": "Settings of all tasks that do not say otherwise.",
        },
        "alerts": {"$ref": "#/$defs/alerts", "description": "Who gets mail, and when."},
        "deadline": {
            "$ref": "#/$defs/duration",
            "description": "How long after the interval's end, or its creation, a run may be unfinished.",
        },
        "max_active_runs": {"type": "integer", "minimum": 1, "description": "How many runs may be under way at once."},
        "history": {
            "type": "object",
            "additionalProperties": false,
            "minProperties": 1,
            "properties": {
                "keep": {"$ref": "#/$defs/duration", "description": "Runs that ended within this stretch stay."},
                "runs": {"type": "integer", "minimum": 1, "description": "So many of the newest runs stay."},
            },
            "description": "How long runs that are over are kept; a run goes when neither `keep` nor `runs` keeps it.",
        },
        "interval": {
            "description": "The interval of a pipeline that is started by others: a duration or a cron line.",
            "anyOf": [{"type": "string"}, {"type": "object"}],
        },
        "outputs": {"type": "object", "description": "What a parent run sees: values, or `{from: task}`."},
        "tasks": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"$ref": "#/$defs/name"},
            "additionalProperties": {"$ref": "#/$defs/task"},
            "description": "Its tasks.",
        },
        "tests": {"type": "object", "additionalProperties": {"$ref": "#/$defs/test"}, "description": "Its tests."},
    })
}

fn common() -> Map<String, Value> {
    let types = serde_json::to_value([
        ParamType::String,
        ParamType::Integer,
        ParamType::Number,
        ParamType::Boolean,
        ParamType::Array,
        ParamType::Object,
    ]);
    let data = json!({
        "csv": {"type": "string"}, "parquet": {"type": "string"}, "json": {"type": "string"},
        "rows": {"type": "array", "items": {"type": "object"}},
    });
    let definitions = json!({
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
        "names": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "duration": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"},
        "expression": {"type": "string", "pattern": EXPRESSION},
        "retry": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "limit": {"type": "integer", "minimum": 0, "description": "How many tries after the first."},
                "delay": {"$ref": "#/$defs/duration"},
                "backoff": {"enum": ["fixed", "exponential"]},
                "max_delay": {"$ref": "#/$defs/duration"},
            },
        },
        "pool": {"anyOf": [
            {"type": "string"},
            {"type": "object", "additionalProperties": false, "required": ["name"], "properties": {
                "name": {"type": "string"}, "slots": {"type": "integer", "minimum": 1},
            }},
        ]},
        "alerts": {"type": "array", "items": {
            "type": "object", "additionalProperties": false, "required": ["email"], "properties": {
                "when": {"type": "array", "items": {"enum": ["failure", "recovery", "warning", "deadline"]}},
                "email": {"$ref": "#/$defs/names"},
            },
        }},
        "schedule": {"type": "object", "additionalProperties": false, "properties": {
            "cron": {"$ref": "#/$defs/names"}, "timezone": {"type": "string"}, "every": {"$ref": "#/$defs/duration"},
            "after": {"$ref": "#/$defs/names"}, "match": {"enum": ["all", "any"]}, "sensor": {"$ref": "#/$defs/names"},
            "catchup": {"enum": ["none", "latest", "all"]}, "start": {"type": "string"}, "end": {"type": "string"},
            "overlap": {"enum": ["queue", "skip", "replace"]},
        }},
        "param": {"anyOf": [
            {"type": ["string", "number", "boolean", "array"]},
            {"type": "object", "additionalProperties": false, "properties": {
                "type": {"enum": types.unwrap_or_default()}, "default": true,
                "description": {"type": "string"}, "choices": {"type": "array"},
            }},
        ]},
        "test": {"type": "object", "additionalProperties": false, "required": ["expect"], "properties": {
            "params": {"type": "object"},
            "given": {"type": "object", "additionalProperties": {"type": "object", "properties": data}},
            "expect": {"type": "object", "additionalProperties": {
                "type": "object", "additionalProperties": false, "properties": {
                    "state": {"enum": ["success", "failed", "skipped", "upstream_failed"]},
                    "rows": {"type": "integer", "minimum": 0},
                    "equals": {"type": ["array", "object"]},
                    "columns": {"$ref": "#/$defs/names"},
                    "values": {"type": "object"}, "metrics": {"type": "object"},
                },
            }},
        }},
    });
    match definitions {
        Value::Object(definitions) => definitions,
        _ => Map::new(),
    }
}

fn task(operators: &Registry, branches: &[Value]) -> Value {
    let mut properties = Map::new();
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        let names: Vec<&str> = operators.of_kind(kind).map(DynOperator::name).collect();
        if !names.is_empty() {
            let lines: Vec<String> = operators
                .of_kind(kind)
                .map(|operator| format!("`{}`: {}", operator.name(), operator.summary()))
                .collect();
            properties.insert(
                kind.name().to_owned(),
                json!({"enum": names, "description": lines.join("\n\n")}),
            );
            kinds.push(json!({"required": [kind.name()]}));
        }
    }
    let rules = TriggerRule::ALL.map(|(name, _)| name);
    let ours = json!({
        "with": {"type": "object", "description": "The operator's settings."},
        "from": {
            "description": "The datasets that it reads: `task`, `task.dataset`, a list of them, or a map that names them.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "object"}],
        },
        "needs": {"$ref": "#/$defs/names", "description": "The tasks it waits for without reading from them."},
        "if": {"type": ["string", "boolean"], "description": "Whether it runs at all: an expression."},
        "foreach": {
            "type": "object", "additionalProperties": false, "required": ["items"],
            "properties": {"items": {"type": ["array", "string"]}, "parallel": {"type": "integer", "minimum": 1}},
            "description": "Repeats the task; each element is `item`, its number `index`.",
        },
        "trigger_rule": {"enum": rules, "description": "What its upstream tasks must have come to."},
        "retry": {"$ref": "#/$defs/retry", "description": "When it is tried again."},
        "timeout": {"$ref": "#/$defs/duration", "description": "How long one attempt may take."},
        "pool": {"$ref": "#/$defs/pool", "description": "The pool whose slots it uses."},
        "priority": {"type": "integer", "description": "Greater starts earlier."},
        "allow_failure": {"type": "boolean", "description": "Whether the run may succeed although it failed."},
        "deadline": {
            "$ref": "#/$defs/duration",
            "description": "How long after the interval's end, or the run's creation, it may be unfinished.",
        },
        "isolation": {"enum": ["process"], "description": "Where it runs: in a process of its own."},
        "memory": {"type": "string", "description": "How much memory that process may take, as in `4GiB`."},
        "persist": {"type": "boolean", "description": "Whether its datasets are kept; else the one task that reads them computes them as part of its own work."},
        "cache": {
            "anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/duration"}],
            "description": "Whether what an earlier run has put out is taken when operator, settings and inputs are the same, and how old it may be.",
        },
        "alerts": {"$ref": "#/$defs/alerts", "description": "Who gets mail about it."},
        "description": {"type": "string", "description": "What it is for."},
    });
    if let Value::Object(ours) = ours {
        properties.extend(ours);
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "oneOf": kinds,
        "allOf": branches,
    })
}

/// Adds an operator's settings to the definitions, under names of its own.
fn settings(operator: &dyn DynOperator, key: &str, definitions: &mut Map<String, Value>) {
    let mut schema = operator.schema().to_value();
    let Some(map) = schema.as_object_mut() else {
        return;
    };
    map.shift_remove("$schema");
    map.shift_remove("title");
    let named = map.shift_remove("$defs");
    let rename = |value: Value| renamed(value, key);
    if let Some(Value::Object(named)) = named {
        for (name, definition) in named {
            definitions.insert(format!("{key}_{name}"), opened(rename(definition)));
        }
    }
    definitions.insert(key.to_owned(), opened(rename(schema)));
}

/// The schema with references to the operator's own definitions under their new names.
fn renamed(value: Value, key: &str) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(name, value)| match (name.as_str(), value) {
                    ("$ref", Value::String(target)) => {
                        let target = target.replace("#/$defs/", &format!("#/$defs/{key}_"));
                        (name, Value::String(target))
                    }
                    (_, value) => (name, renamed(value, key)),
                })
                .collect(),
        ),
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| renamed(item, key)).collect())
        }
        other => other,
    }
}

/// The schema in which every value but text may also be an expression.
fn opened(schema: Value) -> Value {
    let Value::Object(mut map) = schema else {
        return schema;
    };
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        for (_, property) in properties.iter_mut() {
            *property = or_expression(std::mem::take(property));
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key).filter(|inner| inner.is_object()) {
            *inner = or_expression(std::mem::take(inner));
        }
    }
    for key in ["anyOf", "oneOf", "prefixItems"] {
        if let Some(Value::Array(branches)) = map.get_mut(key) {
            for branch in branches {
                *branch = opened(std::mem::take(branch));
            }
        }
    }
    Value::Object(map)
}

fn or_expression(schema: Value) -> Value {
    let mut schema = opened(schema);
    if schema.get("type").is_some_and(|of| of == "string") || schema == Value::Bool(true) {
        return schema;
    }
    let description = schema
        .as_object_mut()
        .and_then(|map| map.shift_remove("description"));
    let mut either = json!({"anyOf": [schema, {"$ref": "#/$defs/expression"}]});
    if let (Some(description), Some(map)) = (description, either.as_object_mut()) {
        map.insert("description".to_owned(), description);
    }
    either
}
