//! The text of a file, and where in it something stands.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Diagnostic, Place, codes};

/// The greatest file that is read, in bytes.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A file's text under the name that messages use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path as messages show it.
    pub name: Arc<str>,
    /// Its path on this machine.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
}

/// A stretch of a text: its place for people, and its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The line, from 1.
    pub line: u32,
    /// The column of the first character, from 1.
    pub column: u32,
    /// How many characters of that line are meant.
    pub length: u32,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl SourceFile {
    /// A text that is already in memory.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self {
            path: PathBuf::from(&*name),
            name,
            text: text.into(),
        }
    }

    /// Reads the file at `path`, which messages call `name`.
    ///
    /// # Errors
    /// One complaint when it is not there, too great or not UTF-8.
    pub fn read(path: &Path, name: impl Into<Arc<str>>) -> Result<Self, Diagnostic> {
        let name = name.into();
        let complain = |message: String, hint: &str| {
            Diagnostic::error(codes::UNREADABLE, Place::start_of(name.clone()), message)
                .with_hint(hint)
        };
        let unreadable = |error: std::io::Error| {
            complain(
                format!("cannot read the file: {error}"),
                "is the path right, and may you read it?",
            )
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(complain(
                "the file is greater than 4 MiB".to_owned(),
                "a pipeline is text written by people; keep data in files of its own",
            ));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self {
                path: path.to_owned(),
                name,
                text: text.into(),
            }),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let mut diagnostic =
                    complain("the file is not UTF-8".to_owned(), "save it as UTF-8");
                diagnostic.place = place_of_byte(&name, error.as_bytes(), good);
                Err(diagnostic)
            }
        }
    }

    /// The place of a mark.
    pub fn place(&self, mark: Mark) -> Place {
        mark.place(&self.name)
    }

    /// The text between two bytes; empty when they are no places between characters.
    pub fn slice(&self, start: u32, end: u32) -> &str {
        self.text
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }

    /// The mark of the bytes `start..end`, which lie behind `from`.
    pub fn mark_within(&self, from: Mark, start: u32, end: u32) -> Mark {
        let before = self.slice(from.start, start);
        let breaks = before.bytes().filter(|byte| *byte == b'\n').count();
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        let column = count(last_line) + if breaks == 0 { from.column } else { 1 };
        let meant = self.slice(start, end).lines().next().unwrap_or_default();
        Mark {
            line: from.line + u32::try_from(breaks).unwrap_or(u32::MAX),
            column,
            length: count(meant).max(1),
            start,
            end,
        }
    }
}

impl Mark {
    /// The beginning of a file.
    pub const START: Self = Self {
        line: 1,
        column: 1,
        length: 1,
        start: 0,
        end: 0,
    };

    /// The place in the file called `name`.
    pub fn place(self, name: &Arc<str>) -> Place {
        Place {
            file: name.clone(),
            line: self.line,
            column: self.column,
            length: self.length,
        }
    }
}

/// How many characters a text has.
pub(super) fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

fn place_of_byte(name: &Arc<str>, bytes: &[u8], offset: usize) -> Place {
    let before = String::from_utf8_lossy(bytes.get(..offset).unwrap_or_default()).into_owned();
    let line = 1 + before.matches('\n').count();
    let column = 1 + before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count();
    Place {
        file: name.clone(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        length: 1,
    }
}
