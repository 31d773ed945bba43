//! Words that the authored file and the plan share.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Place;

/// A parameter of a pipeline.
#[derive(Clone, Debug)]
pub struct ParamSpec {
    /// Its type.
    pub of: ParamType,
    /// Its value when none is given; without it, a value must be given.
    pub default: Option<Value>,
    /// What it is for.
    pub description: Option<String>,
    /// The only values it may have.
    pub choices: Option<Vec<Value>>,
    /// Where it stands.
    pub place: Place,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// A map.
    Object,
}

/// What a task's upstream tasks must have come to. Names and meanings are Airflow's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    /// All succeeded.
    #[default]
    AllSuccess,
    /// All failed.
    AllFailed,
    /// All are done, however they ended.
    AllDone,
    /// One succeeded; does not wait for the others.
    OneSuccess,
    /// One failed; does not wait for the others.
    OneFailed,
    /// One succeeded or failed; does not wait for the others.
    OneDone,
    /// None failed.
    NoneFailed,
    /// None failed and one succeeded.
    NoneFailedMinOneSuccess,
    /// None was skipped.
    NoneSkipped,
    /// All were skipped.
    AllSkipped,
    /// All are done; nothing is asked.
    Always,
}

impl TriggerRule {
    /// All rules by name.
    pub const ALL: [(&'static str, Self); 11] = [
        ("all_success", Self::AllSuccess),
        ("all_failed", Self::AllFailed),
        ("all_done", Self::AllDone),
        ("one_success", Self::OneSuccess),
        ("one_failed", Self::OneFailed),
        ("one_done", Self::OneDone),
        ("none_failed", Self::NoneFailed),
        ("none_failed_min_one_success", Self::NoneFailedMinOneSuccess),
        ("none_skipped", Self::NoneSkipped),
        ("all_skipped", Self::AllSkipped),
        ("always", Self::Always),
    ];
}

/// How the wait between tries grows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// It stays as it is.
    #[default]
    Fixed,
    /// It doubles.
    Exponential,
}

/// The type of a value, for messages.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

impl ParamType {
    /// Whether a value is of this type.
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    /// The type as messages say it.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Array => "a list",
            Self::Object => "a map",
        }
    }

    /// A value of this type from the text of a command line: text as it is, the rest as YAML.
    ///
    /// # Errors
    /// When the text is no YAML.
    pub fn read(self, text: &str) -> Result<Value, String> {
        if self == Self::String {
            return Ok(Value::String(text.to_owned()));
        }
        serde_saphyr::from_str(text).map_err(|_| format!("`{text}` is not {}", self.phrase()))
    }
}
