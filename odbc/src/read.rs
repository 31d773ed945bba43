//! Rows of a query, batch by batch.
//!
//! What drivers say about the length of texts is a guess of theirs. Where a value turns out to be longer than its place,
//! the query is run again with more room, and the rows before are void: so a frame never holds half a value.

use odbc_api::{
    ColumnDescription, Connection, Cursor, DataType, Error, ResultSetMetadata,
    buffers::{BufferDesc, ColumnarDynBuffer},
};
use pipectl_connections::{OdbcColumn, OdbcFailure, OdbcKind, OdbcQuery, OdbcRows};
use polars::prelude::{Column, DataFrame, PolarsError};

use crate::{failure::refused, gather::Gathered, session::parameters};

/// How much memory a batch may take, and how many rows it may have.
const BATCH: usize = 16 * 1024 * 1024;
const ROWS: usize = 10_000;
/// How many bytes are handed on at once.
const PART: usize = 32 * 1024 * 1024;
/// How long a text is taken to be when the driver does not say; a longer one has a place that grows.
const USUAL: usize = 1_024;
const LONGEST_GUESS: usize = 8_192;
/// No value is longer than this many characters or bytes.
const LONGEST: usize = 256 * 1024 * 1024;

/// The columns of a result.
pub(crate) fn columns_of(
    cursor: &mut impl ResultSetMetadata,
) -> Result<Vec<OdbcColumn>, OdbcFailure> {
    let described = described(cursor)?;
    Ok(described.into_iter().map(|(column, _)| column).collect())
}

/// The columns of a result, with how long their values are said to be.
fn described(cursor: &mut impl ResultSetMetadata) -> Result<Vec<(OdbcColumn, usize)>, OdbcFailure> {
    let count = cursor.num_result_cols().map_err(refused)?;
    let mut columns = Vec::new();
    for number in 1..=u16::try_from(count).unwrap_or(0) {
        let mut description = ColumnDescription::default();
        cursor
            .describe_col(number, &mut description)
            .map_err(refused)?;
        let name = String::from_utf16_lossy(&description.name);
        let of = description.data_type;
        let length = of.column_size().map_or(0, usize::from);
        let column = OdbcColumn {
            name,
            kind: kind(of),
            type_name: type_name(of),
        };
        columns.push((column, length));
    }
    Ok(columns)
}

fn kind(of: DataType) -> OdbcKind {
    match of {
        DataType::Bit => OdbcKind::Boolean,
        DataType::TinyInt | DataType::SmallInt | DataType::Integer | DataType::BigInt => {
            OdbcKind::Integer
        }
        DataType::Real | DataType::Double | DataType::Float { .. } => OdbcKind::Number,
        DataType::Decimal { .. } | DataType::Numeric { .. } => OdbcKind::Decimal,
        DataType::Char { .. }
        | DataType::WChar { .. }
        | DataType::Varchar { .. }
        | DataType::WVarchar { .. }
        | DataType::LongVarchar { .. }
        | DataType::WLongVarchar { .. } => OdbcKind::Text,
        DataType::Date => OdbcKind::Date,
        DataType::Time { .. } => OdbcKind::Time,
        DataType::Timestamp { .. } => OdbcKind::Moment,
        DataType::Binary { .. } | DataType::Varbinary { .. } | DataType::LongVarbinary { .. } => {
            OdbcKind::Bytes
        }
        DataType::Unknown | DataType::Other { .. } => OdbcKind::Other,
    }
}

fn type_name(of: DataType) -> String {
    match kind(of) {
        OdbcKind::Boolean => "boolean".to_owned(),
        OdbcKind::Integer => "of whole numbers".to_owned(),
        OdbcKind::Number => "of floating-point numbers".to_owned(),
        OdbcKind::Decimal => "of decimal numbers".to_owned(),
        OdbcKind::Text => "of text".to_owned(),
        OdbcKind::Date => "a date".to_owned(),
        OdbcKind::Time => "a time".to_owned(),
        OdbcKind::Moment => "a timestamp".to_owned(),
        OdbcKind::Bytes => "binary".to_owned(),
        OdbcKind::Other => "of a type of its own".to_owned(),
    }
}

/// The rows of a query.
pub(crate) fn read(
    connection: &Connection<'_>,
    query: &OdbcQuery<'_>,
    rows: &mut dyn OdbcRows,
) -> Result<(), OdbcFailure> {
    let mut widths = Vec::new();
    // Else once more, with more room.
    while !attempt(connection, query, &mut widths, rows)? {}
    Ok(())
}

