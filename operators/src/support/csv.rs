//! A look at the shape of a CSV file before polars reads it.
//!
//! polars fills short lines with null and complains about long ones without a line number; so the fields of each
//! record are counted first, in one pass at the speed of `memchr`.

use std::{
    fs::File,
    io::{self, Read as _},
    ops::ControlFlow,
    path::Path,
};

use memchr::{memchr, memchr_iter, memchr2, memrchr};
use rayon::prelude::*;

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// What stands between fields.
    pub(crate) delimiter: u8,
    /// What stands around fields that contain delimiters.
    pub(crate) quote: Option<u8>,
}

/// What is wrong with a file. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A line is not UTF-8.
    Encoding {
        /// The line.
        line: u64,
        /// The byte within it, counted from 1.
        byte: u64,
        /// Its value.
        found: u8,
    },
    /// A line has more or fewer fields than the first one.
    Ragged {
        /// The line on which the record begins.
        line: u64,
        /// The fields of the first line.
        expected: usize,
        /// The fields of this one.
        found: usize,
    },
    /// A quoted field does not end.
    Unclosed {
        /// The line on which the field begins.
        line: u64,
    },
    /// A record does not end for a very long time.
    TooLong {
        /// The line on which it begins.
        line: u64,
    },
}

impl Flaw {
    /// The same flaw, in a part that begins after so many lines.
    fn below(mut self, lines: u64) -> Self {
        match &mut self {
            Self::Encoding { line, .. }
            | Self::Ragged { line, .. }
            | Self::Unclosed { line }
            | Self::TooLong { line } => *line += lines,
        }
        self
    }
}

/// The number of fields of the first record, and how many records there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Fields.
    pub(crate) fields: usize,
    /// Records, the header included, empty lines not.
    pub(crate) records: u64,
    /// Whether there is a quote anywhere; without any, reading is quicker.
    pub(crate) quotes: bool,
}

/// How long a record may be.
pub(crate) const LONGEST: usize = 64 << 20;
/// How much of a file is looked at in one go.
const PART: usize = 8 << 20;
/// How much of it one thread takes.
const PIECE: usize = 256 << 10;

/// Looks at every record of `content`.
///
/// # Errors
/// The first flaw.
#[cfg(test)]
pub(crate) fn inspect(content: &[u8], dialect: Dialect) -> Result<Shape, Flaw> {
    let mut inspector = Inspector::new(dialect);
    inspector.take(content, true)?;
    Ok(inspector.shape)
}

