//! Lets go of logs whose run the history no longer has: the daemon that has pruned it may be of another machine.

use std::{
    io,
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use pipectl_engine::{
    id::RunId,
    project::Project,
    store::{Store, StoreError},
    time::Timestamp,
};

use crate::{
    away::elsewhere,
    directories::{Directory, directories},
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

/// Notes beside the logs of a state directory in which history their runs are.
///
/// # Errors
/// When nothing can be written there.
pub fn note_history(project: &Project) -> io::Result<()> {
    let note = noted(&project.state_dir).join(note_of(project));
    if note.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(noted(&project.state_dir))?;
    std::fs::write(note, "")
}

/// Whether the logs in a state directory may be of runs of another history than the project's: then none is let go.
pub(crate) fn are_of_another_history(project: &Project) -> bool {
    let state_dir = &project.state_dir;
    let own = note_of(project);
    let other = std::fs::read_dir(noted(state_dir)).is_ok_and(|entries| {
        let mut names = entries.flatten().map(|entry| entry.file_name());
        names.any(|name| *name != *own)
    });
    other || (project.store.is_some() && state_dir.join("history.db").exists())
}

fn noted(state_dir: &Path) -> PathBuf {
    state_dir.join("histories")
}

/// A name for a file that tells histories apart.
fn note_of(project: &Project) -> String {
    let Some(history) = elsewhere(project) else {
        return "own".to_owned();
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-".contains(letter);
    let name = history.chars().take(200);
    name.map(|letter| if plain(letter) { letter } else { '_' })
        .collect()
}

/// The runs whose logs nobody has written to for a while, and where those are.
fn runs(logs: &Path, now: Timestamp) -> io::Result<Vec<(RunId, PathBuf)>> {
    let old = directories(logs)?.into_iter();
    let old = old.filter(|directory| directory.touched + YOUNG <= now);
    let run = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
    Ok(old
        .filter_map(|Directory { path, .. }| Some((run(&path)?, path)))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use pipectl_engine::{
        runner::log_directory,
        secret::Secret,
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
    }

    #[test]
    fn logs_of_several_histories_lie_together() {
        let directory = tempfile::tempdir().unwrap();
        let project = |store: Option<&str>| Project {
            store: store.map(|address| Secret::new(address.to_owned())),
            state_dir: directory.path().to_owned(),
            ..Project::default()
        };
        let own = project(None);
        let one = project(Some("postgres://me:s3cret@h/one"));
        let two = project(Some("postgres://h/two"));
        note_history(&one).unwrap();
        note_history(&one).unwrap();
        assert!(!are_of_another_history(&one));
        assert!(are_of_another_history(&own) && are_of_another_history(&two));
        note_history(&two).unwrap();
        assert!(are_of_another_history(&one));
        fs::remove_dir_all(noted(&own.state_dir)).unwrap();
        fs::write(own.state_dir.join("history.db"), "").unwrap();
        assert!(are_of_another_history(&one) && !are_of_another_history(&own));
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
