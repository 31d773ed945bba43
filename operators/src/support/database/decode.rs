//! Columns out of Postgres' binary values, one at a time.
//!
//! The forms are those of the types' send functions; they are the same in the rows of a query and in a binary `COPY`.

use polars::prelude::*;

use super::{
    copy::{EPOCH_DAYS, EPOCH_MICROSECONDS},
    numeric::{self, Decimal},
};

/// A column that grows value by value.
pub(super) enum Builder {
    Boolean(Vec<Option<bool>>),
    Int16(Vec<Option<i16>>),
    Int32(Vec<Option<i32>>),
    Int64(Vec<Option<i64>>),
    Float32(Vec<Option<f32>>),
    Float64(Vec<Option<f64>>),
    Numeric(Vec<Option<Decimal>>),
    Text(Vec<Option<String>>),
    Jsonb(Vec<Option<String>>),
    Uuid(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Date(Vec<Option<i32>>),
    Timestamp(Vec<Option<i64>>),
    TimestampTz(Vec<Option<i64>>),
    Time(Vec<Option<i64>>),
}

impl Builder {
    /// A builder for values of a type, by Postgres' name of it.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "bool" => Self::Boolean(Vec::new()),
            "int2" => Self::Int16(Vec::new()),
            "int4" => Self::Int32(Vec::new()),
            "int8" => Self::Int64(Vec::new()),
            "float4" => Self::Float32(Vec::new()),
            "float8" => Self::Float64(Vec::new()),
            "numeric" => Self::Numeric(Vec::new()),
            "text" | "varchar" | "bpchar" | "char" | "name" | "citext" | "json" | "xml"
            | "unknown" => Self::Text(Vec::new()),
            "jsonb" => Self::Jsonb(Vec::new()),
            "uuid" => Self::Uuid(Vec::new()),
            "bytea" => Self::Bytes(Vec::new()),
            "date" => Self::Date(Vec::new()),
            "timestamp" => Self::Timestamp(Vec::new()),
            "timestamptz" => Self::TimestampTz(Vec::new()),
            "time" => Self::Time(Vec::new()),
            _ => return None,
        })
    }

    /// A builder for labels of an enumeration.
    pub(super) fn labels() -> Self {
        Self::Text(Vec::new())
    }

    /// Adds a value.
    ///
    /// # Errors
    /// Says what cannot be held in a column.
    pub(super) fn push(&mut self, bytes: Option<&[u8]>) -> Result<(), &'static str> {
        const BROKEN: &str = "a value of the wrong length";
        const NO_TEXT: &str = "text that is not UTF-8";
        let text = |bytes: &[u8]| {
            std::str::from_utf8(bytes)
                .map(ToOwned::to_owned)
                .map_err(|_| NO_TEXT)
        };
        match self {
            Self::Boolean(values) => values.push(bytes.map(|bytes| bytes.first() == Some(&1))),
            Self::Int16(values) => values.push(array(bytes)?.map(i16::from_be_bytes)),
            Self::Int32(values) => values.push(array(bytes)?.map(i32::from_be_bytes)),
            Self::Int64(values) => values.push(array(bytes)?.map(i64::from_be_bytes)),
            Self::Float32(values) => values.push(array(bytes)?.map(f32::from_be_bytes)),
            Self::Float64(values) => values.push(array(bytes)?.map(f64::from_be_bytes)),
            Self::Numeric(values) => {
                const TOO_LONG: &str = "a numeric that is not finite or has more than 38 digits";
                values.push(
                    bytes
                        .map(|bytes| numeric::decode(bytes).ok_or(TOO_LONG))
                        .transpose()?,
                );
            }
            Self::Text(values) => values.push(bytes.map(text).transpose()?),
            // A version number stands before the text.
            Self::Jsonb(values) => values.push(
                bytes
                    .map(|bytes| text(bytes.get(1..).unwrap_or_default()))
                    .transpose()?,
            ),
            Self::Uuid(values) => {
                let uuid = |bytes| sqlx::types::Uuid::from_bytes(bytes).to_string();
                values.push(array(bytes)?.map(uuid));
            }
            Self::Bytes(values) => values.push(bytes.map(<[u8]>::to_vec)),
            Self::Date(values) => {
                let days = array(bytes)?.map(i32::from_be_bytes);
                let day = |days: i32| {
                    days.checked_add(EPOCH_DAYS)
                        .filter(|_| days != i32::MIN)
                        .ok_or("the date `infinity`")
                };
                values.push(days.map(day).transpose()?);
            }
            Self::Timestamp(values) | Self::TimestampTz(values) => {
                let time = array(bytes)?.map(i64::from_be_bytes);
                let moment = |time: i64| {
                    time.checked_add(EPOCH_MICROSECONDS)
                        .filter(|_| time != i64::MIN)
                        .ok_or("the moment `infinity`")
                };
                values.push(time.map(moment).transpose()?);
            }
            Self::Time(values) => {
                let time = array(bytes)?.map(i64::from_be_bytes);
                values.push(
                    time.map(|time| time.checked_mul(1_000).ok_or(BROKEN))
                        .transpose()?,
                );
            }
        }
        Ok(())
    }

    /// The column.
    ///
    /// # Errors
    /// When decimals of very different scales do not fit together.
    pub(super) fn finish(self, name: &str) -> PolarsResult<Column> {
        let name = PlSmallStr::from_str(name);
        let moments = |values, zone| {
            Series::new(name.clone(), values as Vec<Option<i64>>)
                .cast(&DataType::Datetime(TimeUnit::Microseconds, zone))
        };
        Ok(match self {
            Self::Boolean(values) => Series::new(name, values),
            Self::Int16(values) => Series::new(name, values),
            Self::Int32(values) => Series::new(name, values),
            Self::Int64(values) => Series::new(name, values),
            Self::Float32(values) => Series::new(name, values),
            Self::Float64(values) => Series::new(name, values),
            Self::Numeric(values) => decimals(&name, &values)?,
            Self::Text(values) | Self::Jsonb(values) | Self::Uuid(values) => {
                Series::new(name, values)
            }
            Self::Bytes(values) => Series::new(name, values),
            Self::Date(values) => Series::new(name, values).cast(&DataType::Date)?,
            Self::Timestamp(values) => moments(values, None)?,
            Self::TimestampTz(values) => moments(values, Some(TimeZone::UTC))?,
            Self::Time(values) => Series::new(name, values).cast(&DataType::Time)?,
        }
        .into_column())
    }
}

fn array<const N: usize>(bytes: Option<&[u8]>) -> Result<Option<[u8; N]>, &'static str> {
    bytes
        .map(|bytes| bytes.try_into().map_err(|_| "a value of the wrong length"))
        .transpose()
}

/// Decimals at the greatest scale among them.
fn decimals(name: &PlSmallStr, values: &[Option<Decimal>]) -> PolarsResult<Series> {
    let scale = values
        .iter()
        .flatten()
        .map(|value| value.scale)
        .max()
        .unwrap_or(0);
    let at_scale = |value: &Decimal| {
        10_i128
            .checked_pow(u32::from(scale - value.scale))
            .and_then(|factor| value.digits.checked_mul(factor))
            .filter(|digits| digits.unsigned_abs() < 10_u128.pow(38))
            .ok_or_else(
                || polars_err!(ComputeError: "`{}` has numbers of more than 38 digits", name),
            )
    };
    let digits = values
        .iter()
        .map(|value| value.as_ref().map(at_scale).transpose())
        .collect::<PolarsResult<Vec<_>>>()?;
    let digits = Int128Chunked::from_iter_options(name.clone(), digits.into_iter());
    Ok(digits
        .into_decimal_unchecked(38, usize::from(scale))
        .into_series())
}
