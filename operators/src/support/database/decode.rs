//! Columns out of Postgres' binary values, one at a time.
//!
//! The forms are those of the types' send functions; they are the same in the rows of a query and in a binary `COPY`.
//! A column is gathered in chunks, so that nothing is copied when it grows.

use polars::prelude::*;
use polars_arrow::{
    array::{
        Array, ListArray, MutableArray, MutableBinaryViewArray, MutableBooleanArray,
        MutablePrimitiveArray,
    },
    bitmap::MutableBitmap,
    datatypes::{ArrowDataType, TimeUnit as Unit},
    offset::OffsetsBuffer,
};

use super::{
    copy::{EPOCH_DAYS, EPOCH_MICROSECONDS},
    numbers::Numbers,
    table::Holds,
};

/// How many rows the first chunk has; each next one has twice as many, up to the last.
const FIRST_CHUNK: usize = 1 << 14;
const LAST_CHUNK: usize = 1 << 20;

const BROKEN: &str = "a value of the wrong length";

/// A column that grows value by value.
pub(super) struct Builder {
    values: Values,
    lists: Option<Lists>,
    parts: Vec<Part>,
    /// How many digits behind the point its decimals have at least.
    scale: u16,
    /// How many rows the open chunk has, and may have.
    rows: usize,
    chunk: usize,
}

/// Where the lists of the open chunk end, and which of them there are.
struct Lists {
    ends: Vec<i64>,
    there: MutableBitmap,
}

/// A chunk that is full.
struct Part {
    values: Closed,
    lists: Option<Lists>,
}

enum Closed {
    Array(Box<dyn Array>),
    Numbers(Numbers),
}

impl Builder {
    /// A builder for values of a type, or for arrays of them; `None` for what columns do not hold.
    pub(super) fn of(holds: Holds, list: bool) -> Option<Self> {
        Some(Self {
            values: Values::of(holds, FIRST_CHUNK)?,
            lists: list.then(Lists::default),
            parts: Vec::new(),
            scale: 0,
            rows: 0,
            chunk: FIRST_CHUNK,
        })
    }

    /// Takes the values out; decimals that follow have no fewer digits than those before.
    pub(super) fn emptied(&mut self) -> Self {
        self.close();
        self.scale = self.widest();
        Self {
            values: self.values.empty(0),
            lists: self.lists.as_ref().map(|_| Lists::default()),
            parts: std::mem::take(&mut self.parts),
            scale: self.scale,
            rows: 0,
            chunk: 0,
        }
    }

    fn widest(&self) -> u16 {
        let scales = self.parts.iter().map(|part| match &part.values {
            Closed::Numbers(numbers) => numbers.scale,
            Closed::Array(_) => 0,
        });
        scales.max().unwrap_or(0).max(self.scale)
    }

    /// Adds a value.
    ///
    /// # Errors
    /// Says what cannot be held in a column.
    #[inline]
    pub(super) fn push(&mut self, bytes: Option<&[u8]>) -> Result<(), &'static str> {
        if self.rows == self.chunk {
            self.chunk = (self.chunk * 2).min(LAST_CHUNK);
            self.close();
        }
        self.rows += 1;
        match &mut self.lists {
            None => self.values.push(bytes),
            Some(lists) => lists.push(&mut self.values, bytes),
        }
    }

    fn close(&mut self) {
        let next = self.values.empty(self.chunk);
        let values = std::mem::replace(&mut self.values, next).close();
        let lists = self.lists.as_mut().map(std::mem::take);
        self.parts.push(Part { values, lists });
        self.rows = 0;
    }

    /// Adds the values of another builder of the same type.
    pub(super) fn append(&mut self, mut other: Self) {
        self.close();
        other.close();
        self.parts.append(&mut other.parts);
    }

    /// The column.
    ///
    /// # Errors
    /// When decimals of very different scales do not fit together.
    pub(super) fn finish(mut self, name: &str) -> PolarsResult<Column> {
        self.close();
        let name = PlSmallStr::from_str(name);
        let scale = self.widest();
        let mut arrays = Vec::new();
        for part in self.parts {
            let values = match part.values {
                Closed::Array(array) => array,
                Closed::Numbers(numbers) => numbers.finish(scale).ok_or_else(
                    || polars_err!(ComputeError: "`{}` has numbers of more than 38 digits", name),
                )?,
            };
            let array = match part.lists {
                Some(lists) => lists.finish(values)?,
                None => values,
            };
            if !array.is_empty() || arrays.is_empty() {
                arrays.push(array);
            }
        }
        if arrays.len() > 1 {
            arrays.retain(|array| !array.is_empty());
        }
        Ok(Series::try_from((name, arrays))?.into_column())
    }
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            ends: vec![0],
            there: MutableBitmap::new(),
        }
    }
}

