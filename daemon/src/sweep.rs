//! Clears away what attempts that were killed have left in the state directory's `tmp`.

use std::{collections::BTreeMap, io, path::Path};

use chrono::TimeDelta;
use pipectl_engine::{
    id::RunId,
    store::{RunRecord, Store, StoreError},
    time::Timestamp,
};

use crate::directories::{Directory, directories};

/// How long after the end of its run a directory is left alone: what was told to stop may still be about to.
const OVER: TimeDelta = TimeDelta::minutes(1);
/// How long one is left alone whose run the history does not know.
const UNKNOWN: TimeDelta = TimeDelta::days(1);
/// How long an identity is at the beginning of a name.
const IDENTITY: usize = 36;

/// Removes the working directories of runs that are over, and those that nobody has touched for a day and whose run the
/// history does not know. Answers how many.
///
/// # Errors
/// When the history cannot be read. A directory that cannot be removed is left with a warning.
pub async fn sweep(store: &dyn Store, state_dir: &Path, now: Timestamp) -> Result<u64, StoreError> {
    let left = match directories(&state_dir.join("tmp")) {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!(%error, "cannot look for what killed attempts have left");
            return Ok(0);
        }
    };
    let mut known: BTreeMap<RunId, Option<RunRecord>> = BTreeMap::new();
    let mut gone = 0;
    for Directory { path, touched } in left {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let run: Option<RunId> = name.get(..IDENTITY).and_then(|run| run.parse().ok());
        if let Some(run) = run
            && !known.contains_key(&run)
        {
            known.insert(run, store.run(run).await?);
        }
        let record = run.and_then(|run| known.get(&run)?.as_ref());
        let over = match record {
            Some(record) => record.ended.is_some_and(|ended| ended + OVER <= now),
            None => touched + UNKNOWN <= now,
        };
        if !over {
            continue;
        }
        match std::fs::remove_dir_all(&path) {
            Ok(()) => gone += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "cannot remove `{}`", path.display()),
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pipectl_engine::{
        state::RunState,
        store::{Change, MemoryStore, RunChange, RunStore as _, RunWrite, conformance::run_at},
        time::{Clock as _, SystemClock},
    };

    use super::*;

    async fn run(store: &MemoryStore, now: Timestamp, ended: Option<Timestamp>) -> RunId {
        let new = run_at("churn", now);
        store.create_run(&new).await.unwrap();
        let lease = std::time::Duration::from_secs(60);
        let claim = store.claim(new.id, "one", lease).await.unwrap().unwrap();
        let change = RunChange {
            state: ended.map_or(RunState::Running, |_| RunState::Failed),
            ended,
            ..RunChange::default()
        };
        let write = RunWrite {
            run: new.id,
            fence: claim.fence,
            changes: vec![Change::Run(change)],
        };
        store.commit(&[write]).await.unwrap();
        new.id
    }

    #[tokio::test]
    async fn what_is_left_of_runs_that_are_over_goes() {
        let (store, now) = (MemoryStore::default(), SystemClock.now());
        let directory = tempfile::tempdir().unwrap();
        let ago = |seconds| now - TimeDelta::seconds(seconds);
        let over = run(&store, now, Some(ago(90))).await;
        let just = run(&store, now, Some(ago(10))).await;
        let works = run(&store, now, None).await;
        let unknown = RunId::new(now);
        let day = 2 * 86_400;
        let all = [
            (format!("{over}-a-1"), 0, false),
            (format!("{over}-a-2"), day, false),
            (format!("{just}-a-1"), day, true),
            (format!("{works}-a-1"), day, true),
            (format!("{unknown}-a-1"), 0, true),
            (format!("{unknown}-a-2"), day, false),
            ("else".to_owned(), 0, true),
            ("other".to_owned(), day, false),
        ];
        for (name, age, _) in &all {
            let path = directory.path().join("tmp").join(name);
            fs::create_dir_all(path.join("output")).unwrap();
            let time = std::time::SystemTime::from(ago(*age));
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        }
        let gone = sweep(&store, directory.path(), now).await.unwrap();
        assert_eq!(gone, 4);
        for (name, _, stays) in all {
            let path = directory.path().join("tmp").join(&name);
            assert_eq!(path.exists(), stays, "{name}");
        }
        let nowhere = directory.path().join("nowhere");
        assert_eq!(sweep(&store, &nowhere, now).await.unwrap(), 0);
    }
}
