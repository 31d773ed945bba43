//! Which kinds of values the names of records have: polars says neither which name nor which record it stumbles over.

use std::fmt;

use indexmap::IndexMap;
use pipectl_engine::operator::TaskError;
use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::support::text::{shortened, thousands};

/// Of so many names at one place the kinds are kept: of more, names are most often data themselves.
const NAMES: usize = 5_000;
/// Under this name stand the elements of lists.
const ELEMENT: &str = "[]";
/// How much of a text is kept.
const SHOWN: usize = 40;

/// The kinds in the order of [`Node::first`].
const WORDS: [&str; 5] = ["true or false", "a number", "a text", "a list", "an object"];
const TEXT: usize = 2;

/// The names at one place.
#[derive(Debug, Default)]
pub(super) struct Kinds(IndexMap<Box<str>, Node>);

/// What values a name has.
#[derive(Debug, Default)]
struct Node {
    /// For each kind the first record with it; 0 when there is none.
    first: [u64; 5],
    /// How many values there are, and how many of them are texts.
    values: u64,
    texts: u64,
    /// The first text.
    text: Option<Box<str>>,
    inner: Kinds,
}

impl Kinds {
    fn place(&mut self, name: &str, expected: usize) -> Option<usize> {
        // Records name the same in the same order, most often.
        if self
            .0
            .get_index(expected)
            .is_some_and(|(known, _)| **known == *name)
        {
            return Some(expected);
        }
        if let Some(place) = self.0.get_index_of(name) {
            return Some(place);
        }
        let room = self.0.len() < NAMES;
        room.then(|| self.0.insert_full(name.into(), Node::default()).0)
    }

    /// Calls `each` with all names and what they have.
    fn walk<'a>(&'a self, before: &str, each: &mut impl FnMut(&str, &'a Node)) {
        for (name, node) in &self.0 {
            let path = match (&**name, before) {
                (ELEMENT, _) => format!("{before}{ELEMENT}"),
                (name, "") => name.to_owned(),
                (name, _) => format!("{before}.{name}"),
            };
            each(&path, node);
            node.inner.walk(&path, each);
        }
    }

    /// What makes it impossible to read the records of `file` as a table; `wanted` says which columns matter.
    pub(super) fn conflict(&self, file: &str, wanted: impl Fn(&str) -> bool) -> Option<TaskError> {
        let mut first: Option<(u64, String)> = None;
        self.walk("", &mut |path, node| {
            // Whatever stands beside texts becomes text.
            let column = path.split(['.', '[']).next().unwrap_or(path);
            if node.first[TEXT] > 0 || !wanted(column) {
                return;
            }
            let kinds = node.first.iter().zip(WORDS).filter(|(row, _)| **row > 0);
            let mut kinds: Vec<(u64, &str)> = kinds.map(|(row, word)| (*row, word)).collect();
            kinds.sort_unstable();
            if let [(before, was), (row, is), ..] = kinds.as_slice()
                && first.as_ref().is_none_or(|(other, _)| row < other)
            {
                let message = if before == row {
                    format!(
                        "record {} of `{file}`: `{path}` is {is}, and {was} too",
                        thousands(*row)
                    )
                } else {
                    format!(
                        "record {} of `{file}`: `{path}` is {is}, and in record {} it was {was}",
                        thousands(*row),
                        thousands(*before)
                    )
                };
                first = Some((*row, message));
            }
        });
        let (_, message) = first?;
        Some(TaskError::user(message).hint(
            "the values of a column are of one kind: mend the file, or have all of them written as texts",
        ))
    }

    /// Names that are text because of some of their values only; `wanted` says which columns matter.
    pub(super) fn doubts(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut doubts = Vec::new();
        self.walk("", &mut |path, node| {
            let column = path.split(['.', '[']).next().unwrap_or(path);
            let others = node.values - node.texts;
            if node.texts == 0 || others == 0 || !wanted(column) {
                return;
            }
            let kinds = node.first.iter().zip(WORDS).enumerate();
            let other = kinds
                .filter(|(kind, (row, _))| *kind != TEXT && **row > 0)
                .min_by_key(|(_, (row, _))| **row);
            let other = other.map_or("", |(_, (_, word))| word);
            let advice = if path == column {
                let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_';
                let quote = if column.chars().all(is_plain) { "" } else { "\"" };
                format!(
                    "; where numbers are meant, `try_cast({quote}{column}{quote} as double)` in a `transform: sql` makes them"
                )
            } else {
                String::new()
            };
            doubts.push(format!(
                "`{path}` is text because of `{}` in record {}: {} of {} values are texts, others are {other}{advice}",
                node.text.as_deref().unwrap_or_default(),
                thousands(node.first[TEXT]),
                thousands(node.texts),
                thousands(node.values)
            ));
        });
        doubts
    }
}

/// A JSON object, whose names and values are noted.
pub(super) struct Record<'a> {
    pub(super) kinds: &'a mut Kinds,
    /// Its number, counted from 1.
    pub(super) number: u64,
}

impl<'de> DeserializeSeed<'de> for Record<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        names(Some(self.kinds), self.number, map)
    }
}

fn names<'de, A: MapAccess<'de>>(
    mut kinds: Option<&mut Kinds>,
    number: u64,
    mut map: A,
) -> Result<(), A::Error> {
    let mut expected = 0;
    loop {
        let name = Name {
            kinds: kinds.as_deref_mut(),
            expected,
        };
        let Some(place) = map.next_key_seed(name)? else {
            return Ok(());
        };
        expected = place.map_or(expected, |place| place + 1);
        let nodes = kinds.as_deref_mut().map(|kinds| &mut kinds.0);
        let node = nodes.and_then(|nodes| Some(nodes.get_index_mut(place?)?.1));
        map.next_value_seed(Any { node, number })?;
    }
}

/// The name of a value.
struct Name<'a> {
    kinds: Option<&'a mut Kinds>,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let expected = self.expected;
        Ok(self.kinds.and_then(|kinds| kinds.place(name, expected)))
    }
}

/// Any value. It counts how deep it goes: what is too deep for us would overflow polars' stack.
struct Any<'a> {
    node: Option<&'a mut Node>,
    number: u64,
}

impl Any<'_> {
    fn note(&mut self, kind: usize) {
        if let Some(node) = self.node.as_deref_mut() {
            node.values += 1;
            if node.first[kind] == 0 {
                node.first[kind] = self.number;
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(mut self, _: bool) -> Result<(), E> {
        self.note(0);
        Ok(())
    }

    fn visit_i64<E>(mut self, _: i64) -> Result<(), E> {
        self.note(1);
        Ok(())
    }

    fn visit_u64<E>(mut self, _: u64) -> Result<(), E> {
        self.note(1);
        Ok(())
    }

    fn visit_f64<E>(mut self, _: f64) -> Result<(), E> {
        self.note(1);
        Ok(())
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.note(TEXT);
        if let Some(node) = self.node {
            node.texts += 1;
            node.text
                .get_or_insert_with(|| shortened(text, SHOWN).into());
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.note(3);
        loop {
            let inner = self.node.as_deref_mut().map(|node| &mut node.inner);
            let node = inner.and_then(|inner| {
                let place = inner.place(ELEMENT, 0)?;
                Some(inner.0.get_index_mut(place)?.1)
            });
            let number = self.number;
            if list.next_element_seed(Any { node, number })?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.note(4);
        let inner = self.node.map(|node| &mut node.inner);
        names(inner, self.number, map)
    }
}
