//! Lets go of logs whose run the history no longer has: the daemon that has pruned it may be of another machine.

use std::{
    io,
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use pipectl_engine::{
    id::RunId,
    store::{Store, StoreError},
    time::Timestamp,
};

/// How long logs are left alone after they were last written to.
const YOUNG: TimeDelta = TimeDelta::hours(1);
/// How many runs are looked up at one time; the next time goes on behind them.
const BATCH: usize = 2_000;

/// Goes through the logs of a state directory, a part at a time.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// The last run that was looked up.
    after: Option<RunId>,
}

impl Logs {
    /// Removes, of the next runs that have logs in `state_dir`, those of which the history has nothing. Answers how many.
    ///
    /// # Errors
    /// When the history cannot be read. What cannot be removed is left with a warning.
    pub(crate) async fn sweep(
        &mut self,
        store: &dyn Store,
        state_dir: &Path,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut found = match runs(&state_dir.join("logs"), now) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "cannot look for logs of runs that are gone");
                return Ok(0);
            }
        };
        found.sort_unstable();
        let after = self.after;
        found.retain(|(run, _)| after.is_none_or(|after| *run > after));
        let all = found.len() <= BATCH;
        found.truncate(BATCH);
        let mut gone = 0;
        for (run, path) in &found {
            if store.run(*run).await?.is_none() {
                match std::fs::remove_dir_all(path) {
                    Ok(()) => gone += 1,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => tracing::warn!(%error, "cannot remove `{}`", path.display()),
                }
            }
            self.after = Some(*run);
        }
        if all {
            self.after = None;
        }
        Ok(gone)
    }
}

/// Whether the logs in a state directory may be of runs of another history than the daemon's: then none is let go.
pub(crate) fn are_of_another_history(state_dir: &Path, is_own: bool) -> bool {
    !is_own && state_dir.join("history.db").exists()
}

/// The runs whose logs nobody has written to for a while, and where those are.
fn runs(logs: &Path, now: Timestamp) -> io::Result<Vec<(RunId, PathBuf)>> {
    let entries = match std::fs::read_dir(logs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(run) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may be gone by now.
        let Ok(about) = entry.metadata() else {
            continue;
        };
        let touched: Timestamp = about.modified()?.into();
        if about.is_dir() && touched + YOUNG <= now {
            found.push((run, entry.path()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use pipectl_engine::{
        runner::log_directory,
        store::{MemoryStore, RunStore as _, conformance::run_at},
        time::{Clock as _, SystemClock},
    };

    use super::*;

    #[tokio::test]
    async fn logs_of_runs_that_are_gone_go() {
        let (store, now) = (MemoryStore::default(), SystemClock.now());
        let directory = tempfile::tempdir().unwrap();
        let there = run_at("churn", now);
        store.create_run(&there).await.unwrap();
        let all = [
            (there.id, 7_200, true),
            (RunId::new(now), 7_200, false),
            (RunId::new(now), 60, true),
        ];
        for (run, age, _) in all {
            let path = log_directory(directory.path(), run);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("a.1.log"), "said").unwrap();
            let time = SystemTime::from(now - TimeDelta::seconds(age));
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        }
        fs::create_dir_all(directory.path().join("logs/other")).unwrap();
        let mut logs = Logs::default();
        let gone = logs.sweep(&store, directory.path(), now).await.unwrap();
        assert_eq!(gone, 1);
        for (run, _, stays) in all {
            assert_eq!(log_directory(directory.path(), run).exists(), stays);
        }
        assert!(directory.path().join("logs/other").exists());
        let nowhere = directory.path().join("nowhere");
        assert_eq!(logs.sweep(&store, &nowhere, now).await.unwrap(), 0);
        assert!(!are_of_another_history(directory.path(), false));
        fs::write(directory.path().join("history.db"), "").unwrap();
        assert!(are_of_another_history(directory.path(), false));
        assert!(!are_of_another_history(directory.path(), true));
    }

    /// A second time goes on where the first has stopped.
    #[tokio::test]
    async fn many_logs_go_a_part_at_a_time() {
        let (store, now) = (MemoryStore::default(), SystemClock.now());
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..=BATCH {
            let path = log_directory(directory.path(), RunId::new(now));
            fs::create_dir_all(path).unwrap();
        }
        let later = now + TimeDelta::days(1);
        let mut logs = Logs::default();
        let mut gone = Vec::new();
        for _ in 0..3 {
            gone.push(logs.sweep(&store, directory.path(), later).await.unwrap());
        }
        assert_eq!(gone, [BATCH as u64, 1, 0]);
    }
}
