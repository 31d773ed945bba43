//! Where files are: in the project, behind a connection (`connection://key`), or at an address (`s3://bucket/key`).

mod web;

use std::{any::Any, path::PathBuf, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use pipectl_connections::{Bucket, Entry};
use pipectl_engine::{
    operator::{ConnectionName, ProbeContext, SqlText, TaskContext, TaskError},
    project::Project,
    services::Services,
};

use self::web::only_read;
pub(crate) use self::web::{check_named, check_read, check_write};
use super::{
    files::{Found, at_least_one, is_pattern},
    manifest,
    partitions::{Partitions, possible},
    sensing::connector,
};

/// How many objects are fetched at once.
const FETCHES_AT_ONCE: usize = 32;
/// How many when there is a large one among them.
const LARGE_FETCHES_AT_ONCE: usize = 4;
/// From how many bytes on an object is a large one.
const LARGE: u64 = 1 << 20;

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A path or pattern of the project.
    Project(String),
    /// A key or pattern below a connection.
    Connection(String, String),
    /// A bucket's address, and a key or pattern in it.
    Address(String, String),
    /// The address of a file on a web server.
    Web(String),
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
            (None, Some(("s3" | "gs" | "az", _))) => address(path),
            (None, Some(("http" | "https", _))) => Ok(Self::Web(path.to_owned())),
            (_, Some((name, key))) => Ok(Self::Connection(name.to_owned(), key.to_owned())),
        }
    }

    /// What it leads to, a place where files may be written, too.
    ///
    /// # Errors
    /// When there is no such connection, or it is none of a bucket.
    pub(crate) async fn open(self, context: &TaskContext) -> Result<Place, TaskError> {
        let (project, services) = (&context.project, &context.services);
        Ok(match self {
            Self::Project(path) => Place::Project(path),
            Self::Connection(name, key) => {
                Place::Bucket(bucket(project, services, &name).await?, key)
            }
            Self::Address(address, key) => {
                let bucket = connector(services).bucket_at(project, &address).await?;
                Place::Bucket(bucket, key)
            }
            Self::Web(address) => return Err(only_read(&address)),
        })
    }
}

/// Looks whether the bucket of a location answers. Whether a file is there is only known when its task runs.
///
/// # Errors
/// When it does not.
pub(crate) async fn probe_place(
    connection: Option<&ConnectionName>,
    path: &str,
    context: &ProbeContext,
) -> Result<(), TaskError> {
    let (project, services) = (&context.project, &context.services);
    let bucket = match Location::read(connection, path)? {
        Location::Project(_) | Location::Web(_) => return Ok(()),
        Location::Connection(name, _) => bucket(project, services, &name).await?,
        Location::Address(address, _) => connector(services).bucket_at(project, &address).await?,
    };
    bucket.probe().await
}

/// An open location.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A path or pattern of the project.
    Project(String),
    /// A key or pattern in a bucket.
    Bucket(Bucket, String),
}

/// `s3://bucket/key?endpoint=…` as the bucket's address and the key.
fn address(path: &str) -> Result<Location, TaskError> {
    let settings = ["?endpoint=", "?region=", "?account="];
    let query = settings
        .iter()
        .filter_map(|setting| path.find(setting))
        .min();
    let (place, query) = path.split_at(query.unwrap_or(path.len()));
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    match rest.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok(Location::Address(
            format!("{scheme}://{bucket}{query}"),
            key.to_owned(),
        )),
        _ => Err(TaskError::user(format!("`{path}` names no object"))
            .hint(format!("write `{scheme}://bucket/key`"))),
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
    opened.map_err(|error| match name {
        "file" => error.hint("write the path alone: relative to the project, or from `/` on"),
        _ => error,
    })
}

/// Which files are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The setting `connection`.
    pub(crate) connection: Option<&'a ConnectionName>,
    /// The setting `path`.
    pub(crate) path: &'a str,
    /// The setting `hive`: whether directories `key=value` are columns; when it is left out those that wildcards match.
    pub(crate) hive: Option<bool>,
    /// The setting `where`: files that hold no such rows by their directories are left alone.
    pub(crate) condition: Option<&'a SqlText>,
}

/// Files to be read, on this machine for as long as this lives.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The files, by path or key, and the columns that they have by their directories.
    pub(crate) found: Vec<(Found, Partitions)>,
    kept: Vec<Arc<Temporary>>,
}

impl Files {
    /// One file that is removed when nobody reads it any more.
    fn temporary(found: Found, temporary: Temporary) -> Self {
        Self {
            found: vec![(found, Partitions::default())],
            kept: vec![Arc::new(temporary)],
        }
    }

    /// What must stay as long as they are read.
    pub(crate) fn kept(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(self.kept.clone())
    }
}

/// The files that are wanted, at least one; objects are fetched first.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) async fn open_files(
    context: &TaskContext,
    wanted: Wanted<'_>,
) -> Result<Files, TaskError> {
    let location = Location::read(wanted.connection, wanted.path)?;
    if let Some(page) = web::Page::of(context, &location).await? {
        return page.fetched(context).await;
    }
    match location.open(context).await? {
        Place::Project(path) => {
            let (inner, pattern) = (context.clone(), path.clone());
            let found = context
                .compute(move || {
                    let found = at_least_one(&inner, &pattern)?;
                    manifest::of_files(&inner.project.root, &pattern, found)
                })
                .await?;
            let whole = context.project.root.join(&path);
            let whole = whole.to_string_lossy();
            let name = |file: &Found| {
                let name = file.path.to_string_lossy();
                below(&whole, &name, wanted.hive).to_owned()
            };
            let found = chosen(found, wanted, &path, name)?;
            Ok(Files {
                found,
                kept: Vec::new(),
            })
        }
        Place::Bucket(bucket, key) => fetched(context, &bucket, &key, wanted).await,
    }
}

