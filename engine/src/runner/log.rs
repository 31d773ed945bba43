//! An attempt's log: a file beside the run, opened at its first line, and the tail for mails. Secrets are blotted out.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    address,
    id::{RunId, TaskKey},
    project::Project,
    time::Clock,
};

/// How many lines a mail shows.
const TAIL: usize = 30;

/// One attempt's log.
#[derive(Debug)]
pub(super) struct AttemptLog {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    secrets: Arc<Vec<String>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    failed: bool,
    tail: VecDeque<String>,
}

/// Where the log of an attempt is.
pub fn log_directory(state_dir: &Path, run: RunId) -> PathBuf {
    state_dir.join("logs").join(run.to_string())
}

/// Where the log of an attempt is.
pub fn log_path(state_dir: &Path, run: RunId, key: &TaskKey, attempt: u32) -> PathBuf {
    let element = key
        .element
        .map(|element| format!(".{element}"))
        .unwrap_or_default();
    log_directory(state_dir, run).join(format!("{}{element}.{attempt}.log", key.task))
}

impl AttemptLog {
    pub(super) fn new(path: PathBuf, clock: Arc<dyn Clock>, secrets: Arc<Vec<String>>) -> Self {
        Self {
            path,
            clock,
            secrets,
            state: Mutex::default(),
        }
    }

    /// Writes one line and returns it as it was written.
    pub(super) fn write(&self, level: &str, line: &str) -> String {
        let line = blot(line, &self.secrets);
        let stamp = self.clock.now().format("%Y-%m-%dT%H:%M:%S%.3fZ");
        let text = format!("{stamp} {level:<4} {line}");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.file.is_none() && !state.failed {
            state.file = open(&self.path).inspect_err(|error| tracing::warn!(%error, path = %self.path.display(), "cannot write a task's log")).ok();
            state.failed = state.file.is_none();
        }
        if let Some(file) = &mut state.file
            && let Err(error) = writeln!(file, "{text}")
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot write a task's log");
            state.file = None;
            state.failed = true;
        }
        if state.tail.len() == TAIL {
            state.tail.pop_front();
        }
        state.tail.push_back(text);
        line
    }

    /// The last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tail
            .iter()
            .cloned()
            .collect()
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    File::options().create(true).append(true).open(path)
}

/// The passwords and keys of the project's addresses, longest first.
pub(super) fn secrets_of(project: &Project) -> Vec<String> {
    let connections = project.connections.iter();
    let store = project.store.as_ref().map(|store| store.expose().as_str());
    let smtp = project.smtp.as_ref().map(|smtp| smtp.url.expose().as_str());
    let mut secrets: Vec<String> = connections
        .chain(project.mlflow.as_ref())
        .flat_map(crate::connection::Connection::secrets)
        .chain(store.into_iter().chain(smtp).flat_map(address::secrets))
        .filter(|secret| secret.len() >= 4)
        .collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// `text` with every secret replaced.
pub(super) fn blot(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), "***");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::{Connection, Connections, Origin},
        secret::Secret,
        time::SystemClock,
    };

    #[test]
    fn secrets_are_blotted_out_and_the_tail_is_short() {
        let mut connections = Connections::default();
        connections.insert(Connection {
            name: "warehouse".into(),
            url: Secret::new("postgres://me:hunter22@db/x".into()),
            settings: [
                ("auth.bearer", "t0ken"),
                ("auth.oauth2.scope", "login"),
                ("headers.Accept", "login"),
                ("headers.X-Key", "k3y-of-mine"),
                ("query.token", "qu3ry"),
                ("concurrency", "login"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
            origin: Origin::File,
        });
        assert!(!format!("{connections:?}").contains("t0ken"));
        let project = Project {
            connections,
            store: Some(Secret::new("postgres://me:hi%2Fstory@db/x".into())),
            ..Project::default()
        };
        let directory = std::env::temp_dir().join(format!("pipectl-log-{}", std::process::id()));
        let log = AttemptLog::new(
            directory.join("a/b.log"),
            Arc::new(SystemClock),
            Arc::new(secrets_of(&project)),
        );
        assert_eq!(log.write("INFO", "login with hunter22"), "login with ***");
        assert_eq!(log.write("INFO", "hi/story hi%2Fstory"), "*** ***");
        assert_eq!(log.write("INFO", "t0ken k3y-of-mine qu3ry"), "*** *** ***");
        for line in 0..100 {
            log.write("OUT", &line.to_string());
        }
        assert_eq!(log.tail().len(), TAIL);
        let text = std::fs::read_to_string(directory.join("a/b.log")).unwrap();
        assert!(
            text.contains("INFO login with ***") && !text.contains("hunter22"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 103);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
