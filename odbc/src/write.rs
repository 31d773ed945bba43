//! Rows as parameters of a statement, batch by batch.

use chrono::{DateTime, NaiveDate, TimeDelta};
use odbc_api::{
    BindParamDesc, Bit, Connection, DataType as SqlType,
    buffers::{BoxColumBufferRefMut, BufferDesc},
    sys::{Date, Timestamp},
};
use pipectl_connections::OdbcFailure;
use polars::prelude::*;

use crate::{
    failure::refused,
    value::{DIGITS, date, timestamp},
};

/// How much memory a batch may take, and how many rows it may have.
const BATCH: usize = 16 * 1024 * 1024;
const ROWS: usize = 2_000;
/// How long a time of day is: `12:30:00.500000`.
const TIME: usize = 15;
/// What the longest texts and bytes of plain columns are.
const LONG_BYTES: usize = 8_000;

/// Runs a statement once for each row.
pub(crate) fn write(
    connection: &Connection<'_>,
    sql: &str,
    rows: &DataFrame,
    going: &dyn Fn() -> bool,
) -> Result<(), OdbcFailure> {
    let mut statement = connection.prepare(sql).map_err(refused)?;
    let name = connection.database_management_system_name();
    let name = name.map_err(refused)?.to_ascii_lowercase();
    let most = if takes_the_first_length(&name, rows) {
        1
    } else {
        ROWS
    };
    // MariaDB's driver refuses parts of a second in what is a time; the server reads them in a text.
    let times = if name.contains("mariadb") || name.contains("mysql") {
        let length = std::num::NonZeroUsize::new(TIME);
        SqlType::Varchar { length }
    } else {
        SqlType::Time { precision: DIGITS }
    };
    let mut first = 0;
    while first < rows.height() {
        if !going() {
            return Err(OdbcFailure::Stopped);
        }
        let batch = batch(rows, first, most, times)?;
        let count = batch.first().map_or(0, Cells::len);
        let places = batch.iter().map(|cells| cells.place(times));
        let outcome = statement
            .column_inserter(count, places)
            .and_then(|mut inserter| {
                inserter.set_num_rows(count);
                for (index, cells) in batch.iter().enumerate() {
                    cells.fill(inserter.column_mut(index));
                }
                inserter.execute().map(drop)
            });
        let failed = |source: OdbcFailure| OdbcFailure::Rows {
            first: first + 1,
            last: first + count,
            source: Box::new(source),
        };
        outcome.map_err(|error| failed(refused(error)))?;
        first += count;
    }
    Ok(())
}

/// SQLite's driver takes all bytes of a batch to be as long as those of its first row.
fn takes_the_first_length(name: &str, rows: &DataFrame) -> bool {
    let mut of = rows.columns().iter().map(Column::dtype);
    name.contains("sqlite") && of.any(DataType::is_binary)
}

/// The rows from `first` on that are sent at once, `most` at most.
fn batch(
    rows: &DataFrame,
    first: usize,
    most: usize,
    times: SqlType,
) -> Result<Vec<Cells>, OdbcFailure> {
    let mut count = most;
    loop {
        let part = rows.slice(i64::try_from(first).unwrap_or(i64::MAX), count);
        let cells = part
            .columns()
            .iter()
            .map(Cells::of)
            .collect::<PolarsResult<Vec<_>>>()
            .map_err(|error| OdbcFailure::Other(error.to_string()))?;
        let row: usize = cells
            .iter()
            .map(|cells| cells.place(times).buffer_desc.bytes_per_row())
            .sum();
        if count == 1 || row * part.height() <= BATCH {
            return Ok(cells);
        }
        count = (BATCH / row.max(1)).clamp(1, count / 2);
    }
}