/// Looks at every record of a file, of which no more than a part is in memory. `stopped` says when to give up.
///
/// # Errors
/// When it cannot be read; within, the first flaw.
pub(crate) fn inspect_file(
    path: &Path,
    dialect: Dialect,
    stopped: &dyn Fn() -> bool,
) -> io::Result<Result<Shape, Flaw>> {
    let mut inspector = Inspector::new(dialect);
    let result = in_parts(path, |part, last| {
        if stopped() {
            return Err(Stop::Io(io::ErrorKind::Interrupted.into()));
        }
        let taken = inspector.take(part, last).map_err(Stop::Flaw)?;
        if taken == 0 && part.len() >= LONGEST {
            let line = inspector.line;
            return Err(Stop::Flaw(Flaw::TooLong { line }));
        }
        Ok(taken)
    });
    match result {
        Ok(()) => Ok(Ok(inspector.shape)),
        Err(Stop::Flaw(flaw)) => Ok(Err(flaw)),
        Err(Stop::Io(error)) => Err(error),
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

/// Gives `take` a file part by part. It says how much it could use; the rest comes again with what follows.
fn in_parts<E: From<io::Error>>(
    path: &Path,
    mut take: impl FnMut(&[u8], bool) -> Result<usize, E>,
) -> Result<(), E> {
    let mut file = File::open(path)?;
    let (mut part, mut filled) = (vec![0; PART], 0);
    loop {
        let read = match part.get_mut(filled..) {
            Some(rest) if !rest.is_empty() => file.read(rest)?,
            _ => 0,
        };
        filled += read;
        let full = filled == part.len();
        if !full && read > 0 {
            continue;
        }
        let last = !full;
        let taken = take(part.get(..filled).unwrap_or_default(), last)?;
        if last {
            return Ok(());
        }
        if taken == 0 {
            part.resize(part.len() * 2, 0);
        }
        part.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

/// A record of a file that is gone through one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The line on which it begins.
    pub(crate) number: u64,
    /// Its text, without the end of its line.
    pub(crate) text: &'a [u8],
    /// How many fields it has.
    pub(crate) fields: usize,
}

/// Goes through the records of a file, the header included and empty lines not, until `each` has enough.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn each_record(
    path: &Path,
    dialect: Dialect,
    mut each: impl FnMut(Line<'_>) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let (mut line, mut begun, mut enough) = (1, false, false);
    in_parts(path, |part, last| {
        let body = if begun { part } else { without_mark(part) };
        let (mark, mut position) = (part.len() - body.len(), 0);
        while position < body.len() && !enough {
            let record = match Record::read(body, position, line, dialect) {
                Ok(record) if record.open && !last => break,
                // What never ends is all that is left.
                Err(_) if last || body.len() >= LONGEST => Record {
                    fields: 0,
                    end: body.len(),
                    next: body.len(),
                    lines: 1,
                    open: true,
                },
                Err(_) => break,
                Ok(record) => record,
            };
            let text = body.get(position..record.end).unwrap_or_default();
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let fields = record.fields;
            if !(fields == 1 && text.trim_ascii().is_empty()) {
                enough = each(Line {
                    number: line,
                    text,
                    fields,
                })?
                .is_break();
            }
            position = record.next;
            line += record.lines;
        }
        begun = true;
        // The rest is of no interest.
        Ok::<usize, io::Error>(if enough { part.len() } else { mark + position })
    })
}

/// The fields of a record, without their quotes.
pub(crate) fn fields(record: &[u8], dialect: Dialect) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let is_quoted = dialect.quote.is_some() && rest.first().copied() == dialect.quote;
        let inside = is_quoted
            .then(|| quoted(rest))
            .flatten()
            .map(|(length, _)| length);
        let from = inside.unwrap_or(0);
        let end = rest
            .get(from..)
            .and_then(|rest| memchr(dialect.delimiter, rest))
            .map_or(rest.len(), |end| from + end);
        let text = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
        fields.push(match (inside, dialect.quote) {
            (Some(_), Some(quote)) => {
                let quote = char::from(quote).to_string();
                let text = text.strip_prefix(&quote).unwrap_or(&text);
                let text = text.strip_suffix(&quote).unwrap_or(text);
                text.replace(&quote.repeat(2), &quote)
            }
            _ => text.into_owned(),
        });
        match rest.get(end + 1..) {
            Some(more) if end < rest.len() => rest = more,
            _ => return fields,
        }
    }
}

/// What has been seen of a file so far.
struct Inspector {
    dialect: Dialect,
    shape: Shape,
    /// The line that comes next.
    line: u64,
    begun: bool,
}

impl Inspector {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            shape: Shape::default(),
            line: 1,
            begun: false,
        }
    }

    /// Looks at the whole records of `content`, all of it when it is the `last`; says how much that was.
    fn take(&mut self, content: &[u8], last: bool) -> Result<usize, Flaw> {
        let body = if self.begun {
            content
        } else {
            without_mark(content)
        };
        let mark = content.len() - body.len();
        let quoted = |quote| memchr(quote, body).is_some();
        let taken = if self.dialect.quote.is_some_and(quoted) {
            self.shape.quotes = true;
            self.one_by_one(body, last)?
        } else {
            let end = match memrchr(b'\n', body) {
                _ if last => body.len(),
                Some(end) => end + 1,
                None => 0,
            };
            self.in_pieces(body.get(..end).unwrap_or_default())?;
            end
        };
        if taken == 0 {
            return Ok(0);
        }
        self.begun = true;
        Ok(mark + taken)
    }

    /// Records that may contain quotes.
    fn one_by_one(&mut self, content: &[u8], last: bool) -> Result<usize, Flaw> {
        let line = self.line;
        let result = self.records(content, last);
        // That bytes are no text is more than that fields are missing.
        let seen = match result {
            Ok(taken) => content.get(..taken).unwrap_or_default(),
            Err(_) => content,
        };
        match std::str::from_utf8(seen) {
            Err(error) if error.error_len().is_some() || last || result.is_ok() => {
                Err(encoding(seen, error.valid_up_to(), line))
            }
            _ => result,
        }
    }

    fn records(&mut self, content: &[u8], last: bool) -> Result<usize, Flaw> {
        let mut position = 0;
        while position < content.len() {
            let record = match Record::read(content, position, self.line, self.dialect) {
                // The rest of the record is yet to come.
                Ok(record) if record.open && !last => break,
                Err(_) if !last => break,
                other => other?,
            };
            let text = content.get(position..record.end).unwrap_or_default();
            if !(record.fields == 1 && text.trim_ascii().is_empty()) {
                self.counted(record.fields, self.line)?;
            }
            position = record.next;
            self.line += record.lines;
        }
        Ok(position)
    }

    fn counted(&mut self, fields: usize, line: u64) -> Result<(), Flaw> {
        if self.shape.records == 0 {
            self.shape.fields = fields;
        } else if fields != self.shape.fields {
            return Err(Flaw::Ragged {
                line,
                expected: self.shape.fields,
                found: fields,
            });
        }
        self.shape.records += 1;
        Ok(())
    }

    /// Lines that are records, by many threads.
    fn in_pieces(&mut self, mut content: &[u8]) -> Result<(), Flaw> {
        // The first record says how many fields there are.
        while self.shape.records == 0 && !content.is_empty() {
            let end = memchr(b'\n', content).map_or(content.len(), |end| end + 1);
            let (line, rest) = content.split_at(end);
            if let Err(error) = std::str::from_utf8(line) {
                return Err(encoding(line, error.valid_up_to(), self.line));
            }
            if !line.trim_ascii().is_empty() {
                self.counted(
                    1 + memchr_iter(self.dialect.delimiter, line).count(),
                    self.line,
                )?;
            }
            self.line += 1;
            content = rest;
        }
        let (delimiter, expected) = (self.dialect.delimiter, self.shape.fields);
        let pieces: Vec<Piece> = pieces(content)
            .into_par_iter()
            .map(|piece| Piece::look(piece, delimiter, expected))
            .collect();
        for piece in pieces {
            if let Some(flaw) = piece.flaw {
                return Err(flaw.below(self.line - 1));
            }
            self.shape.records += piece.records;
            self.line += piece.lines;
        }
        Ok(())
    }
}

