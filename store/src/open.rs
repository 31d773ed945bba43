//! Opens the stores that addresses name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use pipectl_engine::{
    env::Env,
    secret::Secret,
    store::{ArtifactStore, Store, StoreError},
};

use crate::{LocalArtifacts, ObjectArtifacts, PostgresStore, SqliteStore};

/// Opens the history at `address`: `postgres://…` or `sqlite:path`; without one, an SQLite file in `state_dir`.
///
/// # Errors
/// When the address is of another kind, or what it names cannot be opened; the message says what to do.
pub async fn open(
    address: Option<&Secret>,
    state_dir: &Path,
) -> Result<Arc<dyn Store>, StoreError> {
    let Some(address) = address else {
        return Ok(Arc::new(
            SqliteStore::open(&state_dir.join("history.db")).await?,
        ));
    };
    check_address(address)?;
    if scheme(address.expose()) == Some("sqlite") {
        let path = sqlite_path(address.expose())?;
        return Ok(Arc::new(SqliteStore::open(&path).await?));
    }
    Ok(Arc::new(PostgresStore::open(address).await?))
}

/// Whether a history can be kept at an address of this kind.
///
/// # Errors
/// When it cannot, and what it can be kept at.
pub fn check_address(address: &Secret) -> Result<(), StoreError> {
    match scheme(address.expose()) {
        Some("postgres" | "postgresql" | "sqlite") => Ok(()),
        // The address may hold a password: only its scheme is shown.
        scheme => Err(StoreError::invalid(format!(
            "the history cannot be kept at an address `{}:…`; write `postgres://user:password@host/database` or `sqlite:path`",
            scheme.unwrap_or("?")
        ))),
    }
}

/// Opens the artifact store at `address`: `s3://bucket/prefix?endpoint=…&region=…`, with keys from `env`, or a directory;
/// without one, a directory in `state_dir`.
///
/// # Errors
/// When the address is of another kind, or the directory cannot be made.
pub fn open_artifacts(
    address: Option<&str>,
    state_dir: &Path,
    env: &Env,
) -> Result<Arc<dyn ArtifactStore>, StoreError> {
    let Some(address) = address else {
        return Ok(Arc::new(LocalArtifacts::open(
            &state_dir.join("artifacts"),
        )?));
    };
    match scheme(address) {
        Some("s3" | "gs" | "az") => Ok(Arc::new(ObjectArtifacts::open(
            address,
            &state_dir.join("cache"),
            env,
        )?)),
        Some("file") => Ok(Arc::new(LocalArtifacts::open(Path::new(
            address.trim_start_matches("file://"),
        ))?)),
        None => Ok(Arc::new(LocalArtifacts::open(Path::new(address))?)),
        Some(scheme) => Err(StoreError::invalid(format!(
            "artifacts cannot be kept at an address `{scheme}:…`; write `s3://bucket/prefix` or a directory"
        ))),
    }
}

fn scheme(address: &str) -> Option<&str> {
    let (scheme, _) = address.split_once(':')?;
    let letters = scheme
        .chars()
        .all(|character| character.is_ascii_alphanumeric());
    (scheme.len() > 1 && letters).then_some(scheme)
}

fn sqlite_path(address: &str) -> Result<PathBuf, StoreError> {
    let path = address.trim_start_matches("sqlite:");
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains(":memory:") || path.contains('?') {
        let message = "the address of the history must name a file: `sqlite:path/to/history.db`";
        return Err(StoreError::invalid(message));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_in_several_ways() {
        for (address, path) in [
            ("sqlite:history.db", "history.db"),
            ("sqlite:/var/lib/history.db", "/var/lib/history.db"),
            ("sqlite:///var/lib/history.db", "/var/lib/history.db"),
            ("sqlite://history.db", "history.db"),
        ] {
            assert_eq!(sqlite_path(address).unwrap(), Path::new(path), "{address}");
        }
        for address in ["sqlite:", "sqlite::memory:", "sqlite:x.db?mode=ro"] {
            assert!(sqlite_path(address).is_err(), "{address}");
        }
    }

    #[tokio::test]
    async fn another_kind_of_address_is_refused_without_its_password() {
        for address in ["mysql://root:hunter2@host/db", "history.db", "C:hunter2"] {
            let Err(error) = open(
                Some(&Secret::new(address.to_owned())),
                Path::new("/nowhere"),
            )
            .await
            else {
                panic!()
            };
            assert!(error.to_string().contains("postgres://"), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let refused = open_artifacts(Some("ftp://host"), Path::new("/nowhere"), &Env::default());
        assert!(refused.is_err());
    }
}
