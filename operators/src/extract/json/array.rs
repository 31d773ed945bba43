//! Large arrays, written anew with a record on each line: those can be read part by part.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read as _, Write as _},
};

use pipectl_engine::operator::{TaskContext, TaskError};

use crate::support::{
    files::{Found, io_error},
    location::Temporary,
    plain::Plain,
};

/// Where in the array a byte is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    depth: u32,
    quoted: bool,
    escaped: bool,
}

impl Place {
    /// Whether it is between two records.
    pub(super) fn between(self) -> bool {
        self.depth <= 1 && !self.quoted
    }

    /// What becomes of the next byte.
    pub(super) fn next(&mut self, byte: u8) -> Option<u8> {
        if self.quoted {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.quoted = false,
                _ => {}
            }
            return Some(byte);
        }
        match byte {
            b'"' => self.quoted = true,
            b'[' | b'{' => {
                self.depth += 1;
                // The array itself has no line.
                return (self.depth > 1).then_some(byte);
            }
            b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                return if self.depth == 0 {
                    Some(b'\n')
                } else {
                    Some(byte)
                };
            }
            b',' if self.depth == 1 => return Some(b'\n'),
            b'\n' | b'\r' | b' ' | b'\t' => return None,
            _ => {}
        }
        Some(byte)
    }
}

/// The records of a file with an array, one on each line. The file has been looked at: it is JSON.
///
/// # Errors
/// When it cannot be read, or there is no room.
pub(super) fn in_lines(context: &TaskContext, plain: &Plain) -> Result<Plain, TaskError> {
    let found = &plain.file;
    let temporary = Temporary::new(context)?;
    let unread = |error| io_error("read", &found.shown, error);
    let full = |error| io_error("rewrite", &found.shown, error);
    let mut source = BufReader::new(File::open(&found.path).map_err(unread)?);
    let target = File::create_new(&temporary.0).map_err(full)?;
    let mut target = BufWriter::with_capacity(1 << 20, target);
    let (mut part, mut place) = (vec![0; 1 << 20], Place::default());
    let mut lines = Vec::with_capacity(part.len());
    loop {
        let read = source.read(&mut part).map_err(unread)?;
        let Some(part) = part.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        lines.clear();
        lines.extend(part.iter().filter_map(|byte| place.next(*byte)));
        target.write_all(&lines).map_err(full)?;
    }
    target.flush().map_err(full)?;
    let size = target.get_ref().metadata().map_err(full)?.len();
    Ok(Plain {
        file: Found {
            path: temporary.0.clone(),
            size,
            ..found.clone()
        },
        _made: Some(temporary),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_get_a_line_each() {
        let text = "[ {\"a\": \"x, ]\\\"\",\n \"b\": [1, {}]} ,\n{\"a\": null}]\n";
        let mut place = Place::default();
        let lines: Vec<u8> = text.bytes().filter_map(|byte| place.next(byte)).collect();
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            "{\"a\":\"x, ]\\\"\",\"b\":[1,{}]}\n{\"a\":null}\n"
        );
    }
}
