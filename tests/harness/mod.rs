//! A project in a temporary directory, and the binary run in it.

pub(crate) mod appending;
pub(crate) mod copying;
pub(crate) mod http;
pub(crate) mod snapshots;
pub(crate) mod training;
pub(crate) mod waiting;

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pipectl");

/// The repository.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A project of a test.
pub(crate) struct Project {
    directory: TempDir,
    environment: BTreeMap<String, String>,
}

/// How the binary ended and what it said.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    root: String,
}

impl Project {
    /// A directory with nothing in it but `pipectl.yaml`.
    pub(crate) fn empty() -> Self {
        let project = Self {
            directory: tempfile::Builder::new()
                .prefix("pipectl-e2e-")
                .tempdir()
                .unwrap(),
            environment: BTreeMap::new(),
        };
        project.write("pipectl.yaml", "{}\n");
        project
    }

    /// A directory with one pipeline.
    pub(crate) fn with(name: &str, pipeline: &str) -> Self {
        let project = Self::empty();
        project.write(&format!("pipelines/{name}.yaml"), pipeline);
        project
    }

    /// A copy of this repository's pipelines, examples, feature views and data.
    pub(crate) fn repository() -> Self {
        let project = Self::empty();
        for directory in [
            "pipelines",
            "examples",
            "features",
            "data/churn",
            "data/reviews",
        ] {
            copy(&repository().join(directory), &project.path(directory));
        }
        project
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Sets a variable of the environment for all runs that follow.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn unset(&mut self, name: &str) -> &mut Self {
        self.environment.remove(name);
        self
    }

    /// The binary with these arguments, not yet started. Of the surroundings it sees only the PATH.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.program(BINARY, arguments)
    }

    /// Any program, with what the binary sees.
    pub(crate) fn program(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root())
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(self.command(arguments))
    }

    /// Runs the binary to its end in a process that may have so many bytes of its own; it must go well.
    #[track_caller]
    pub(crate) fn succeed_within(&self, bytes: u64, arguments: &[&str]) -> Ran {
        let limit = format!("--data={bytes}");
        let arguments: Vec<_> = [limit.as_str(), BINARY]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let ran = self.ran(self.program("prlimit", &arguments));
        assert_eq!(ran.code, Some(0), "{arguments:?}\n{ran}");
        ran
    }

    fn ran(&self, mut command: Command) -> Ran {
        let output = command.output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            root: self.root().display().to_string(),
        }
    }

    /// Runs the binary to its end; it must go well.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}\n{ran}");
        ran
    }

    /// Starts the binary and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Ran {
    /// The answer as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code: {code}")?,
            None => writeln!(f, "exit code: none")?,
        }
        let text = |text: &str| text.replace(&self.root, "<project>");
        write!(
            f,
            "----- stdout\n{}----- stderr\n{}",
            text(&self.stdout),
            text(&self.stderr)
        )
    }
}

fn copy(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else {
        return;
    };
    fs::create_dir_all(to).unwrap();
    for entry in entries.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            // With its time, so that no sensor takes it for a file that is still being written.
            let time = fs::metadata(&from).unwrap().modified().unwrap();
            fs::copy(from, &to).unwrap();
            let file = fs::File::options().write(true).open(to).unwrap();
            file.set_modified(time).unwrap();
        }
    }
}
