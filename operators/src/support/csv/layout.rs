//! Where a file can be cut, so that many threads may read it; found in one quick look at all of it.

use std::{io, path::Path};

use memchr::{memchr, memchr_iter, memrchr};
use rayon::prelude::*;

use super::{Dialect, Flaw, LONGEST, Record, blank, fields::scan, records::in_parts, without_mark};

/// How large a piece is, about: enough for some thousand records, and little enough for the caches of a core.
const PIECE: usize = 1 << 20;

/// What a file is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// The first record that is there; it tells how many fields all have, and their names if there is a header.
    pub(crate) first: Vec<u8>,
    /// How many fields the first record has.
    pub(crate) fields: usize,
    /// How many records there are, without the header.
    pub(crate) records: u64,
    /// The pieces of the file that have all records but the header.
    pub(crate) pieces: Vec<Piece>,
}

/// A piece of a file, of whole records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where it begins.
    pub(crate) start: u64,
    /// How many bytes it has.
    pub(crate) length: usize,
    /// How many records it has.
    pub(crate) records: usize,
    /// How many records there are before it, without the header.
    pub(crate) rows_before: u64,
    /// How many lines there are before it.
    pub(crate) lines_before: u64,
    /// How many lines it has.
    lines: u64,
    /// Whether there are quotes in it.
    pub(crate) quotes: bool,
}

impl Piece {
    /// How many lines it has, when they are all records and there are no quotes.
    pub(crate) fn regular(&self) -> Option<usize> {
        let regular = !self.quotes && self.lines == self.records as u64;
        regular.then_some(self.records)
    }
}

impl Layout {
    /// Looks at a file, of which no more than a part is in memory. `stopped` says when to give up.
    ///
    /// # Errors
    /// When it cannot be read; within, what makes it no text of records: that they have the same number of fields is for
    /// the reader to see.
    pub(crate) fn of(
        path: &Path,
        dialect: Dialect,
        header: bool,
        stopped: &dyn Fn() -> bool,
    ) -> io::Result<Result<Self, Flaw>> {
        Self::in_pieces(path, dialect, header, PIECE, stopped)
    }

    pub(super) fn in_pieces(
        path: &Path,
        dialect: Dialect,
        header: bool,
        size: usize,
        stopped: &dyn Fn() -> bool,
    ) -> io::Result<Result<Self, Flaw>> {
        let mut look = Look {
            dialect,
            header,
            size,
            layout: Self::default(),
            position: 0,
            lines: 0,
        };
        let result = in_parts(path, |part, last| {
            if stopped() {
                return Err(Stop::Io(io::ErrorKind::Interrupted.into()));
            }
            let taken = look.take(part, last).map_err(Stop::Flaw)?;
            if taken == 0 && part.len() >= LONGEST {
                let line = look.lines + 1;
                return Err(Stop::Flaw(Flaw::TooLong { line }));
            }
            look.position += taken as u64;
            Ok(Some(taken))
        });
        match result {
            Ok(()) => Ok(Ok(look.layout)),
            Err(Stop::Flaw(flaw)) => Ok(Err(flaw)),
            Err(Stop::Io(error)) => Err(error),
        }
    }
}

/// Why the looking ends early.
enum Stop {
    Flaw(Flaw),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What has been seen of a file so far.
struct Look {
    dialect: Dialect,
    header: bool,
    /// How large pieces are.
    size: usize,
    layout: Layout,
    /// How many bytes were used.
    position: u64,
    /// How many lines.
    lines: u64,
}

impl Look {
    /// Looks at the whole records of `content`, all of it when it is the `last`; says how much that was.
    fn take(&mut self, content: &[u8], last: bool) -> Result<usize, Flaw> {
        let body = match self.position {
            0 => without_mark(content),
            _ => content,
        };
        let mark = content.len() - body.len();
        let quoted = |quote| memchr(quote, body).is_some();
        let quotes = self.dialect.quote.is_some_and(quoted);
        let begun = match self.layout.fields {
            0 => self.begin(body, last)?,
            _ => 0,
        };
        let rest = body.get(begun..).unwrap_or_default();
        let start = self.position + (mark + begun) as u64;
        let mut taken = 0;
        if self.layout.fields > 0 {
            let pieces = if quotes {
                self.quoted(rest, last)?
            } else {
                self.plain(rest, last)?
            };
            for mut piece in pieces {
                piece.start = start + taken as u64;
                piece.rows_before = self.layout.records;
                piece.lines_before = self.lines;
                taken += piece.length;
                self.layout.records += piece.records as u64;
                self.lines += piece.lines;
                self.layout.pieces.push(piece);
            }
        }
        match begun + taken {
            0 => Ok(0),
            used => Ok(mark + used),
        }
    }

