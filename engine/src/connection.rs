//! Connections as data: a name, an address, secrets. The crate `connections` opens them.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

use crate::{
    address::{self, LONG, is_secret_name},
    secret::Secret,
};

/// A named address with credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// The name that pipelines use.
    pub name: String,
    /// The address with its credentials.
    pub url: Secret,
    /// Further settings of this connection (`ca_file`, …); those below others with their whole way (`auth.bearer`). Some are
    /// secrets.
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

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("settings", &self.settings.keys())
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Settings below `auth` that may be shown.
const PLAIN: [&str; 5] = [
    "auth.basic.username",
    "auth.oauth2.token_url",
    "auth.oauth2.client_id",
    "auth.oauth2.scope",
    "auth.oauth2.audience",
];

/// Whether a setting must not be shown.
fn is_secret(key: &str, value: &str) -> bool {
    if key.starts_with("auth.") {
        return !PLAIN.contains(&key);
    }
    let name = key
        .strip_prefix("headers.")
        .or_else(|| key.strip_prefix("query."));
    name.map_or(key == "proxy", |name| {
        value.len() >= LONG || is_secret_name(name)
    })
}

impl Connection {
    /// What must not be shown of it: the password in its address, and the settings that are secrets.
    pub fn secrets(&self) -> Vec<String> {
        let mut found = address::secrets(self.url.expose());
        let settings = self.settings.iter();
        let settings = settings.filter(|(key, value)| is_secret(key, value));
        found.extend(settings.map(|(_, value)| value.clone()));
        let odbc = odbc_attributes(self.url.expose());
        let odbc = odbc.filter(|(key, value)| is_secret_name(key) && !value.is_empty());
        found.extend(odbc.map(|(_, value)| value.to_owned()));
        found
    }

    /// The part of the address before `:`, in lower case: `postgres`, `sqlite`, `s3`, `file`.
    pub fn scheme(&self) -> String {
        address::scheme(self.url.expose())
    }
}

/// The attributes of an address `odbc:Driver={…};Server=…`: keys, and values without the braces around them. Nothing for
/// other addresses.
pub fn odbc_attributes(address: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = address
        .split_at_checked(5)
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("odbc:"))
        .map_or("", |(_, rest)| rest);
    std::iter::from_fn(move || {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_matches([';', ' ']);
        let value;
        if let Some(braced) = after.trim_start().strip_prefix('{') {
            let end = closing(braced);
            (value, rest) = braced.split_at_checked(end).unwrap_or((braced, ""));
            rest = rest.strip_prefix('}').unwrap_or(rest);
        } else {
            (value, rest) = after.split_once(';').unwrap_or((after, ""));
        }
        Some((key, value.trim()))
    })
}

/// Where the brace closes that was opened before; two of them stand for one.
fn closing(text: &str) -> usize {
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find('}')) {
        let at = from + found;
        if !text.get(at + 1..).is_some_and(|rest| rest.starts_with('}')) {
            return at;
        }
        from = at + 2;
    }
    text.len()
}

/// All connections that a project knows.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    known: BTreeMap<String, Connection>,
    unset: BTreeMap<String, String>,
}

impl Connections {
    /// Adds a connection, or replaces the one of the same name.
    pub fn insert(&mut self, connection: Connection) {
        self.unset.remove(&connection.name);
        self.known.insert(connection.name.clone(), connection);
    }

    /// Says that the connection called `name` is known but cannot be used here, and why: a variable of the environment is
    /// not set, as in ``the environment variable `KEY` is not set``.
    pub fn insert_unset(&mut self, name: &str, why: String) {
        self.known.remove(name);
        self.unset.insert(name.to_owned(), why);
    }

    /// The connection called `name`.
    pub fn get(&self, name: &str) -> Option<&Connection> {
        self.known.get(name)
    }

    /// Why the connection called `name` cannot be used here, although the project knows it.
    pub fn unset(&self, name: &str) -> Option<&str> {
        self.unset.get(name).map(String::as_str)
    }

    /// All connections that cannot be used here, and why.
    pub fn all_unset(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.unset.iter();
        all.map(|(name, why)| (name.as_str(), why.as_str()))
    }

    /// All connections that can be used, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.known.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(url: &str) -> Connection {
        Connection {
            name: "shop".to_owned(),
            url: Secret::new(url.to_owned()),
            settings: BTreeMap::new(),
            origin: Origin::File,
        }
    }

    #[test]
    fn an_odbc_address_has_attributes_and_secrets() {
        for (address, expected) in [
            ("odbc:shop", vec![]),
            (
                "odbc:Driver={My {odd}} Driver};UID=me; Pwd=s3cret;",
                vec![
                    ("Driver", "My {odd}} Driver"),
                    ("UID", "me"),
                    ("Pwd", "s3cret"),
                ],
            ),
            (
                "ODBC:DSN=a;PWD={a;b=c};X=",
                vec![("DSN", "a"), ("PWD", "a;b=c"), ("X", "")],
            ),
            ("odbc:DSN={open", vec![("DSN", "open")]),
            ("postgres://a?DSN=b", vec![]),
        ] {
            let found: Vec<_> = odbc_attributes(address).collect();
            assert_eq!(found, expected, "{address}");
        }
        for (address, expected) in [
            ("odbc:DSN=a;UID=me;PWD={a;b}", vec!["a;b"]),
            ("odbc:DSN=a;Password=p1;AccessToken=t1", vec!["p1", "t1"]),
            ("odbc:DSN=a;PWD=", vec![]),
            ("postgres://me:s3cret@host/db", vec!["s3cret"]),
        ] {
            let connection = connection(address);
            assert_eq!(connection.secrets(), expected);
        }
    }
}
