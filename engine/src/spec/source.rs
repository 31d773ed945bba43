//! The text of a file, and where in it something stands.

use std::{
    fs::FileType,
    io::Read,
    os::unix::fs::FileTypeExt,
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
    /// Where a dotted name stands within a stretch; the whole stretch when it is not written there like that.
    pub fn within(&self, whole: Mark, name: &str) -> Mark {
        let (start, end) = (whole.start as usize, whole.end as usize);
        let Some(text) = self.text.get(start..end) else {
            return whole;
        };
        let part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.');
        let alone = |at: &usize| {
            let before = text.get(..*at).and_then(|text| text.chars().next_back());
            let after = text.get(at + name.len()..);
            let after = after.and_then(|text| text.chars().next());
            !before.is_some_and(part) && !after.is_some_and(part)
        };
        let mut places = text.match_indices(name).map(|(at, _)| at);
        let Some(at) = places.find(alone) else {
            return whole;
        };
        let before = text.get(..at).unwrap_or_default();
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let bytes = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (line, column) = match before.rsplit_once('\n') {
            None => (whole.line, whole.column + count(before)),
            Some((lines, last)) => {
                let lines = 1 + bytes(lines.matches('\n').count());
                (whole.line + lines, 1 + count(last))
            }
        };
        Mark {
            line,
            column,
            length: count(name),
            start: bytes(start + at),
            end: bytes(start + at + name.len()),
        }
    }

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
        // A pipe is not even opened: it would be waited for.
        let kind = path.metadata().map_err(unreadable)?.file_type();
        if !kind.is_file() {
            return Err(complain(
                format!("this is {}, not a file", named(kind)),
                "a pipeline is a text file; move this elsewhere",
            ));
        }
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
        if let Some(order) = utf_16(&bytes) {
            let message = format!("the file is UTF-16 ({order}), not UTF-8");
            return Err(complain(message, "save it as UTF-8"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => match text.find('\0') {
                Some(at) => {
                    let hint = "this is data of another program, or UTF-16: save it as UTF-8 text";
                    let mut diagnostic = complain("the file has a NUL byte".to_owned(), hint);
                    diagnostic.place = place_of_byte(&name, text.as_bytes(), at);
                    Err(diagnostic)
                }
                None => Ok(Self {
                    path: path.to_owned(),
                    name,
                    text: text.into(),
                }),
            },
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

/// What is there that is no file.
fn named(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// The order of bytes in UTF-16, when a file begins as one, with its mark or with a letter.
fn utf_16(bytes: &[u8]) -> Option<&'static str> {
    match bytes.get(..2)? {
        [0xff, 0xfe] => Some("little endian"),
        [0xfe, 0xff] => Some("big endian"),
        [first, 0] if first.is_ascii_graphic() => Some("little endian"),
        [0, second] if second.is_ascii_graphic() => Some("big endian"),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_within_a_stretch() {
        let text = "if: a.b2 > a.b\nü: >\n  x ü item.c\n";
        let source = SourceFile::new("a.yaml", text);
        let whole = |line, column, part: &str| {
            let start = u32::try_from(text.find(part).unwrap()).unwrap();
            Mark {
                line,
                column,
                length: 1,
                start,
                end: start + u32::try_from(part.len()).unwrap(),
            }
        };
        let (first, second) = (whole(1, 5, "a.b2 > a.b"), whole(2, 4, ">\n  x ü item.c"));
        for (mark, name, expected) in [
            (first, "a.b", (1, 12, 3)),
            (first, "a.b2", (1, 5, 4)),
            (second, "item.c", (3, 7, 6)),
            (first, "b2", (1, 5, 1)),
            (first, "nothing", (1, 5, 1)),
        ] {
            let found = source.within(mark, name);
            assert_eq!((found.line, found.column, found.length), expected, "{name}");
            let bytes = found.start as usize..found.end as usize;
            assert!(found == mark || text.get(bytes) == Some(name));
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        for (content, message, column) in [
            (
                &b"\xff\xfea\0"[..],
                "the file is UTF-16 (little endian), not UTF-8",
                1,
            ),
            (b"\0n\0a", "the file is UTF-16 (big endian), not UTF-8", 1),
            (b"name: a\0b", "the file has a NUL byte", 8),
            (b"name: \xe4", "the file is not UTF-8", 7),
        ] {
            std::fs::write(&path, content).unwrap();
            let wrong = SourceFile::read(&path, "a.yaml").unwrap_err();
            assert_eq!(
                (wrong.message.as_str(), wrong.place.column),
                (message, column)
            );
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let wrong = SourceFile::read(&path, "a.yaml").unwrap_err();
        assert_eq!(wrong.message, "this is a named pipe, not a file");
        let wrong = SourceFile::read(directory.path(), "a.yaml").unwrap_err();
        assert_eq!(wrong.message, "this is a directory, not a file");
        let wrong = SourceFile::read(Path::new("/dev/null"), "a.yaml").unwrap_err();
        assert_eq!(wrong.message, "this is a device, not a file");
    }
}
