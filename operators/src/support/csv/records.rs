//! The records of a file, one by one.

use std::{borrow::Cow, fs::File, io, ops::ControlFlow, os::unix::fs::FileExt as _, path::Path};

use memchr::{memchr, memchr_iter, memchr2};
use rayon::prelude::*;

use super::{Dialect, Flaw, LONGEST, blank, without_mark};

/// How much of a file is looked at in one go.
const PART: usize = 8 << 20;

/// Gives `take` a file part by part. It says how much it could use, the rest comes again with what follows; or that it
/// has seen enough.
pub(super) fn in_parts<E: From<io::Error>>(
    path: &Path,
    mut take: impl FnMut(&[u8], bool) -> Result<Option<usize>, E>,
) -> Result<(), E> {
    let file = File::open(path)?;
    // One byte more, so that the end of a small file is seen at once.
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(PART);
    let (mut part, mut filled, mut position) = (vec![0; PART.min(size + 1)], 0, 0);
    loop {
        let rest = part.get_mut(filled..).unwrap_or_default();
        let read = filled_at(&file, rest, position)?;
        filled += read;
        position += read as u64;
        let last = filled < part.len();
        let taken = match take(part.get(..filled).unwrap_or_default(), last)? {
            Some(taken) if !last => taken,
            _ => return Ok(()),
        };
        if taken == 0 {
            part.resize(part.len() * 2, 0);
        }
        part.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

/// Reads as much as there is room for, or as there is, by many threads; says how much that was.
fn filled_at(file: &File, room: &mut [u8], position: u64) -> io::Result<usize> {
    const SHARE: usize = 1 << 20;
    let shares = room.par_chunks_mut(SHARE).enumerate();
    let read: Vec<io::Result<(usize, bool)>> = shares
        .map(|(index, share)| {
            let (mut filled, from) = (0, position + (index * SHARE) as u64);
            while let Some(rest) = share.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match file.read_at(rest, from + filled as u64) {
                    Ok(0) => return Ok((filled, false)),
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok((filled, true))
        })
        .collect();
    let mut all = 0;
    for share in read {
        let (filled, full) = share?;
        all += filled;
        if !full {
            break;
        }
    }
    Ok(all)
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

/// Goes through the records of a file, the header included, until `each` has enough. Empty lines are no records, unless
/// there is only one column: then they are missing values.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn each_record(
    path: &Path,
    dialect: Dialect,
    mut each: impl FnMut(Line<'_>) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let (mut line, mut begun, mut enough, mut first) = (1, false, false, None);
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
            if first == Some(1) || fields != 1 || !blank(text) {
                first = first.or(Some(fields));
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
        Ok::<Option<usize>, io::Error>((!enough).then_some(mark + position))
    })
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell<'a> {
    /// Its text, without quotes; as it stands there when the quotes end before it does.
    pub(crate) text: Cow<'a, str>,
    /// Whether it stands in quotes.
    pub(crate) quoted: bool,
    /// Whether its quotes end where it ends.
    pub(crate) sound: bool,
}

/// The fields of a record.
pub(crate) fn cells(record: &[u8], dialect: Dialect) -> Vec<Cell<'_>> {
    let mut cells = Vec::new();
    let mut rest = record;
    loop {
        let quote = dialect.quote.filter(|quote| rest.first() == Some(quote));
        let inside = quote.and_then(|_| quoted(rest)).map(|(length, _)| length);
        let from = inside.unwrap_or(0);
        let end = rest
            .get(from..)
            .and_then(|rest| memchr(dialect.delimiter, rest))
            .map_or(rest.len(), |end| from + end);
        let text = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
        let bare = quote.map(|quote| unquoted(&text, quote).map(Cow::into_owned));
        cells.push(match bare {
            None => Cell {
                text,
                quoted: false,
                sound: true,
            },
            Some(bare) => Cell {
                sound: bare.is_some(),
                text: bare.map_or(text, Cow::Owned),
                quoted: true,
            },
        });
        match rest.get(end + 1..) {
            Some(more) if end < rest.len() => rest = more,
            _ => return cells,
        }
    }
}

/// The text of a quoted field, when its quotes end where it ends.
pub(super) fn unquoted(field: &str, quote: u8) -> Option<Cow<'_, str>> {
    let mark = char::from(quote);
    let inside = field.strip_prefix(mark)?.strip_suffix(mark)?;
    if memchr(quote, inside.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    let mut text = String::with_capacity(inside.len());
    let mut parts = inside.split(mark);
    text.push_str(parts.next()?);
    while let Some(nothing) = parts.next() {
        // Each quote within stands there twice.
        if !nothing.is_empty() {
            return None;
        }
        text.push(mark);
        text.push_str(parts.next()?);
    }
    Some(Cow::Owned(text))
}

/// A record within a text.
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
    fn fields_lose_their_quotes() {
        for (record, expected) in [
            ("a,b", vec!["a", "b"]),
            ("", vec![""]),
            (",", vec!["", ""]),
            ("\"a,\nb\",c", vec!["a,\nb", "c"]),
            ("\"say \"\"hi\"\"\",\"\"", vec!["say \"hi\"", ""]),
            ("\"\"\"\"", vec!["\""]),
            ("5\" pipe,x", vec!["5\" pipe", "x"]),
            ("\"x\"y,z", vec!["\"x\"y", "z"]),
        ] {
            let found = cells(record.as_bytes(), COMMA);
            let texts: Vec<&str> = found.iter().map(|cell| &*cell.text).collect();
            assert_eq!(texts, expected, "{record}");
        }
    }

    #[test]
    fn quotes_end_with_their_field() {
        for (field, expected) in [
            ("\"\"", Some("")),
            ("\"a\"\"\"", Some("a\"")),
            ("\"a\"b\"", None),
            ("\"a\"b", None),
            ("\"", None),
            ("\"\"\"", None),
            ("\"\"\"\"\"\"", Some("\"\"")),
        ] {
            assert_eq!(unquoted(field, b'"').as_deref(), expected, "{field}");
        }
    }
}
