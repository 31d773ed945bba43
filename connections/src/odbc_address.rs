//! What a driver manager is told of a connection.

use pipectl_engine::connection::Connection;

/// The connection string: what stands behind `odbc:`, which may be a data source's name alone, and the credentials that
/// the connection has beside it.
pub(crate) fn connection_string(connection: &Connection) -> String {
    let text = connection.url.expose().get(5..).unwrap_or_default();
    let mut text = if text.contains('=') {
        text.trim_end_matches(';').to_owned()
    } else {
        format!("DSN={text}")
    };
    for (key, setting) in [
        ("UID", "auth.basic.username"),
        ("PWD", "auth.basic.password"),
    ] {
        if let Some(value) = connection.settings.get(setting) {
            let value = value.replace('}', "}}");
            text = format!("{text};{key}={{{value}}}");
        }
    }
    let lower = text.to_ascii_lowercase();
    let said = |key: &str| {
        let mut parts = lower.split(';').map(str::trim_start);
        parts.find_map(|part| part.strip_prefix(key)?.trim_start().strip_prefix('='))
    };
    let driver = said("driver").unwrap_or_default();
    for (names, key, value) in WISHES {
        let is_meant = names.iter().any(|name| driver.contains(name));
        if is_meant && said(&key.to_ascii_lowercase()).is_none() {
            text = format!("{text};{key}={value}");
        }
    }
    text.push(';');
    text
}

const POSTGRES: &[&str] = &["postgres", "psqlodbc"];
const SQLITE: &[&str] = &["sqlite"];

/// What drivers are asked for, unless the connection string says it otherwise.
const WISHES: [(&[&str], &str, &str); 4] = [
    // This one else gives booleans as the texts `0` and `1`,
    (POSTGRES, "BoolsAsChar", "0"),
    // and both of them else fetch the whole of a result before they give its first row.
    (POSTGRES, "UseDeclareFetch", "1"),
    (POSTGRES, "Fetch", "10000"),
    (SQLITE, "StepAPI", "1"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pipectl_engine::{connection::Origin, secret::Secret};

    use super::*;

    fn connection(url: &str, settings: &[(&str, &str)]) -> Connection {
        let settings = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Connection {
            name: "shop".to_owned(),
            url: Secret::new(url.to_owned()),
            settings: settings.collect::<BTreeMap<_, _>>(),
            origin: Origin::File,
        }
    }

    #[test]
    fn an_address_is_a_connection_string_or_the_name_of_a_data_source() {
        let basic = [
            ("auth.basic.username", "me"),
            ("auth.basic.password", "a}b;c"),
        ];
        for (url, settings, expected) in [
            ("odbc:shop", &[][..], "DSN=shop;"),
            ("odbc:DSN=shop;UID=a;", &[], "DSN=shop;UID=a;"),
            ("odbc:shop", &basic, "DSN=shop;UID={me};PWD={a}}b;c};"),
            (
                "odbc:Driver={PostgreSQL Unicode}",
                &[],
                "Driver={PostgreSQL Unicode};BoolsAsChar=0;UseDeclareFetch=1;Fetch=10000;",
            ),
            (
                "odbc:Driver=psqlodbcw.so;Host=postgres;BoolsAsChar=1;UseDeclareFetch=0",
                &[],
                "Driver=psqlodbcw.so;Host=postgres;BoolsAsChar=1;UseDeclareFetch=0;Fetch=10000;",
            ),
            (
                "odbc:Driver={Other};Database=sqlite",
                &[],
                "Driver={Other};Database=sqlite;",
            ),
            (
                "odbc:Driver={SQLite3};Database=a.db",
                &[],
                "Driver={SQLite3};Database=a.db;StepAPI=1;",
            ),
        ] {
            assert_eq!(connection_string(&connection(url, settings)), expected);
        }
    }
}
