//! Rows in the binary form of Postgres' `COPY` (<https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format").

use pipectl_engine::operator::TaskError;
use polars::prelude::*;
use polars_arrow::{
    array::{BinaryViewArray, BooleanArray, ListArray, PrimitiveArray, Utf8ViewArray},
    bitmap::Bitmap,
    types::NativeType,
};

use super::{
    fit::Piece,
    numeric,
    table::{Holds, TableColumn},
};
use crate::support::{frame::polars_error, text::shortened};

/// Days from 1970-01-01 to 2000-01-01, where Postgres' dates begin.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(super) const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// How many rows are converted at once.
const ROWS: usize = 1 << 15;
/// How much is sent at once.
const CHUNK: usize = 1 << 18;

/// What stands before the first row.
pub(super) const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands behind the last one.
pub(super) const TAIL: &[u8] = &(-1_i16).to_be_bytes();

/// Gives `send` the rows of a part of a dataset, piece by piece, until it wants no more; `start` rows come before.
///
/// # Errors
/// Names the first value that does not fit.
pub(super) fn encode(
    frame: &DataFrame,
    columns: &[TableColumn],
    dataset: &str,
    start: usize,
    mut send: impl FnMut(Vec<u8>) -> bool,
) -> Result<(), TaskError> {
    let count = i16::try_from(columns.len())
        .map_err(|_| TaskError::user("a table cannot have so many columns"))?;
    let fresh = || Vec::with_capacity(CHUNK + CHUNK / 8);
    let mut out = fresh();
    for before in (0..frame.height()).step_by(ROWS) {
        let rows = ROWS.min(frame.height() - before);
        let cells = frame
            .columns()
            .iter()
            .zip(columns)
            .map(|(column, target)| {
                let column = column.slice(i64::try_from(before).unwrap_or(i64::MAX), rows);
                // Else each slice of lists would carry the elements of all of them.
                let column = match column.dtype() {
                    DataType::List(_) => {
                        let series = column.as_materialized_series();
                        series
                            .trim_lists_to_normalized_offsets()
                            .map_or(column.clone(), Column::from)
                    }
                    _ => column,
                };
                Cells::new(&column, target, dataset, start + before)
            })
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..rows {
            out.extend_from_slice(&count.to_be_bytes());
            for cell in &cells {
                cell.write(row, &mut out)?;
            }
            if out.len() >= CHUNK && !send(std::mem::replace(&mut out, fresh())) {
                return Ok(());
            }
        }
    }
    send(out);
    Ok(())
}

/// Some rows of a column, ready to be written one by one.
struct Cells<'a> {
    name: String,
    dataset: &'a str,
    before: usize,
    values: Values,
}

/// Values without a gap in memory, and which of them there are.
struct Plain<T: NativeType>(PrimitiveArray<T>);

enum Values {
    Boolean(BooleanArray),
    Int16(Plain<i16>),
    Int32(Plain<i32>),
    Int64(Plain<i64>),
    Float32(Plain<f32>),
    Float64(Plain<f64>),
    /// Whole numbers for `numeric`.
    NumericInt(Plain<i64>),
    NumericFloat(Plain<f64>),
    NumericDecimal(Plain<i128>, u16),
    Text(Utf8ViewArray),
    Jsonb(Utf8ViewArray),
    Uuid(Utf8ViewArray),
    Bytes(BinaryViewArray),
    /// Days.
    Date(Plain<i32>),
    /// Microseconds.
    Timestamp(Plain<i64>),
    /// Nanoseconds of a day.
    Time(Plain<i64>),
    /// Microseconds.
    Interval(Plain<i64>),
    /// Lists of something, and the number of its type.
    List(Box<Values>, ListArray<i64>, u32),
}

/// A value that Postgres does not take.
enum Wrong {
    Nul,
    NoUuid(String),
}

impl<'a> Cells<'a> {
    fn new(
        column: &Column,
        target: &TableColumn,
        dataset: &'a str,
        before: usize,
    ) -> Result<Self, TaskError> {
        let name = column.name().to_string();
        let piece = Piece {
            column,
            dataset,
            before,
        };
        let column = piece.fitted(target)?;
        let series = column.as_materialized_series().rechunk();
        let values = Values::of(&series, target)
            .map_err(|error| polars_error(&format!("convert `{name}`"), &error))?;
        Ok(Self {
            name,
            dataset,
            before,
            values,
        })
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), TaskError> {
        self.values
            .write(row, out)
            .map_err(|wrong| self.wrong(row, &wrong))
    }

