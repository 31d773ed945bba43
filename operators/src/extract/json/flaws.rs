//! Finds what is no JSON, with its place: polars names none.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
};

use pipectl_engine::operator::TaskError;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Format, array::Place};
use crate::support::files::{Found, io_error};

/// How long a record may be: one is held in memory as a whole.
const LONGEST: u64 = 64 << 20;

/// Looks at all records of a file.
///
/// # Errors
/// Names the first place that is no JSON, or no record.
pub(super) fn check(file: &Found, format: Format) -> Result<(), TaskError> {
    let fail = |error| io_error("read", &file.shown, error);
    let content = File::open(&file.path).map_err(fail)?;
    if format == Format::Array {
        let mut bounded = Bounded::new(content);
        let read = BufReader::with_capacity(1 << 20, &mut bounded);
        return match serde_json::from_reader::<_, Records>(read) {
            Ok(_) => Ok(()),
            Err(_) if bounded.length > LONGEST => {
                Err(too_long(file, &format!("record {}", bounded.number)))
            }
            Err(error) if error.is_io() => Err(fail(error.into())),
            Err(error) => Err(wrong(file, error.line(), &error)),
        };
    }
    let mut content = BufReader::with_capacity(1 << 20, content);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        // No more of it than is needed to see that it is too long.
        let mut bounded = (&mut content).take(LONGEST + 1);
        let read = bounded.read_until(b'\n', &mut line).map_err(fail)? as u64;
        if read == 0 {
            return Ok(());
        }
        if read > LONGEST {
            return Err(too_long(file, &format!("line {number}")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        // Without the end of its line: what is missing is missing on this one.
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Err(error) = serde_json::from_slice::<Record>(text) {
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

/// A JSON object whose content does not matter here.
struct Record;

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyMap)
    }
}

struct AnyMap;

impl<'de> Visitor<'de> for AnyMap {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        while map.next_entry::<IgnoredAny, Any>()?.is_some() {}
        Ok(Record)
    }
}

/// An array of records.
struct Records;

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AnyList)
    }
}

struct AnyList;

impl<'de> Visitor<'de> for AnyList {
    type Value = Records;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Records, A::Error> {
        while list.next_element::<Record>()?.is_some() {}
        Ok(Records)
    }
}

/// Any value. Unlike serde's own it counts how deep it goes: what is too deep for us would overflow polars' stack.
struct Any;

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, Self>()?.is_some() {}
        Ok(self)
    }
}
