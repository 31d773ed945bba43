//! `pipectl.yaml` as it was written.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Serve, Smtp,
    load::{default_sender, no_place_to_listen, not_an_address},
    values::Values,
};
use crate::{
    alert::Alert,
    connection::{Connection, Origin},
    env::Env,
    retention::Retention,
    secret::Secret,
    spec::{
        Diagnostics, Found, SourceFile, codes,
        parse::{Reader, Section},
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
const NOT_BUILT: &[&str] = &["onnxruntime", "mlflow"];

/// What `pipectl.yaml` says.
#[derive(Debug, Default)]
pub(super) struct ProjectFile {
    pub(super) store: Option<Secret>,
    pub(super) artifacts: Option<String>,
    pub(super) connections: Vec<Connection>,
    pub(super) pools: BTreeMap<String, u32>,
    pub(super) alerts: Vec<Alert>,
    pub(super) smtp: Option<Smtp>,
    pub(super) history: Option<Retention>,
    pub(super) serve: Option<Serve>,
    pub(super) env: Vec<String>,
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
        for key in NOT_BUILT {
            if let Some(entry) = section.entry(key) {
                reader
                    .found
                    .error(
                        codes::NOT_BUILT,
                        entry.key_mark,
                        format!("`{key}` is not built yet"),
                    )
                    .hint("leave it out");
            }
        }
        self.store = section
            .get("store")
            .and_then(|node| values.text(reader, node))
            .map(Secret::new);
        self.artifacts = section
            .get("artifacts")
            .and_then(|node| values.text(reader, node));
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

/// `name: url` or `name: {url, …}`.
fn connection(reader: &mut Reader<'_>, values: &Values<'_>, entry: &Entry) -> Option<Connection> {
    let name = reader.name(&entry.key, entry.key_mark);
    let mut settings = BTreeMap::new();
    let (url, node) = match &entry.value.value {
        NodeValue::Map(entries) if entry.value.get("url").is_some() => {
            for entry in entries.iter().filter(|entry| &*entry.key != "url") {
                settings_below(reader, values, &entry.key, &entry.value, &mut settings)?;
            }
            let node = entry.value.get("url")?;
            (values.text(reader, node)?, node)
        }
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
            return None;
        }
        _ => (values.text(reader, &entry.value)?, &entry.value),
    };
    if !url.contains(':') {
        let complaint = not_an_address(&entry.key, node.mark.place(reader.found.file()));
        reader.found.push(complaint);
        return None;
    }
    Some(Connection {
        name: name.value.to_string(),
        url: Secret::new(url),
        settings,
        origin: Origin::File,
    })
}

/// What a connection says beside its address; maps are flattened: `auth: {basic: {username: me}}` is
/// `auth.basic.username`.
fn settings_below(
    reader: &mut Reader<'_>,
    values: &Values<'_>,
    name: &str,
    node: &Node,
    settings: &mut BTreeMap<String, String>,
) -> Option<()> {
    let value = match &node.value {
        NodeValue::Number(_) | NodeValue::Bool(_) => node.to_json().to_string(),
        NodeValue::Map(entries) if !is_value(entries) => {
            for entry in entries {
                let name = format!("{name}.{}", entry.key);
                settings_below(reader, values, &name, &entry.value, settings)?;
            }
            return Some(());
        }
        _ => values.text(reader, node)?,
    };
    settings.insert(name.to_owned(), value);
    Some(())
}

/// Whether a map says where a value is: `{env: NAME}` or `{file: path}`.
fn is_value(entries: &[Entry]) -> bool {
    entries.is_empty()
        || entries
            .iter()
            .any(|entry| matches!(&*entry.key, "env" | "file"))
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
    let single = !matches!(node.value, NodeValue::Map(_)) || node.get("url").is_none();
    let (url, from, ca_file) = if single {
        (values.text(reader, node)?, None, None)
    } else {
        let section = reader.section(node, "`smtp`", &["url", "from", "ca_file"])?;
        let url = section
            .get("url")
            .and_then(|node| values.text(reader, node))?;
        let from = section
            .get("from")
            .and_then(|node| values.text(reader, node));
        let ca_file = section
            .get("ca_file")
            .and_then(|node| values.text(reader, node))
            .map(PathBuf::from);
        (url, from, ca_file)
    };
    if !(url.starts_with("smtp://") || url.starts_with("smtps://")) {
        reader
            .found
            .error(
                codes::PROJECT,
                node.mark,
                "this is not the address of a mail server",
            )
            .hint("`smtp://user:password@host:587` (STARTTLS) or `smtps://…` (TLS from the start)");
        return None;
    }
    let from = from.unwrap_or_else(|| default_sender(&url));
    Some(Smtp {
        url: Secret::new(url),
        from,
        ca_file,
    })
}
