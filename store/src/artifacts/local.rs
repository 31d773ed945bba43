//! Artifacts in a directory. A file appears under its key by a rename, when all of it is on the disk.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use pipectl_engine::store::{ArtifactStore, StoreError};
use uuid::Uuid;

use super::check;
use crate::error::of_path;

/// The directory for files that are not finished.
const UNFINISHED: &str = ".unfinished";

/// Artifacts in a directory.
#[derive(Clone, Debug)]
pub struct LocalArtifacts {
    root: PathBuf,
}

impl LocalArtifacts {
    /// Opens the directory, and makes it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let unfinished = root.join(UNFINISHED);
        fs::create_dir_all(&unfinished)
            .map_err(|error| of_path("make the directory", &unfinished, error))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        check(key)?;
        Ok(self.root.join(key))
    }
}

#[async_trait]
impl ArtifactStore for LocalArtifacts {
    async fn put(&self, key: &str, content: Bytes) -> Result<(), StoreError> {
        let (path, temporary) = (self.path(key)?, self.temporary());
        blocking(move || {
            let written = write(&temporary, &content).and_then(|()| publish(&temporary, &path));
            written.map_err(|error| discard(&temporary, &path, error))
        })
        .await
    }

    async fn put_file(&self, key: &str, file: PathBuf) -> Result<(), StoreError> {
        let (path, temporary) = (self.path(key)?, self.temporary());
        blocking(move || {
            let moved = take(&file, &temporary, &path);
            moved.map_err(|error| discard(&temporary, &path, error))
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let (path, key) = (self.path(key)?, key.to_owned());
        blocking(move || match fs::read(&path) {
            Ok(content) => Ok(content.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::NotFound(key)),
            Err(error) => Err(of_path("read the artifact", &path, error)),
        })
        .await
    }

    async fn local(&self, key: &str) -> Result<PathBuf, StoreError> {
        let (path, key) = (self.path(key)?, key.to_owned());
        blocking(move || {
            if path.is_file() {
                Ok(path)
            } else {
                Err(StoreError::NotFound(key))
            }
        })
        .await
    }

    async fn remove_below(&self, prefix: &str) -> Result<(), StoreError> {
        let path = self.path(prefix)?;
        blocking(move || match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(of_path("remove the artifacts in", &path, error))
            }
            _ => Ok(()),
        })
        .await
    }

    fn temporary(&self) -> PathBuf {
        self.root.join(UNFINISHED).join(Uuid::new_v4().to_string())
    }
}

/// Disks block: away from the threads that wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::unavailable(
            "the process is shutting down",
            error,
        )),
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Moves a file of anywhere to its place; from another disk it is copied first.
fn take(file: &Path, temporary: &Path, path: &Path) -> io::Result<()> {
    File::open(file)?.sync_all()?;
    match publish(file, path) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(file, temporary)?;
            File::open(temporary)?.sync_all()?;
            publish(temporary, path)?;
            fs::remove_file(file)
        }
        result => result,
    }
}

/// Renames a finished file to its place and makes the name durable, with the directories that were missing.
fn publish(finished: &Path, path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent() else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let missing: Vec<_> = directory
        .ancestors()
        .take_while(|directory| !directory.is_dir())
        .collect();
    fs::create_dir_all(directory)?;
    fs::rename(finished, path)?;
    File::open(directory)?.sync_all()?;
    for made in missing {
        if let Some(parent) = made.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

fn discard(temporary: &Path, path: &Path, error: io::Error) -> StoreError {
    // The error that is reported is the one that came first.
    drop(fs::remove_file(temporary));
    of_path("keep the artifact", path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, LocalArtifacts) {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalArtifacts::open(&directory.path().join("artifacts")).unwrap();
        (directory, store)
    }

    fn unfinished(store: &LocalArtifacts) -> usize {
        fs::read_dir(store.root.join(UNFINISHED)).unwrap().count()
    }

    #[tokio::test]
    async fn what_is_put_is_got() {
        let (_directory, store) = store();
        for content in ["first", "second"] {
            store
                .put("runs/1/a/data.csv", Bytes::from(content))
                .await
                .unwrap();
            assert_eq!(store.get("runs/1/a/data.csv").await.unwrap(), content);
        }
        let local = store.local("runs/1/a/data.csv").await.unwrap();
        assert_eq!(fs::read_to_string(local).unwrap(), "second");
        assert_eq!(unfinished(&store), 0);
    }

    #[tokio::test]
    async fn a_file_is_moved_in() {
        let (directory, store) = store();
        for file in [store.temporary(), directory.path().join("other")] {
            fs::write(&file, "content").unwrap();
            store.put_file("a/b", file.clone()).await.unwrap();
            assert!(!file.exists());
            assert_eq!(store.get("a/b").await.unwrap(), "content");
        }
        assert_eq!(unfinished(&store), 0);
    }

    #[tokio::test]
    async fn a_file_comes_from_another_disk() {
        let (_directory, store) = store();
        // Shared memory is another file system than the temporary directory, where there is one.
        let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
            return;
        };
        let file = other.path().join("data");
        fs::write(&file, "content").unwrap();
        store.put_file("a/b", file.clone()).await.unwrap();
        assert!(!file.exists());
        assert_eq!(store.get("a/b").await.unwrap(), "content");
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found() {
        let (_directory, store) = store();
        assert!(matches!(store.get("a").await, Err(StoreError::NotFound(_))));
        assert!(matches!(
            store.local("a").await,
            Err(StoreError::NotFound(_))
        ));
        assert!(matches!(
            store.get("../secret").await,
            Err(StoreError::Invalid { .. })
        ));
        assert!(matches!(
            store.put("../x", Bytes::new()).await,
            Err(StoreError::Invalid { .. })
        ));
    }

    #[tokio::test]
    async fn what_cannot_be_kept_leaves_nothing_behind() {
        let (_directory, store) = store();
        store.put("a", Bytes::from("content")).await.unwrap();
        // A file stands where a directory is needed.
        let error = store.put("a/b", Bytes::from("content")).await.unwrap_err();
        assert!(
            error.to_string().starts_with("cannot keep the artifact"),
            "{error}"
        );
        assert_eq!(unfinished(&store), 0);
        let nowhere = LocalArtifacts::open(&store.root.join("a").join("b")).unwrap_err();
        assert!(
            nowhere.to_string().starts_with("cannot make the directory"),
            "{nowhere}"
        );
    }
}
