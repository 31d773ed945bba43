//! Puts a thing that [`settle_thing`](crate::settle_thing) has moved to an archive back to where it was sensed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use pipectl_engine::{
    operator::{AfterSuccess, TaskError, Thing, Wait},
    project::Project,
};

use crate::{
    Bucket, Connector,
    disk::{blocking, write_whole},
    files::{io_failure, look},
    settle::{archived, mark, marked, sync_directory},
};

/// Whether a thing lies where it was sensed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It lay in the archive, under this key or path, and is back.
    Back(String),
    /// Something lies there under its name: it has not been moved, or there is a newer one. That was left alone.
    There,
    /// It lies neither there nor in the archive, where it would be under one of these names.
    Missing(Vec<String>),
}

/// Sees to it that a thing that `wait` has found lies where it was found, and takes it from the archive if it must.
///
/// # Errors
/// When the server or the disk refuses; it can be called again.
pub async fn restore_thing(
    connector: &Connector,
    project: &Project,
    wait: &Wait,
    thing: &Thing,
    after: &AfterSuccess,
) -> Result<Restored, TaskError> {
    let Wait::Things { connection, .. } = wait else {
        return Err(TaskError::bug("only things can be put back"));
    };
    // That which bears the thing's mark is the thing; the plain name may be that of another one.
    let places = match after {
        AfterSuccess::Move { archive } => {
            let plain = archived(archive, &thing.name);
            vec![marked(&plain, &mark(thing)), plain]
        }
        _ => Vec::new(),
    };
    let root = match connection {
        None => project.root.clone(),
        Some(connection) => {
            let bucket = connector.bucket(project, connection).await?;
            match bucket.root() {
                None => return restore_object(&bucket, thing, places).await,
                Some(root) => root.to_owned(),
            }
        }
    };
    let thing = thing.clone();
    blocking(move || {
        restore_file(&root, &thing, places)
            .map_err(|error| io_failure(&format!("put `{}` back", thing.name), error))
    })
    .await
}

async fn restore_object(
    bucket: &Bucket,
    thing: &Thing,
    places: Vec<String>,
) -> Result<Restored, TaskError> {
    if bucket.head(&thing.name).await?.is_some() {
        return Ok(Restored::There);
    }
    for place in &places {
        let found = bucket.head(place).await?;
        if found.is_some_and(|found| found.size == thing.size) {
            bucket.copy(place, &thing.name).await?;
            bucket.delete(place).await?;
            return Ok(Restored::Back(place.clone()));
        }
    }
    Ok(Restored::Missing(places))
}

fn restore_file(root: &Path, thing: &Thing, places: Vec<String>) -> io::Result<Restored> {
    let path = root.join(&thing.name);
    if path.exists() {
        return Ok(Restored::There);
    }
    for place in &places {
        let archived = root.join(place);
        let found = look(root, &archived)?;
        if found.is_some_and(|found| found.size == thing.size) {
            return Ok(if put_back(&archived, &path)? {
                Restored::Back(place.clone())
            } else {
                Restored::There
            });
        }
    }
    Ok(Restored::Missing(places))
}

/// Moves a file to where it was. `false` when something lies there by now.
fn put_back(archived: &PathBuf, path: &Path) -> io::Result<bool> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::hard_link(archived, path) {
        Ok(()) => {}
        Err(_) if path.exists() => return Ok(false),
        // Another disk, or one without links.
        Err(_) => {
            let mut source = File::open(archived)?;
            write_whole(path, |copy| io::copy(&mut source, copy).map(drop))?;
        }
    }
    sync_directory(path)?;
    fs::remove_file(archived)?;
    Ok(true)
}
