//! `pipectl.yaml` as it was written.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    OnnxRuntime, Serve, Smtp,
    load::{
        default_sender, misread_address, mlflow_at, no_mlflow, no_place_to_listen, not_an_address,
    },
    values::{Unread, Values},
};
use crate::{
    alert::Alert,
    connection::{Connection, Origin},
    env::Env,
    retention::Retention,
    secret::Secret,
    spec::{
        Diagnostic, Diagnostics, Found, Severity, SourceFile, codes,
        parse::{Reader, Section},
        suggest,
        yaml::{self, Entry, Node, NodeValue},
    },
};

const KEYS: &[&str] = &[
    "store",
    "artifacts",
    "history",
    "connections",
    "pools",
    "alerts",
    "smtp",
    "serve",
    "env",
    "onnxruntime",
    "mlflow",
];

/// What `pipectl.yaml` says.
#[derive(Debug, Default)]
pub(super) struct ProjectFile {
    pub(super) store: Option<Secret>,
    pub(super) artifacts: Option<String>,
    pub(super) connections: Vec<Result<Connection, (String, String)>>,
    pub(super) pools: BTreeMap<String, u32>,
    pub(super) alerts: Vec<Alert>,
    pub(super) smtp: Option<Smtp>,
    pub(super) history: Option<Retention>,
    pub(super) serve: Option<Serve>,
    pub(super) env: Vec<String>,
    pub(super) mlflow: Option<Connection>,
    pub(super) onnxruntime: Option<OnnxRuntime>,
    pub(super) complaints: Diagnostics,
}

impl ProjectFile {
    /// Reads the file. What is wrong with it is in its complaints; a file without content says nothing.
    pub(super) fn parse(source: &SourceFile, env: &Env, root: &Path) -> Self {
        let mut found = Found::new(source.name.clone());
        let node = yaml::parse(source, &mut found);
        let mut file = Self::default();
        let Some(node) = node else {
            let diagnostics = found.into_diagnostics();
            if diagnostics
                .iter()
                .any(|diagnostic| diagnostic.code != codes::EMPTY)
            {
                file.complaints = diagnostics;
            }
            return file;
        };
        let values = Values { env, root };
        let mut reader = Reader { found: &mut found };
        if let Some(section) = reader.section(&node, "the project", KEYS) {
            file.read(&mut reader, &values, &section);
        }
        file.complaints = found.into_diagnostics();
        file
    }

    fn read(&mut self, reader: &mut Reader<'_>, values: &Values<'_>, section: &Section<'_>) {
        let mut address = |key: &str| {
            let node = section.get(key)?;
            let address = values.text(reader, node)?;
            is_readable(reader, key, &address, node).then_some(address)
        };
        self.store = address("store").map(Secret::new);
        self.artifacts = address("artifacts");
        if let Some(connections) = section
            .get("connections")
            .and_then(|node| reader.map(node, "a map"))
        {
            self.connections = connections
                .entries()
                .iter()
                .filter_map(|entry| connection(reader, values, entry))
                .collect();
        }
        if let Some(pools) = section
            .get("pools")
            .and_then(|node| reader.map(node, "a map of pools"))
        {
            for entry in pools.entries() {
                let name = reader.name(&entry.key, entry.key_mark);
                if let Some(slots) = reader.count(&entry.value, 1) {
                    self.pools.insert(name.value.to_string(), slots);
                }
            }
        }
        self.alerts = section
            .get("alerts")
            .map(|node| reader.alerts(node))
            .unwrap_or_default();
        self.smtp = section
            .get("smtp")
            .and_then(|node| smtp(reader, values, node));
        self.history = section
            .get("history")
            .and_then(|node| reader.retention(node));
        self.serve = section
            .get("serve")
            .and_then(|node| serve(reader, values, node));
        self.mlflow = section
            .entry("mlflow")
            .and_then(|entry| mlflow(reader, values, entry));
        self.onnxruntime = section
            .get("onnxruntime")
            .and_then(|node| values.text(reader, node))
            .map(|text| OnnxRuntime::read(&text, values.root));
        self.env = section
            .get("env")
            .map(|node| {
                reader
                    .texts(node)
                    .into_iter()
                    .map(|name| name.value.to_string())
                    .collect()
            })
            .unwrap_or_default();
    }
}

