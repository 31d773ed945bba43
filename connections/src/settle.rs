//! What becomes of a thing whose run has succeeded: it stays, moves to an archive, or is removed.
//!
//! Each step can be interrupted and done again. A newer thing of the same name is never touched: a file is first taken
//! aside by a rename and looked at there; of an object the tag and time are compared before each step. (Between the last
//! look at an object and its removal a moment is left, because object stores of today have no removal under a condition
//! that all of them know.)

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use pipectl_engine::{
    artifact::sha256,
    failpoint,
    operator::{AfterSuccess, TaskError, Thing, Wait},
    project::Project,
};

use crate::{
    Bucket, Connector, Entry,
    disk::{blocking, write_whole},
    files::{io_failure, look},
};

/// Up to this size two objects are compared byte by byte.
const COMPARED: u64 = 64 * 1024 * 1024;

/// What has become of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was left where it is.
    Kept,
    /// It is in the archive, under this key or path.
    Moved(String),
    /// It was removed.
    Deleted,
    /// It was not there any more; what is there under its name is another thing, and was left alone.
    Gone,
}

/// Does with a thing that `wait` has found what `after` says.
///
/// # Errors
/// When the server or the disk refuses; it can be called again.
pub async fn settle_thing(
    connector: &Connector,
    project: &Project,
    wait: &Wait,
    thing: &Thing,
    after: &AfterSuccess,
) -> Result<Settled, TaskError> {
    let Wait::Things { connection, .. } = wait else {
        return Err(TaskError::bug("only things can be settled"));
    };
    if *after == AfterSuccess::Keep {
        return Ok(Settled::Kept);
    }
    let root = match connection {
        None => project.root.clone(),
        Some(connection) => {
            let bucket = connector.bucket(project, connection).await?;
            match bucket.root() {
                None => return settle_object(&bucket, thing, after).await,
                Some(root) => root.to_owned(),
            }
        }
    };
    let (thing, after) = (thing.clone(), after.clone());
    blocking(move || {
        let doing = match after {
            AfterSuccess::Move { .. } => "move",
            _ => "remove",
        };
        settle_file(&root, &thing, &after)
            .map_err(|error| io_failure(&format!("{doing} `{}`", thing.name), error))
    })
    .await
}

/// A few letters that no other thing has.
pub(crate) fn mark(thing: &Thing) -> String {
    sha256(thing.identity.as_bytes()).chars().take(12).collect()
}

/// `in/a.csv` becomes `in/a.1f2e3d.csv`.
pub(crate) fn marked(name: &str, mark: &str) -> String {
    let (directory, file) = name.rsplit_once('/').map_or(("", name), |(directory, _)| {
        name.split_at(directory.len() + 1)
    });
    match file.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) {
        Some((stem, extension)) => format!("{directory}{stem}.{mark}.{extension}"),
        None => format!("{directory}{file}.{mark}"),
    }
}

/// Where a thing goes below an archive: its whole name, so that `a/x.csv` and `b/x.csv` do not meet.
pub(crate) fn archived(archive: &str, name: &str) -> String {
    let inside: PathBuf = Path::new(name)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    format!(
        "{}/{}",
        archive.trim_end_matches('/'),
        inside.to_string_lossy()
    )
}

async fn settle_object(
    bucket: &Bucket,
    thing: &Thing,
    after: &AfterSuccess,
) -> Result<Settled, TaskError> {
    let Some(found) = same(bucket, thing).await? else {
        return Ok(Settled::Gone);
    };
    let AfterSuccess::Move { archive } = after else {
        bucket.delete(&thing.name).await?;
        return Ok(Settled::Deleted);
    };
    let plain = archived(archive, &thing.name);
    let target = match bucket.head(&plain).await? {
        None => plain,
        Some(other) if is_copy(bucket, &found, &other).await? => plain,
        Some(_) => marked(&plain, &mark(thing)),
    };
    if bucket.head(&target).await?.is_none()
        && let Err(error) = bucket.copy(&thing.name, &target).await
    {
        // Another daemon may have moved it at the same time.
        return match same(bucket, thing).await? {
            None => Ok(Settled::Gone),
            Some(_) => Err(error),
        };
    }
    failpoint::hit("thing_copied");
    if same(bucket, thing).await?.is_none() {
        return Ok(Settled::Gone);
    }
    bucket.delete(&thing.name).await?;
    Ok(Settled::Moved(target))
}

