//! Where the bytes of datasets, artifacts and models are: a directory, or a bucket.

mod local;
mod object;

use pipectl_engine::store::StoreError;

pub use local::LocalArtifacts;
pub use object::ObjectArtifacts;

/// Refuses a key that could lead out of the store, or that two systems would read differently.
fn check(key: &str) -> Result<(), StoreError> {
    let part_is_good =
        |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    if key.split('/').all(part_is_good) && key.len() <= 1_000 {
        return Ok(());
    }
    Err(StoreError::invalid(format!(
        "`{}` is not the key of an artifact",
        key.escape_default()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_inside() {
        for key in [
            "a",
            "runs/1/a/1/data.parquet",
            "models/churn/7.onnx",
            "a b/ü.csv",
            "..a/b..",
        ] {
            assert!(check(key).is_ok(), "{key}");
        }
        for key in [
            "", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a\0b",
        ] {
            assert!(check(key).is_err(), "{key:?}");
        }
        assert!(check(&"a".repeat(1_001)).is_err());
    }
}