/// Whether an address is read as it is meant; else it is complained about.
fn is_readable(reader: &mut Reader<'_>, what: &str, address: &str, node: &Node) -> bool {
    let place = node.mark.place(reader.found.file());
    let complaint = misread_address(what, address, place);
    let is_error = |one: &Diagnostic| one.severity == Severity::Error;
    let readable = !complaint.as_ref().is_some_and(is_error);
    complaint.into_iter().for_each(|one| reader.found.push(one));
    readable
}

/// `name: url` or `name: {url, …}`; one that lacks a value here is kept as such.
fn connection(
    reader: &mut Reader<'_>,
    values: &Values<'_>,
    entry: &Entry,
) -> Option<Result<Connection, (String, String)>> {
    let name = reader.name(&entry.key, entry.key_mark).value.to_string();
    match address_and_settings(reader, values, entry) {
        Ok((url, settings)) => Some(Ok(Connection {
            name,
            url: Secret::new(url),
            settings,
            origin: Origin::File,
        })),
        Err(Unread::Unset(why)) => Some(Err((name, why))),
        Err(Unread::Told) => None,
    }
}

fn address_and_settings(
    reader: &mut Reader<'_>,
    values: &Values<'_>,
    entry: &Entry,
) -> Result<(String, BTreeMap<String, String>), Unread> {
    let mut settings = BTreeMap::new();
    let node = match &entry.value.value {
        NodeValue::Map(entries) => match entry.value.get("url") {
            Some(url) => {
                for entry in entries.iter().filter(|entry| &*entry.key != "url") {
                    settings_below(reader, values, &entry.key, &entry.value, &mut settings)?;
                }
                url
            }
            None => &entry.value,
        },
        NodeValue::Null => {
            reader
                .found
                .error(
                    codes::PROJECT,
                    entry.key_mark,
                    format!("the connection `{}` has no address", entry.key),
                )
                .hint(format!(
                    "write it here, or leave the line out and set PIPECTL_CONNECTION_{}",
                    { entry.key.to_uppercase() }
                ));
            return Err(Unread::Told);
        }
        _ => &entry.value,
    };
    let url = values.read(reader, node)?;
    let Some((scheme, _)) = url.split_once(':') else {
        let complaint = not_an_address(&entry.key, node.mark.place(reader.found.file()));
        reader.found.push(complaint);
        return Err(Unread::Told);
    };
    if !is_readable(reader, &entry.key, &url, node) {
        return Err(Unread::Told);
    }
    // `{env: NAME}` is the address itself.
    let settings_beside = entry.value.get("url").is_some();
    if let (true, Some(known), NodeValue::Map(entries)) =
        (settings_beside, settings_of(scheme), &entry.value.value)
    {
        only_known(reader, scheme, known, entries)?;
    }
    Ok((url, settings))
}

/// What a connection of this scheme may say beside its address; `None` for those that only scripts and plugins know.
fn settings_of(scheme: &str) -> Option<&'static [&'static str]> {
    Some(match scheme {
        "postgres" | "postgresql" => &["ca_file", "max_connections", "statement_cache"],
        "sqlite" => &["max_connections"],
        "s3" | "gs" | "az" => &["ca_file"],
        "file" => &[],
        "http" | "https" => &[
            "allow_link_local",
            "auth",
            "ca_file",
            "concurrency",
            "headers",
            "proxy",
            "query",
            "rate_limit",
        ],
        _ => return None,
    })
}

fn only_known(
    reader: &mut Reader<'_>,
    scheme: &str,
    known: &[&str],
    entries: &[Entry],
) -> Result<(), Unread> {
    let mut unknown = entries
        .iter()
        .filter(|entry| &*entry.key != "url" && !known.contains(&&*entry.key))
        .peekable();
    if unknown.peek().is_none() {
        return Ok(());
    }
    for entry in unknown {
        let message = format!("a connection by `{scheme}:` has no setting `{}`", entry.key);
        let hint = suggest::hint(&entry.key, known.iter().copied());
        reader
            .found
            .error(codes::UNKNOWN_KEY, entry.key_mark, message)
            .hint(hint);
    }
    Err(Unread::Told)
}

