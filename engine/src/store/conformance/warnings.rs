//! How many warnings runs have.

use std::collections::HashMap;

use super::fixture::{Owned, at, key};
use crate::{
    id::TaskKey,
    store::{Change, OutputRecord, Store},
};

/// Warnings of all tasks and elements of a run are counted; a run without any is left out, and so is one that is not
/// there.
pub async fn warnings_are_counted_by_run(store: &dyn Store) {
    let first = Owned::make(store, "warned", 0).await;
    let second = Owned::make(store, "warned", 1).await;
    let quiet = Owned::make(store, "warned", 2).await;
    let output = |key: TaskKey, warnings: &[&str]| Change::Output {
        key,
        attempt: 1,
        output: OutputRecord {
            warnings: warnings.iter().map(ToString::to_string).collect(),
            ..OutputRecord::default()
        },
        at: at(5),
    };
    let changes = vec![
        output(key("a"), &["one", "two"]),
        output(key("b"), &[]),
        output(TaskKey::element("c", 3), &["three"]),
    ];
    let writes = [
        first.write(changes),
        second.write(vec![output(key("a"), &["one"])]),
        quiet.write(vec![output(key("a"), &[])]),
    ];
    store.commit(&writes).await.unwrap();
    let runs = [first.run, second.run, quiet.run];
    let expected = HashMap::from([(first.run, 3), (second.run, 1)]);
    assert_eq!(store.warnings(&runs).await.unwrap(), expected);
    assert_eq!(store.warnings(&runs[2..]).await.unwrap(), HashMap::new());
    assert_eq!(store.warnings(&[]).await.unwrap(), HashMap::new());
}
