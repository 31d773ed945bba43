//! Artifacts of tests whose tasks put no data out.

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;

use crate::store::{ArtifactStore, StoreError};

/// Nothing is kept, and nothing is there.
#[derive(Debug)]
pub struct NoArtifacts;

#[async_trait]
impl ArtifactStore for NoArtifacts {
    async fn put(&self, _: &str, _: Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    async fn put_file(&self, _: &str, _: PathBuf) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        Err(StoreError::NotFound(key.to_owned()))
    }

    async fn local(&self, key: &str) -> Result<PathBuf, StoreError> {
        Err(StoreError::NotFound(key.to_owned()))
    }

    async fn remove_below(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn temporary(&self) -> PathBuf {
        PathBuf::new()
    }
}
