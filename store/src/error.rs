//! What a database's error means for the history: whether another try may help, and what a person can do.

use std::path::Path;

use pipectl_engine::{
    id::RunId,
    store::{NewRun, StoreError},
};
use sqlx::{Error, error::DatabaseError};

/// Postgres' code for a lock that was waited for in vain.
const LOCKED: &str = "55P03";

/// What an error comes to.
enum Meaning {
    /// Another try may help.
    Unavailable(String),
    /// Another try gives the same.
    Invalid(String),
}

/// The store's error for a database's error while doing `what`.
pub(crate) fn failed(what: &str, error: Error) -> StoreError {
    if let Error::Database(database) = &error
        && database.code().as_deref() == Some(LOCKED)
    {
        return StoreError::locked(format!("cannot {what}"));
    }
    let meaning = match &error {
        Error::Database(database) => of_database(&**database),
        Error::Io(_) => Meaning::Unavailable("the connection to the database is broken".to_owned()),
        Error::Tls(_) => {
            Meaning::Invalid("the database and this program do not agree on TLS".to_owned())
        }
        Error::PoolTimedOut => Meaning::Unavailable(
            "the database cannot be reached, or all connections to it stay busy".to_owned(),
        ),
        Error::PoolClosed | Error::WorkerCrashed => {
            Meaning::Unavailable("the store is closed".to_owned())
        }
        Error::Protocol(_) => {
            Meaning::Unavailable("the database answered with something unexpected".to_owned())
        }
        _ => Meaning::Invalid("the history is not as it should be".to_owned()),
    };
    // What a database says of itself stands in the message already.
    let source = match error {
        Error::Database(_) => None,
        other => Some(other.into()),
    };
    match meaning {
        Meaning::Unavailable(why) => StoreError::Unavailable {
            message: format!("cannot {what}: {why}"),
            source,
        },
        Meaning::Invalid(why) => StoreError::Invalid {
            message: format!("cannot {what}: {why}"),
            source,
        },
    }
}

/// The error of reading the history.
pub(crate) fn reading(error: Error) -> StoreError {
    failed("read the history", error)
}

/// The error of writing the history.
pub(crate) fn writing(error: Error) -> StoreError {
    failed("write the history", error)
}

/// The error of a run that is not there.
pub(crate) fn unknown(run: RunId) -> StoreError {
    StoreError::NotFound(format!("run {run}"))
}

/// The error of a value that does not read back.
pub(crate) fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    let message = "the history holds something that this program does not understand".to_owned();
    StoreError::Invalid {
        message,
        source: Some(error.into()),
    }
}

/// The error of a run that was there when its like was to be made, and then was not.
pub(crate) fn removed(run: &NewRun) -> StoreError {
    let message = format!(
        "the run that {} has for this trigger was removed just now",
        run.pipeline
    );
    StoreError::unavailable(message, "try again")
}

/// The error of a directory or file that cannot be had.
pub(crate) fn of_path(what: &str, path: &Path, error: std::io::Error) -> StoreError {
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "; is it writable?"
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "; free some space",
        _ => "",
    };
    StoreError::unavailable(format!("cannot {what} {}{hint}", path.display()), error)
}

fn of_database(error: &dyn DatabaseError) -> Meaning {
    let code = error.code().unwrap_or_default();
    // Postgres' SQLSTATE has five characters, SQLite's extended result code is a number whose low byte says the kind.
    match (code.len(), code.parse::<u32>()) {
        (5, _) => of_postgres(&code, error),
        (_, Ok(code)) => of_sqlite(code & 0xff, error),
        _ => Meaning::Invalid(error.message().to_owned()),
    }
}

fn of_postgres(code: &str, error: &dyn DatabaseError) -> Meaning {
    let message = error.message();
    match code {
        "28P01" | "28000" => {
            Meaning::Invalid(format!("{message}; check user and password in the address"))
        }
        "3D000" => Meaning::Invalid(format!("{message}; create it or change the address")),
        "42501" => Meaning::Invalid(format!(
            "{message}; the user needs the right to create and use the schema `pipectl`"
        )),
        "26000" | "42P05" => Meaning::Invalid(format!(
            "{message}; a pooler on the way does not keep prepared statements: set `max_prepared_statements` (PgBouncer 1.21 or newer), or let it pool sessions"
        )),
        "08P01" if message.contains("startup parameter") => Meaning::Invalid(format!(
            "{message}; let the pooler pass it over: `ignore_startup_parameters = extra_float_digits,options`"
        )),
        "53100" => Meaning::Unavailable("the database's disk is full".to_owned()),
        "25006" => Meaning::Unavailable("the database is read-only; is it a standby?".to_owned()),
        _ if ["08", "40", "53", "55", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Meaning::Unavailable(message.to_owned())
        }
        _ => Meaning::Invalid(message.to_owned()),
    }
}

fn of_sqlite(code: u32, error: &dyn DatabaseError) -> Meaning {
    match code {
        5 | 6 => Meaning::Unavailable("the database is locked by another process".to_owned()),
        8 => {
            Meaning::Unavailable("the database is read-only; is its directory writable?".to_owned())
        }
        10 => Meaning::Unavailable("the disk cannot be read or written".to_owned()),
        13 => Meaning::Unavailable("the disk is full; free some space".to_owned()),
        14 => Meaning::Unavailable(
            "the database file cannot be opened; is its directory writable?".to_owned(),
        ),
        11 => Meaning::Invalid("the database file is damaged".to_owned()),
        26 => Meaning::Invalid("the file is not an SQLite database".to_owned()),
        _ => Meaning::Invalid(error.message().to_owned()),
    }
}
