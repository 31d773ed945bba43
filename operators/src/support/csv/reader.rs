//! The rows of a file: all of it as a frame, or piece by piece as a plan.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use polars::prelude::*;
use polars_plan::dsl::{DslBuilder, ScanSources};
use rayon::prelude::*;

use super::{
    Dialect, Flaw, Layout,
    columns::{Fields, Wrong},
    fields::Located,
    layout::Piece,
};

const RAGGED: &str = "the records of a file have different numbers of fields";
const WRONG: &str = "is not what its column is";

/// How files are written.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    /// What stands between and around fields.
    pub(crate) dialect: Dialect,
    /// What stands for nothing, besides an empty field.
    pub(crate) missing: Vec<String>,
    /// Whether numbers have a comma.
    pub(crate) decimal_comma: bool,
}

/// A file whose columns are known.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    writing: Writing,
    pieces: Vec<Piece>,
    types: SchemaRef,
    /// Room for pieces, to be used again.
    rooms: Mutex<Vec<Vec<u8>>>,
}

/// Why rows could not be read.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file could not be read.
    Io(io::Error),
    /// A record has more or fewer fields than the first one.
    Shape(Flaw),
    /// A field is not what its column is.
    Value {
        /// The row, counted from 1.
        row: u64,
        /// The column, counted from 0.
        column: usize,
        /// Its text.
        text: String,
        /// Whether the matter is that its quotes end before it does.
        quotes: bool,
    },
    /// The columns could not be brought together.
    Frame(PolarsError),
}

impl From<PolarsError> for Failure {
    fn from(error: PolarsError) -> Self {
        Self::Frame(error)
    }
}

impl From<Failure> for PolarsError {
    /// Without names: whoever runs the plan asks for the [first failure](Reader::first_failure).
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Io(error) => error.into(),
            Failure::Frame(error) => error,
            Failure::Shape(_) => polars_err!(ComputeError: "{}", RAGGED),
            Failure::Value { row, text, .. } => {
                polars_err!(ComputeError: "row {}: `{}` {}", row, text, WRONG)
            }
        }
    }
}

impl Failure {
    /// Whether a plan failed because of one.
    pub(crate) fn is_behind(error: &PolarsError) -> bool {
        let text = error.to_string();
        text.contains(RAGGED) || text.contains(WRONG)
    }
}

impl Reader {
    /// Reads the file of a layout; `types` are those of its columns, in the file's order.
    pub(crate) fn new(path: &Path, layout: &Layout, writing: Writing, types: SchemaRef) -> Self {
        Self {
            path: path.to_owned(),
            writing,
            pieces: layout.pieces.clone(),
            types,
            rooms: Mutex::default(),
        }
    }

    /// The columns and their types.
    pub(crate) fn types(&self) -> &SchemaRef {
        &self.types
    }