impl Lists {
    /// Adds an array in Postgres' form: dimensions, flags, the element's type, then each dimension's size and the elements.
    fn push(&mut self, values: &mut Values, bytes: Option<&[u8]>) -> Result<(), &'static str> {
        let before = self.ends.last().copied().unwrap_or(0);
        let mut end = before;
        if let Some(mut bytes) = bytes {
            let dimensions = take_i32(&mut bytes)?;
            let (_flags, _of) = (take_i32(&mut bytes)?, take_i32(&mut bytes)?);
            let count = match dimensions {
                0 => 0,
                1 => {
                    let (size, _first) = (take_i32(&mut bytes)?, take_i32(&mut bytes)?);
                    size
                }
                _ => return Err("an array of more than one dimension"),
            };
            for _ in 0..count {
                values.push(take_field(&mut bytes)?)?;
            }
            end += i64::from(count);
        }
        self.ends.push(end);
        self.there.push(bytes.is_some());
        Ok(())
    }

    fn finish(self, values: Box<dyn Array>) -> PolarsResult<Box<dyn Array>> {
        let of = ListArray::<i64>::default_datatype(values.dtype().clone());
        let ends = OffsetsBuffer::try_from(self.ends)?;
        Ok(ListArray::<i64>::try_new(of, ends, values, self.there.into())?.boxed())
    }
}

/// Takes a whole number off the front.
pub(super) fn take_i32(bytes: &mut &[u8]) -> Result<i32, &'static str> {
    let (number, rest) = bytes.split_first_chunk().ok_or(BROKEN)?;
    *bytes = rest;
    Ok(i32::from_be_bytes(*number))
}

/// Takes a value with its length off the front; a length of -1 is null.
#[inline]
pub(super) fn take_field<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let length = take_i32(bytes)?;
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let (value, rest) = bytes.split_at_checked(length).ok_or(BROKEN)?;
    *bytes = rest;
    Ok(Some(value))
}

/// The values of the open chunk.
enum Values {
    Boolean(MutableBooleanArray),
    Int16(MutablePrimitiveArray<i16>),
    Int32(MutablePrimitiveArray<i32>),
    Int64(MutablePrimitiveArray<i64>),
    Float32(MutablePrimitiveArray<f32>),
    Float64(MutablePrimitiveArray<f64>),
    Numeric(Numbers),
    Text(MutableBinaryViewArray<str>),
    Jsonb(MutableBinaryViewArray<str>),
    Uuid(MutableBinaryViewArray<str>),
    Bytes(MutableBinaryViewArray<[u8]>),
    Date(MutablePrimitiveArray<i32>),
    Timestamp(MutablePrimitiveArray<i64>),
    TimestampTz(MutablePrimitiveArray<i64>),
    Time(MutablePrimitiveArray<i64>),
    Interval(MutablePrimitiveArray<i64>),
}

impl Values {
    fn of(holds: Holds, rows: usize) -> Option<Self> {
        let moments = |zone: Option<&str>| {
            let zone = zone.map(PlSmallStr::from_str);
            let of = ArrowDataType::Timestamp(Unit::Microsecond, zone);
            MutablePrimitiveArray::with_capacity_from(rows, of)
        };
        let primitive = |of| MutablePrimitiveArray::with_capacity_from(rows, of);
        Some(match holds {
            Holds::Boolean => Self::Boolean(MutableBooleanArray::with_capacity(rows)),
            Holds::Int16 => Self::Int16(MutablePrimitiveArray::with_capacity(rows)),
            Holds::Int32 => Self::Int32(MutablePrimitiveArray::with_capacity(rows)),
            Holds::Int64 => Self::Int64(MutablePrimitiveArray::with_capacity(rows)),
            Holds::Float32 => Self::Float32(MutablePrimitiveArray::with_capacity(rows)),
            Holds::Float64 => Self::Float64(MutablePrimitiveArray::with_capacity(rows)),
            Holds::Numeric => Self::Numeric(Numbers::new(rows)),
            Holds::Text | Holds::Json | Holds::Enum => {
                Self::Text(MutableBinaryViewArray::with_capacity(rows))
            }
            Holds::Jsonb => Self::Jsonb(MutableBinaryViewArray::with_capacity(rows)),
            Holds::Uuid => Self::Uuid(MutableBinaryViewArray::with_capacity(rows)),
            Holds::Bytes => Self::Bytes(MutableBinaryViewArray::with_capacity(rows)),
            Holds::Date => Self::Date(MutablePrimitiveArray::with_capacity_from(
                rows,
                ArrowDataType::Date32,
            )),
            Holds::Timestamp => Self::Timestamp(moments(None)),
            Holds::TimestampTz => Self::TimestampTz(moments(Some("UTC"))),
            Holds::Time => Self::Time(primitive(ArrowDataType::Time64(Unit::Nanosecond))),
            Holds::Interval => {
                Self::Interval(primitive(ArrowDataType::Duration(Unit::Microsecond)))
            }
            Holds::Anything | Holds::Other => return None,
        })
    }

