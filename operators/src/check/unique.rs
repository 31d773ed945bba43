//! Columns whose values together occur only once: their names, or with a severity of their own.

use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::expectations::Severity;
use crate::support::settings::Names;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UniqueRule {
    /// The columns.
    pub(super) columns: Vec<String>,
    /// What it does when it is broken.
    pub(super) severity: Option<Severity>,
}

/// The long form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Long {
    /// The columns.
    columns: Names,
    /// What it does when it is broken.
    severity: Option<Severity>,
}

impl<'de> Deserialize<'de> for UniqueRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let long = if value.is_object() {
            serde_json::from_value(value)
        } else {
            serde_json::from_value(value).map(|columns| Long {
                columns,
                severity: None,
            })
        };
        let long = long.map_err(serde::de::Error::custom)?;
        Ok(Self {
            columns: long.columns.0,
            severity: long.severity,
        })
    }
}

impl JsonSchema for UniqueRule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UniqueRule".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        let (short, long) = (
            generator.subschema_for::<Names>(),
            generator.subschema_for::<Long>(),
        );
        json_schema!({"anyOf": [short, long]})
    }
}
