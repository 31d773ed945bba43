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

/// Code for another program. An expression in it is an error: values reach a script by `env:`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Script(pub String);

impl Script {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "script";
}

/// The name of a connection, which the project must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionName(pub String);

impl ConnectionName {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "connection";
}

/// The name of a feature view, which the project must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureViewName(pub String);

impl FeatureViewName {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "feature_view";
}

/// A duration as people write it: `500ms 10s 5m 2h 1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationText(pub std::time::Duration);

impl DurationText {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "duration";
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::time::parse_duration(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for DurationText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", self.0.as_millis()))
    }
}

/// A size as people write it: `64KiB 64MiB 4GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeText(pub u64);

impl SizeText {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "size";
}

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::size::parse_size(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for SizeText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}B", self.0))
    }
}

/// Gives a setting that is written as text the schema that marks it.
macro_rules! marked_text {
    ($($type:ident),+) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": Self::FORMAT})
            }

            fn inline_schema() -> bool {
                true
            }
        }
    )+};
}

marked_text!(
    SqlText,
    ModelRef,
    Script,
    ConnectionName,
    FeatureViewName,
    DurationText,
    SizeText
);
