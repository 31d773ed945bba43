//! Where the bytes of datasets, artifacts and models are.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::failure::StoreError;

/// Keeps files under keys like `runs/<id>/customers/1/data.parquet`. A key appears whole or not at all.
#[async_trait]
pub trait ArtifactStore: Send + Sync {
    /// Keeps `content` durably under `key`, replacing what was there.
    async fn put(&self, key: &str, content: Bytes) -> Result<(), StoreError>;
    /// Keeps a local file durably under `key`; the file is moved or copied and then removed.
    async fn put_file(&self, key: &str, file: PathBuf) -> Result<(), StoreError>;
    /// The content under `key`.
    async fn get(&self, key: &str) -> Result<Bytes, StoreError>;
    /// A local file with the content under `key`: the file itself, or a copy that was fetched.
    async fn local(&self, key: &str) -> Result<PathBuf, StoreError>;
    /// Removes everything below a prefix such as `runs/<id>`; nothing there is no error.
    async fn remove_below(&self, prefix: &str) -> Result<(), StoreError>;
    /// A path for a temporary file near the store, for [`put_file`](Self::put_file).
    fn temporary(&self) -> PathBuf;
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    digits(&Sha256::digest(content))
}

/// SHA-256 of a file in hexadecimal digits, and its size.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    let mut part = vec![0; 1 << 20];
    loop {
        match file.read(&mut part)? {
            0 => return Ok((digits(&digest.finalize()), bytes)),
            read => {
                digest.update(part.get(..read).unwrap_or_default());
                bytes += read as u64;
            }
        }
    }
}

/// Why a file is not what it is said to be.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It cannot be read.
    #[error("the file cannot be read")]
    Unreadable(#[from] io::Error),
    /// Its bytes are others.
    #[error("the file has changed since it was written: its SHA-256 is not {0}")]
    Changed(String),
}

/// Compares a file with the SHA-256 that it had when it was written.
///
/// # Errors
/// When it is another one, or cannot be read.
pub fn check_file(path: &Path, fingerprint: &str) -> Result<(), Damage> {
    let (found, _) = sha256_of_file(path)?;
    if found == fingerprint {
        return Ok(());
    }
    Err(Damage::Changed(fingerprint.to_owned()))
}

fn digits(digest: &[u8]) -> String {
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _written = write!(text, "{byte:02x}");
            text
        })
}
