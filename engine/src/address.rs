//! Addresses as text: which of them would be read otherwise than they are meant, and what of them must not be shown.
//!
//! This looks at the text itself. Where a parser of addresses has taken a piece of a password for a port or a path, it is too
//! late: that piece is in a message.

/// Schemes whose addresses hold no user: what stands behind them is a path, or attributes.
const WITHOUT_USER: [&str; 3] = ["sqlite", "file", "odbc"];
/// Schemes of buckets: no user either, but a place of its own in front of the path, and `@` may be part of a key.
const BUCKETS: [&str; 3] = ["s3", "gs", "az"];
/// What the name of a secret header, parameter or attribute holds.
const SECRET: [&str; 9] = [
    "key", "token", "secret", "pass", "auth", "sig", "cookie", "session", "pwd",
];
/// What is as long as this is taken for a secret whatever its name.
pub(crate) const LONG: usize = 16;

/// Whether something of this name is a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// The part of an address before `:`, in lower case.
pub(crate) fn scheme(address: &str) -> String {
    let scheme = address.split(':').next().unwrap_or_default();
    scheme.to_ascii_lowercase()
}

/// What stands behind `://`, and how much of it names the server.
fn authority(address: &str) -> Option<(&str, &str)> {
    let (_, rest) = address.split_once("://")?;
    let is_web = matches!(scheme(address).as_str(), "http" | "https");
    let ends = |letter: char| matches!(letter, '/' | '?' | '#') || (is_web && letter == '\\');
    let end = rest.find(ends).unwrap_or(rest.len());
    rest.split_at_checked(end)
}

/// Whether an address would be read otherwise than it is meant: an `@` stands where no user can end. Then a password before
/// it has ended too early, at a letter that is to be escaped, and the rest of it would be taken for a part of the place.
pub fn is_misread(address: &str) -> bool {
    let scheme = scheme(address);
    if !address.contains(':') || WITHOUT_USER.contains(&scheme.as_str()) {
        return false;
    }
    match authority(address) {
        None => address.contains('@'),
        Some((server, behind)) if BUCKETS.contains(&scheme.as_str()) => {
            server.contains(':') && behind.contains('@')
        }
        Some((_, behind)) => behind.contains('@'),
    }
}

/// What must not be shown of an address: its password, as it is written and as it is meant, and parameters by their name.
pub(crate) fn secrets(address: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |text: &str| {
        let meant = decoded(text);
        if meant != text {
            found.push(meant);
        }
        found.push(text.to_owned());
    };
    if WITHOUT_USER.contains(&scheme(address).as_str()) {
        return found;
    }
    let behind = address.split_once("://").map(|(_, rest)| rest);
    if let Some((user, _)) = behind.and_then(|rest| rest.rsplit_once('@')) {
        match user.split_once(':') {
            Some((_, password)) => add(password),
            // A token is a user without a password.
            None if user.len() >= LONG => add(user),
            None => {}
        }
    }
    let query = address.split_once('?').map_or("", |(_, query)| query);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if is_secret_name(name) {
            add(value);
        }
    }
    found.retain(|secret| !secret.is_empty());
    found
}

/// The text that `%2F` and the like stand for; what cannot be read so stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let pair = behind
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        bytes.push(pair.unwrap_or(*first));
        rest = match pair {
            Some(_) => behind.get(2..).unwrap_or_default(),
            None => behind,
        };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_ends_too_early_is_seen() {
        for address in [
            "postgres://me:4711/Secret@127.0.0.1:1/db",
            "postgres://me:47#11Secret@127.0.0.1:1/db",
            "postgres://me:47?11@127.0.0.1:1/db",
            "postgres://me:p@ss/word@127.0.0.1:1/db",
            "postgres:me:secret@127.0.0.1/db",
            "postgres:///me:secret@127.0.0.1/db",
            "https://me:47\\11@127.0.0.1:1/",
            "smtp://me:a/b@mail:25",
            "sc://me:a/b@cluster",
            "s3://key:4/secret@bucket",
        ] {
            assert!(is_misread(address), "{address}");
        }
        for address in [
            "postgres://me:p@ss@127.0.0.1:1/db",
            "postgres://me:a%2Fb%40c@db/shop?sslmode=require",
            "postgres:///shop?host=/run/postgresql",
            "sqlite:/home/me@work/a.db",
            "file:///home/me@work",
            "odbc:DSN=a;UID=me@work;PWD=x/y@z",
            "s3://bucket/day@9?endpoint=http://h:9000",
            "data/me@work",
            "https://api.example.com/v1",
        ] {
            assert!(!is_misread(address), "{address}");
        }
    }

    #[test]
    fn secrets_are_found_in_every_form() {
        for (address, expected) in [
            ("postgres://me:s3cret@db/shop", vec!["s3cret"]),
            ("postgres://me:4711/Secret@db/shop", vec!["4711/Secret"]),
            ("postgres://me:p@ss@db/shop", vec!["p@ss"]),
            ("postgres://me:a%2Fb%zz%@db", vec!["a/b%zz%", "a%2Fb%zz%"]),
            ("postgres://db/shop?user=me&password=s3cret", vec!["s3cret"]),
            (
                "https://ghp_0123456789abcdef@host/",
                vec!["ghp_0123456789abcdef"],
            ),
            ("https://me@host/", vec![]),
            ("postgres://me:@host/", vec![]),
            ("sqlite:a:b@c.db", vec![]),
        ] {
            assert_eq!(secrets(address), expected, "{address}");
        }
    }
}