/// Whole lines, in pieces of about the same size.
fn pieces(mut content: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::with_capacity(content.len() / PIECE + 1);
    while !content.is_empty() {
        let end = content
            .get(PIECE..)
            .and_then(|rest| memchr(b'\n', rest))
            .map_or(content.len(), |end| PIECE + end + 1);
        let (piece, rest) = content.split_at(end);
        pieces.push(piece);
        content = rest;
    }
    pieces
}

/// Some lines without quotes.
#[derive(Default)]
struct Piece {
    records: u64,
    lines: u64,
    flaw: Option<Flaw>,
}

impl Piece {
    fn look(content: &[u8], delimiter: u8, expected: usize) -> Self {
        let mut piece = Self::default();
        if let Err(error) = std::str::from_utf8(content) {
            piece.flaw = Some(encoding(content, error.valid_up_to(), 1));
            return piece;
        }
        let mut rest = content;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 1..).unwrap_or_default();
            piece.lines += 1;
            let found = 1 + memchr_iter(delimiter, line).count();
            if found == expected && (found > 1 || !line.trim_ascii().is_empty()) {
                piece.records += 1;
            } else if !line.trim_ascii().is_empty() || found > 1 {
                let line = piece.lines;
                piece.flaw = Some(Flaw::Ragged {
                    line,
                    expected,
                    found,
                });
                return piece;
            }
        }
        piece
    }
}

