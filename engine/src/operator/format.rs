//! Settings that are more than plain values: code with bound values, references to models.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// SQL with bound values. `${{ … }}` in it becomes a numbered placeholder `$1`, `$2`, …; no value is pasted into code.
///
/// In a resolved setting it is either a plain string or `{"sql": "…", "values": […]}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SqlText {
    /// The statement, with `$1`, `$2`, … where values belong.
    pub sql: String,
    /// The values, in the order of their numbers.
    pub values: Vec<Value>,
}

impl SqlText {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "sql";
}

impl<'de> Deserialize<'de> for SqlText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Plain(String),
            Bound { sql: String, values: Vec<Value> },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Plain(sql) => Self {
                sql,
                values: Vec::new(),
            },
            Form::Bound { sql, values } => Self { sql, values },
        })
    }
}

impl JsonSchema for SqlText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SqlText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": Self::FORMAT})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A model as a pipeline names it: `churn`, `churn@challenger`, `churn:7`, `zoo:churn`, a file.
///
/// A name of the registry is pinned to its version (`churn:7`) when the task's settings are resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelRef(pub String);

impl ModelRef {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "model";
}

impl JsonSchema for ModelRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ModelRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": Self::FORMAT})
    }

    fn inline_schema() -> bool {
        true
    }
}
