//! Rows that come out of SQLite: held as long as they are few, then in a file of our own.
//!
//! What type a column has is only known when its last value is; so the file has the values as SQLite gave them.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, ErrorKind, Read, Seek as _},
    ops::Range,
};

use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use polars::prelude::DataFrame;
use tokio::sync::mpsc;

use super::{
    parts::{self, Writer, unfit},
    sqlite_column::{Cell, Column},
};
use crate::support::{files::io_failure, location::Temporary};

/// From so many bytes on the rows of a query go into a file.
const MOST: usize = 128 << 20;
/// How many bytes go into it at once.
const PART: usize = 16 << 20;

/// The values of some rows, column by column.
type Chunk = Vec<Vec<Cell>>;

/// How much may be held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    first: usize,
    part: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            first: MOST,
            part: PART,
        }
    }
}

/// Rows as they come.
pub(super) struct Spool {
    columns: Vec<Column>,
    held: Chunk,
    bytes: usize,
    room: Room,
    spilled: bool,
    sender: mpsc::Sender<Chunk>,
}

impl Spool {
    /// A spool, and what becomes of its rows: [`write`] wants to run beside it.
    pub(super) fn new(columns: Vec<Column>, room: Room) -> (Self, mpsc::Receiver<Chunk>) {
        // One chunk is written while the next is read.
        let (sender, chunks) = mpsc::channel(1);
        let spool = Self {
            held: empty(columns.len()),
            columns,
            bytes: 0,
            room,
            spilled: false,
            sender,
        };
        (spool, chunks)
    }

    /// Takes the next value of a column; a row is all columns, one after the other.
    pub(super) fn push(&mut self, index: usize, cell: Cell) {
        self.bytes += cell.size();
        if let (Some(column), Some(values)) =
            (self.columns.get_mut(index), self.held.get_mut(index))
        {
            column.see(&cell);
            values.push(cell);
        }
    }

    /// Lets rows go that are too many to be held; tells whether more are wanted.
    pub(super) async fn relieve(&mut self) -> bool {
        let most = if self.spilled {
            self.room.part
        } else {
            self.room.first
        };
        if self.bytes >= most {
            let chunk = std::mem::replace(&mut self.held, empty(self.columns.len()));
            (self.bytes, self.spilled) = (0, true);
            // Without its receiver the writing has failed, and says itself why.
            return self.sender.send(chunk).await.is_ok();
        }
        true
    }

    /// What has been read, once nothing comes any more.
    pub(super) fn end(self) -> Gathered {
        Gathered {
            columns: self.columns,
            held: self.held,
        }
    }
}

fn empty(columns: usize) -> Chunk {
    (0..columns).map(|_| Vec::new()).collect()
}

/// What is known of the rows, and the last of them.
pub(super) struct Gathered {
    columns: Vec<Column>,
    held: Chunk,
}

impl Gathered {
    /// The rows as a table, those of a file first. Computes: call it where blocking is allowed.
    ///
    /// # Errors
    /// When a value is not of its column's type, or there is no room for a file.
    pub(super) fn table(
        self,
        spilled: Option<Spilled>,
        context: &TaskContext,
    ) -> Result<Dataset, TaskError> {
        let Some(mut spilled) = spilled else {
            return self.frame(&self.held, 0).map(Dataset::from_frame);
        };
        let mut writer = Writer::new(context);
        let mut before = 0;
        while let Some(chunk) = spilled.next(self.columns.len())? {
            let frame = self.frame(&chunk, before)?;
            drop(chunk);
            writer.put(&frame)?;
            before += frame.height();
        }
        drop(spilled);
        writer.put(&self.frame(&self.held, before)?)?;
        parts::table(vec![(writer.finish()?, DataFrame::empty())], context)
    }

    fn frame(&self, chunk: &Chunk, before: usize) -> Result<DataFrame, TaskError> {
        let columns = self.columns.iter().zip(chunk);
        let columns = columns.map(|(column, cells)| column.of(cells, before));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let height = chunk.first().map_or(0, Vec::len);
        DataFrame::new(height, columns).map_err(|error| unfit(&error))
    }
}

/// Rows in a file.
pub(super) struct Spilled {
    file: BufReader<File>,
    _kept: Temporary,
}

/// Writes the chunks that a spool gives; nothing when there are none. Computes: call it where blocking is allowed.
///
/// # Errors
/// When there is no room for them.
pub(super) fn write(
    context: &TaskContext,
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<Option<Spilled>, TaskError> {
    let Some(first) = chunks.blocking_recv() else {
        return Ok(None);
    };
    let fail = |error| io_failure("write the query's rows", error);
    let kept = Temporary::new(context)?;
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&kept.0);
    let mut file = BufWriter::with_capacity(1 << 20, file.map_err(fail)?);
    let mut next = Some(first);
    while let Some(chunk) = next {
        put_pieces(&mut file, &chunk).map_err(fail)?;
        next = chunks.blocking_recv();
    }
    let mut file = file
        .into_inner()
        .map_err(|error| fail(error.into_error()))?;
    file.rewind().map_err(fail)?;
    Ok(Some(Spilled {
        file: BufReader::with_capacity(1 << 20, file),
        _kept: kept,
    }))
}