/// What lies under the thing's name, when it is still the thing.
async fn same(bucket: &Bucket, thing: &Thing) -> Result<Option<Entry>, TaskError> {
    let found = bucket.head(&thing.name).await?;
    Ok(found.filter(|found| found.identity() == thing.identity))
}

/// Whether `copy` can be one of `thing` that was made before we were interrupted.
async fn is_copy(bucket: &Bucket, thing: &Entry, copy: &Entry) -> Result<bool, TaskError> {
    if thing.size != copy.size || copy.modified.timestamp() < thing.modified.timestamp() {
        return Ok(false);
    }
    if thing.plain_tag() == copy.plain_tag() && !thing.tag.is_empty() {
        return Ok(true);
    }
    // The tag of what was uploaded in parts is another one after a copy.
    Ok(thing.size <= COMPARED && bucket.get(&thing.key).await? == bucket.get(&copy.key).await?)
}

/// What lies where a local thing was sensed: its identity now, and its size. `None` when nothing does, and for what lies
/// in a bucket.
///
/// # Errors
/// When it cannot be looked at.
pub async fn file_now(
    project: &Project,
    wait: &Wait,
    name: &str,
) -> Result<Option<(String, u64)>, TaskError> {
    let Wait::Things {
        connection: None, ..
    } = wait
    else {
        return Ok(None);
    };
    let (root, name) = (project.root.clone(), name.to_owned());
    blocking(move || {
        let found = look(&root, &root.join(&name))
            .map_err(|error| io_failure(&format!("look at `{name}`"), error))?;
        Ok(found.map(|found| (format!("{name} {}", found.tag), found.size)))
    })
    .await
}

fn settle_file(root: &Path, thing: &Thing, after: &AfterSuccess) -> io::Result<Settled> {
    let path = root.join(&thing.name);
    let Some(aside) = take_aside(root, &path, thing)? else {
        return Ok(Settled::Gone);
    };
    match put_away(root, &path, &aside, thing, after) {
        // Another daemon has done it at the same time.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !aside.exists() => {
            Ok(Settled::Gone)
        }
        settled => settled,
    }
}

fn put_away(
    root: &Path,
    path: &Path,
    aside: &Path,
    thing: &Thing,
    after: &AfterSuccess,
) -> io::Result<Settled> {
    failpoint::hit("thing_taken");
    let AfterSuccess::Move { archive } = after else {
        fs::remove_file(aside)?;
        sync_directory(path)?;
        return Ok(Settled::Deleted);
    };
    let plain = archived(archive, &thing.name);
    let target = if keep(aside, &root.join(&plain))? {
        plain
    } else {
        let other = marked(&plain, &mark(thing));
        // Its name bears the thing's mark: what lies there is the thing.
        keep(aside, &root.join(&other))?;
        other
    };
    failpoint::hit("thing_copied");
    fs::remove_file(aside)?;
    sync_directory(path)?;
    Ok(Settled::Moved(target))
}

/// Renames the thing to a hidden name, where it can only be the thing. `None` when it is not there any more.
fn take_aside(root: &Path, path: &Path, thing: &Thing) -> io::Result<Option<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.{}.settling", mark(thing)));
    if aside.exists() {
        return Ok(Some(aside));
    }
    let identity = |path: &Path| {
        let found = look(root, path)?;
        io::Result::Ok(found.map(|found| format!("{} {}", thing.name, found.tag)))
    };
    if identity(path)?.as_ref() != Some(&thing.identity) {
        return Ok(None);
    }
    match fs::rename(path, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    if identity(&aside)?.as_ref() == Some(&thing.identity) {
        return Ok(Some(aside));
    }
    // A newer file came between the look and the rename: it goes back, unless a still newer one has replaced it.
    match fs::hard_link(&aside, path) {
        Ok(()) => fs::remove_file(&aside)?,
        Err(_) if path.exists() => fs::remove_file(&aside)?,
        Err(_) => fs::rename(&aside, path)?,
    }
    Ok(None)
}

