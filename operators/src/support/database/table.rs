//! Names of tables and columns, and what a database says about a table.

use polars::prelude::DataType;

use super::request::named;

/// The name of a table, with its schema when that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    /// The schema, or what SQLite calls an attached database.
    pub(crate) schema: Option<String>,
    /// The table.
    pub(crate) name: String,
}

impl TableName {
    /// Reads `table` or `schema.table`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        let good = |part: &str| !part.is_empty() && !part.contains(['.', '\0']);
        (good(name) && schema.is_none_or(good)).then(|| Self {
            schema: schema.map(ToOwned::to_owned),
            name: name.to_owned(),
        })
    }

    /// The name as it stands in SQL.
    pub(crate) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.name)),
            None => quoted(&self.name),
        }
    }

    /// The name as it stands in a request's query.
    pub(crate) fn named(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", named(schema), named(&self.name)),
            None => named(&self.name),
        }
    }

    /// A table of this name in the same schema.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self {
            schema: self.schema.clone(),
            name: name.to_owned(),
        }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// An identifier as it stands in SQL, whatever it contains.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Identifiers with commas between them.
pub(crate) fn quoted_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// A column of a table in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableColumn {
    /// Its name.
    pub(super) name: String,
    /// Its type as the database writes it.
    pub(super) type_name: String,
    /// What fits into it, or into an element of it.
    pub(super) holds: Holds,
    /// The number of the element's type, when it is an array of Postgres.
    pub(super) array_of: Option<u32>,
    /// Whether each new row has to give a value.
    pub(super) required: bool,
}

impl TableColumn {
    /// Whether a dataset's column of type `of` may be written into it.
    pub(super) fn takes(&self, of: &DataType) -> bool {
        match (self.array_of, of) {
            (None, _) => self.holds.takes(of),
            (Some(_), DataType::List(of)) => !of.is_nested() && self.holds.takes(of),
            (Some(_), of) => *of == DataType::Null,
        }
    }

    /// Whether a dataset's column of type `of` goes to the server as text, which the server reads as the column's type.
    pub(super) fn as_text(&self, of: &DataType) -> bool {
        let of = match of {
            DataType::List(of) => of,
            of => of,
        };
        match self.holds {
            Holds::Other => true,
            Holds::Interval => !of.is_duration(),
            _ => false,
        }
    }
}

/// What fits into a column of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// True and false.
    Boolean,
    /// Whole numbers of 16 bits.
    Int16,
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Floating-point numbers of 32 bits.
    Float32,
    /// Floating-point numbers of 64 bits.
    Float64,
    /// Decimal numbers.
    Numeric,
    /// Text.
    Text,
    /// JSON as text.
    Json,
    /// JSON that Postgres takes apart.
    Jsonb,
    /// A UUID.
    Uuid,
    /// One of a list of texts.
    Enum,
    /// A day.
    Date,
    /// A moment without a time zone.
    Timestamp,
    /// A moment in UTC.
    TimestampTz,
    /// A time of day.
    Time,
    /// Bytes.
    Bytes,
    /// A span of time.
    Interval,
    /// Anything: SQLite without a declared type.
    Anything,
    /// Something that goes in and out as text: Postgres' other types.
    Other,
}

impl Holds {
    /// Whether a dataset's column of type `of` may be written into it.
    pub(super) fn takes(self, of: &DataType) -> bool {
        if *of == DataType::Null || self == Self::Anything {
            return !of.is_nested();
        }
        match self {
            Self::Boolean => of.is_bool(),
            Self::Int16 | Self::Int32 | Self::Int64 => of.is_integer(),
            Self::Float32 | Self::Float64 | Self::Numeric => of.is_numeric() || of.is_decimal(),
            Self::Text | Self::Json | Self::Jsonb | Self::Uuid | Self::Enum | Self::Other => {
                matches!(of, DataType::String | DataType::Categorical(_, _))
            }
            Self::Date => *of == DataType::Date,
            Self::Timestamp => matches!(of, DataType::Date | DataType::Datetime(_, None)),
            Self::TimestampTz => matches!(of, DataType::Date | DataType::Datetime(_, _)),
            Self::Time => *of == DataType::Time,
            Self::Bytes => *of == DataType::Binary,
            Self::Interval => matches!(of, DataType::Duration(_) | DataType::String),
            Self::Anything => false,
        }
    }