/// A chunk in pieces of about [`PART`], which are read again one by one.
fn put_pieces(file: &mut impl io::Write, chunk: &Chunk) -> io::Result<()> {
    let rows = chunk.first().map_or(0, Vec::len);
    let bytes: usize = chunk.iter().flatten().map(Cell::size).sum();
    let pieces = bytes.div_ceil(PART).max(1);
    let most = rows.div_ceil(pieces).max(1);
    for first in (0..rows).step_by(most) {
        put(file, chunk, first..rows.min(first + most))?;
    }
    Ok(())
}

/// How many rows there are, then each column: of each value what it is, and the value.
fn put(file: &mut impl io::Write, chunk: &Chunk, rows: Range<usize>) -> io::Result<()> {
    file.write_all(&(rows.len() as u64).to_le_bytes())?;
    let columns = chunk.iter().filter_map(|column| column.get(rows.clone()));
    for cell in columns.flatten() {
        match cell {
            Cell::Null => file.write_all(&[0])?,
            Cell::Integer(value) => {
                file.write_all(&[1])?;
                file.write_all(&value.to_le_bytes())?;
            }
            Cell::Real(value) => {
                file.write_all(&[2])?;
                file.write_all(&value.to_le_bytes())?;
            }
            Cell::Text(text) => {
                file.write_all(&[3])?;
                put_bytes(file, text.as_bytes())?;
            }
            Cell::Bytes(bytes) => {
                file.write_all(&[4])?;
                put_bytes(file, bytes)?;
            }
        }
    }
    Ok(())
}

fn put_bytes(file: &mut impl io::Write, bytes: &[u8]) -> io::Result<()> {
    file.write_all(&(bytes.len() as u64).to_le_bytes())?;
    file.write_all(bytes)
}

impl Spilled {
    /// The next rows.
    fn next(&mut self, columns: usize) -> Result<Option<Chunk>, TaskError> {
        let chunk = self.chunk(columns);
        chunk.map_err(|error| io_failure("read the query's rows", error))
    }

    fn chunk(&mut self, columns: usize) -> io::Result<Option<Chunk>> {
        let rows = match self.number() {
            Ok(rows) => u64::from_le_bytes(rows),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let column = |spilled: &mut Self| (0..rows).map(|_| spilled.cell()).collect();
        let chunk = (0..columns).map(|_| column(self));
        chunk.collect::<io::Result<_>>().map(Some)
    }

    fn cell(&mut self) -> io::Result<Cell> {
        let mut tag = [0];
        self.file.read_exact(&mut tag)?;
        Ok(match tag {
            [0] => Cell::Null,
            [1] => Cell::Integer(i64::from_le_bytes(self.number()?)),
            [2] => Cell::Real(f64::from_le_bytes(self.number()?)),
            [3] => Cell::Text(String::from_utf8(self.bytes()?).map_err(broken)?),
            [4] => Cell::Bytes(self.bytes()?),
            [other] => return Err(broken(format!("it has the mark {other}"))),
        })
    }

    fn number(&mut self) -> io::Result<[u8; 8]> {
        let mut number = [0; 8];
        self.file.read_exact(&mut number)?;
        Ok(number)
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = u64::from_le_bytes(self.number()?);
        let mut bytes = vec![0; usize::try_from(length).map_err(broken)?];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;

    use super::*;

    fn rows() -> impl Iterator<Item = [Cell; 3]> {
        (0..3_000_i64).map(|row| {
            [
                match row {
                    2_000 => Cell::Text("two".to_owned()),
                    _ => Cell::Integer(row),
                },
                match row % 3 {
                    0 => Cell::Null,
                    1 => Cell::Integer(row),
                    _ => Cell::Real(0.5),
                },
                Cell::Bytes(vec![0, 255, row.to_le_bytes()[0]]),
            ]
        })
    }

    async fn gathered(context: &TaskContext, room: Room) -> (Gathered, Option<Spilled>) {
        let columns = ["mixed", "number", "raw"].map(|name| Column::new(name, None));
        let (mut spool, chunks) = Spool::new(columns.into(), room);
        let inner = context.clone();
        let write = context.compute(move || write(&inner, chunks));
        let read = async move {
            for row in rows() {
                for (index, cell) in row.into_iter().enumerate() {
                    spool.push(index, cell);
                }
                assert!(spool.relieve().await);
            }
            spool.end()
        };
        let (gathered, spilled) = tokio::join!(read, write);
        (gathered, spilled.unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_that_went_through_a_file_are_those_that_were_held() {
        let project = TestProject::new();
        let context = project.context();
        let few = Room {
            first: 50_000,
            part: 20_000,
        };
        let (held, spilled) = gathered(&context, Room::default()).await;
        assert!(spilled.is_none());
        let held = held.table(None, &context).unwrap();
        let held = held.in_memory().unwrap().as_ref().clone();
        let (rest, spilled) = gathered(&context, few).await;
        assert!(spilled.is_some());
        let temporary = context.artifacts.temporary();
        let files = || {
            std::fs::read_dir(temporary.parent().unwrap())
                .unwrap()
                .count()
        };
        assert_eq!(files(), 1);
        let table = rest.table(spilled, &context).unwrap();
        // That of the table is left.
        assert_eq!(files(), 1);
        assert!(table.file().is_some_and(std::path::Path::exists));
        assert!(table.collect().unwrap().equals_missing(&held));
        assert_eq!(
            held.dtypes(),
            [
                polars::prelude::DataType::String,
                polars::prelude::DataType::Float64,
                polars::prelude::DataType::Binary
            ]
        );
    }
}
