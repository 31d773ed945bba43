//! What a message may say about an address: never the user, the password or a parameter.

use pipectl_engine::{
    address::is_misread,
    connection::{Connection, odbc_attributes},
};
use url::Url;

/// The connection's name with its host, port and path: `` `warehouse` (db.example.com:5432/shop) ``.
pub fn described(connection: &Connection) -> String {
    match place(connection.url.expose()) {
        Some(place) if !place.is_empty() => format!("`{}` ({place})", connection.name),
        _ => format!("`{}`", connection.name),
    }
}

/// Where the database of an address is, without user, password and parameters; nothing when the address cannot be read.
pub fn located(address: &str) -> Option<String> {
    place(address).filter(|place| !place.is_empty())
}

fn place(address: &str) -> Option<String> {
    if let Some(path) = address.strip_prefix("sqlite:") {
        return path
            .split('?')
            .next()
            .map(|path| path.trim_start_matches("//").to_owned());
    }
    if address
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("odbc:"))
    {
        return Some(odbc_place(address));
    }
    // What would be read otherwise than it is meant may have a password where the place is.
    if is_misread(address) {
        return None;
    }
    let url = Url::parse(address).ok()?;
    let mut place = url.host_str().unwrap_or_default().to_owned();
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    place.push_str(&port);
    place.push_str(url.path().trim_end_matches('/'));
    Some(place)
}

/// The data source or the driver, the server and the database of an ODBC address.
fn odbc_place(address: &str) -> String {
    let shown = ["dsn", "driver", "server", "host", "database"];
    let known = odbc_attributes(address);
    let known = known.filter(|(key, _)| shown.contains(&key.to_ascii_lowercase().as_str()));
    let values: Vec<&str> = known.map(|(_, value)| value).collect();
    if values.is_empty() && !address.contains('=') {
        return address.get(5..).unwrap_or_default().to_owned();
    }
    values.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        for (address, shown) in [
            (
                "postgres://me:s3cret@db:5433/shop?password=s3cret",
                "db:5433/shop",
            ),
            ("postgres://db/shop", "db/shop"),
            ("sqlite:///tmp/a.db?mode=ro", "/tmp/a.db"),
            ("sqlite:data/a.db", "data/a.db"),
            ("postgres://me:s3cret@[", ""),
            ("postgres://me:4711/s3cret@db/shop", ""),
            ("odbc:shop", "shop"),
            (
                "odbc:Driver={My Driver};Server=db;UID=me;PWD={s3cret}",
                "My Driver, db",
            ),
        ] {
            assert_eq!(place(address).unwrap_or_default(), shown, "{address}");
        }
    }
}
