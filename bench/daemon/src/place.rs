//! A project in a temporary directory, its database, and daemons in it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A project whose history is a database of its own.
pub(crate) struct Place {
    directory: TempDir,
    pipectl: PathBuf,
    url: String,
    environment: Vec<(&'static str, String)>,
}

/// An S3 server; it ends when it is dropped.
pub(crate) struct Bucket(Child);

impl Drop for Bucket {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

/// A daemon; stopped when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Place {
    pub(crate) fn new(pipectl: &Path, server: &str) -> Self {
        let name = format!(
            "pipectl_bench_{}_{}",
            std::process::id(),
            DATABASES.fetch_add(1, Ordering::Relaxed)
        );
        psql(server, &format!("create database {name}"));
        let (base, _) = server
            .rsplit_once('/')
            .unwrap_or_else(|| panic!("{server}: postgres://host/postgres is wanted"));
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
            url: format!("{base}/{name}"),
            environment: Vec::new(),
        }
    }

    pub(crate) fn write(&self, name: &str, rest: &str) {
        let path = self.directory.path().join(format!("pipelines/{name}.yaml"));
        let written = std::fs::write(&path, format!("name: {name}\n{rest}"));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// What `psql` answers.
    pub(crate) fn sql(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }

    pub(crate) fn run(&self, arguments: &[&str]) {
        let output = self
            .command(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(
            output.status.success(),
            "pipectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Starts the tests' S3 server, which lies beside `pipectl`, and names its bucket `lake`.
    pub(crate) fn bucket(&mut self) -> Bucket {
        let program = self.pipectl.with_file_name("bucket_server");
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; cargo build --release --workspace",
                    program.display()
                )
            });
        let mut address = String::new();
        if let Some(stdout) = child.stdout.take() {
            let read = BufReader::new(stdout).read_line(&mut address);
            read.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        }
        self.environment = vec![
            ("PIPECTL_CONNECTION_LAKE", address.trim().to_owned()),
            ("AWS_ACCESS_KEY_ID", "pipectl".to_owned()),
            (
                "AWS_SECRET_ACCESS_KEY",
                "correct horse battery staple".to_owned(),
            ),
        ];
        Bucket(child)
    }

    /// Starts a daemon, and says how long it took until it worked.
    pub(crate) fn daemon(&self, name: &str) -> (Daemon, Duration) {
        let log = self.directory.path().join(name);
        let file = File::create(&log).unwrap_or_else(|error| panic!("{error}"));
        let start = Instant::now();
        let child = self
            .command(&["daemon", "--no-serve"])
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{error}"));
        let daemon = Daemon { child, log };
        daemon.wait_for("the daemon works");
        (daemon, start.elapsed())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.pipectl);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("PIPECTL_STORE", &self.url)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Waits until a query answers `wanted`.
    pub(crate) fn until(&self, sql: &str, wanted: &str) {
        let start = Instant::now();
        while self.sql(sql) != wanted {
            assert!(
                start.elapsed() < Duration::from_secs(180),
                "{sql}: {} and not {wanted}",
                self.sql(sql)
            );
            sleep(Duration::from_millis(100));
        }
    }
}

impl Daemon {
    fn wait_for(&self, words: &str) {
        let start = Instant::now();
        while !std::fs::read_to_string(&self.log)
            .unwrap_or_default()
            .contains(words)
        {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "the daemon does not start"
            );
            sleep(Duration::from_millis(1));
        }
    }

    /// The processor time that it has used, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        // Fields 14 and 15 of proc(5), in hundredths of a second.
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or_default()
        };
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Its resident memory in megabytes.
    pub(crate) fn megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kilobytes.unwrap_or_default() / 1e3
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn psql(url: &str, sql: &str) -> String {
    let mut child = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("psql: {error}; apt-get install postgresql-client"));
    if let Some(mut stdin) = child.stdin.take() {
        let written = stdin.write_all(sql.as_bytes());
        written.unwrap_or_else(|error| panic!("psql: {error}"));
    }
    let output = child
        .wait_with_output()
        .unwrap_or_else(|error| panic!("psql: {error}"));
    assert!(output.status.success(), "psql: {sql}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
