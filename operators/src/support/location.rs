//! Where files are: in the project, or behind a connection, as `connection://key`.

use std::path::PathBuf;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use pipectl_connections::{Bucket, Entry};
use pipectl_engine::{
    operator::{ConnectionName, TaskContext, TaskError},
    project::Project,
    services::Services,
};

use super::{
    files::{Found, at_least_one, is_pattern},
    sensing::connector,
};

/// How many objects are fetched at once.
const FETCHES_AT_ONCE: usize = 4;

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A path or pattern of the project.
    Project(String),
    /// A key or pattern below a connection.
    Connection(String, String),
}

impl Location {
    /// Reads the setting `path`, which may be `connection://key`, beside the setting `connection`.
    ///
    /// # Errors
    /// When the two name different connections.
    pub(crate) fn read(connection: Option<&ConnectionName>, path: &str) -> Result<Self, TaskError> {
        let named = path.split_once("://").filter(|(name, _)| is_name(name));
        match (connection, named) {
            (None, None) => Ok(Self::Project(path.to_owned())),
            (Some(name), None) => Ok(Self::Connection(name.0.clone(), path.to_owned())),
            (Some(setting), Some((name, _))) if setting.0 != name => Err(TaskError::user(format!(
                "`path` names the connection `{name}`, and `connection` is `{}`",
                setting.0
            ))
            .hint("leave `connection` out: the path says it")),
            (_, Some((name, key))) => Ok(Self::Connection(name.to_owned(), key.to_owned())),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Opens the bucket behind a connection.
///
/// # Errors
/// When there is none of that name, or it is none of a bucket.
pub(crate) async fn bucket(
    project: &Project,
    services: &Services,
    name: &str,
) -> Result<Bucket, TaskError> {
    let opened = connector(services).bucket(project, name).await;
    opened.map_err(|error| {
        if matches!(name, "s3" | "gs" | "az" | "http" | "https" | "file") {
            return error.hint(
                "a path begins with the name of a connection, not with an address: name the bucket under `connections:` in pipectl.yaml, and write `path: name://key`",
            );
        }
        error
    })
}

/// Files to be read, on this machine for as long as this lives.
#[derive(Debug)]
pub(crate) struct Files {
    /// The files, by path or key.
    pub(crate) found: Vec<Found>,
    _fetched: Vec<Temporary>,
}

/// The files that a location names, at least one; objects are fetched first.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) async fn open_files(
    context: &TaskContext,
    connection: Option<&ConnectionName>,
    path: &str,
) -> Result<Files, TaskError> {
    let (name, key) = match Location::read(connection, path)? {
        Location::Project(path) => {
            let inner = context.clone();
            let found = context.compute(move || at_least_one(&inner, &path)).await?;
            return Ok(Files {
                found,
                _fetched: Vec::new(),
            });
        }
        Location::Connection(name, key) => (name, key),
    };
    let bucket = bucket(&context.project, &context.services, &name).await?;
    let entries = bucket.list(&key).await?;
    if entries.is_empty() {
        let what = if is_pattern(&key) {
            "no object matches"
        } else {
            "there is no object"
        };
        return Err(TaskError::user(format!("{what} `{name}://{key}`"))
            .hint(format!("keys hang on the connection {}", bucket.shown())));
    }
    let wanted = entries
        .into_iter()
        .map(|entry| fetch(context, &bucket, entry));
    let files: Vec<(Found, Option<Temporary>)> = stream::iter(wanted)
        .buffered(FETCHES_AT_ONCE)
        .try_collect()
        .await?;
    let (found, copies): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    Ok(Files {
        found,
        _fetched: copies.into_iter().flatten().collect(),
    })
}

async fn fetch(
    context: &TaskContext,
    bucket: &Bucket,
    entry: Entry,
) -> Result<(Found, Option<Temporary>), TaskError> {
    let found = |path: PathBuf| Found {
        path,
        shown: format!("{}://{}", bucket.name(), entry.key),
        size: entry.size,
        modified: entry.modified,
        tag: entry.tag.clone(),
    };
    if let Some(root) = bucket.root() {
        return Ok((found(root.join(&entry.key)), None));
    }
    let temporary = Temporary::new(context)?;
    bucket.fetch(&entry, &temporary.0).await?;
    Ok((found(temporary.0.clone()), Some(temporary)))
}

/// A file on this machine that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(pub(crate) PathBuf);

impl Temporary {
    /// A new name near the artifact store.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub(crate) fn new(context: &TaskContext) -> Result<Self, TaskError> {
        let path = context.artifacts.temporary();
        if let Some(directory) = path.parent() {
            let doing = || format!("make the directory {}", directory.display());
            std::fs::create_dir_all(directory)
                .map_err(|error| super::files::io_failure(&doing(), error))?;
        }
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may not have been written.
        let _removed = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_name_its_connection() {
        let lake = ConnectionName("lake".to_owned());
        let connection = |key: &str| Location::Connection("lake".to_owned(), key.to_owned());
        for (setting, path, expected) in [
            (None, "in/a.csv", Location::Project("in/a.csv".to_owned())),
            (None, "lake://in/a b.csv", connection("in/a b.csv")),
            (Some(&lake), "in/a.csv", connection("in/a.csv")),
            (Some(&lake), "lake://in/a.csv", connection("in/a.csv")),
            (None, "C://a.csv", Location::Project("C://a.csv".to_owned())),
        ] {
            assert_eq!(Location::read(setting, path).unwrap(), expected, "{path}");
        }
        let error = Location::read(Some(&lake), "other://a").unwrap_err();
        assert_eq!(
            error.message,
            "`path` names the connection `other`, and `connection` is `lake`"
        );
    }
}
