//! Artifacts in a bucket, with a cache of local copies.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart, path::Path as ObjectPath};
use pipectl_connections::{object_error, object_place};
use pipectl_engine::{
    env::Env,
    operator::TaskError,
    store::{ArtifactStore, StoreError, sha256},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use super::{check, local::blocking};
use crate::error::of_path;

/// From this size a file goes in parts.
const PART: usize = 16 * 1024 * 1024;

/// How many parts are under way at once.
const PARTS_AT_ONCE: usize = 4;

/// Artifacts in a bucket.
#[derive(Clone, Debug)]
pub struct ObjectArtifacts {
    bucket: Arc<dyn ObjectStore>,
    prefix: String,
    shown: String,
    cache: PathBuf,
}

impl ObjectArtifacts {
    /// Opens `s3://bucket/prefix?endpoint=…&region=…` (or `gs://…`, `az://…`) with keys from `env`; copies are kept in
    /// `cache`.
    ///
    /// # Errors
    /// When the address is wrong, there are no keys, or the cache's directory cannot be made.
    pub fn open(address: &str, cache: &Path, env: &Env) -> Result<Self, StoreError> {
        let place = object_place(address, None, env).map_err(|error| of_task(&error))?;
        Ok(Self {
            shown: place.shown,
            ..Self::new(place.store, &place.prefix, cache)?
        })
    }

    /// Artifacts below `prefix` in `bucket`; copies are kept in `cache`.
    ///
    /// # Errors
    /// When the cache's directory cannot be made.
    pub fn new(
        bucket: Arc<dyn ObjectStore>,
        prefix: &str,
        cache: &Path,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(cache).map_err(|error| of_path("make the directory", cache, error))?;
        Ok(Self {
            bucket,
            prefix: prefix.trim_matches('/').to_owned(),
            shown: "the bucket".to_owned(),
            cache: cache.to_owned(),
        })
    }

    fn failed(&self, what: &str, key: &str, failure: impl Into<Failure>) -> StoreError {
        let error = match failure.into() {
            Failure::Bucket(object_store::Error::NotFound { source, .. })
                if !source.to_string().contains("NoSuchBucket") =>
            {
                return StoreError::NotFound(key.to_owned());
            }
            Failure::Bucket(error) => error,
            failure @ Failure::File(_) => {
                return StoreError::unavailable(
                    format!("cannot {what} the artifact {key}"),
                    failure,
                );
            }
        };
        let wrong = object_error(
            &format!("{what} the artifact {key} in"),
            &self.shown,
            &error,
        );
        if wrong.retryable {
            StoreError::Unavailable {
                message: wrong.message,
                source: wrong.source,
            }
        } else {
            of_task(&wrong)
        }
    }

    fn path(&self, key: &str) -> Result<ObjectPath, StoreError> {
        check(key)?;
        Ok(ObjectPath::from(format!("{}/{key}", self.prefix)))
    }

    async fn upload(&self, path: &ObjectPath, file: &Path) -> Result<(), Failure> {
        let mut source = tokio::fs::File::open(file).await?;
        if source.metadata().await?.len() <= PART as u64 {
            let mut content = Vec::new();
            source.read_to_end(&mut content).await?;
            self.bucket.put(path, content.into()).await?;
            return Ok(());
        }
        let mut target =
            WriteMultipart::new_with_chunk_size(self.bucket.put_multipart(path).await?, PART);
        let mut buffer = vec![0; 1024 * 1024];
        loop {
            target.wait_for_capacity(PARTS_AT_ONCE).await?;
            match source.read(&mut buffer).await {
                Ok(0) => break,
                Ok(count) => target.write(&buffer[..count]),
                Err(error) => {
                    target.abort().await?;
                    return Err(error.into());
                }
            }
        }
        target.finish().await?;
        Ok(())
    }

    async fn download(&self, path: &ObjectPath, file: &Path) -> Result<(), Failure> {
        let mut source = self.bucket.get(path).await?.into_stream();
        let mut target = tokio::fs::File::create_new(file).await?;
        while let Some(part) = source.next().await {
            target.write_all(&part?).await?;
        }
        target.flush().await?;
        Ok(())
    }
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Bucket(#[from] object_store::Error),
}

fn of_task(error: &TaskError) -> StoreError {
    let mut message = error.full_message();
    if let Some(hint) = &error.hint {
        message = format!("{message}; {hint}");
    }
    StoreError::invalid(message)
}

#[async_trait]
impl ArtifactStore for ObjectArtifacts {
    async fn put(&self, key: &str, content: Bytes) -> Result<(), StoreError> {
        let path = self.path(key)?;
        self.bucket
            .put(&path, content.into())
            .await
            .map(drop)
            .map_err(|error| self.failed("keep", key, error))
    }

    async fn put_file(&self, key: &str, file: PathBuf) -> Result<(), StoreError> {
        let path = self.path(key)?;
        self.upload(&path, &file)
            .await
            .map_err(|error| self.failed("keep", key, error))?;
        // The artifact is kept; a file that stays behind costs only space.
        drop(tokio::fs::remove_file(&file).await);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let path = self.path(key)?;
        let wrong = |error| self.failed("read", key, error);
        self.bucket
            .get(&path)
            .await
            .map_err(wrong)?
            .bytes()
            .await
            .map_err(wrong)
    }

    async fn local(&self, key: &str) -> Result<PathBuf, StoreError> {
        let path = self.path(key)?;
        let wrong = |error| self.failed("read", key, error);
        // What was replaced in the bucket has another tag, and so another copy.
        let meta = self.bucket.head(&path).await.map_err(wrong)?;
        let tag = meta
            .e_tag
            .unwrap_or_else(|| meta.last_modified.to_rfc3339());
        let extension = Path::new(key)
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or("bin");
        let copy = self.cache.join(format!(
            "{}.{extension}",
            sha256(format!("{path}\n{tag}").as_bytes())
        ));
        if tokio::fs::try_exists(&copy).await.unwrap_or(false) {
            return Ok(copy);
        }
        let temporary = self.temporary();
        if let Err(error) = self.download(&path, &temporary).await {
            // The error that is reported is the one that came first.
            drop(tokio::fs::remove_file(&temporary).await);
            return Err(self.failed("fetch", key, error));
        }
        blocking(move || match fs::rename(&temporary, &copy) {
            Ok(()) => Ok(copy),
            Err(error) => Err(of_path("keep the copy", &copy, error)),
        })
        .await
    }

    async fn remove_below(&self, prefix: &str) -> Result<(), StoreError> {
        let path = self.path(prefix)?;
        let wrong = |error: object_store::Error| self.failed("remove", prefix, error);
        let found = self
            .bucket
            .list(Some(&path))
            .map_ok(|object| object.location);
        let removed = self.bucket.delete_stream(found.boxed());
        removed.try_for_each(async |_| Ok(())).await.map_err(wrong)
    }

    fn temporary(&self) -> PathBuf {
        self.cache.join(format!("{}.unfinished", Uuid::new_v4()))
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn store(prefix: &str) -> (tempfile::TempDir, ObjectArtifacts) {
        let directory = tempfile::tempdir().unwrap();
        let store = ObjectArtifacts::new(
            Arc::new(InMemory::new()),
            prefix,
            &directory.path().join("cache"),
        )
        .unwrap();
        (directory, store)
    }

    #[tokio::test]
    async fn what_is_put_is_got() {
        for prefix in ["", "team/pipectl", "/team/"] {
            let (_directory, store) = store(prefix);
            store
                .put("runs/1/data.csv", Bytes::from("content"))
                .await
                .unwrap();
            assert_eq!(
                store.get("runs/1/data.csv").await.unwrap(),
                "content",
                "{prefix}"
            );
            let copy = store.local("runs/1/data.csv").await.unwrap();
            assert_eq!(fs::read_to_string(&copy).unwrap(), "content");
            assert_eq!(store.local("runs/1/data.csv").await.unwrap(), copy);
        }
    }

    #[tokio::test]
    async fn a_copy_of_what_was_replaced_is_not_used() {
        let (_directory, store) = store("x");
        for content in ["first", "second"] {
            store.put("a.csv", Bytes::from(content)).await.unwrap();
            assert_eq!(
                fs::read_to_string(store.local("a.csv").await.unwrap()).unwrap(),
                content
            );
        }
    }

    #[tokio::test]
    async fn a_large_file_goes_in_parts() {
        let (_directory, store) = store("x");
        let content: Vec<u8> = (0..=250).cycle().take(2 * PART + 12_345).collect();
        let file = store.temporary();
        fs::write(&file, &content).unwrap();
        store.put_file("large", file.clone()).await.unwrap();
        assert!(!file.exists());
        assert!(store.get("large").await.unwrap() == content);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found() {
        let (_directory, store) = store("x");
        assert!(matches!(store.get("a").await, Err(StoreError::NotFound(_))));
        assert!(matches!(
            store.local("a").await,
            Err(StoreError::NotFound(_))
        ));
        assert!(matches!(
            store.put("../x", Bytes::new()).await,
            Err(StoreError::Invalid { .. })
        ));
    }

    #[test]
    fn an_address_names_a_bucket() {
        let directory = tempfile::tempdir().unwrap();
        let env = Env::from([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
        let open = |address| ObjectArtifacts::open(address, directory.path(), &env);
        let store =
            open("s3://bucket/team/x?endpoint=http://localhost:9000&region=eu-central-1").unwrap();
        assert_eq!(store.path("a/b").unwrap().as_ref(), "team/x/a/b");
        assert_eq!(
            open("s3://bucket?region=x")
                .unwrap()
                .path("a")
                .unwrap()
                .as_ref(),
            "a"
        );
        for address in ["s3://", "s3://bucket?colour=red"] {
            assert!(open(address).is_err(), "{address}");
        }
    }
}