/// A column of a batch as the driver takes it.
enum Cells {
    Boolean(Vec<Option<bool>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    /// Texts with as many digits behind the point, which are decimal numbers.
    Decimal(Vec<Option<String>>, i8),
    Text(Vec<Option<Vec<u16>>>),
    Date(Vec<Option<Date>>),
    Time(Vec<Option<String>>),
    Moment(Vec<Option<Timestamp>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Cells {
    fn of(column: &Column) -> PolarsResult<Self> {
        let series = column.as_materialized_series();
        Ok(match series.dtype() {
            DataType::Boolean => Self::Boolean(series.bool()?.iter().collect()),
            of if of.is_integer() => {
                Self::Integer(series.cast(&DataType::Int64)?.i64()?.iter().collect())
            }
            of if of.is_float() => {
                Self::Number(series.cast(&DataType::Float64)?.f64()?.iter().collect())
            }
            DataType::Decimal(_, scale) => {
                let digits = series.decimal()?.physical();
                let texts = digits.iter();
                let texts = texts.map(|digits| digits.map(|digits| decimal(digits, *scale)));
                Self::Decimal(texts.collect(), i8::try_from(*scale).unwrap_or(i8::MAX))
            }
            DataType::Date => {
                let days = series.cast(&DataType::Int32)?;
                let days = days.i32()?.iter();
                let day = |days: i32| NaiveDate::default() + TimeDelta::days(i64::from(days));
                Self::Date(days.map(|days| days.map(|days| date(day(days)))).collect())
            }
            DataType::Datetime(_, zone) => {
                let of = DataType::Datetime(TimeUnit::Microseconds, zone.clone());
                let micros = series.cast(&of)?.cast(&DataType::Int64)?;
                let moment = |micros: i64| {
                    let moment = DateTime::from_timestamp_micros(micros).unwrap_or_default();
                    timestamp(moment.naive_utc())
                };
                Self::Moment(
                    micros
                        .i64()?
                        .iter()
                        .map(|micros| micros.map(moment))
                        .collect(),
                )
            }
            DataType::Time => {
                let nanoseconds = series.cast(&DataType::Int64)?;
                let times = nanoseconds.i64()?.iter();
                Self::Time(times.map(|time| time.map(clock)).collect())
            }
            DataType::Binary => {
                let bytes = series.binary()?.iter();
                Self::Bytes(bytes.map(|bytes| bytes.map(<[u8]>::to_vec)).collect())
            }
            _ => {
                let texts = series.cast(&DataType::String)?;
                let units = |text: &str| text.encode_utf16().collect();
                Self::Text(texts.str()?.iter().map(|text| text.map(units)).collect())
            }
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Boolean(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Decimal(values, _) | Self::Time(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Date(values) => values.len(),
            Self::Moment(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    /// The place that holds each of them; times of day are told to be `times`.
    fn place(&self, times: SqlType) -> BindParamDesc {
        match self {
            Self::Boolean(_) => BindParamDesc::bit(true),
            Self::Integer(_) => BindParamDesc::i64(true),
            Self::Number(_) => BindParamDesc::f64(true),
            Self::Decimal(_, scale) => BindParamDesc::decimal_as_text(38, *scale),
            Self::Date(_) => BindParamDesc::date(true),
            Self::Time(_) => BindParamDesc {
                buffer_desc: BufferDesc::Text { max_str_len: TIME },
                data_type: times,
            },
            Self::Moment(_) => BindParamDesc::timestamp(true, DIGITS),
            Self::Text(values) => BindParamDesc::wide_text(longest(values)),
            Self::Bytes(values) => {
                let max_bytes = longest(values);
                let length = std::num::NonZeroUsize::new(max_bytes);
                BindParamDesc {
                    buffer_desc: BufferDesc::Binary { max_bytes },
                    data_type: if max_bytes > LONG_BYTES {
                        SqlType::LongVarbinary { length }
                    } else {
                        SqlType::Varbinary { length }
                    },
                }
            }
        }
    }

    /// Puts them into their places.
    fn fill(&self, place: BoxColumBufferRefMut<'_>) {
        match self {
            Self::Boolean(values) => {
                if let Some(mut place) = place.as_nullable_slice::<Bit>() {
                    place.write(values.iter().map(|value| value.map(Bit::from_bool)));
                }
            }
            Self::Integer(values) => {
                if let Some(mut place) = place.as_nullable_slice::<i64>() {
                    place.write(values.iter().copied());
                }
            }
            Self::Number(values) => {
                if let Some(mut place) = place.as_nullable_slice::<f64>() {
                    place.write(values.iter().copied());
                }
            }
            Self::Date(values) => {
                if let Some(mut place) = place.as_nullable_slice::<Date>() {
                    place.write(values.iter().copied());
                }
            }
            Self::Moment(values) => {
                if let Some(mut place) = place.as_nullable_slice::<Timestamp>() {
                    place.write(values.iter().copied());
                }
            }
            Self::Decimal(values, _) | Self::Time(values) => {
                if let Some(mut place) = place.as_text() {
                    for (row, value) in values.iter().enumerate() {
                        place.set_cell(row, value.as_ref().map(String::as_bytes));
                    }
                }
            }
            Self::Text(values) => {
                if let Some(mut place) = place.as_wide_text() {
                    for (row, value) in values.iter().enumerate() {
                        place.set_cell(row, value.as_deref());
                    }
                }
            }
            Self::Bytes(values) => {
                if let Some(mut place) = place.as_binary() {
                    for (row, value) in values.iter().enumerate() {
                        place.set_cell(row, value.as_deref());
                    }
                }
            }
        }
    }
}

fn longest<T>(values: &[Option<Vec<T>>]) -> usize {
    let lengths = values.iter().flatten().map(Vec::len);
    lengths.max().unwrap_or(0).max(1)
}

/// A whole number with a point before its last `scale` digits.
fn decimal(digits: i128, scale: usize) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let plain = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, behind) = plain.split_at(plain.len() - scale);
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{behind}")
}

/// A time of day, given in nanoseconds since midnight, to the microsecond.
fn clock(nanoseconds: i64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let microsecond = nanoseconds / 1_000 % 1_000_000;
    format!("{hour:02}:{minute:02}:{second:02}.{microsecond:06}")
}
