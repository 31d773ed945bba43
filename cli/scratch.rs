//! Stand-ins for the connections of a project, so that its tests touch nothing real.

use std::{collections::BTreeMap, path::Path};

use pipectl_engine::{
    connection::{Connection, Connections, Origin},
    secret::Secret,
};

use crate::exit::Problem;

/// What stands in for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandIn {
    /// A SQLite file, for a database.
    Database,
    /// A directory, for a bucket.
    Directory,
}

/// What can stand in for a connection; `None` for services that only they are.
pub(crate) fn stand_in(connection: &Connection) -> Option<StandIn> {
    match connection.scheme().as_str() {
        "postgres" | "postgresql" | "sqlite" | "mysql" | "mariadb" | "odbc" => {
            Some(StandIn::Database)
        }
        "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss" | "file" => {
            Some(StandIn::Directory)
        }
        _ => None,
    }
}

/// Stand-ins below `scratch` for all connections that can have one; the others are left out.
pub(crate) fn connections(real: &Connections, scratch: &Path) -> Result<Connections, Problem> {
    let mut found = Connections::default();
    for connection in real.iter() {
        let name = &connection.name;
        let url = match stand_in(connection) {
            None => continue,
            Some(StandIn::Database) => {
                format!("sqlite:{}", scratch.join(format!("{name}.db")).display())
            }
            Some(StandIn::Directory) => {
                let directory = scratch.join(name);
                std::fs::create_dir_all(&directory).map_err(|error| {
                    let what = format!("cannot make the directory `{}`", directory.display());
                    Problem::environment(what).because(error)
                })?;
                format!("file://{}", directory.display())
            }
        };
        found.insert(Connection {
            name: name.clone(),
            url: Secret::new(url),
            settings: BTreeMap::new(),
            origin: Origin::Default,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_real_is_left() {
        let mut real = Connections::default();
        for (name, url) in [
            ("shop", "postgres://me:s3cret@db/shop"),
            ("local", "sqlite:shop.db"),
            ("lake", "s3://bucket/prefix?region=eu"),
            ("api", "https://example.com"),
        ] {
            real.insert(Connection {
                name: name.to_owned(),
                url: Secret::new(url.to_owned()),
                settings: BTreeMap::from([("ca_file".to_owned(), "ca.pem".to_owned())]),
                origin: Origin::File,
            });
        }
        let scratch = std::env::temp_dir().join("pipectl-scratch-test");
        let found = connections(&real, &scratch).unwrap();
        let found: Vec<(&str, String)> = found
            .iter()
            .map(|one| (one.name.as_str(), one.url.expose().clone()))
            .collect();
        let below = |path: &str| scratch.join(path).display().to_string();
        assert_eq!(
            found,
            [
                ("lake", format!("file://{}", below("lake"))),
                ("local", format!("sqlite:{}", below("local.db"))),
                ("shop", format!("sqlite:{}", below("shop.db"))),
            ]
        );
        assert!(scratch.join("lake").is_dir());
        std::fs::remove_dir_all(scratch).unwrap();
    }
}
