//! Runs the binary as a user would: a project in a temporary directory, a process for every figure.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

/// A project whose history is in SQLite, or in a Postgres.
pub(crate) struct Project {
    directory: TempDir,
    pipectl: PathBuf,
    postgres: Option<String>,
}

impl Project {
    pub(crate) fn new(pipectl: &Path, postgres: Option<&str>) -> Self {
        let directory =
            tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        let made = std::fs::create_dir(directory.path().join("pipelines"));
        made.unwrap_or_else(|error| panic!("no directory: {error}"));
        let pipectl = pipectl
            .canonicalize()
            .unwrap_or_else(|error| panic!("{}: {error}", pipectl.display()));
        Self {
            directory,
            pipectl,
            postgres: postgres.map(str::to_owned),
        }
    }

    /// Writes a pipeline; its `name` becomes that of the file.
    pub(crate) fn write(&self, name: &str, yaml: &str) {
        let (_, rest) = yaml.split_once('\n').unwrap_or_default();
        let path = self.directory.path().join(format!("pipelines/{name}.yaml"));
        let written = std::fs::write(&path, format!("name: {name}\n{rest}"));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The median time of so many processes.
    pub(crate) fn median(&self, times: usize, arguments: &[&str]) -> Duration {
        let mut taken: Vec<Duration> = (0..times).map(|_| self.run(arguments)).collect();
        taken.sort();
        taken[times / 2]
    }

    fn run(&self, arguments: &[&str]) -> Duration {
        let mut command = Command::new(&self.pipectl);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(url) = &self.postgres {
            command.env("PIPECTL_STORE", url);
        }
        let begin = Instant::now();
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.pipectl.display()));
        let taken = begin.elapsed();
        assert!(
            output.status.success(),
            "pipectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        taken
    }
}

/// What one small durable write costs here: the unit in which the figures of a history are to be read.
pub(crate) fn fsync() -> Duration {
    let directory =
        tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
    let once = || -> std::io::Result<Vec<Duration>> {
        let mut file = File::create(directory.path().join("file"))?;
        (0..201)
            .map(|_| {
                file.write_all(&[0; 4096])?;
                let begin = Instant::now();
                file.sync_data()?;
                Ok(begin.elapsed())
            })
            .collect()
    };
    let mut taken = once().unwrap_or_else(|error| panic!("cannot write: {error}"));
    taken.sort();
    taken[taken.len() / 2]
}

/// The largest memory that a child process has had, in bytes.
pub(crate) fn peak_memory_of_children() -> i64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss() * 1024)
}