    /// Finds the first record; says how much of `content` is not to be read again.
    fn begin(&mut self, content: &[u8], last: bool) -> Result<usize, Flaw> {
        let mut position = 0;
        while position < content.len() {
            let line = self.lines + 1;
            let record = match Record::read(content, position, line, self.dialect) {
                Ok(record) if record.open && !last => break,
                Err(_) if !last => break,
                Err(flaw) => {
                    text(content, position, self.lines)?;
                    return Err(flaw);
                }
                Ok(record) => record,
            };
            let text_of = content.get(position..record.end).unwrap_or_default();
            text(text_of, 0, self.lines)?;
            if record.fields == 1 && blank(text_of) {
                (position, self.lines) = (record.next, self.lines + record.lines);
                continue;
            }
            if self.header && text_of.contains(&0) {
                return Err(Flaw::Nul { line });
            }
            let text_of = text_of.strip_suffix(b"\r").unwrap_or(text_of);
            self.layout.first = text_of.to_vec();
            self.layout.fields = record.fields;
            if self.header {
                (position, self.lines) = (record.next, self.lines + record.lines);
            }
            break;
        }
        Ok(position)
    }

    /// Lines without quotes are records, and many threads can look at them.
    fn plain(&self, content: &[u8], last: bool) -> Result<Vec<Piece>, Flaw> {
        let end = match memrchr(b'\n', content) {
            _ if last => content.len(),
            Some(end) => end + 1,
            None => 0,
        };
        let mut rest = content.get(..end).unwrap_or_default();
        let mut cut = Vec::with_capacity(rest.len() / self.size + 1);
        while !rest.is_empty() {
            let end = rest
                .get(self.size..)
                .and_then(|rest| memchr(b'\n', rest))
                .map_or(rest.len(), |end| self.size + end + 1);
            let (piece, more) = rest.split_at(end);
            cut.push(piece);
            rest = more;
        }
        let (single, delimiter) = (self.layout.fields == 1, self.dialect.delimiter);
        let pieces: Vec<Result<Piece, Flaw>> = cut
            .into_par_iter()
            .map(|piece| plain_piece(piece, delimiter, single))
            .collect();
        let mut before = self.lines;
        let mut all = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let piece = piece.map_err(|flaw| flaw.below(before))?;
            before += piece.lines;
            all.push(piece);
        }
        Ok(all)
    }

    /// Records that may contain quotes.
    fn quoted(&self, content: &[u8], last: bool) -> Result<Vec<Piece>, Flaw> {
        let single = self.layout.fields == 1;
        let (mut pieces, mut piece) = (Vec::new(), Piece::default());
        let (mut begin, mut record, mut fields) = (0, 0, 1);
        let mut whole = 0;
        let open = scan(content, self.dialect, true, |at, newline| {
            if !newline {
                fields += 1;
                return true;
            }
            let at = at as usize;
            if at == content.len() && !last {
                return true;
            }
            let text = content.get(record..at).unwrap_or_default();
            piece.records += usize::from(single || fields > 1 || !blank(text));
            (record, fields) = ((at + 1).min(content.len()), 1);
            whole = record;
            if record - begin >= self.size {
                pieces.push(piece_of(content, begin, record, piece.records));
                (begin, piece) = (record, Piece::default());
            }
            true
        });
        if whole > begin {
            pieces.push(piece_of(content, begin, whole, piece.records));
        }
        let end = if last { content.len() } else { whole };
        text(content.get(..end).unwrap_or_default(), 0, self.lines)?;
        match open {
            Some(open) if last => {
                let before = content.get(..open).unwrap_or_default();
                let line = self.lines + 1 + memchr_iter(b'\n', before).count() as u64;
                Err(Flaw::Unclosed { line })
            }
            _ => Ok(pieces),
        }
    }
}

fn piece_of(content: &[u8], begin: usize, end: usize, records: usize) -> Piece {
    let content = content.get(begin..end).unwrap_or_default();
    Piece {
        length: content.len(),
        records,
        lines: memchr_iter(b'\n', content).count() as u64,
        quotes: true,
        ..Piece::default()
    }
}

fn plain_piece(content: &[u8], delimiter: u8, single: bool) -> Result<Piece, Flaw> {
    text(content, 0, 0)?;
    let (mut lines, mut blanks, mut start) = (0, 0, 0);
    let mut line = |end: usize| {
        lines += 1;
        // Most lines do not begin with a space.
        if !single && content.get(start).is_none_or(u8::is_ascii_whitespace) {
            let text = content.get(start..end).unwrap_or_default();
            blanks += usize::from(blank(text) && memchr(delimiter, text).is_none());
        }
        start = end + 1;
    };
    for end in memchr_iter(b'\n', content) {
        line(end);
    }
    if content.last().is_some_and(|byte| *byte != b'\n') {
        line(content.len());
    }
    Ok(Piece {
        length: content.len(),
        records: lines - blanks,
        lines: lines as u64,
        ..Piece::default()
    })
}

/// Sees that `content` from byte `from` on is text; there are so many `lines` before it.
fn text(content: &[u8], from: usize, lines: u64) -> Result<(), Flaw> {
    let Err(error) = std::str::from_utf8(content.get(from..).unwrap_or_default()) else {
        return Ok(());
    };
    let before = content
        .get(from..from + error.valid_up_to())
        .unwrap_or_default();
    let start = memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    Err(Flaw::Encoding {
        line: lines + 1 + memchr_iter(b'\n', before).count() as u64,
        byte: (before.len() - start) as u64 + 1,
        found: content
            .get(from + before.len())
            .copied()
            .unwrap_or_default(),
    })
}
