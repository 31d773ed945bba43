//! The committed files: which there are, writing them, comparing them.

use crate::churn::{self, Settings};
use crate::reviews;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The seed of all committed files.
const SEED: u64 = 20_260;

/// A file that is committed and what must stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedFile {
    /// Where, below the data directory.
    pub path: &'static str,
    /// The whole text.
    pub text: String,
}

/// All committed files, always in this order.
pub fn committed() -> Vec<CommittedFile> {
    vec![
        CommittedFile {
            path: "churn/history.csv",
            text: churn::history(&Settings::new(SEED, 7_043)),
        },
        CommittedFile {
            path: "churn/today.csv",
            text: churn::today(&Settings::new(SEED, 2_000), 1),
        },
        CommittedFile {
            path: "reviews/today.csv",
            text: reviews::shop(SEED, 400),
        },
    ]
}

/// Writes all files below a directory and says which.
pub fn write(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for file in committed() {
        let path = directory.join(file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, file.text)?;
        written.push(path);
    }
    Ok(written)
}

/// The files below a directory that are missing or differ in any byte.
pub fn differing(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in committed() {
        let path = directory.join(file.path);
        match fs::read(&path) {
            Ok(bytes) if bytes == file.text.as_bytes() => {}
            Ok(_) => found.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => found.push(path),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_what_the_seed_gives() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let differing = differing(&directory).unwrap();
        assert!(
            differing.is_empty(),
            "run `cargo run --release -p pipectl-generator -- data`: {differing:?}"
        );
    }

    #[test]
    fn what_was_written_does_not_differ_and_a_changed_byte_does() {
        let directory =
            std::env::temp_dir().join(format!("pipectl-generator-{}", std::process::id()));
        assert_eq!(differing(&directory).unwrap().len(), 3);
        let written = write(&directory).unwrap();
        assert_eq!(differing(&directory).unwrap(), Vec::<PathBuf>::new());
        fs::write(&written[1], "customerID\n").unwrap();
        assert_eq!(differing(&directory).unwrap(), [written[1].clone()]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