/// The content after the mark that some programs put before UTF-8.
pub(crate) fn without_mark(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content)
}

/// Byte `at` of `content`, which begins with line `first`, is no text.
fn encoding(content: &[u8], at: usize, first: u64) -> Flaw {
    let before = content.get(..at).unwrap_or_default();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let line = memchr_iter(b'\n', before).count() as u64 + first;
    Flaw::Encoding {
        line,
        byte: (at - start) as u64 + 1,
        found: content.get(at).copied().unwrap_or_default(),
    }
}

pub(crate) struct Record {
    pub(crate) fields: usize,
    /// Where its text ends.
    pub(crate) end: usize,
    /// Where the next one begins.
    pub(crate) next: usize,
    /// How many lines it takes.
    pub(crate) lines: u64,
    /// Whether it ends with the content rather than with a line.
    pub(crate) open: bool,
}

impl Record {
    /// Reads the record of `content` that begins at `start`, on line `line`.
    ///
    /// # Errors
    /// When a quoted field does not end.
    pub(crate) fn read(
        content: &[u8],
        start: usize,
        line: u64,
        dialect: Dialect,
    ) -> Result<Self, Flaw> {
        if let Some(plain) = Self::without_quotes(content, start, dialect) {
            return Ok(plain);
        }
        let (mut fields, mut position, mut lines) = (1, start, 1);
        let mut at_field = true;
        loop {
            let rest = content.get(position..).unwrap_or_default();
            if at_field && dialect.quote.is_some() && rest.first().copied() == dialect.quote {
                let (length, inside) = quoted(rest).ok_or(Flaw::Unclosed {
                    line: line + lines - 1,
                })?;
                position += length;
                lines += inside;
                at_field = false;
                continue;
            }
            // Within an unquoted field the quote is a character like any other.
            match memchr2(dialect.delimiter, b'\n', rest) {
                None => {
                    return Ok(Self {
                        fields,
                        end: content.len(),
                        next: content.len(),
                        lines,
                        open: true,
                    });
                }
                Some(offset) if rest.get(offset) == Some(&b'\n') => {
                    return Ok(Self {
                        fields,
                        end: position + offset,
                        next: position + offset + 1,
                        lines,
                        open: false,
                    });
                }
                Some(offset) => {
                    fields += 1;
                    position += offset + 1;
                    at_field = true;
                }
            }
        }
    }
}

impl Record {
    /// The record when it is a line without any quote, as most are.
    fn without_quotes(content: &[u8], start: usize, dialect: Dialect) -> Option<Self> {
        let rest = content.get(start..)?;
        let end = match dialect.quote {
            Some(quote) => memchr2(quote, b'\n', rest)?,
            None => memchr(b'\n', rest)?,
        };
        let line = rest.get(..end)?;
        (rest.get(end) == Some(&b'\n')).then(|| Self {
            fields: 1 + memchr_iter(dialect.delimiter, line).count(),
            end: start + end,
            next: start + end + 1,
            lines: 1,
            open: false,
        })
    }
}

