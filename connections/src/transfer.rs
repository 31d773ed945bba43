//! Brings large objects in and out: in parts, whole or not at all.

use std::{
    fs,
    io::{self, IoSlice, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    GetOptions, GetRange, ObjectStoreExt as _, WriteMultipart, path::Path as ObjectPath,
};
use pipectl_engine::operator::TaskError;
use tokio::io::AsyncReadExt as _;

use crate::{
    bucket::{Bucket, Place},
    disk::{blocking, write_whole},
    entry::Entry,
    files::io_failure,
    object::ObjectPlace,
};

/// From this size a file goes in parts, and so large these are.
const PART: usize = 16 * 1024 * 1024;
/// How many parts are under way at once.
const PARTS_AT_ONCE: usize = 4;
/// How much of an object is asked for at once.
const PIECE: usize = 8 * 1024 * 1024;
/// How much of that is held before it goes to the disk: what is let go of soon costs no fresh memory for what comes next.
const AT_ONCE: usize = 1024 * 1024;
/// What S3 copies by itself, at most.
const COPIED_AT_ONCE: u64 = 5 * 1024 * 1024 * 1024;

/// A place in a file on this disk.
struct Target {
    path: PathBuf,
    /// Where the next bytes go; `None` in a file that is yet to be made.
    start: Option<u64>,
    file: Option<fs::File>,
}

impl Target {
    /// The beginning of a file that is not there yet.
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            start: None,
            file: None,
        }
    }

    /// A place in a file that is there.
    fn at(path: &Path, start: u64) -> Self {
        Self {
            start: Some(start),
            ..Self::new(path)
        }
    }

    /// Writes what comes next.
    async fn written(mut self, content: Vec<Bytes>) -> Result<Self, TaskError> {
        let shown = self.path.display().to_string();
        let work = move || {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => self.open()?,
            };
            write(&mut file, &content)?;
            self.file = Some(file);
            Ok(self)
        };
        blocking(move || work().map_err(|error| io_failure(&format!("write {shown}"), error))).await
    }

    fn open(&self) -> io::Result<fs::File> {
        let Some(start) = self.start else {
            return fs::File::create_new(&self.path);
        };
        let mut file = fs::OpenOptions::new().write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    }
}

/// Writes what came piece by piece with as few calls as may be.
fn write(file: &mut fs::File, content: &[Bytes]) -> io::Result<()> {
    let parts = content.iter().filter(|part| !part.is_empty());
    let mut parts: Vec<IoSlice<'_>> = parts.map(|part| IoSlice::new(part)).collect();
    let mut left = parts.as_mut_slice();
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Bucket {
    /// Brings the content of an entry into a new local file; never that of a newer object of the same key. Large
    /// objects are read in several parts at once.
    ///
    /// # Errors
    /// When it is not there any more, or the server or a disk refuses.
    pub async fn fetch(&self, entry: &Entry, target: &Path) -> Result<(), TaskError> {
        let fetched = self.fetch_known(entry, target).await;
        let Err(error) = fetched else { return Ok(()) };
        // A part that a shorter successor does not have is refused in other words than the tag is, and servers differ in
        // how they refuse what is gone.
        match self.head(&entry.key).await {
            Ok(Some(now)) if now.tag != entry.tag => Err(self.replaced(&entry.key)),
            Ok(None) => Err(self.removed(&entry.key)),
            _ => Err(error),
        }
    }

    async fn fetch_known(&self, entry: &Entry, target: &Path) -> Result<(), TaskError> {
        let key = &entry.key;
        match &self.place {
            Place::Objects(place) => {
                let path = self.full(place, key)?;
                if entry.size <= PIECE as u64 {
                    let whole = Target::new(target);
                    return self.part(place, &path, entry, None, whole).await;
                }
                let file = Target::new(target);
                file.written(Vec::new()).await?;
                self.parts(place, &path, entry, target).await
            }
            Place::Directory(root) => {
                let (path, target) = (root.join(key), target.to_owned());
                let fail = self.disk("read", key);
                blocking(move || fs::copy(path, target).map(drop).map_err(fail)).await
            }
        }
    }

    /// All parts of an object, each to its place in the file.
    async fn parts(
        &self,
        place: &ObjectPlace,
        path: &ObjectPath,
        entry: &Entry,
        target: &Path,
    ) -> Result<(), TaskError> {
        let starts = (0..entry.size).step_by(PIECE);
        let fetches = starts.map(|start| {
            let range = start..entry.size.min(start + PIECE as u64);
            let target = Target::at(target, start);
            self.part(place, path, entry, Some(range), target)
        });
        stream::iter(fetches)
            .buffer_unordered(PARTS_AT_ONCE)
            .try_collect()
            .await
    }

    /// Brings a part of an object, or all of it, to its place, as long as it is the one that was listed.
    async fn part(
        &self,
        place: &ObjectPlace,
        path: &ObjectPath,
        entry: &Entry,
        range: Option<Range<u64>>,
        mut target: Target,
    ) -> Result<(), TaskError> {
        let fail = |error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => self.removed(&entry.key),
            other => self.failed("read", &entry.key, &other),
        };
        let expected = range
            .as_ref()
            .map_or(entry.size, |range| range.end - range.start);
        let options = GetOptions {
            if_match: Some(entry.tag.clone()).filter(|tag| !tag.is_empty()),
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let found = place.store.get_opts(path, options).await.map_err(fail)?;
        let mut source = found.into_stream();
        let (mut size, mut held, mut content) = (0, 0, Vec::new());
        while let Some(piece) = source.try_next().await.map_err(fail)? {
            size += piece.len() as u64;
            held += piece.len();
            content.push(piece);
            if held >= AT_ONCE {
                target = target.written(std::mem::take(&mut content)).await?;
                held = 0;
            }
        }
        target.written(content).await?;
        if size != expected {
            return Err(TaskError::external(format!(
                "`{}` in {} has another size than when it was listed",
                entry.key,
                self.shown()
            )));
        }
        Ok(())
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
