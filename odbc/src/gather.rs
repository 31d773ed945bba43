//! A column that grows batch by batch.

use chrono::{NaiveDate, NaiveTime, Timelike as _};
use odbc_api::{
    buffers::AnyColumnBufferSlice,
    sys::{Date, Timestamp},
};
use pipectl_connections::{OdbcColumn, OdbcFailure, OdbcKind};
use polars::prelude::*;

/// How many digits a decimal number may have.
const DIGITS: usize = 38;

/// The values of a column so far.
pub(crate) struct Gathered {
    column: OdbcColumn,
    values: Values,
    /// How many bytes its texts have.
    bytes: usize,
}

enum Values {
    Boolean(Vec<Option<bool>>),
    Integer(PrimitiveChunkedBuilder<Int64Type>),
    Number(PrimitiveChunkedBuilder<Float64Type>),
    /// As text, and how many digits stand behind the point at most.
    Decimal(StringChunkedBuilder, usize),
    Text(StringChunkedBuilder),
    Date(PrimitiveChunkedBuilder<Int32Type>),
    Time(PrimitiveChunkedBuilder<Int64Type>),
    Moment(PrimitiveChunkedBuilder<Int64Type>),
    Bytes(BinaryChunkedBuilder),
}

impl Gathered {
    pub(crate) fn new(column: &OdbcColumn) -> Self {
        let name = || PlSmallStr::from_str(&column.name);
        let whole = || PrimitiveChunkedBuilder::new(name(), 0);
        let text = || StringChunkedBuilder::new(name(), 0);
        let values = match column.kind {
            OdbcKind::Boolean => Values::Boolean(Vec::new()),
            OdbcKind::Integer => Values::Integer(whole()),
            OdbcKind::Number => Values::Number(PrimitiveChunkedBuilder::new(name(), 0)),
            OdbcKind::Decimal => Values::Decimal(text(), 0),
            OdbcKind::Text | OdbcKind::Other => Values::Text(text()),
            OdbcKind::Date => Values::Date(PrimitiveChunkedBuilder::new(name(), 0)),
            OdbcKind::Time => Values::Time(whole()),
            OdbcKind::Moment => Values::Moment(whole()),
            OdbcKind::Bytes => Values::Bytes(BinaryChunkedBuilder::new(name(), 0)),
        };
        Self {
            column: column.clone(),
            values,
            bytes: 0,
        }
    }

    /// How many bytes its texts have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the values out. Decimals keep the digits behind the point that they have had.
    pub(crate) fn emptied(&mut self) -> Self {
        let mut next = Self::new(&self.column);
        if let (Values::Decimal(_, scale), Values::Decimal(_, before)) =
            (&mut next.values, &self.values)
        {
            *scale = *before;
        }
        std::mem::replace(self, next)
    }

    /// Takes a batch; `before` rows were there before.
    pub(crate) fn take(
        &mut self,
        batch: AnyColumnBufferSlice<'_>,
        before: usize,
    ) -> Result<(), OdbcFailure> {
        let name = &self.column.name;
        let other = || other_form(name);
        let wrong = |row, what| wrong_value(name, before + row, what);
        match &mut self.values {
            Values::Boolean(values) => {
                let batch = batch.as_nullable_slice::<i32>().ok_or_else(other)?;
                values.extend(batch.map(|value| value.map(|value| *value != 0)));
            }
            Values::Integer(values) => {
                let batch = batch.as_nullable_slice::<i64>().ok_or_else(other)?;
                batch.for_each(|value| values.append_option(value.copied()));
            }
            Values::Number(values) => {
                let batch = batch.as_nullable_slice::<f64>().ok_or_else(other)?;
                batch.for_each(|value| values.append_option(value.copied()));
            }
            Values::Date(values) => {
                let batch = batch.as_nullable_slice::<Date>().ok_or_else(other)?;
                for (row, value) in batch.enumerate() {
                    let day = value.map(|date| {
                        day(date.year, date.month, date.day)
                            .ok_or_else(|| wrong(row, format!("{date:?}, which is no day")))
                    });
                    let day = day.transpose()?;
                    values.append_option(day.map(days));
                }
            }
            Values::Moment(values) => {
                let batch = batch.as_nullable_slice::<Timestamp>().ok_or_else(other)?;
                for (row, value) in batch.enumerate() {
                    let micros = value.map(|value| {
                        micros(value)
                            .ok_or_else(|| wrong(row, format!("{value:?}, which is no moment")))
                    });
                    values.append_option(micros.transpose()?);
                }
            }
            Values::Bytes(values) => {
                let batch = batch.as_binary().ok_or_else(other)?;
                for value in batch.iter() {
                    self.bytes += value.map_or(0, <[u8]>::len);
                    values.append_option(value);
                }
            }
            Values::Decimal(..) | Values::Text(_) | Values::Time(_) => {
                return self.take_text(batch, before);
            }
        }
        Ok(())
    }

