//! A look at the shape of a CSV file before polars reads it.
//!
//! polars fills short lines with null and complains about long ones without a line number; so the fields of each
//! record are counted first, in one pass at the speed of `memchr`.

use memchr::{memchr, memchr2};

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
}

/// The number of fields of the first record, and how many records there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Fields.
    pub(crate) fields: usize,
    /// Records, the header included, empty lines not.
    pub(crate) records: u64,
}

/// Looks at every record of `content`.
///
/// # Errors
/// The first flaw.
pub(crate) fn inspect(content: &[u8], dialect: Dialect) -> Result<Shape, Flaw> {
    if let Err(error) = std::str::from_utf8(content) {
        return Err(encoding(content, error.valid_up_to()));
    }
    let content = without_mark(content);
    let mut shape = Shape::default();
    let (mut position, mut line) = (0, 1);
    while position < content.len() {
        let record = Record::read(content, position, line, dialect)?;
        let empty = record.fields == 1
            && content
                .get(position..record.end)
                .is_none_or(|text| text.trim_ascii().is_empty());
        if !empty {
            if shape.records == 0 {
                shape.fields = record.fields;
            } else if record.fields != shape.fields {
                return Err(Flaw::Ragged {
                    line,
                    expected: shape.fields,
                    found: record.fields,
                });
            }
            shape.records += 1;
        }
        position = record.next;
        line += record.lines;
    }
    Ok(shape)
}

/// The content after the mark that some programs put before UTF-8.
pub(crate) fn without_mark(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content)
}

fn encoding(content: &[u8], at: usize) -> Flaw {
    let before = content.get(..at).unwrap_or_default();
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let line = memchr::memchr_iter(b'\n', before).count() as u64 + 1;
    Flaw::Encoding {
        line,
        byte: (at - start) as u64 + 1,
        found: content.get(at).copied().unwrap_or_default(),
    }
}

struct Record {
    fields: usize,
    end: usize,
    next: usize,
    lines: u64,
}

impl Record {
    fn read(content: &[u8], start: usize, line: u64, dialect: Dialect) -> Result<Self, Flaw> {
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
                    });
                }
                Some(offset) if rest.get(offset) == Some(&b'\n') => {
                    return Ok(Self {
                        fields,
                        end: position + offset,
                        next: position + offset + 1,
                        lines,
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
                Ok(Shape { fields, records }),
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
                records: 2
            })
        );
    }
}
