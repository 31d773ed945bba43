//! Finds what is no JSON, with its place: polars names none.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
};

use pipectl_engine::operator::TaskError;
use serde::{
    Deserializer,
    de::{DeserializeSeed, SeqAccess, Visitor},
};

use super::{
    Format,
    array::Place,
    kinds::{Kinds, Record},
};
use crate::support::files::{Found, io_error};

/// How long a record may be: one is held in memory as a whole.
const LONGEST: u64 = 64 << 20;

/// Looks at all records of a file; says what kinds of values they have.
///
/// # Errors
/// Names the first place that is no JSON, or no record.
pub(super) fn check(file: &Found, format: Format) -> Result<Kinds, TaskError> {
    let mut kinds = Kinds::default();
    let fail = |error| io_error("read", &file.shown, error);
    let content = File::open(&file.path).map_err(fail)?;
    if format == Format::Array {
        let mut bounded = Bounded::new(content);
        let read = BufReader::with_capacity(1 << 20, &mut bounded);
        let mut read = serde_json::Deserializer::from_reader(read);
        let seen = Records(&mut kinds)
            .deserialize(&mut read)
            .and_then(|()| read.end());
        drop(read);
        return match seen {
            Ok(()) => Ok(kinds),
            Err(_) if bounded.length > LONGEST => {
                Err(too_long(file, &format!("record {}", bounded.number)))
            }
            Err(error) if error.is_io() => Err(fail(error.into())),
            Err(error) => Err(wrong(file, error.line(), &error)),
        };
    }
    let mut content = BufReader::with_capacity(1 << 20, content);
    let (mut line, mut number, mut records) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        number += 1;
        // No more of it than is needed to see that it is too long.
        let mut bounded = (&mut content).take(LONGEST + 1);
        let read = bounded.read_until(b'\n', &mut line).map_err(fail)? as u64;
        if read == 0 {
            return Ok(kinds);
        }
        if read > LONGEST {
            return Err(too_long(file, &format!("line {number}")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        // Without the end of its line: what is missing is missing on this one.
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        records += 1;
        let record = Record {
            kinds: &mut kinds,
            number: records,
        };
        let mut read = serde_json::Deserializer::from_slice(text);
        if let Err(error) = record.deserialize(&mut read).and_then(|()| read.end()) {
            let hint = "each line is a record of its own; an array of records begins with `[`";
            return Err(wrong(file, number, &error).hint(hint));
        }
    }
}

fn too_long(file: &Found, what: &str) -> TaskError {
    TaskError::user(format!(
        "{what} of `{}` is longer than {} MiB",
        file.shown,
        LONGEST >> 20
    ))
    .hint("a record is held in memory as a whole: is this really one record?")
}

/// An array whose records are counted and measured while it is read: a reader of JSON would hold a text of any length.
struct Bounded {
    content: File,
    place: Place,
    /// The record, counted from 1.
    number: u64,
    /// How long it is so far.
    length: u64,
}

impl Bounded {
    fn new(content: File) -> Self {
        Self {
            content,
            place: Place::default(),
            number: 1,
            length: 0,
        }
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        for byte in buffer.get(..read).unwrap_or_default() {
            let counts = self.place.next(*byte).is_some();
            if *byte == b',' && self.place.between() {
                (self.number, self.length) = (self.number + 1, 0);
            } else if counts {
                self.length += 1;
            }
            if self.length > LONGEST {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        Ok(read)
    }
}

fn wrong(file: &Found, line: usize, error: &serde_json::Error) -> TaskError {
    let (column, file, text) = (error.column(), &file.shown, error.to_string());
    let text = match text.split(" at line ").next().unwrap_or(&text) {
        "recursion limit exceeded" => "it is nested more deeply than 127 levels",
        other => other,
    };
    TaskError::user(format!(
        "line {line}, column {column} of `{file}` is no JSON: {text}"
    ))
}

/// An array of records.
struct Records<'a>(&'a mut Kinds);

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let (kinds, mut number) = (self.0, 1);
        while list.next_element_seed(Record { kinds, number })?.is_some() {
            number += 1;
        }
        Ok(())
    }
}