    /// All rows.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn frame(&self) -> Result<DataFrame, Failure> {
        let columns: Vec<usize> = (0..self.types.len()).collect();
        let mut frame = self.frames(0..self.pieces.len(), &columns)?;
        frame.rechunk_mut_par();
        Ok(frame)
    }

    /// The rows of some pieces, with some of the columns.
    fn frames(&self, pieces: Range<usize>, columns: &[usize]) -> Result<DataFrame, Failure> {
        if pieces.len() == 1 {
            return self.piece(pieces.start, columns);
        }
        let frames: Vec<Result<DataFrame, Failure>> = pieces
            .into_par_iter()
            .map(|index| self.piece(index, columns))
            .collect();
        let mut all = self.empty(columns);
        for frame in frames {
            all.vstack_mut_owned(frame?)?;
        }
        Ok(all)
    }

    fn empty(&self, columns: &[usize]) -> DataFrame {
        let types = columns
            .iter()
            .filter_map(|column| self.types.get_at_index(*column));
        DataFrame::empty_with_schema(&types.map(|(name, of)| (name.clone(), of.clone())).collect())
    }

    /// The first reason why the file cannot be read.
    pub(crate) fn first_failure(&self) -> Option<Failure> {
        let columns: Vec<usize> = (0..self.types.len()).collect();
        (0..self.pieces.len())
            .into_par_iter()
            .find_map_first(|index| self.piece(index, &columns).err())
    }

    /// The rows of one piece.
    fn piece(&self, index: usize, columns: &[usize]) -> Result<DataFrame, Failure> {
        let Some(piece) = self.pieces.get(index) else {
            return Ok(self.empty(columns));
        };
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = rooms().pop().unwrap_or_default();
        let frame = self.read(piece, columns, &mut room);
        rooms().push(room);
        frame
    }

    fn read(
        &self,
        piece: &Piece,
        columns: &[usize],
        room: &mut Vec<u8>,
    ) -> Result<DataFrame, Failure> {
        if room.len() < piece.length {
            room.resize(piece.length, 0);
        }
        let content = room.get_mut(..piece.length).unwrap_or_default();
        File::open(&self.path)
            .and_then(|file| file.read_exact_at(content, piece.start))
            .map_err(Failure::Io)?;
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "it changed while it was read");
        let text = std::str::from_utf8(content).map_err(|_| Failure::Io(changed()))?;
        let (dialect, width) = (self.writing.dialect, self.types.len());
        let located = Located::find(content, dialect, width, piece.records, piece.regular());
        let mut made = Vec::with_capacity(columns.len());
        let mut wrong: Option<(Wrong, usize)> = None;
        for column in columns {
            let Some((name, of)) = self.types.get_at_index(*column) else {
                continue;
            };
            let fields = Fields {
                text,
                located: &located,
                column: *column,
                last: column + 1 == width,
                quote: dialect.quote.filter(|_| piece.quotes),
                missing: &self.writing.missing,
                decimal_comma: self.writing.decimal_comma,
            };
            match fields.array(of) {
                Ok(array) => made.push(Series::try_from((name.clone(), array))?.into_column()),
                Err(found)
                    if wrong
                        .as_ref()
                        .is_none_or(|(first, _)| found.row < first.row) =>
                {
                    wrong = Some((found, *column));
                }
                Err(_) => {}
            }
        }
        if let Some((wrong, column)) = wrong {
            return Err(Failure::Value {
                row: piece.rows_before + wrong.row as u64 + 1,
                column,
                text: wrong.text,
                quotes: wrong.quotes,
            });
        }
        match located.flaw {
            Some(flaw) => Err(Failure::Shape(flaw.below(piece.lines_before))),
            None => Ok(DataFrame::new(located.rows(), made)?),
        }
    }

    /// A plan of all rows. Pieces are read when they are asked for, by as many threads as the plan has, and only the
    /// columns that the query speaks of are made.
    ///
    /// # Errors
    /// When the plan cannot be made.
    pub(crate) fn plan(self: &Arc<Self>) -> PolarsResult<LazyFrame> {
        // Plans of the same name would be held to be the same.
        static PLANS: AtomicU64 = AtomicU64::new(0);
        if self.pieces.is_empty() {
            return Ok(DataFrame::empty_with_schema(&self.types).lazy());
        }
        let number = PLANS.fetch_add(1, Ordering::Relaxed);
        let name = |part: &str| PlSmallStr::from_string(format!("csv {part} {number}"));
        let (marker, reader) = (Arc::clone(self), Arc::clone(self));
        let types = Arc::clone(&self.types);
        let schema: Arc<dyn UdfSchema> = Arc::new(move |_: &Schema| Ok(Arc::clone(&types)));
        let streaming = OptFlags::STREAMING;
        let plan = DslBuilder::from(self.numbers()?.logical_plan)
            .map(
                move |numbers| marker.marked(&numbers),
                streaming,
                Some(schema),
                name("pieces"),
            )
            .map(
                move |marked: DataFrame| reader.asked(&marked),
                streaming | OptFlags::PROJECTION_PUSHDOWN,
                None,
                name("rows"),
            );
        Ok(LazyFrame::from(plan.build()))
    }

    /// A plan of the numbers of the pieces. polars hands on what it reads from different sources one by one, so it has
    /// a source for each.
    fn numbers(&self) -> PolarsResult<LazyFrame> {
        let sources = (0..self.pieces.len()).map(|index| format!("{index}\n").into_bytes().into());
        let schema = Schema::from_iter([Field::new("piece".into(), DataType::Int64)]);
        LazyCsvReader::new_with_sources(ScanSources::Buffers(sources.collect()))
            .with_has_header(false)
            .with_schema(Some(Arc::new(schema)))
            .finish()
    }

    /// Says by the height of a frame which piece is meant, since its columns may all be of no interest to the query: the
    /// first one has one row, the last one as many as there are pieces, and all of them one more. No memory is taken by
    /// a column of nothing.
    fn marked(&self, numbers: &DataFrame) -> PolarsResult<DataFrame> {
        let numbers = numbers.column("piece")?.i64()?;
        let height = match (numbers.len(), numbers.get(0)) {
            (0, _) => 0,
            (1, Some(number)) => usize::try_from(number).map_or(0, |number| number + 1),
            (all, _) if all == self.pieces.len() => all + 1,
            (some, _) => polars_bail!(ComputeError: "{} pieces of a file at once", some),
        };
        let nothing =
            |(name, of): (&PlSmallStr, &DataType)| Column::full_null(name.clone(), height, of);
        DataFrame::new(height, self.types.iter().map(nothing).collect())
    }

    /// The rows of the piece that is meant, with the columns that are asked for.
    fn asked(&self, marked: &DataFrame) -> PolarsResult<DataFrame> {
        let names = marked.get_column_names();
        let columns: Vec<usize> = names
            .into_iter()
            .filter_map(|name| self.types.index_of(name))
            .collect();
        let pieces = match marked.height() {
            0 => 0..0,
            all if all > self.pieces.len() => 0..self.pieces.len(),
            number => number - 1..number,
        };
        Ok(self.frames(pieces, &columns)?)
    }
}
