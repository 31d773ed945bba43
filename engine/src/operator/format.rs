//! Settings that are more than plain values: code with bound values, references to models.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::spec::PromotionRule;

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

/// A model as a pipeline names it: `churn`, `churn@challenger`, `churn:7`, `{name: churn, best: f1}`, `zoo:churn`,
/// `mlflow://churn@champion`, a file.
///
/// What may point elsewhere tomorrow is pinned to a version (`churn:7`, `mlflow://churn/7`) when the task's settings are
/// resolved, so an operator always sees text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ModelRef(pub String);

impl ModelRef {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "model";
    /// The JSON Schema format that marks the name within `{name: churn, best: f1}`.
    pub const NAME_FORMAT: &'static str = "registered_model";
}

impl<'de> Deserialize<'de> for ModelRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Named(String),
            Best { name: String, best: String },
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::Named(text) => text,
            // Only until it is pinned.
            Form::Best { name, best } => format!("{name} (best by {best})"),
        }))
    }
}

impl JsonSchema for ModelRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ModelRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string", "format": Self::FORMAT},
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["name", "best"],
                "properties": {
                    "name": {
                        "type": "string",
                        "format": Self::NAME_FORMAT,
                        "description": "A registered model."
                    },
                    "best": {
                        "type": "string",
                        "minLength": 1,
                        "description": "The measure by which the best of all its versions is taken."
                    }
                }
            }
        ]})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// When a new version of a model becomes champion: a bare expression over its measures and `champion.<measure>`, such as
/// `f1 > champion.f1 + 0.01`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PromotionText(pub String);

impl PromotionText {
    /// The JSON Schema format that marks such a setting.
    pub const FORMAT: &'static str = "promotion";
}

impl<'de> Deserialize<'de> for PromotionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bare = PromotionRule::bare(&text).map(ToOwned::to_owned);
        bare.map(Self).ok_or_else(|| {
            serde::de::Error::custom("`${{ }}` stands within the expression instead of around it")
        })
    }
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
    PromotionText,
    Script,
    ConnectionName,
    FeatureViewName,
    DurationText,
    SizeText
);
