//! Rows in the binary form of Postgres' `COPY` (<https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format").

use bytes::Bytes;
use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{
    checked::{fitted, given},
    numeric,
    table::{Holds, TableColumn},
};
use crate::support::{frame::polars_error, text::shortened};

/// Days from 1970-01-01 to 2000-01-01, where Postgres' dates begin.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(super) const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// How much is sent at once.
const CHUNK: usize = 1 << 20;

/// The rows of a frame as chunks to send.
///
/// # Errors
/// Names the first value that does not fit.
pub(super) fn encode(
    frame: &DataFrame,
    columns: &[TableColumn],
    dataset: &str,
) -> Result<Vec<Bytes>, TaskError> {
    let cells = frame
        .columns()
        .iter()
        .zip(columns)
        .map(|(column, target)| Cells::new(column, target, dataset))
        .collect::<Result<Vec<_>, _>>()?;
    let mut chunks = Vec::new();
    let mut out = Vec::with_capacity(CHUNK + CHUNK / 8);
    out.extend(b"PGCOPY\n\xff\r\n\0");
    out.extend([0; 8]);
    let count = i16::try_from(cells.len())
        .map_err(|_| TaskError::user("a table cannot have so many columns"))?;
    for row in 0..frame.height() {
        out.extend(count.to_be_bytes());
        for cell in &cells {
            cell.write(row, &mut out)?;
        }
        if out.len() >= CHUNK {
            chunks.push(Bytes::from(std::mem::replace(
                &mut out,
                Vec::with_capacity(CHUNK + CHUNK / 8),
            )));
        }
    }
    out.extend((-1_i16).to_be_bytes());
    chunks.push(out.into());
    Ok(chunks)
}

/// A column, ready to be read cell by cell.
struct Cells<'a> {
    name: String,
    dataset: &'a str,
    values: Values,
}

enum Values {
    Boolean(BooleanChunked),
    Int16(Int16Chunked),
    Int32(Int32Chunked),
    Int64(Int64Chunked),
    Float32(Float32Chunked),
    Float64(Float64Chunked),
    /// Numbers as text, for `numeric`.
    NumericInt(Int64Chunked),
    NumericFloat(Float64Chunked),
    NumericDecimal(Int128Chunked, usize),
    Text(StringChunked),
    Jsonb(StringChunked),
    Uuid(StringChunked),
    Bytes(BinaryChunked),
    /// Days.
    Date(Int32Chunked),
    /// Microseconds.
    Timestamp(Int64Chunked),
    /// Nanoseconds of a day.
    Time(Int64Chunked),
}

impl<'a> Cells<'a> {
    fn new(column: &Column, target: &TableColumn, dataset: &'a str) -> Result<Self, TaskError> {
        let fail =
            |error: PolarsError| polars_error(&format!("convert `{}`", column.name()), &error);
        let to = given(target.holds, column.dtype());
        let column = fitted(column, &to, dataset, &target.type_name)?;
        let series = column.as_materialized_series().rechunk();
        let values = Self::values(&series, target.holds).map_err(fail)?;
        Ok(Self {
            name: column.name().to_string(),
            dataset,
            values,
        })
    }