    /// The same without values.
    fn empty(&self, rows: usize) -> Self {
        let holds = match self {
            Self::Boolean(_) => Holds::Boolean,
            Self::Int16(_) => Holds::Int16,
            Self::Int32(_) => Holds::Int32,
            Self::Int64(_) => Holds::Int64,
            Self::Float32(_) => Holds::Float32,
            Self::Float64(_) => Holds::Float64,
            Self::Numeric(_) => Holds::Numeric,
            Self::Text(_) => Holds::Text,
            Self::Jsonb(_) => Holds::Jsonb,
            Self::Uuid(_) => Holds::Uuid,
            Self::Bytes(_) => Holds::Bytes,
            Self::Date(_) => Holds::Date,
            Self::Timestamp(_) => Holds::Timestamp,
            Self::TimestampTz(_) => Holds::TimestampTz,
            Self::Time(_) => Holds::Time,
            Self::Interval(_) => Holds::Interval,
        };
        Self::of(holds, rows).unwrap_or_else(|| Self::Numeric(Numbers::new(0)))
    }

    fn close(self) -> Closed {
        Closed::Array(match self {
            Self::Boolean(mut values) => values.as_box(),
            Self::Int16(mut values) => values.as_box(),
            Self::Int32(mut values) | Self::Date(mut values) => values.as_box(),
            Self::Int64(mut values)
            | Self::Timestamp(mut values)
            | Self::TimestampTz(mut values)
            | Self::Time(mut values)
            | Self::Interval(mut values) => values.as_box(),
            Self::Float32(mut values) => values.as_box(),
            Self::Float64(mut values) => values.as_box(),
            Self::Numeric(numbers) => return Closed::Numbers(numbers),
            Self::Text(mut values) | Self::Jsonb(mut values) | Self::Uuid(mut values) => {
                values.as_box()
            }
            Self::Bytes(mut values) => values.as_box(),
        })
    }

    #[inline]
    fn push(&mut self, bytes: Option<&[u8]>) -> Result<(), &'static str> {
        match self {
            Self::Boolean(values) => values.push(bytes.map(|bytes| bytes.first() == Some(&1))),
            Self::Int16(values) => values.push(array(bytes)?.map(i16::from_be_bytes)),
            Self::Int32(values) => values.push(array(bytes)?.map(i32::from_be_bytes)),
            Self::Int64(values) => values.push(array(bytes)?.map(i64::from_be_bytes)),
            Self::Float32(values) => values.push(array(bytes)?.map(f32::from_be_bytes)),
            Self::Float64(values) => values.push(array(bytes)?.map(f64::from_be_bytes)),
            Self::Numeric(numbers) => return numbers.push(bytes),
            Self::Text(values) => values.push(bytes.map(text).transpose()?),
            // A version number stands before the text.
            Self::Jsonb(values) => {
                let bytes = bytes.map(|bytes| bytes.get(1..).unwrap_or_default());
                values.push(bytes.map(text).transpose()?);
            }
            Self::Uuid(values) => {
                let uuid = array(bytes)?.map(sqlx::types::Uuid::from_bytes);
                let mut room = [0; 36];
                values.push(uuid.map(|uuid| &*uuid.hyphenated().encode_lower(&mut room)));
            }
            Self::Bytes(values) => values.push(bytes),
            Self::Date(values) => values.push(array(bytes)?.map(day).transpose()?),
            Self::Timestamp(values) | Self::TimestampTz(values) => {
                values.push(array(bytes)?.map(moment).transpose()?);
            }
            Self::Time(values) => values.push(array(bytes)?.map(time_of_day).transpose()?),
            Self::Interval(values) => values.push(array(bytes)?.map(duration).transpose()?),
        }
        Ok(())
    }
}

#[inline]
fn array<const N: usize>(bytes: Option<&[u8]>) -> Result<Option<[u8; N]>, &'static str> {
    bytes
        .map(|bytes| bytes.try_into().map_err(|_| BROKEN))
        .transpose()
}

fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8")
}

fn day(bytes: [u8; 4]) -> Result<i32, &'static str> {
    let days = i32::from_be_bytes(bytes);
    days.checked_add(EPOCH_DAYS)
        .filter(|_| days != i32::MIN)
        .ok_or("the date `infinity`")
}

fn moment(bytes: [u8; 8]) -> Result<i64, &'static str> {
    let time = i64::from_be_bytes(bytes);
    time.checked_add(EPOCH_MICROSECONDS)
        .filter(|_| time != i64::MIN)
        .ok_or("the moment `infinity`")
}

/// Nanoseconds since midnight.
fn time_of_day(bytes: [u8; 8]) -> Result<i64, &'static str> {
    const DAY: i64 = 86_400_000_000;
    match i64::from_be_bytes(bytes) {
        DAY => Err("the time 24:00:00"),
        time => time.checked_mul(1_000).ok_or(BROKEN),
    }
}

/// Microseconds; Postgres itself holds a day to be as long as 24 hours.
fn duration(bytes: [u8; 16]) -> Result<i64, &'static str> {
    const DAY: i64 = 86_400_000_000;
    let mut rest = &bytes[..];
    let (time, tail) = rest.split_first_chunk().ok_or(BROKEN)?;
    rest = tail;
    let (days, months) = (take_i32(&mut rest)?, take_i32(&mut rest)?);
    if months != 0 {
        return Err("an interval with months, whose length varies");
    }
    i64::from(days)
        .checked_mul(DAY)
        .and_then(|days| days.checked_add(i64::from_be_bytes(*time)))
        .ok_or("an interval that is too long")
}
