//! What runs have left in a state directory: a directory each.

use std::{
    io,
    path::{Path, PathBuf},
};

use pipectl_engine::time::Timestamp;

/// A directory that something of a run has made.
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    /// When it was last written to.
    pub(crate) touched: Timestamp,
}

/// The directories in `place`, which need not be there.
pub(crate) fn directories(place: &Path) -> io::Result<Vec<Directory>> {
    let entries = match std::fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        // It may be gone by now.
        let Ok(about) = entry.metadata() else {
            continue;
        };
        if about.is_dir() {
            found.push(Directory {
                path: entry.path(),
                touched: about.modified()?.into(),
            });
        }
    }
    Ok(found)
}