/// The files that are there, each with what changes when it is replaced; nothing of it is read. Nothing for the page of a
/// web server.
///
/// # Errors
/// When they cannot be listed.
pub(crate) async fn tags(
    context: &TaskContext,
    connection: Option<&ConnectionName>,
    path: &str,
) -> Result<Option<Vec<(String, String)>>, TaskError> {
    let location = Location::read(connection, path)?;
    if web::Page::of(context, &location).await?.is_some() {
        return Ok(None);
    }
    let tags = match location.open(context).await? {
        Place::Project(path) => {
            let inner = context.clone();
            let found = context.compute(move || at_least_one(&inner, &path)).await?;
            let tags = found.into_iter().map(|file| (file.shown, file.tag));
            tags.collect()
        }
        Place::Bucket(bucket, key) => {
            let entries = bucket.list(&key).await?;
            let tags = entries.into_iter().map(|entry| (entry.key, entry.tag));
            tags.collect()
        }
    };
    Ok(Some(tags))
}

async fn fetched(
    context: &TaskContext,
    bucket: &Bucket,
    key: &str,
    wanted: Wanted<'_>,
) -> Result<Files, TaskError> {
    let entries = bucket.list(key).await?;
    let entries = manifest::of_objects(bucket, key, entries).await?;
    if entries.is_empty() {
        let what = if is_pattern(key) {
            "no object matches"
        } else {
            "there is no object"
        };
        return Err(TaskError::user(format!("{what} `{}`", bucket.address(key)))
            .hint(format!("keys hang on the connection {}", bucket.shown())));
    }
    let name = |entry: &Entry| below(key, &entry.key, wanted.hive).to_owned();
    let entries = chosen(entries, wanted, key, name)?;
    // Many small ones, or a few large ones: those are read in several parts at once already.
    let at_once = if entries.iter().any(|(entry, _)| entry.size > LARGE) {
        LARGE_FETCHES_AT_ONCE
    } else {
        FETCHES_AT_ONCE
    };
    let fetches = entries.into_iter().map(|(entry, partitions)| async move {
        let (found, temporary) = fetch(context, bucket, entry).await?;
        Ok::<_, TaskError>(((found, partitions), temporary))
    });
    let files: Vec<_> = stream::iter(fetches)
        .buffered(at_once)
        .try_collect()
        .await?;
    let (found, copies): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    Ok(Files {
        found,
        kept: copies.into_iter().flatten().map(Arc::new).collect(),
    })
}

/// The files that can hold what is wanted, with the columns that they have by the directories in their `name`.
fn chosen<T>(
    files: Vec<T>,
    wanted: Wanted<'_>,
    pattern: &str,
    name: impl Fn(&T) -> String,
) -> Result<Vec<(T, Partitions)>, TaskError> {
    let read = wanted.hive.unwrap_or_else(|| is_pattern(pattern));
    let mut all: Vec<Partitions> = files
        .iter()
        .map(|file| Partitions::of(&name(file), read))
        .collect();
    Partitions::agreed(&mut all);
    let possible = match wanted.condition {
        Some(condition) => possible(&all, condition)?,
        None => vec![true; all.len()],
    };
    // One file stays even if it has no such row: it says which columns there are.
    let none = !possible.contains(&true);
    let kept = files.into_iter().zip(all).zip(possible).enumerate();
    let kept = kept.filter(|(index, (_, possible))| *possible || (none && *index == 0));
    Ok(kept.map(|(_, (file, _))| file).collect())
}

/// The part of `name` below what all names that `pattern` matches have in common; all of it when all is `wanted`.
fn below<'a>(pattern: &str, name: &'a str, wanted: Option<bool>) -> &'a str {
    if wanted == Some(true) {
        return name;
    }
    let fixed = pattern.split('/').take_while(|part| !is_pattern(part));
    let length: usize = fixed.map(|part| part.len() + 1).sum();
    name.get(length..).unwrap_or_default()
}

async fn fetch(
    context: &TaskContext,
    bucket: &Bucket,
    entry: Entry,
) -> Result<(Found, Option<Temporary>), TaskError> {
    let found = |path: PathBuf| Found {
        path,
        shown: bucket.address(&entry.key),
        size: entry.size,
        modified: entry.modified,
        unchanged: entry.modified,
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
        let address =
            |bucket: &str, key: &str| Location::Address(bucket.to_owned(), key.to_owned());
        for (setting, path, expected) in [
            (None, "in/a.csv", Location::Project("in/a.csv".to_owned())),
            (None, "lake://in/a b.csv", connection("in/a b.csv")),
            (Some(&lake), "in/a.csv", connection("in/a.csv")),
            (Some(&lake), "lake://in/a.csv", connection("in/a.csv")),
            (None, "C://a.csv", Location::Project("C://a.csv".to_owned())),
            (None, "s3://b/in/*.csv", address("s3://b", "in/*.csv")),
            (
                None,
                "https://h/a.csv?x=1",
                Location::Web("https://h/a.csv?x=1".to_owned()),
            ),
            (
                None,
                "s3://b/a?.csv?endpoint=http://localhost:9000",
                address("s3://b?endpoint=http://localhost:9000", "a?.csv"),
            ),
        ] {
            assert_eq!(Location::read(setting, path).unwrap(), expected, "{path}");
        }
        let error = Location::read(Some(&lake), "other://a").unwrap_err();
        assert_eq!(
            error.message,
            "`path` names the connection `other`, and `connection` is `lake`"
        );
        let error = Location::read(None, "s3://bucket").unwrap_err();
        assert_eq!(error.message, "`s3://bucket` names no object");
    }
}