/// What a connection says beside its address; maps are flattened: `auth: {basic: {username: me}}` is
/// `auth.basic.username`.
fn settings_below(
    reader: &mut Reader<'_>,
    values: &Values<'_>,
    name: &str,
    node: &Node,
    settings: &mut BTreeMap<String, String>,
) -> Result<(), Unread> {
    let value = match &node.value {
        NodeValue::Number(_) | NodeValue::Bool(_) => node.to_json().to_string(),
        NodeValue::Map(entries) if !is_value(entries) => {
            for entry in entries {
                let name = format!("{name}.{}", entry.key);
                settings_below(reader, values, &name, &entry.value, settings)?;
            }
            return Ok(());
        }
        _ => values.read(reader, node)?,
    };
    settings.insert(name.to_owned(), value);
    Ok(())
}

/// Whether a map says where a value is: `{env: NAME}` or `{file: path}`.
fn is_value(entries: &[Entry]) -> bool {
    entries.is_empty()
        || entries
            .iter()
            .any(|entry| matches!(&*entry.key, "env" | "file"))
}

/// `mlflow: url` or `mlflow: {url, …}` with the settings of an API's connection.
fn mlflow(reader: &mut Reader<'_>, values: &Values<'_>, entry: &Entry) -> Option<Connection> {
    match address_and_settings(reader, values, entry) {
        Ok((url, settings)) => {
            let mlflow = mlflow_at(url, settings, Origin::File);
            if mlflow.is_none() {
                let place = entry.value.mark.place(reader.found.file());
                reader.found.push(no_mlflow(place));
            }
            mlflow
        }
        Err(Unread::Told) => None,
        Err(Unread::Unset(why)) => {
            let message = format!("nothing is written to MLflow: {why}");
            reader
                .found
                .warning(codes::PROJECT, entry.value.mark, message);
            None
        }
    }
}

/// `serve: {listen: address}`.
fn serve(reader: &mut Reader<'_>, values: &Values<'_>, node: &Node) -> Option<Serve> {
    let section = reader.section(node, "`serve`", &["listen"])?;
    let listen = section.get("listen")?;
    let text = match &listen.value {
        NodeValue::Number(port) => port.to_string(),
        _ => values.text(reader, listen)?,
    };
    let address = Serve::address(&text);
    if address.is_none() {
        let complaint = no_place_to_listen(&text, listen.mark.place(reader.found.file()));
        reader.found.push(complaint);
    }
    Some(Serve { listen: address? })
}

/// `smtp: url` or `smtp: {url, from, ca_file}`.
fn smtp(reader: &mut Reader<'_>, values: &Values<'_>, node: &Node) -> Option<Smtp> {
    let section = match &node.value {
        NodeValue::Map(_) if node.get("url").is_some() => {
            Some(reader.section(node, "`smtp`", &["url", "from", "ca_file"])?)
        }
        _ => None,
    };
    let address = section
        .as_ref()
        .map_or(Some(node), |section| section.get("url"))?;
    let url = match values.read(reader, address) {
        Ok(url) => url,
        Err(Unread::Told) => return None,
        Err(Unread::Unset(why)) => {
            reader.found.warning(
                codes::PROJECT,
                address.mark,
                format!("no mail can be sent: {why}"),
            );
            return None;
        }
    };
    if !is_readable(reader, "smtp", &url, address) {
        return None;
    }
    let mut text = |key: &str| {
        let node = section.as_ref()?.get(key)?;
        values.text(reader, node)
    };
    let (from, ca_file) = (text("from"), text("ca_file").map(PathBuf::from));
    let schemes = ["smtp://", "smtps://", "smtp+plain://"];
    if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
        reader
            .found
            .error(
                codes::PROJECT,
                address.mark,
                "this is not the address of a mail server",
            )
            .hint("`smtp://user:password@host:587` (STARTTLS), `smtps://…` (TLS from the start), or `smtp+plain://host:25` (never encrypted, for a relay nearby)");
        return None;
    }
    let from = from.unwrap_or_else(|| default_sender(&url));
    Some(Smtp {
        url: Secret::new(url),
        from,
        ca_file,
    })
}
