//! The JSON Schema of a feature view's file, for editors.

use serde_json::{Value, json};

/// The schema of `features/*.yaml`.
pub fn feature_view_schema() -> Value {
    let names = json!({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]});
    let described = |mut schema: Value, text: &str| {
        schema["description"] = text.into();
        schema
    };
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A feature view of pipectl",
        "type": "object",
        "required": ["name", "entity", "event_time", "columns", "source"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "description": "The view's name: that of its file without `.yaml`."},
            "description": text("What it is for."),
            "entity": described(names.clone(), "The columns that say of what something is known: a customer's id."),
            "event_time": text("The column that says when it became true."),
            "created_time": text("The column that says when it became known; before that no row is used."),
            "ttl": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "description": "How long it counts, from the event's time on; for ever when it is left out."},
            "columns": described(names, "The columns that it knows."),
            "source": {
                "type": "object",
                "additionalProperties": false,
                "description": "Where its rows are: `path`, or `connection` with `table` or `query`.",
                "properties": {
                    "path": text("Files that end in .parquet, .csv, .json or .ndjson: a path or pattern of the project, or below `connection`."),
                    "connection": text("The database, or the bucket of `path`."),
                    "table": text("A table: `table` or `schema.table`."),
                    "query": text("One `select`."),
                },
            },
            "online": {
                "type": "object",
                "additionalProperties": false,
                "description": "Where `load: features` keeps its newest values.",
                "properties": {
                    "connection": text("The database; `warehouse` when it is left out."),
                    "table": text("The table; `features_<name>` when it is left out."),
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{super::read::KEYS, *};

    #[test]
    fn it_knows_the_keys_that_the_reader_knows() {
        let schema = feature_view_schema();
        let known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(known, KEYS);
    }
}