/// One run of the query; false when a value was longer than its place, which `widths` has grown for.
fn attempt(
    connection: &Connection<'_>,
    query: &OdbcQuery<'_>,
    widths: &mut Vec<usize>,
    taker: &mut dyn OdbcRows,
) -> Result<bool, OdbcFailure> {
    taker.begin();
    let parameters = parameters(query.values);
    let cursor = connection
        .execute(query.sql, parameters.as_slice(), None)
        .map_err(refused)?;
    let no_rows = || OdbcFailure::Refused {
        state: "24000".to_owned(),
        message: "the statement gives no rows: write a `select`".to_owned(),
    };
    let mut cursor = cursor.ok_or_else(no_rows)?;
    let columns = described(&mut cursor)?;
    if widths.len() != columns.len() {
        *widths = columns.iter().map(|(_, length)| guess(*length)).collect();
    }
    let places: Vec<BufferDesc> = columns
        .iter()
        .zip(&*widths)
        .map(|((column, _), width)| place(column.kind, *width))
        .collect();
    let row: usize = places.iter().map(BufferDesc::bytes_per_row).sum();
    let rows = (BATCH / row.max(1)).clamp(1, ROWS);
    let rows = query.most.map_or(rows, |most| rows.min(most.max(1)));
    let room = ColumnarDynBuffer::try_from_descs(rows, places).map_err(refused)?;
    let mut part = Part::new(&columns);
    let mut batches = cursor.bind_buffer(room).map_err(refused)?;
    while query.most.is_none_or(|most| part.count < most) {
        if !(query.going)() {
            return Err(OdbcFailure::Stopped);
        }
        let batch = match batches.fetch_with_truncation_check(true) {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(Error::TooLargeValueForBuffer {
                indicator,
                buffer_index,
            }) => {
                grow(widths, buffer_index, indicator, &columns)?;
                return Ok(false);
            }
            Err(error) => return Err(refused(error)),
        };
        for (index, column) in part.gathered.iter_mut().enumerate() {
            column.take(batch.column(index), part.count)?;
        }
        part.count += batch.num_rows();
        if part.bytes() >= PART {
            part.hand_on(taker)?;
        }
    }
    if part.count > part.before || part.count == 0 {
        part.hand_on(taker)?;
    }
    Ok(true)
}

/// Rows that have been read and not been handed on.
struct Part {
    gathered: Vec<Gathered>,
    /// How many rows have been handed on.
    before: usize,
    /// How many have been read.
    count: usize,
}

impl Part {
    fn new(columns: &[(OdbcColumn, usize)]) -> Self {
        let gathered = columns.iter().map(|(column, _)| Gathered::new(column));
        Self {
            gathered: gathered.collect(),
            before: 0,
            count: 0,
        }
    }

    /// How many bytes it takes, about.
    fn bytes(&self) -> usize {
        let values = (self.count - self.before) * self.gathered.len();
        let long = self.gathered.iter().map(Gathered::bytes);
        values * size_of::<u128>() + long.sum::<usize>()
    }

    fn hand_on(&mut self, taker: &mut dyn OdbcRows) -> Result<(), OdbcFailure> {
        let before = self.before;
        let columns = self.gathered.iter_mut();
        let columns = columns.map(|column| column.emptied().finish(before));
        let columns = columns.collect::<Result<Vec<Column>, OdbcFailure>>()?;
        let wrong = |error: PolarsError| OdbcFailure::Other(error.to_string());
        let frame = DataFrame::new(self.count - before, columns).map_err(wrong)?;
        self.before = self.count;
        if taker.take(frame) {
            Ok(())
        } else {
            Err(OdbcFailure::Stopped)
        }
    }
}

/// How long the values of a column may be at first.
fn guess(said: usize) -> usize {
    match said {
        0 => USUAL,
        said => said.min(LONGEST_GUESS),
    }
}

/// Makes room for a longer value.
fn grow(
    widths: &mut [usize],
    index: usize,
    bytes: Option<usize>,
    columns: &[(OdbcColumn, usize)],
) -> Result<(), OdbcFailure> {
    let Some(width) = widths.get_mut(index) else {
        return Err(OdbcFailure::Other("a column too many".to_owned()));
    };
    *width = bytes.unwrap_or(0).max(*width * 8);
    if *width <= LONGEST {
        return Ok(());
    }
    let name = columns.get(index).map_or("", |(column, _)| &column.name);
    Err(OdbcFailure::Refused {
        state: "22001".to_owned(),
        message: format!("`{name}` has a value that is longer than {LONGEST} characters"),
    })
}

/// The place for a value.
fn place(kind: OdbcKind, width: usize) -> BufferDesc {
    let nullable = true;
    match kind {
        // As bits MariaDB's driver does not say which of them are there.
        OdbcKind::Boolean => BufferDesc::I32 { nullable },
        OdbcKind::Integer => BufferDesc::I64 { nullable },
        OdbcKind::Number => BufferDesc::F64 { nullable },
        // Drivers do not agree on decimals and on parts of seconds; as text they are what they are.
        OdbcKind::Decimal | OdbcKind::Time => BufferDesc::Text {
            max_str_len: width.max(64),
        },
        OdbcKind::Date => BufferDesc::Date { nullable },
        OdbcKind::Moment => BufferDesc::Timestamp { nullable },
        OdbcKind::Bytes => BufferDesc::Binary { max_bytes: width },
        OdbcKind::Text | OdbcKind::Other => BufferDesc::WText { max_str_len: width },
    }
}
