//! A directory that is used like a bucket.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use pipectl_engine::operator::TaskError;

use crate::{
    entry::{Entry, of_file},
    files::{look, walk},
};

/// The files below `base` that are wanted.
pub(crate) fn files_below(
    root: &Path,
    base: &str,
    deep: bool,
    wanted: &dyn Fn(&str) -> bool,
) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let levels = if deep { usize::MAX } else { 0 };
    walk(&root.join(base), base, levels, wanted, &mut |path, key| {
        entries.extend(look(root, path)?.map(|found| of_file(key.to_owned(), found)));
        Ok(())
    })?;
    Ok(entries)
}

/// Writes a file under a hidden name, makes it durable and renames it.
pub(crate) fn write_whole(
    target: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    fs::create_dir_all(directory)?;
    if target.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let hidden = format!(
        ".{}.{}.part",
        name.to_string_lossy(),
        uuid::Uuid::new_v4().simple()
    );
    let temporary = directory.join(hidden);
    let written = File::create_new(&temporary).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, target)?;
        File::open(directory)?.sync_all()
    });
    if written.is_err() {
        // It is hidden: a leftover does no harm.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// Disks block: away from the threads that wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
) -> Result<T, TaskError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(TaskError::external("the process is shutting down")),
    }
}
