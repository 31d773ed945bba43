//! The project: the directory that relative paths hang on, and what `pipectl.yaml` says.

pub mod feature;
mod file;
mod load;
mod values;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use crate::{
    connection::{Connection, Connections},
    env::Env,
    secret::Secret,
};

pub use load::{FILE_NAME, Overrides, find_root};

/// A project with its settings, after flags, environment and `pipectl.yaml` were laid over each other.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// The project's directory, absolute.
    pub root: PathBuf,
    /// `.pipectl/`, or what `--state-dir` says, absolute.
    pub state_dir: PathBuf,
    /// Where files go that tasks write, when they are not to go into the project.
    pub outputs: Option<PathBuf>,
    /// The address of the history; `None` means SQLite in the state directory.
    pub store: Option<Secret>,
    /// The address of the artifact store; `None` means a directory in the state directory.
    pub artifacts: Option<String>,
    /// The named addresses.
    pub connections: Connections,
    /// Pools by name, with their slots.
    pub pools: BTreeMap<String, u32>,
    /// Who gets mail when a pipeline does not say so itself.
    pub alerts: Vec<crate::alert::Alert>,
    /// How mail leaves.
    pub smtp: Option<Smtp>,
    /// How long runs are kept when a pipeline does not say so itself.
    pub history: Option<crate::retention::Retention>,
    /// Where the API and the UI are served.
    pub serve: Serve,
    /// The names of environment variables that expressions may read.
    pub allowed_env: Vec<String>,
    /// The MLflow server to which trained models are written too, and from which models are read.
    pub mlflow: Option<Connection>,
    /// What is said of ONNX Runtime; when nothing is, it is looked for.
    pub onnxruntime: Option<OnnxRuntime>,
    /// The environment.
    pub env: Env,
}

/// What is said of ONNX Runtime, the library that runs neural networks faster than what is built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnnxRuntime {
    /// This is its library.
    Library(PathBuf),
    /// It is not to be used, even where it is.
    Unused,
}

impl OnnxRuntime {
    /// Reads `none`, or the path of the library, which hangs on the project's directory when it is relative.
    fn read(text: &str, root: &Path) -> Self {
        match text {
            "none" => Self::Unused,
            path => Self::Library(root.join(path)),
        }
    }
}

/// Where the API and the UI are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serve {
    /// The address and the port.
    pub listen: SocketAddr,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4747)),
        }
    }
}

impl Serve {
    /// Reads an address to listen at: `127.0.0.1:4747`, `localhost:4747`, `[::1]:4747`, or a port of this machine.
    pub fn address(text: &str) -> Option<SocketAddr> {
        let text = text.trim();
        if let Ok(port) = text.parse::<u16>() {
            return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        match text.strip_prefix("localhost:") {
            Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
            None => text.parse().ok(),
        }
    }
}

/// How mail leaves.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// `smtp://user:password@host:587` (STARTTLS) or `smtps://…` (TLS from the start).
    pub url: Secret,
    /// The sender's address.
    pub from: String,
    /// A file with the certificate of an own authority.
    pub ca_file: Option<PathBuf>,
}

impl Project {
    /// A path as a pipeline writes it: relative ones hang on the project's directory.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// Where a file is written that a pipeline names so: in a test, which must leave no trace, in a directory of its own.
    pub fn output_path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.path(path);
        match &self.outputs {
            Some(outputs) => outputs.join(path.strip_prefix("/").unwrap_or(&path)),
            None => path,
        }
    }
}