    /// The same for what comes as text.
    fn take_text(
        &mut self,
        batch: AnyColumnBufferSlice<'_>,
        before: usize,
    ) -> Result<(), OdbcFailure> {
        let name = &self.column.name;
        let other = || other_form(name);
        let wrong = |row, what| wrong_value(name, before + row, what);
        match &mut self.values {
            Values::Decimal(values, scale) => {
                let batch = batch.as_text().ok_or_else(other)?;
                for (row, value) in batch.iter().enumerate() {
                    let text = value.map(ascii);
                    if let Some(text) = text.as_deref() {
                        *scale =
                            (*scale).max(behind_the_point(text).map_err(|what| wrong(row, what))?);
                    }
                    values.append_option(text);
                }
            }
            Values::Text(values) => {
                let batch = batch.as_wide_text().ok_or_else(other)?;
                for (row, value) in batch.iter().enumerate() {
                    let text = value.map(|value| String::from_utf16(value.as_slice()));
                    let text = text
                        .transpose()
                        .map_err(|_| wrong(row, "text that is not UTF-16".to_owned()))?;
                    self.bytes += text.as_ref().map_or(0, String::len);
                    values.append_option(text.as_deref());
                }
            }
            Values::Time(values) => {
                let batch = batch.as_text().ok_or_else(other)?;
                for (row, value) in batch.iter().enumerate() {
                    let time = value.map(|value| {
                        let text = ascii(value);
                        nanoseconds(&text)
                            .ok_or_else(|| wrong(row, format!("{text:?}, which is no time of day")))
                    });
                    values.append_option(time.transpose()?);
                }
            }
            _ => return Err(other()),
        }
        Ok(())
    }

    /// The column; `before` rows of the query come before it.
    pub(crate) fn finish(self, before: usize) -> Result<Column, OdbcFailure> {
        let name = self.column.name;
        let finished = match self.values {
            Values::Boolean(values) => Ok(Column::new(name.as_str().into(), values)),
            Values::Integer(values) => Ok(values.finish().into_column()),
            Values::Number(values) => Ok(values.finish().into_column()),
            Values::Text(values) => Ok(values.finish().into_column()),
            Values::Bytes(values) => Ok(values.finish().into_column()),
            Values::Date(values) => values.finish().into_column().cast(&DataType::Date),
            Values::Time(values) => values.finish().into_column().cast(&DataType::Time),
            Values::Moment(values) => {
                let of = DataType::Datetime(TimeUnit::Microseconds, None);
                values.finish().into_column().cast(&of)
            }
            Values::Decimal(values, scale) => {
                return decimals(&name, &values.finish().into_column(), scale, before);
            }
        };
        finished.map_err(|error| OdbcFailure::Other(error.to_string()))
    }
}

/// A value that is not what its column holds; `row` counts from 0.
fn wrong_value(name: &str, row: usize, what: String) -> OdbcFailure {
    OdbcFailure::Value {
        row: row + 1,
        column: name.to_owned(),
        what,
    }
}

fn other_form(name: &str) -> OdbcFailure {
    OdbcFailure::Other(format!("`{name}` comes in another form than was asked for"))
}

/// Texts as decimal numbers of one scale.
fn decimals(
    name: &str,
    texts: &Column,
    scale: usize,
    before: usize,
) -> Result<Column, OdbcFailure> {
    let of = DataType::Decimal(DIGITS, scale);
    let numbers = texts
        .cast(&of)
        .map_err(|error| OdbcFailure::Other(error.to_string()))?;
    if numbers.null_count() == texts.null_count() {
        return Ok(numbers);
    }
    let (was, is) = (texts.is_not_null(), numbers.is_null());
    let lost =
        (0..texts.len()).find(|row| was.get(*row) == Some(true) && is.get(*row) == Some(true));
    let row = lost.unwrap_or(0);
    let value = texts.get(row).map(|value| value.to_string());
    let value = value.unwrap_or_default();
    let what = format!("{value}, which is no decimal number of at most {DIGITS} digits");
    Err(wrong_value(name, before + row, what))
}

fn ascii(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// How many digits of a number stand behind its point.
fn behind_the_point(text: &str) -> Result<usize, String> {
    let digits = text.split_once('.').map_or(0, |(_, behind)| behind.len());
    if digits > DIGITS {
        return Err(format!("{text}, which has more than {DIGITS} digits"));
    }
    Ok(digits)
}

fn day(year: i16, month: u16, day: u16) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day))
}

/// Days since 1970.
fn days(day: NaiveDate) -> i32 {
    let since = day - NaiveDate::default();
    i32::try_from(since.num_days()).unwrap_or(i32::MAX)
}

/// Microseconds since 1970.
fn micros(value: &Timestamp) -> Option<i64> {
    let day = day(value.year, value.month, value.day)?;
    let moment = day.and_hms_nano_opt(
        u32::from(value.hour),
        u32::from(value.minute),
        u32::from(value.second),
        value.fraction,
    )?;
    Some(moment.and_utc().timestamp_micros())
}

/// Nanoseconds since midnight.
fn nanoseconds(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok()?;
    let seconds = i64::from(time.num_seconds_from_midnight());
    Some(seconds * 1_000_000_000 + i64::from(time.nanosecond()))
}