    fn values(series: &Series, holds: Holds) -> PolarsResult<Values> {
        Ok(match (holds, series.dtype()) {
            (Holds::Boolean, _) => Values::Boolean(series.bool()?.clone()),
            (Holds::Int16, _) => Values::Int16(series.i16()?.clone()),
            (Holds::Int32, _) => Values::Int32(series.i32()?.clone()),
            (Holds::Int64, _) => Values::Int64(series.i64()?.clone()),
            (Holds::Float32, _) => Values::Float32(series.f32()?.clone()),
            (Holds::Float64, _) => Values::Float64(series.f64()?.clone()),
            (Holds::Numeric, DataType::Decimal(_, scale)) => {
                Values::NumericDecimal(series.decimal()?.physical().clone(), *scale)
            }
            (Holds::Numeric, DataType::Int64) => Values::NumericInt(series.i64()?.clone()),
            (Holds::Numeric, _) => {
                Values::NumericFloat(series.cast(&DataType::Float64)?.f64()?.clone())
            }
            (Holds::Jsonb, _) => Values::Jsonb(series.str()?.clone()),
            (Holds::Uuid, _) => Values::Uuid(series.str()?.clone()),
            (Holds::Bytes, _) => Values::Bytes(series.binary()?.clone()),
            (Holds::Date, _) => Values::Date(series.date()?.physical().clone()),
            (Holds::Timestamp | Holds::TimestampTz, _) => {
                Values::Timestamp(series.datetime()?.physical().clone())
            }
            (Holds::Time, _) => Values::Time(series.time()?.physical().clone()),
            _ => Values::Text(series.cast(&DataType::String)?.str()?.clone()),
        })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), TaskError> {
        match &self.values {
            Values::Boolean(values) => fixed(values.get(row).map(|value| [u8::from(value)]), out),
            Values::Int16(values) => fixed(values.get(row).map(i16::to_be_bytes), out),
            Values::Int32(values) => fixed(values.get(row).map(i32::to_be_bytes), out),
            Values::Int64(values) => fixed(values.get(row).map(i64::to_be_bytes), out),
            Values::Float32(values) => fixed(values.get(row).map(f32::to_be_bytes), out),
            Values::Float64(values) => fixed(values.get(row).map(f64::to_be_bytes), out),
            Values::NumericInt(values) => {
                number(values.get(row).map(|value| value.to_string()), out);
            }
            Values::NumericFloat(values) => {
                number(values.get(row).map(|value| value.to_string()), out);
            }
            Values::NumericDecimal(values, scale) => {
                number(
                    values.get(row).map(|digits| numeric::text(digits, *scale)),
                    out,
                );
            }
            Values::Text(values) => self.text(values.get(row), row, None, out)?,
            Values::Jsonb(values) => self.text(values.get(row), row, Some(1), out)?,
            Values::Uuid(values) => fixed(self.uuid(values.get(row), row)?, out),
            Values::Bytes(values) => variable(values.get(row), None, out),
            Values::Date(values) => fixed(
                values
                    .get(row)
                    .map(|days| (days - EPOCH_DAYS).to_be_bytes()),
                out,
            ),
            Values::Timestamp(values) => {
                fixed(
                    values
                        .get(row)
                        .map(|time| (time - EPOCH_MICROSECONDS).to_be_bytes()),
                    out,
                );
            }
            Values::Time(values) => fixed(
                values.get(row).map(|time| (time / 1_000).to_be_bytes()),
                out,
            ),
        }
        Ok(())
    }

    fn text(
        &self,
        text: Option<&str>,
        row: usize,
        version: Option<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), TaskError> {
        if let Some(text) = text
            && memchr::memchr(0, text.as_bytes()).is_some()
        {
            return Err(TaskError::user(format!(
                "row {} of `{}`: `{}` contains the character NUL, which Postgres does not hold",
                row + 1,
                self.dataset,
                self.name
            ))
            .hint("remove it in a `transform: sql`"));
        }
        variable(text.map(str::as_bytes), version, out);
        Ok(())
    }

    fn uuid(&self, text: Option<&str>, row: usize) -> Result<Option<[u8; 16]>, TaskError> {
        let wrong = |text: &str| {
            TaskError::user(format!(
                "row {} of `{}`: `{}` is {}, which is no UUID",
                row + 1,
                self.dataset,
                self.name,
                shortened(text, 60)
            ))
        };
        text.map(|text| {
            sqlx::types::Uuid::parse_str(text)
                .map(|uuid| *uuid.as_bytes())
                .map_err(|_| wrong(text))
        })
        .transpose()
    }
}

fn fixed<const N: usize>(value: Option<[u8; N]>, out: &mut Vec<u8>) {
    match value {
        Some(bytes) => {
            out.extend((u32::try_from(N).unwrap_or(0)).to_be_bytes());
            out.extend(bytes);
        }
        None => out.extend((-1_i32).to_be_bytes()),
    }
}

fn variable(value: Option<&[u8]>, version: Option<u8>, out: &mut Vec<u8>) {
    match value {
        Some(bytes) => {
            let length = bytes.len() + usize::from(version.is_some());
            out.extend(i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
            out.extend(version);
            out.extend(bytes);
        }
        None => out.extend((-1_i32).to_be_bytes()),
    }
}

fn number(text: Option<String>, out: &mut Vec<u8>) {
    let bytes = text.map(|text| {
        let mut bytes = Vec::new();
        numeric::encode(&text, &mut bytes);
        bytes
    });
    variable(bytes.as_deref(), None, out);
}

/// A decimal number as text, to be bound as `numeric`.
pub(super) struct NumericText(pub(super) String);

impl sqlx::Type<sqlx::Postgres> for NumericText {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        sqlx::postgres::PgTypeInfo::with_name("numeric")
    }
}

impl sqlx::Encode<'_, sqlx::Postgres> for NumericText {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        let mut bytes = Vec::new();
        numeric::encode(&self.0, &mut bytes);
        buffer.extend(bytes);
        Ok(sqlx::encode::IsNull::No)
    }
}