/// The length of the quoted field that `rest` begins with, and how many lines end within it.
fn quoted(rest: &[u8]) -> Option<(usize, u64)> {
    let quote = *rest.first()?;
    let mut position = 1;
    let mut lines = 0;
    loop {
        let inside = rest.get(position..)?;
        let end = memchr(quote, inside)?;
        lines += memchr::memchr_iter(b'\n', inside.get(..end)?).count() as u64;
        position += end + 1;
        // A doubled quote is a quote within the field.
        if rest.get(position) != Some(&quote) {
            return Some((position, lines));
        }
        position += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMA: Dialect = Dialect {
        delimiter: b',',
        quote: Some(b'"'),
    };

    #[test]
    fn records_are_counted_as_they_are_quoted() {
        for (text, fields, records) in [
            ("", 0, 0),
            ("a", 1, 1),
            ("a,b\n1,2\n", 2, 2),
            ("a,b\r\n1,2\r\n\r\n", 2, 2),
            ("\u{feff}a,b\n1,2", 2, 2),
            ("a,b\n\"1,\n2\",3\n", 2, 2),
            ("a,b\n\"say \"\"hi\"\"\",3\n\n", 2, 2),
            ("a,b\n5\" pipe,3\n", 2, 2),
            ("a,b\n,\n", 2, 2),
        ] {
            assert_eq!(
                inspect(text.as_bytes(), COMMA),
                Ok(Shape {
                    fields,
                    records,
                    quotes: text.contains('"')
                }),
                "{text:?}"
            );
        }
    }

    #[test]
    fn flaws_have_a_line() {
        let ragged = |line, found| {
            Err(Flaw::Ragged {
                line,
                expected: 2,
                found,
            })
        };
        for (text, expected) in [
            ("a,b\n1,2\n3\n", ragged(3, 1)),
            ("a,b\n1,2,3\n", ragged(2, 3)),
            ("a,b\n\"x\n\ny\",2\n3\n", ragged(5, 1)),
            ("a,b\n1,2\n\"open,3\n4,5\n", Err(Flaw::Unclosed { line: 3 })),
        ] {
            assert_eq!(inspect(text.as_bytes(), COMMA), expected, "{text:?}");
        }
        let latin = b"name\nM\xfcller\n";
        assert_eq!(
            inspect(latin, COMMA),
            Err(Flaw::Encoding {
                line: 2,
                byte: 2,
                found: 0xfc
            })
        );
    }

    #[test]
    fn another_delimiter_makes_commas_plain() {
        let semicolon = Dialect {
            delimiter: b';',
            quote: None,
        };
        assert_eq!(
            inspect(b"a;b\n1,5;\"2\n", semicolon),
            Ok(Shape {
                fields: 2,
                records: 2,
                quotes: false
            })
        );
    }

    #[test]
    fn fields_lose_their_quotes() {
        for (record, expected) in [
            ("a,b", vec!["a", "b"]),
            ("", vec![""]),
            (",", vec!["", ""]),
            ("\"a,\nb\",c", vec!["a,\nb", "c"]),
            ("\"say \"\"hi\"\"\",\"\"", vec!["say \"hi\"", ""]),
            ("5\" pipe,x", vec!["5\" pipe", "x"]),
        ] {
            assert_eq!(fields(record.as_bytes(), COMMA), expected, "{record}");
        }
    }

    #[test]
    fn a_file_is_looked_at_in_parts_as_in_one() {
        let directory = std::env::temp_dir().join(format!("pipectl-csv-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a.csv");
        let mut text = String::from("\u{feff}a,b\n");
        for row in 0..600_000 {
            text += &row.to_string();
            text += ",some text\n";
        }
        let quoted = text.clone() + "\"x\ny\",1\n" + "1,2\n";
        let (mut short, mut latin) = (quoted.clone(), quoted.clone().into_bytes());
        short.push_str("1\n");
        latin.extend(b"\xfc,1\n");
        let long = format!("a,b\n1,{}", "x".repeat(LONGEST + 10));
        let never = || false;
        let look = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            inspect_file(&path, COMMA, &never).unwrap()
        };
        let good = |records, quotes| {
            Ok(Shape {
                fields: 2,
                records,
                quotes,
            })
        };
        assert_eq!(look(text.as_bytes()), good(600_001, false));
        assert_eq!(look(quoted.as_bytes()), good(600_003, true));
        let expected = Flaw::Ragged {
            line: 600_005,
            expected: 2,
            found: 1,
        };
        assert_eq!(look(short.as_bytes()), Err(expected));
        let expected = Flaw::Encoding {
            line: 600_005,
            byte: 1,
            found: 0xfc,
        };
        assert_eq!(look(&latin), Err(expected));
        assert_eq!(look(long.as_bytes()), Err(Flaw::TooLong { line: 2 }));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
