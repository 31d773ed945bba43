//! Finds the project and lays its settings over each other: flags, environment, `pipectl.yaml`, defaults.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{OnnxRuntime, Project, Serve, Smtp, file::ProjectFile};
use crate::{
    address::is_misread,
    connection::{Connection, Origin},
    env::Env,
    secret::Secret,
    spec::{Diagnostic, Diagnostics, Mark, Place, SourceFile, codes, suggest},
};

/// The project's own file.
pub const FILE_NAME: &str = "pipectl.yaml";

/// What the variables of connections begin with.
const CONNECTION: &str = "PIPECTL_CONNECTION_";

/// What flags say; they beat everything.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// The project's directory, when it is not to be looked for.
    pub root: Option<PathBuf>,
}

/// The project's directory for something at `start`: the nearest directory upward with `pipectl.yaml`, else the
/// parent of `pipelines/`, else `current`.
pub fn find_root(start: &Path, current: &Path) -> PathBuf {
    let start = current.join(start);
    let upward = || start.ancestors().filter(|directory| directory.is_dir());
    upward()
        .find(|directory| is_there(&directory.join(FILE_NAME)))
        .or_else(|| {
            upward()
                .find(|directory| {
                    directory
                        .file_name()
                        .is_some_and(|name| name == "pipelines")
                })
                .and_then(Path::parent)
        })
        .unwrap_or(current)
        .to_owned()
}

/// Whether something has this name, be it a file or not: reading it says what is wrong with it.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

impl Project {
    /// The project of something at `start`, a pipeline's file or a directory, as seen from `current`.
    ///
    /// Flags beat the environment, the environment beats `pipectl.yaml`, and that beats the defaults.
    ///
    /// # Errors
    /// All complaints about `pipectl.yaml` and the environment, when one of them is an error.
    pub fn load(
        start: &Path,
        current: &Path,
        overrides: &Overrides,
        env: Env,
    ) -> Result<(Self, Diagnostics), Diagnostics> {
        let root = overrides
            .root
            .as_ref()
            .map_or_else(|| find_root(start, current), |root| current.join(root));
        let path = root.join(FILE_NAME);
        let mut file = ProjectFile::default();
        if is_there(&path) {
            file = ProjectFile::parse(&SourceFile::read(&path, FILE_NAME)?, &env, &root);
        }
        let mut complaints = std::mem::take(&mut file.complaints);
        let state_dir = overrides
            .state_dir
            .as_ref()
            .map(|directory| current.join(directory))
            .or_else(|| {
                env.get("PIPECTL_STATE_DIR")
                    .map(|directory| current.join(directory))
            })
            .unwrap_or_else(|| root.join(".pipectl"));
        let mut project = Self {
            root,
            state_dir,
            ..Self::default()
        };
        project.defaults();
        project.take(file);
        project.environment(&env, &mut complaints);
        project.env = env;
        let complaints = complaints.sorted();
        if complaints.has_errors() {
            Err(complaints)
        } else {
            Ok((project, complaints))
        }
    }

    /// A SQLite file and a local directory under the state directory.
    fn defaults(&mut self) {
        let url =
            |scheme: &str, name: &str| format!("{scheme}{}", self.state_dir.join(name).display());
        let warehouse = url("sqlite:", "warehouse.db");
        let lake = url("file://", "lake");
        self.connect("warehouse", warehouse, Origin::Default);
        self.connect("lake", lake, Origin::Default);
    }

    fn take(&mut self, file: ProjectFile) {
        self.store = file.store;
        self.artifacts = file.artifacts;
        for connection in file.connections {
            match connection {
                Ok(connection) => self.connections.insert(connection),
                Err((name, why)) => self.connections.insert_unset(&name, why),
            }
        }
        self.pools = file.pools;
        self.alerts = file.alerts;
        self.smtp = file.smtp;
        self.history = file.history;
        self.serve = file.serve.unwrap_or_default();
        self.allowed_env = file.env;
        self.mlflow = file.mlflow;
        self.onnxruntime = file.onnxruntime;
    }