    fn wrong(&self, row: usize, wrong: &Wrong) -> TaskError {
        let place = format!(
            "row {} of `{}`: `{}`",
            self.before + row + 1,
            self.dataset,
            self.name
        );
        match wrong {
            Wrong::Nul => TaskError::user(format!(
                "{place} contains the character NUL, which Postgres does not hold"
            ))
            .hint("remove it in a `transform: sql`"),
            Wrong::NoUuid(text) => TaskError::user(format!(
                "{place} is {}, which is no UUID",
                shortened(text, 60)
            )),
        }
    }
}

/// The only chunk of a series that has one.
fn only<T: PolarsDataType>(values: &ChunkedArray<T>) -> PolarsResult<T::Array> {
    let found = values.downcast_iter().next().cloned();
    found.ok_or_else(|| polars_err!(ComputeError: "a column without values"))
}

impl Values {
    fn of(series: &Series, target: &TableColumn) -> PolarsResult<Self> {
        if let Some(number) = target.array_of {
            let lists = only(series.list()?)?;
            let inner = series.list()?.get_inner();
            let values = Self::scalars(&inner.rechunk(), target)?;
            let number = if target.as_text(series.dtype()) {
                TEXT
            } else {
                number
            };
            return Ok(Self::List(Box::new(values), lists, number));
        }
        Self::scalars(series, target)
    }

    fn scalars(series: &Series, target: &TableColumn) -> PolarsResult<Self> {
        if target.as_text(series.dtype()) {
            return Ok(Self::Text(only(series.str()?)?));
        }
        Ok(match (target.holds, series.dtype()) {
            (Holds::Boolean, _) => Self::Boolean(only(series.bool()?)?),
            (Holds::Int16, _) => Self::Int16(Plain(only(series.i16()?)?)),
            (Holds::Int32, _) => Self::Int32(Plain(only(series.i32()?)?)),
            (Holds::Int64, _) => Self::Int64(Plain(only(series.i64()?)?)),
            (Holds::Float32, _) => Self::Float32(Plain(only(series.f32()?)?)),
            (Holds::Float64, _) => Self::Float64(Plain(only(series.f64()?)?)),
            (Holds::Numeric, DataType::Decimal(_, scale)) => {
                let scale = u16::try_from(*scale).unwrap_or(u16::MAX);
                Self::NumericDecimal(Plain(only(series.decimal()?.physical())?), scale)
            }
            (Holds::Numeric, DataType::Int64) => Self::NumericInt(Plain(only(series.i64()?)?)),
            (Holds::Numeric, _) => {
                Self::NumericFloat(Plain(only(series.cast(&DataType::Float64)?.f64()?)?))
            }
            (Holds::Jsonb, _) => Self::Jsonb(only(series.str()?)?),
            (Holds::Uuid, _) => Self::Uuid(only(series.str()?)?),
            (Holds::Bytes, _) => Self::Bytes(only(series.binary()?)?),
            (Holds::Date, _) => Self::Date(Plain(only(series.date()?.physical())?)),
            (Holds::Timestamp | Holds::TimestampTz, _) => {
                Self::Timestamp(Plain(only(series.datetime()?.physical())?))
            }
            (Holds::Time, _) => Self::Time(Plain(only(series.time()?.physical())?)),
            (Holds::Interval, _) => Self::Interval(Plain(only(series.duration()?.physical())?)),
            _ => Self::Text(only(series.cast(&DataType::String)?.str()?)?),
        })
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match self {
            Self::Boolean(values) => match values.get(row) {
                Some(value) => out.extend_from_slice(&[0, 0, 0, 1, u8::from(value)]),
                None => null(out),
            },
            Self::Int16(values) => fixed::<2, 6>(values.get(row).map(i16::to_be_bytes), out),
            Self::Int32(values) => fixed::<4, 8>(values.get(row).map(i32::to_be_bytes), out),
            Self::Int64(values) => fixed::<8, 12>(values.get(row).map(i64::to_be_bytes), out),
            Self::Float32(values) => fixed::<4, 8>(values.get(row).map(f32::to_be_bytes), out),
            Self::Float64(values) => fixed::<8, 12>(values.get(row).map(f64::to_be_bytes), out),
            Self::NumericInt(values) => {
                let digits = values.get(row).map(i128::from);
                sized(digits, out, |digits, out| numeric::encode(digits, 0, out));
            }
            Self::NumericFloat(values) => {
                let text = values.get(row).map(|value| value.to_string());
                sized(text, out, |text, out| numeric::encode_text(&text, out));
            }
            Self::NumericDecimal(values, scale) => {
                sized(values.get(row), out, |digits, out| {
                    numeric::encode(digits, *scale, out);
                });
            }
            Self::Text(values) => text(values.get(row), None, out)?,
            Self::Jsonb(values) => text(values.get(row), Some(1), out)?,
            Self::Uuid(values) => fixed::<16, 20>(values.get(row).map(uuid).transpose()?, out),
            Self::Bytes(values) => variable(values.get(row), None, out),
            Self::Date(values) => {
                let days = values.get(row).map(|days| days.wrapping_sub(EPOCH_DAYS));
                fixed::<4, 8>(days.map(i32::to_be_bytes), out);
            }
            Self::Timestamp(values) => {
                let time = values.get(row);
                let time = time.map(|time| time.wrapping_sub(EPOCH_MICROSECONDS));
                fixed::<8, 12>(time.map(i64::to_be_bytes), out);
            }
            Self::Time(values) => {
                let time = values.get(row).map(|time| time / 1_000);
                fixed::<8, 12>(time.map(i64::to_be_bytes), out);
            }
            Self::Interval(values) => {
                // Days and months stand behind the time; there are none.
                let time = values.get(row).map(|time| {
                    let mut bytes = [0; 16];
                    bytes[..8].copy_from_slice(&time.to_be_bytes());
                    bytes
                });
                fixed::<16, 20>(time, out);
            }
            Self::List(values, lists, of) => return list(values, lists, *of, row, out),
        }
        Ok(())
    }
}

