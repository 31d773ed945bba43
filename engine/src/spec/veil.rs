//! What of a line must not be shown: passwords of addresses, and what stands behind a key whose name says that it is a secret.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

/// An address with a password.
static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"://[^:@/\s"']*:([^\s"']*)@"#).ok());
/// A key, up to where its value begins.
static KEY: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"([\w.-]+)["']?\s*:\s+|([\w.-]+)["']:\s*"#).ok());

/// Words of keys that are secrets.
const WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "token",
    "authorization",
    "bearer",
    "cookie",
    "sas",
    "credential",
];
/// What keys that are secrets end with.
const KEYS: [&str; 6] = [
    "api_key",
    "apikey",
    "access_key",
    "account_key",
    "private_key",
    "encryption_key",
];

/// The line with a star for each letter of a secret: what is complained of may stand beside one, and complaints are kept in
/// logs.
pub(super) fn veiled(line: &str) -> String {
    let addresses = ADDRESS
        .iter()
        .flat_map(|address| address.captures_iter(line));
    let passwords = addresses.filter_map(|found| Some(found.get(1)?.range()));
    let keys = KEY.iter().flat_map(|key| key.captures_iter(line));
    let values = keys.filter_map(|found| {
        let key = found.get(1).or_else(|| found.get(2))?;
        is_secret(key.as_str()).then_some(())?;
        value(line, found.get(0)?.end())
    });
    let secrets: Vec<Range<usize>> = passwords.chain(values).collect();
    let hides = |place: usize| secrets.iter().any(|secret| secret.contains(&place));
    let letters = line.char_indices();
    let shown = letters.map(|(place, letter)| if hides(place) { '*' } else { letter });
    shown.collect()
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['-', '.'], "_");
    let mut words = key.split('_');
    words.any(|word| WORDS.contains(&word)) || KEYS.iter().any(|end| key.ends_with(end))
}

/// The value that begins here. What is a reference to a secret is none: an expression, or a map that says where it is.
fn value(line: &str, start: usize) -> Option<Range<usize>> {
    let rest = line.get(start..)?;
    let length = match rest.chars().next()? {
        '{' | '[' => return None,
        '$' if rest.starts_with("${{") => return None,
        quote @ ('"' | '\'') => {
            let closed = rest.get(1..)?.find(quote);
            closed.map_or(rest.len(), |end| end + 2)
        }
        _ if in_flow(line.get(..start)?) => rest.find([',', '}', ']']).unwrap_or(rest.len()),
        _ => rest.find(" #").unwrap_or(rest.len()),
    };
    let text = rest.get(..length)?.trim_end();
    (!text.is_empty()).then(|| start..start + text.len())
}

/// Whether a map of one line is open behind this text.
fn in_flow(before: &str) -> bool {
    let count = |bracket: char| before.matches(bracket).count();
    count('{') > count('}') || count('[') > count(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (line, shown) in [
            (
                "w: {url: \"postgres://me:s3/c@ret@h/d\", tipo: 1}",
                "w: {url: \"postgres://me:********@h/d\", tipo: 1}",
            ),
            ("smtp: smtp://a:b@c:25 x", "smtp: smtp://a:*@c:25 x"),
            (
                "basic: {password: hünd chen, x: 1}",
                "basic: {password: *********, x: 1}",
            ),
            ("  secret_access_key: 'abc'", "  secret_access_key: *****"),
            ("password: \"ab,c}ef\"  # why", "password: *********  # why"),
            ("{password: 'ab,c', x: 1}", "{password: ******, x: 1}"),
            ("password: $ecret, more", "password: ************"),
            ("Pwd: a, b # old", "Pwd: **** # old"),
            ("{\"api-key\":\"x\", n: 1}", "{\"api-key\":***, n: 1}"),
            ("session_token: never ended", "session_token: ***********"),
            ("password: \"never ended", "password: ************"),
            (
                "password: {file: secret}, token: ${{ env.A }}",
                "password: {file: secret}, token: ${{ env.A }}",
            ),
            (
                "url: postgres://h:5432/d, tokenizer: a, key: id, primary_key: id",
                "url: postgres://h:5432/d, tokenizer: a, key: id, primary_key: id",
            ),
            ("password:", "password:"),
        ] {
            assert_eq!(veiled(line), shown, "{line}");
        }
    }
}