    fn environment(&mut self, env: &Env, complaints: &mut Diagnostics) {
        let place = || Mark::START.place(&"the environment".into());
        for name in env.unreadable().filter(|name| name.starts_with("PIPECTL_")) {
            let message = format!("the environment variable `{name}` is not UTF-8");
            let complaint = Diagnostic::error(codes::PROJECT, place(), message);
            complaints.push(complaint.with_hint("set it again, or unset it"));
        }
        for name in ["PIPECTL_STORE", "PIPECTL_ARTIFACTS"] {
            if env.is_empty(name) {
                let message = format!("the environment variable `{name}` is empty");
                let complaint = Diagnostic::error(codes::PROJECT, place(), message);
                complaints.push(complaint.with_hint(
                    "set it to an address, or unset it for what pipectl.yaml says, or the default",
                ));
            }
            let misread = env.get(name);
            complaints.extend(misread.and_then(|address| misread_address(name, address, place())));
        }
        if let Some(store) = env.get("PIPECTL_STORE") {
            self.store = Some(Secret::new(store.to_owned()));
        }
        if let Some(artifacts) = env.get("PIPECTL_ARTIFACTS") {
            self.artifacts = Some(artifacts.to_owned());
        }
        if let Some(library) = env.get("ORT_DYLIB_PATH") {
            self.onnxruntime = Some(OnnxRuntime::read(library, &self.root));
        }
        if let Some(text) = env.get("PIPECTL_LISTEN") {
            if let Some(listen) = Serve::address(text) {
                self.serve.listen = listen;
            } else {
                complaints.push(no_place_to_listen(text, place()));
            }
        }
        if let Some(url) = env.get("PIPECTL_MLFLOW") {
            let settings = self.mlflow.take().map(|mlflow| mlflow.settings);
            let settings = settings.unwrap_or_default();
            self.mlflow = mlflow_at(url.to_owned(), settings, Origin::Environment);
            if self.mlflow.is_none() {
                complaints.push(no_mlflow(Mark::START.place(&"the environment".into())));
            }
        }
        self.connections_of(env, complaints);
        self.smtp_of(env, complaints);
    }

    fn connections_of(&mut self, env: &Env, complaints: &mut Diagnostics) {
        let place = || Mark::START.place(&"the environment".into());
        // A secret that was not handed over must not send the rows into a file that nobody looks into.
        for name in env.empty_with_prefix(CONNECTION) {
            let why = format!("the environment variable `{CONNECTION}{name}` is empty");
            self.connections.insert_unset(&name.to_lowercase(), why);
        }
        for (name, url) in env.with_prefix(CONNECTION) {
            let variable = format!("{CONNECTION}{name}");
            let name = name.to_lowercase();
            if !url.contains(':') {
                complaints.push(not_an_address(&variable, place()));
            }
            complaints.extend(misread_address(&variable, url, place()));
            // Settings of the file beside the address, such as `ca_file`, stay.
            let settings = self
                .connections
                .get(&name)
                .filter(|connection| connection.origin == Origin::File)
                .map(|connection| connection.settings.clone())
                .unwrap_or_default();
            self.connections.insert(Connection {
                name,
                url: Secret::new(url.to_owned()),
                settings,
                origin: Origin::Environment,
            });
        }
    }

    fn smtp_of(&mut self, env: &Env, complaints: &mut Diagnostics) {
        let (variable, place) = (
            "PIPECTL_SMTP_URL",
            Mark::START.place(&"the environment".into()),
        );
        if env.is_empty(variable) {
            let message =
                format!("no mail can be sent: the environment variable `{variable}` is empty");
            complaints.push(Diagnostic::warning(codes::PROJECT, place, message));
            self.smtp = None;
        } else if let Some(url) = env.get(variable) {
            complaints.extend(misread_address(variable, url, place));
            let from = env.get("PIPECTL_SMTP_FROM").map(ToOwned::to_owned);
            let (old_from, ca_file) = self
                .smtp
                .take()
                .map_or((None, None), |smtp| (Some(smtp.from), smtp.ca_file));
            let from = from.or(old_from).unwrap_or_else(|| default_sender(url));
            self.smtp = Some(Smtp {
                url: Secret::new(url.to_owned()),
                from,
                ca_file,
            });
        }
    }

    fn connect(&mut self, name: &str, url: String, origin: Origin) {
        self.connections.insert(Connection {
            name: name.to_owned(),
            url: Secret::new(url),
            settings: BTreeMap::default(),
            origin,
        });
    }
}