/// The number of Postgres' type `text`.
const TEXT: u32 = 25;

impl<T: NativeType> Plain<T> {
    #[inline]
    fn get(&self, row: usize) -> Option<T> {
        let there = |validity: &Bitmap| validity.get_bit(row);
        self.0
            .validity()
            .is_none_or(there)
            .then(|| self.0.values().get(row).copied())
            .flatten()
    }
}

fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

/// A value of `N` bytes with its length before it: `M` bytes.
#[inline]
fn fixed<const N: usize, const M: usize>(value: Option<[u8; N]>, out: &mut Vec<u8>) {
    let Some(value) = value else { return null(out) };
    let mut bytes = [0; M];
    bytes[3] = u8::try_from(N).unwrap_or(0);
    bytes[M - N..].copy_from_slice(&value);
    out.extend_from_slice(&bytes);
}

/// A value whose length is known when it has been written.
fn sized<T>(value: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    let Some(value) = value else { return null(out) };
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(value, out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[inline]
fn variable(value: Option<&[u8]>, version: Option<u8>, out: &mut Vec<u8>) {
    let Some(bytes) = value else { return null(out) };
    let length = bytes.len() + usize::from(version.is_some());
    out.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
    out.extend(version);
    out.extend_from_slice(bytes);
}

#[inline]
fn text(text: Option<&str>, version: Option<u8>, out: &mut Vec<u8>) -> Result<(), Wrong> {
    if text.is_some_and(|text| memchr::memchr(0, text.as_bytes()).is_some()) {
        return Err(Wrong::Nul);
    }
    variable(text.map(str::as_bytes), version, out);
    Ok(())
}

fn uuid(text: &str) -> Result<[u8; 16], Wrong> {
    sqlx::types::Uuid::parse_str(text)
        .map(sqlx::types::Uuid::into_bytes)
        .map_err(|_| Wrong::NoUuid(text.to_owned()))
}

/// An array: dimensions, whether there are nulls, the elements' type, size and first index, the elements.
fn list(
    values: &Values,
    lists: &ListArray<i64>,
    of: u32,
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Wrong> {
    if lists.validity().is_some_and(|there| !there.get_bit(row)) {
        null(out);
        return Ok(());
    }
    let ends = lists.offsets();
    let place = |index| usize::try_from(ends.buffer()[index]).unwrap_or(0);
    let (start, end) = (place(row), place(row + 1));
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    let dimensions = i32::from(end > start);
    for number in [dimensions, 1] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&of.to_be_bytes());
    if end > start {
        for number in [i32::try_from(end - start).unwrap_or(i32::MAX), 1] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
    for index in start..end {
        values.write(index, out)?;
    }
    let length = u32::try_from(out.len() - begin - 4).unwrap_or(u32::MAX);
    out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
