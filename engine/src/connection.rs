//! Connections as data: a name, an address, secrets. The crate `connections` opens them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::secret::Secret;

/// A named address with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The name that pipelines use.
    pub name: String,
    /// The address with its credentials.
    pub url: Secret,
    /// Further settings of this connection (`ca_file`, …).
    pub settings: BTreeMap<String, String>,
    /// Where the address was found, for messages.
    pub origin: Origin,
}

/// Where a connection's address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Origin {
    /// Nothing was set: the embedded default under the state directory.
    Default,
    /// `pipectl.yaml`.
    File,
    /// An environment variable.
    Environment,
}

impl Connection {
    /// The part of the address before `:`, in lower case: `postgres`, `sqlite`, `s3`, `file`.
    pub fn scheme(&self) -> String {
        let url = self.url.expose();
        url.split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    }
}

/// All connections that a project knows.
#[derive(Clone, Debug, Default)]
pub struct Connections(BTreeMap<String, Connection>);

impl Connections {
    /// Adds a connection, or replaces the one of the same name.
    pub fn insert(&mut self, connection: Connection) {
        self.0.insert(connection.name.clone(), connection);
    }

    /// The connection called `name`.
    pub fn get(&self, name: &str) -> Option<&Connection> {
        self.0.get(name)
    }

    /// All connections by name.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.0.values()
    }
}