/// The complaint about an address that is none; the value itself may be a secret and is not shown.
pub(super) fn not_an_address(what: &str, place: Place) -> Diagnostic {
    Diagnostic::error(codes::PROJECT, place, format!("`{what}` is not an address")).with_hint(
        "an address begins with its scheme: `postgres://…`, `sqlite:…`, `s3://…`, `https://…`",
    )
}

/// The MLflow server at an address; `None` when it is none of such a server.
pub(super) fn mlflow_at(
    url: String,
    settings: BTreeMap<String, String>,
    origin: Origin,
) -> Option<Connection> {
    let is_http = ["http://", "https://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    is_http.then(|| Connection {
        name: "mlflow".to_owned(),
        url: Secret::new(url),
        settings,
        origin,
    })
}

/// The complaint about an address that is none of an MLflow server; the value itself may be a secret.
pub(super) fn no_mlflow(place: Place) -> Diagnostic {
    let message = "this is not the address of an MLflow server";
    Diagnostic::error(codes::PROJECT, place, message)
        .with_hint("`https://mlflow.example.com`, or `http://127.0.0.1:5000`")
}

/// The complaint about an address that would be read otherwise than it is meant. What it would be read as is a part of a
/// password, so nothing of it is shown.
pub(super) fn misread_address(what: &str, address: &str, place: Place) -> Option<Diagnostic> {
    if is_misread(address) {
        let message = format!("the address of `{what}` has an `@` behind its host");
        return Some(Diagnostic::error(codes::PROJECT, place, message).with_hint(
            "in a user or password `/` is written `%2F`, `#` `%23`, `?` `%3F`, `@` `%40`, `:` `%3A` and `%` `%25`; behind the host an `@` is `%40`",
        ));
    }
    let unknown = unknown_parameter(address)?;
    if UNUSED_PARAMETERS.contains(&unknown) {
        let message = format!("`{unknown}` in the address of `{what}` has no effect here");
        let hint = "leave it out, so that nobody relies on it";
        return Some(Diagnostic::warning(codes::PROJECT, place, message).with_hint(hint));
    }
    let message = format!("the address of `{what}` has a parameter that nobody knows: `{unknown}`");
    Some(
        Diagnostic::error(codes::PROJECT, place, message)
            .with_hint(suggest::hint(unknown, POSTGRES_PARAMETERS)),
    )
}

/// What libpq knows and our driver does not heed; providers put some of them into the addresses that they hand out.
const UNUSED_PARAMETERS: [&str; 15] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// What may stand behind the `?` of a Postgres address, besides `options[…]`.
const POSTGRES_PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// A parameter of a Postgres address that would be ignored: a misspelt `sslmode` would be a connection that is not encrypted.
fn unknown_parameter(address: &str) -> Option<&str> {
    let (scheme, rest) = address.split_once("://")?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return None;
    }
    let (_, query) = rest.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    let names = query.split('&').filter(|pair| !pair.is_empty());
    let mut names = names.map(|pair| pair.split('=').next().unwrap_or_default());
    let is_known = |name: &str| POSTGRES_PARAMETERS.contains(&name) || name.starts_with("options[");
    // What is a mistake comes first.
    let mut unknown: Vec<&str> = names.by_ref().filter(|name| !is_known(name)).collect();
    unknown.sort_by_key(|name| UNUSED_PARAMETERS.contains(name));
    unknown.first().copied()
}

/// The complaint about an address at which nobody can listen.
pub(super) fn no_place_to_listen(text: &str, place: Place) -> Diagnostic {
    let message = format!("`{text}` is no address to listen at");
    Diagnostic::error(codes::PROJECT, place, message)
        .with_hint("`127.0.0.1:4747`, `[::1]:4747`, or only a port")
}

/// Who mails come from when nobody says: the user of the mail server.
pub(super) fn default_sender(url: &str) -> String {
    let user = url
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        .map(|(credentials, _)| credentials);
    let user = user.map(|credentials| {
        credentials
            .split(':')
            .next()
            .unwrap_or_default()
            .replace("%40", "@")
    });
    user.filter(|user| user.contains('@'))
        .unwrap_or_else(|| "pipectl@localhost".to_owned())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