    /// By Postgres' name and category of the type.
    pub(super) fn of_postgres(name: &str, category: &str) -> Self {
        match name {
            "bool" => Self::Boolean,
            "int2" => Self::Int16,
            "int4" => Self::Int32,
            "int8" => Self::Int64,
            "float4" => Self::Float32,
            "float8" => Self::Float64,
            "numeric" => Self::Numeric,
            "text" | "varchar" | "bpchar" | "char" | "name" | "citext" | "xml" | "unknown" => {
                Self::Text
            }
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            "uuid" => Self::Uuid,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::TimestampTz,
            "time" => Self::Time,
            "bytea" => Self::Bytes,
            "interval" => Self::Interval,
            _ if category == "E" => Self::Enum,
            _ => Self::Other,
        }
    }

    /// By the type that a column of SQLite was declared with (<https://www.sqlite.org/datatype3.html>, 3.1).
    pub(super) fn of_sqlite(declared: &str) -> Self {
        let name = declared.to_ascii_lowercase();
        let has = |part: &str| name.contains(part);
        match () {
            () if has("int") => Self::Int64,
            () if has("char") || has("clob") || has("text") || has("json") || has("uuid") => {
                Self::Text
            }
            () if name.is_empty() => Self::Anything,
            () if has("blob") => Self::Bytes,
            () if has("real") || has("floa") || has("doub") => Self::Float64,
            () if has("bool") => Self::Boolean,
            () if has("datetime") || has("timestamp") => Self::TimestampTz,
            () if has("date") => Self::Date,
            () if has("time") => Self::Time,
            () => Self::Numeric,
        }
    }
}

/// The type that a new column of Postgres gets.
pub(super) fn postgres_type(of: &DataType) -> Option<String> {
    Some(match of {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "numeric(20)".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal(precision, scale) => format!("numeric({precision}, {scale})"),
        DataType::String | DataType::Categorical(_, _) | DataType::Null => "text".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Datetime(_, None) => "timestamp".to_owned(),
        DataType::Datetime(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Time => "time".to_owned(),
        DataType::Binary => "bytea".to_owned(),
        DataType::Duration(_) => "interval".to_owned(),
        DataType::List(of) if !of.is_nested() => format!("{}[]", postgres_type(of)?),
        _ => return None,
    })
}

/// The type that a new column of SQLite gets; the names tell `extract: sql` what was meant.
pub(super) fn sqlite_type(of: &DataType) -> Option<String> {
    Some(match of {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Float32 | DataType::Float64 => "REAL".to_owned(),
        DataType::Decimal(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        of if of.is_integer() => "INTEGER".to_owned(),
        DataType::String | DataType::Categorical(_, _) | DataType::Null => "TEXT".to_owned(),
        DataType::Date => "DATE".to_owned(),
        DataType::Datetime(_, None) => "DATETIME".to_owned(),
        DataType::Datetime(_, Some(_)) => "TIMESTAMP".to_owned(),
        DataType::Time => "TIME".to_owned(),
        DataType::Binary => "BLOB".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use polars::prelude::{TimeUnit, TimeZone};

    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_contain() {
        for (text, sql) in [
            ("customers", Some("\"customers\"")),
            ("shop.Customers", Some("\"shop\".\"Customers\"")),
            ("a\"; drop table x; --", Some("\"a\"\"; drop table x; --\"")),
            ("a.b.c", None),
            ("", None),
            (".a", None),
        ] {
            assert_eq!(
                TableName::parse(text).map(|name| name.quoted()).as_deref(),
                sql,
                "{text}"
            );
        }
        assert_eq!(
            TableName::parse("shop.a").unwrap().beside("b").to_string(),
            "shop.b"
        );
    }

    #[test]
    fn what_is_made_takes_what_it_was_made_for() {
        let utc = Some(TimeZone::UTC);
        for of in [
            DataType::Boolean,
            DataType::Int16,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::String,
            DataType::Date,
            DataType::Datetime(TimeUnit::Microseconds, None),
            DataType::Datetime(TimeUnit::Milliseconds, utc),
            DataType::Time,
            DataType::Binary,
            DataType::Decimal(10, 2),
        ] {
            assert!(
                Holds::of_sqlite(&sqlite_type(&of).unwrap()).takes(&of),
                "{of}"
            );
            assert!(postgres_type(&of).is_some(), "{of}");
        }
        let list = |of| DataType::List(Box::new(of));
        assert_eq!(
            postgres_type(&list(DataType::Int64)).as_deref(),
            Some("bigint[]")
        );
        assert_eq!(postgres_type(&list(list(DataType::Int64))), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (holds, of) in [
            (Holds::Int64, DataType::Float64),
            (Holds::Int64, DataType::String),
            (Holds::Text, DataType::Int64),
            (Holds::Date, DataType::String),
            (
                Holds::Timestamp,
                DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)),
            ),
            (Holds::Other, DataType::Int64),
            (Holds::Anything, DataType::List(Box::new(DataType::Int64))),
        ] {
            assert!(!holds.takes(&of), "{holds:?} {of}");
        }
    }
}
