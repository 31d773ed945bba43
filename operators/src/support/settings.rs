//! Types of settings that several operators have.

use polars::prelude::{DataType, TimeUnit, TimeZone};

pub(crate) use pipectl_engine::dataset::type_name;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

/// One name or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(
            match Form::deserialize(deserializer)
                .map_err(|_| D::Error::custom("expected a name or a list of names"))?
            {
                Form::One(name) => Self(vec![name]),
                Form::Many(names) => Self(names),
            },
        )
    }
}

impl JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The type of a column, as a pipeline names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnType {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Number,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A moment, without a time zone.
    Datetime,
    /// A moment, in UTC.
    Timestamp,
    /// A time of day.
    Time,
    /// A whole number of 32 bits.
    Int32,
    /// A floating-point number of 32 bits.
    Float32,
}

impl ColumnType {
    /// polars' type.
    pub(crate) fn polars(self) -> DataType {
        match self {
            Self::String => DataType::String,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date,
            Self::Datetime => DataType::Datetime(TimeUnit::Microseconds, None),
            Self::Timestamp => DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
            Self::Time => DataType::Time,
            Self::Int32 => DataType::Int32,
            Self::Float32 => DataType::Float32,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_one_may_be_written_without_brackets() {
        for form in [json!("a"), json!(["a"])] {
            assert_eq!(
                serde_json::from_value::<Names>(form).unwrap(),
                Names(vec!["a".to_owned()])
            );
        }
        assert!(serde_json::from_value::<Names>(json!(3)).is_err());
    }

    #[test]
    fn a_type_is_called_what_the_setting_calls_it() {
        for name in [
            "string",
            "integer",
            "number",
            "boolean",
            "date",
            "datetime",
            "timestamp",
            "time",
            "int32",
        ] {
            let of: ColumnType = serde_json::from_value(json!(name)).unwrap();
            assert_eq!(type_name(&of.polars()), name);
        }
    }
}
