//! Finds what is no JSON, with its place: polars names none.

use std::{
    fmt,
    fs::File,
    io::{BufRead as _, BufReader},
};

use pipectl_engine::operator::TaskError;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::Format;
use crate::support::files::{Found, io_error};

/// How long a line may be.
const LONGEST: usize = 64 << 20;

/// Looks at all records of a file.
///
/// # Errors
/// Names the first place that is no JSON, or no record.
pub(super) fn check(file: &Found, format: Format) -> Result<(), TaskError> {
    let fail = |error| io_error("read", &file.shown, error);
    let mut content = BufReader::with_capacity(1 << 20, File::open(&file.path).map_err(fail)?);
    if format == Format::Array {
        return match serde_json::from_reader::<_, Records>(content) {
            Ok(_) => Ok(()),
            Err(error) => Err(wrong(file, error.line(), &error)),
        };
    }
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        let read = content.read_until(b'\n', &mut line).map_err(fail)?;
        if read == 0 {
            return Ok(());
        }
        if read > LONGEST {
            return Err(TaskError::user(format!(
                "line {number} of `{}` is longer than {} MiB",
                file.shown,
                LONGEST >> 20
            )));
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