/// Lets a file be at `target` too. `false` when something else is there.
fn keep(file: &Path, target: &Path) -> io::Result<bool> {
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::hard_link(file, target) {
        Ok(()) => sync_directory(target).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => is_copy_of_file(file, target),
        Err(_) if target.exists() => is_copy_of_file(file, target),
        // Another disk, or one without links.
        Err(_) => {
            let mut source = File::open(file)?;
            write_whole(target, |copy| io::copy(&mut source, copy).map(drop))?;
            Ok(true)
        }
    }
}

/// Whether `copy` is `file` by another name, or on another disk one with the same content.
fn is_copy_of_file(file: &Path, copy: &Path) -> io::Result<bool> {
    let (one, other) = (fs::metadata(file)?, fs::metadata(copy)?);
    if one.dev() == other.dev() {
        return Ok(one.ino() == other.ino());
    }
    Ok(one.len() == other.len() && one.len() <= COMPARED && fs::read(file)? == fs::read(copy)?)
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;

    use super::*;
    use crate::files::matching;

    fn thing(root: &Path, name: &str) -> Thing {
        let found = matching(root, name).unwrap().remove(0);
        Thing {
            identity: format!("{} {}", found.shown, found.tag),
            name: found.shown,
            values: serde_json::Map::new(),
            size: found.size,
            modified: found.modified,
        }
    }

    fn archive(to: &str) -> AfterSuccess {
        AfterSuccess::Move {
            archive: to.to_owned(),
        }
    }

    #[test]
    fn a_file_that_was_taken_aside_before_a_kill_goes_on() {
        for after in [archive("done"), AfterSuccess::Delete] {
            let project = TestProject::new();
            let path = project.write("in/x.csv", "x");
            let thing = thing(project.root(), "in/x.csv");
            take_aside(project.root(), &path, &thing).unwrap().unwrap();
            assert!(!path.exists());
            // Meanwhile another one of the same name has come.
            project.write("in/x.csv", "newer");
            let settled = settle_file(project.root(), &thing, &after).unwrap();
            assert_ne!(settled, Settled::Gone);
            assert_eq!(project.read("in/x.csv"), "newer");
            assert_eq!(project.list("in"), ["x.csv"]);
            if let Settled::Moved(target) = settled {
                assert_eq!(project.read(&target), "x");
            }
        }
    }

    #[test]
    fn a_file_moves_to_another_disk() {
        // Shared memory is another file system than the temporary directory, where there is one.
        let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
            return;
        };
        let to = archive(&other.path().to_string_lossy());
        let project = TestProject::new();
        for (content, interrupted, marked) in
            [("x", false, false), ("y", true, true), ("z", false, true)]
        {
            let path = project.write("in/x.csv", content);
            let thing = thing(project.root(), "in/x.csv");
            if interrupted {
                let aside = take_aside(project.root(), &path, &thing).unwrap().unwrap();
                let target = other.path().join("in/x.csv");
                let name = super::marked(&target.to_string_lossy(), &mark(&thing));
                assert!(keep(&aside, Path::new(&name)).unwrap());
            }
            let Settled::Moved(target) = settle_file(project.root(), &thing, &to).unwrap() else {
                panic!("it was not moved")
            };
            assert_eq!(fs::read_to_string(&target).unwrap(), content);
            assert_eq!(!target.ends_with("/in/x.csv"), marked, "{target}");
            assert!(project.list("in").is_empty());
        }
        assert_eq!(fs::read_dir(other.path().join("in")).unwrap().count(), 3);
    }

    #[test]
    fn names_in_an_archive() {
        for (name, expected) in [
            ("a/x.csv", "done/a/x.csv"),
            ("/var/in/x.csv", "done/var/in/x.csv"),
            ("../in/x.csv", "done/in/x.csv"),
        ] {
            assert_eq!(archived("done/", name), expected);
        }
        for (name, expected) in [
            ("a/x.csv", "a/x.1f.csv"),
            ("a.b/x", "a.b/x.1f"),
            (".x", ".x.1f"),
            ("x.tar.gz", "x.tar.1f.gz"),
        ] {
            assert_eq!(marked(name, "1f"), expected);
        }
    }
}
