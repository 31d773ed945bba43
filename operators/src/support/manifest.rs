//! The list of the files that are one table.
//!
//! A table of several files appears at once: its files are written under names of their own first, then the list. Who
//! reads by the list sees the table before or after, never in between.

use std::{collections::HashSet, io, path::Path};

use pipectl_connections::{Bucket, Entry};
use pipectl_engine::operator::TaskError;
use serde::{Deserialize, Serialize};

use super::files::{Found, io_error, is_pattern};

/// The list's name in the directory of the table.
pub(crate) const NAME: &str = "_manifest.json";

/// The files that are one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The version of this form.
    pub(crate) version: u32,
    /// What the list was written by: run, task and element, and how often it was done again on purpose.
    pub(crate) written_by: String,
    /// The files.
    pub(crate) files: Vec<Member>,
}

/// One of the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    /// Its path within the directory.
    pub(crate) path: String,
    /// Its rows.
    pub(crate) rows: u64,
    /// Its size in bytes.
    pub(crate) bytes: u64,
}

impl Manifest {
    /// Reads a list.
    ///
    /// # Errors
    /// When it is none of ours.
    pub(crate) fn read(content: &[u8], shown: &str) -> Result<Self, TaskError> {
        let wrong = || TaskError::user(format!("`{shown}` is no list of a table's files"));
        let read: Self = serde_json::from_slice(content).map_err(|error| wrong().because(error))?;
        if read.version != 1 {
            return Err(wrong().hint("it was written by a newer version of pipectl"));
        }
        Ok(read)
    }
}

/// The directory whose list counts for a path or pattern: the one before wildcards and before `key=value`.
fn directory(path: &str) -> Option<&str> {
    let mut parts: Vec<&str> = path.split('/').collect();
    let fixed = parts.iter().take_while(|part| !is_pattern(part)).count();
    if fixed == parts.len() {
        return None;
    }
    parts.truncate(fixed);
    while parts.last().is_some_and(|part| part.contains('=')) {
        parts.pop();
    }
    let length = parts.iter().map(|part| part.len() + 1).sum::<usize>();
    path.get(..length.saturating_sub(1))
}

fn below(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

/// Of the files that a pattern has found, those that their directory's list names, when there is one.
///
/// # Errors
/// When the list cannot be read, or names a file that is not there.
pub(crate) fn of_files(
    root: &Path,
    pattern: &str,
    found: Vec<Found>,
) -> Result<Vec<Found>, TaskError> {
    let Some(directory) = directory(pattern) else {
        return Ok(found);
    };
    let shown = below(directory, NAME);
    match std::fs::read(root.join(directory).join(NAME)) {
        Ok(content) => {
            let manifest = Manifest::read(&content, &shown)?;
            let place = root.join(directory);
            let members = manifest.files.iter();
            let listed: HashSet<_> = members.map(|member| place.join(&member.path)).collect();
            Ok(found
                .into_iter()
                .filter(|file| listed.contains(&file.path))
                .collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(found),
        Err(error) => Err(io_error("read", &shown, error)),
    }
}

/// As [`of_files`], for objects.
///
/// # Errors
/// As [`of_files`].
pub(crate) async fn of_objects(
    bucket: &Bucket,
    pattern: &str,
    found: Vec<Entry>,
) -> Result<Vec<Entry>, TaskError> {
    let Some(directory) = directory(pattern) else {
        return Ok(found);
    };
    let key = below(directory, NAME);
    let Some(entry) = bucket.head(&key).await? else {
        return Ok(found);
    };
    let manifest = Manifest::read(&bucket.get(&entry.key).await?, &bucket.address(&key))?;
    let members = manifest.files.iter();
    let listed: HashSet<_> = members
        .map(|member| below(directory, &member.path))
        .collect();
    Ok(found
        .into_iter()
        .filter(|entry| listed.contains(&entry.key))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_lies_where_the_table_begins() {
        for (pattern, expected) in [
            ("out/a.parquet", None),
            ("out/*.parquet", Some("out")),
            ("out/**/*.parquet", Some("out")),
            ("out/day=1/*.parquet", Some("out")),
            ("out/day=*/x", Some("out")),
            ("**", Some("")),
            ("/abs/out/**", Some("/abs/out")),
        ] {
            assert_eq!(directory(pattern), expected, "{pattern}");
        }
        assert!(Manifest::read(b"{}", "a").is_err());
        let newer = br#"{"version": 2, "written_by": "", "files": []}"#;
        assert!(Manifest::read(newer, "a").unwrap_err().hint.is_some());
    }
}
