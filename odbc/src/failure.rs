//! What the driver manager complains about.

use odbc_api::Error;
use pipectl_connections::OdbcFailure;

/// A complaint of a driver or its manager.
pub(crate) fn refused(error: Error) -> OdbcFailure {
    match error {
        Error::Diagnostics { record, .. }
        | Error::UnsupportedOdbcApiVersion(record)
        | Error::UnableToRepresentNull(record)
        | Error::OracleOdbcDriverDoesNotSupport64Bit(record)
        | Error::InvalidRowArraySize { record, .. } => OdbcFailure::Refused {
            state: record.state.as_str().to_owned(),
            message: plain(&String::from_utf16_lossy(&record.message)),
        },
        other => OdbcFailure::Other(plain(&other.to_string())),
    }
}

/// The message in one line, without the names of those who pass it on: `[unixODBC][Driver]…`. What a driver repeats
/// stands once.
fn plain(message: &str) -> String {
    let mut text = message.trim_matches(['\0', ' ', '\n']);
    while let Some((_, rest)) = text
        .strip_prefix('[')
        .and_then(|named| named.split_once(']'))
        .filter(|(name, _)| !name.contains('\n'))
    {
        text = rest.trim_start();
    }
    // Words of the statement's end that psqlODBC adds.
    let text = text.split(";\nError while").next().unwrap_or(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_the_database_says() {
        for (message, expected) in [
            (
                "[unixODBC][Driver Manager]Can't open lib 'x' : file not found",
                "Can't open lib 'x' : file not found",
            ),
            (
                "ERROR: relation \"a\" does not exist;\nError while preparing parameters",
                "ERROR: relation \"a\" does not exist",
            ),
            ("[SQLite]no such table: a (1)", "no such table: a (1)"),
            ("plain\n text", "plain text"),
        ] {
            assert_eq!(plain(message), expected);
        }
    }
}
