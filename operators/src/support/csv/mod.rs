//! Text files with separated values: where their records and fields lie, what types they look like, and the columns that
//! they become.
//!
//! A file is looked at once from beginning to end, for what is no text and for places to cut it at ([`Layout`]). The
//! pieces are then read by many threads and in any order, each record being counted, checked and brought into columns in
//! one go ([`Reader`]).

mod columns;
mod fields;
mod guess;
mod layout;
mod reader;
mod records;
mod values;

pub(crate) use self::{
    columns::fits,
    guess::Guesses,
    layout::Layout,
    reader::{Failure, Reader, Writing},
    records::{Cell, Line, Record, cells, each_record},
};

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
    /// There is a NUL byte among the names of columns.
    Nul {
        /// The line.
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
            | Self::Nul { line }
            | Self::TooLong { line } => *line += lines,
        }
        self
    }
}

/// How long a record may be.
pub(crate) const LONGEST: usize = 64 << 20;

/// Whether there is nothing on a line.
fn blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// The content after the mark that some programs put before UTF-8.
pub(crate) fn without_mark(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content)
}

#[cfg(test)]
mod tests;
