//! Operators in other languages: programs `pipectl-<kind>-<name>` on the PATH.
//!
//! `pipectl-<kind>-<name> describe` says what the operator is ([`Description`]); `… run` reads a request from standard
//! input and answers on standard output ([`protocol`]). docs/plugins.md tells authors all of it.

mod description;
mod kit;
mod operator;
mod protocol;

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::Metadata,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use pipectl_engine::operator::{DynOperator, Finder, Kind};

pub use description::{Description, describe};
pub use kit::{Finding, inspect};
use operator::External;

/// What every program's name begins with.
const PREFIX: &str = "pipectl-";

/// Finds operators on a search path.
#[derive(Debug)]
pub struct Plugins {
    directories: Vec<PathBuf>,
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// A program as it was when it described itself.
#[derive(Debug)]
struct Known {
    changed: Option<SystemTime>,
    size: u64,
    operator: &'static External,
}

impl Plugins {
    /// Searches the directories of `path`, which is written as in `PATH`.
    pub fn new(path: Option<&str>) -> Self {
        let path = OsString::from(path.unwrap_or_default());
        Self {
            directories: std::env::split_paths(&path).collect(),
            known: Mutex::default(),
        }
    }

    fn operator(
        &self,
        kind: Kind,
        name: &str,
        program: PathBuf,
        is: &Metadata,
    ) -> &'static External {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, size) = (is.modified().ok(), is.len());
        if let Some(known) = known.get(&program)
            && (known.changed, known.size) == (changed, size)
        {
            return known.operator;
        }
        let operator = &*Box::leak(Box::new(External::new(kind, name, program.clone())));
        known.insert(
            program,
            Known {
                changed,
                size,
                operator,
            },
        );
        operator
    }
}

impl Finder for Plugins {
    fn find(&self, kind: Kind, name: &str) -> Option<&'static dyn DynOperator> {
        let file = format!("{PREFIX}{kind}-{name}");
        self.directories.iter().find_map(|directory| {
            let program = directory.join(&file);
            let is = executable(&program)?;
            Some(self.operator(kind, name, program, &is) as &dyn DynOperator)
        })
    }

    fn all(&self) -> Vec<&'static dyn DynOperator> {
        let mut names: Vec<(Kind, String)> = Vec::new();
        for directory in &self.directories {
            // A directory that is not there is nothing unusual in a search path.
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
            names.extend(
                files.filter_map(|file| parse(&file).map(|(kind, name)| (kind, name.to_owned()))),
            );
        }
        names.sort();
        names.dedup();
        let found = names.iter();
        found
            .filter_map(|(kind, name)| self.find(*kind, name))
            .collect()
    }
}

/// The kind and the name that a program's file name says.
pub fn parse(file: &str) -> Option<(Kind, &str)> {
    let (kind, name) = file.strip_prefix(PREFIX)?.split_once('-')?;
    let good = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|character| matches!(character, 'a'..='z' | '0'..='9' | '_'));
    good.then_some((kind.parse().ok()?, name))
}

fn executable(path: &Path) -> Option<Metadata> {
    let is = path.metadata().ok()?;
    (is.is_file() && is.permissions().mode() & 0o111 != 0).then_some(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_operator_it_is() {
        for (file, expected) in [
            ("pipectl-extract-foo", Some((Kind::Extract, "foo"))),
            ("pipectl-run-two_words", Some((Kind::Run, "two_words"))),
            ("pipectl-run-two-words", None),
            ("pipectl-sing-foo", None),
            ("pipectl-extract-", None),
            ("pipectl-extract-foo.py", None),
            ("extract-foo", None),
        ] {
            assert_eq!(parse(file), expected, "{file}");
        }
    }
}
