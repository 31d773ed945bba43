//! Brings large objects in and out: in parts, whole or not at all.

use std::{fs, io, path::Path};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{GetOptions, ObjectStoreExt as _, WriteMultipart, path::Path as ObjectPath};
use pipectl_engine::operator::TaskError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    bucket::{Bucket, Place},
    disk::{blocking, write_whole},
    entry::Entry,
    files::io_failure,
    object::ObjectPlace,
};

/// From this size a file goes in parts.
const PART: usize = 16 * 1024 * 1024;
/// How many parts are under way at once.
const PARTS_AT_ONCE: usize = 4;
/// What S3 copies by itself, at most.
const COPIED_AT_ONCE: u64 = 5 * 1024 * 1024 * 1024;

impl Bucket {
    /// Brings the content of an entry into a new local file; never that of a newer object of the same key.
    ///
    /// # Errors
    /// When it is not there any more, or the server or a disk refuses.
    pub async fn fetch(&self, entry: &Entry, target: &Path) -> Result<(), TaskError> {
        let key = &entry.key;
        let local = |error| io_failure(&format!("write {}", target.display()), error);
        match &self.place {
            Place::Objects(place) => {
                let fail = |error| self.failed("read", key, &error);
                let options = GetOptions {
                    if_match: Some(entry.tag.clone()).filter(|tag| !tag.is_empty()),
                    ..GetOptions::default()
                };
                let found = place.store.get_opts(&self.full(place, key)?, options).await;
                let mut source = found.map_err(fail)?.into_stream();
                let mut file = tokio::fs::File::create_new(target).await.map_err(local)?;
                while let Some(part) = source.next().await {
                    file.write_all(&part.map_err(fail)?).await.map_err(local)?;
                }
                file.flush().await.map_err(local)
            }
            Place::Directory(root) => {
                let (path, target) = (root.join(key), target.to_owned());
                let fail = self.disk("read", key);
                blocking(move || fs::copy(path, target).map(drop).map_err(fail)).await
            }
        }
    }

    /// Writes a local file's content under `key`, whole or not at all.
    ///
    /// # Errors
    /// When the server or a disk refuses.
    pub async fn put_file(&self, key: &str, file: &Path) -> Result<(), TaskError> {
        self.check(key)?;
        match &self.place {
            Place::Objects(place) => {
                let path = self.full(place, key)?;
                let local = |error| io_failure(&format!("read {}", file.display()), error);
                let mut source = tokio::fs::File::open(file).await.map_err(local)?;
                let size = source.metadata().await.map_err(local)?.len();
                if size <= PART as u64 {
                    let mut content = Vec::new();
                    source.read_to_end(&mut content).await.map_err(local)?;
                    return self.put(key, content.into()).await;
                }
                let reader = tokio_util::io::ReaderStream::with_capacity(source, 1024 * 1024);
                self.upload(place, &path, key, reader.map_err(local)).await
            }
            Place::Directory(root) => {
                let (target, source) = (root.join(key), file.to_owned());
                let fail = self.disk("write", key);
                blocking(move || {
                    let mut from = fs::File::open(source).map_err(&fail)?;
                    write_whole(&target, |file| io::copy(&mut from, file).map(drop)).map_err(fail)
                })
                .await
            }
        }
    }

    async fn upload(
        &self,
        place: &ObjectPlace,
        path: &ObjectPath,
        key: &str,
        source: impl futures::Stream<Item = Result<Bytes, TaskError>>,
    ) -> Result<(), TaskError> {
        let fail = |error| self.failed("write", key, &error);
        let upload = place.store.put_multipart(path).await.map_err(fail)?;
        let mut target = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut source = std::pin::pin!(source);
        while let Some(part) = source.next().await {
            target
                .wait_for_capacity(PARTS_AT_ONCE)
                .await
                .map_err(fail)?;
            match part {
                Ok(part) => target.put(part),
                Err(error) => {
                    // The error that is reported is the one that came first.
                    drop(target.abort().await);
                    return Err(error);
                }
            }
        }
        target.finish().await.map(drop).map_err(fail)
    }

    /// Copies `from` to `to`, whole or not at all.
    ///
    /// # Errors
    /// When `from` is not there, or the server or the disk refuses.
    pub async fn copy(&self, from: &str, to: &str) -> Result<(), TaskError> {
        self.check(from)?;
        self.check(to)?;
        match &self.place {
            Place::Objects(place) => {
                let fail = |error| self.failed("copy", from, &error);
                let (source, target) = (self.full(place, from)?, self.full(place, to)?);
                let size = place.store.head(&source).await.map_err(fail)?.size;
                if size <= COPIED_AT_ONCE {
                    return place.store.copy(&source, &target).await.map_err(fail);
                }
                let content = place.store.get(&source).await.map_err(fail)?.into_stream();
                self.upload(place, &target, to, content.map_err(fail)).await
            }
            Place::Directory(root) => self.put_file(to, &root.join(from)).await,
        }
    }
}
