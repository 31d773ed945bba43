//! Whose fault a database's failure is, and whether another try can help.

use pipectl_engine::operator::{Fault, TaskError};

/// A failure of a database as a task's failure. `doing` says what was tried, as in ``read from `warehouse` ``.
pub fn database_error(doing: &str, error: sqlx::Error) -> TaskError {
    let verdict = match &error {
        sqlx::Error::Database(inner) => {
            // Postgres has five characters, SQLite a number.
            let code = inner.code().unwrap_or_default();
            if code.len() == 5
                && !code.starts_with("SQLITE")
                && inner
                    .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                    .is_some()
            {
                postgres(&code)
            } else {
                sqlite(&code)
            }
        }
        sqlx::Error::Io(error) if is_unknown_host(error) => {
            Verdict::outside("is the host's name in the address right?")
        }
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => {
            Verdict::outside("is the server running, and does a firewall let us through?")
        }
        sqlx::Error::Tls(error) if error.to_string().contains("not support TLS") => Verdict {
            retryable: false,
            ..Verdict::outside(
                "the server speaks without encryption only: let it have a certificate, or leave `ca_file` and `sslmode` out where the network is trusted",
            )
        },
        sqlx::Error::Tls(_) => Verdict {
            retryable: false,
            ..Verdict::outside(
                "if the server has a certificate of an own authority, name its file as `ca_file` of the connection",
            )
        },
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => {
            Verdict::user("see the address of the connection")
        }
        sqlx::Error::Protocol(_) => Verdict {
            fault: Fault::External,
            retryable: true,
            hint: None,
        },
        _ => Verdict {
            fault: Fault::User,
            retryable: false,
            hint: None,
        },
    };
    let mut failure = TaskError::external(format!("cannot {doing}")).retryable(verdict.retryable);
    failure.fault = verdict.fault;
    failure.hint = hint_of(&error).or_else(|| verdict.hint.map(ToOwned::to_owned));
    failure.because(plain(error))
}

/// Whether nobody knows the host: Rust has no kind for that.
fn is_unknown_host(error: &std::io::Error) -> bool {
    error.to_string().contains("failed to lookup address")
}

/// What the server itself advises.
fn hint_of(error: &sqlx::Error) -> Option<String> {
    let postgres = error
        .as_database_error()?
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
    postgres.hint().map(ToOwned::to_owned)
}

/// The error without sqlx's introduction, with what Postgres calls the detail, or the row that it was at.
fn plain(error: sqlx::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        sqlx::Error::Database(inner) => {
            let postgres = inner.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
            let row = postgres.and_then(|error| copied_row(error.r#where()?));
            let detail = postgres.and_then(|error| error.detail().map(ToOwned::to_owned));
            match detail.or(row) {
                Some(detail) => format!("{} ({detail})", inner.message()).into(),
                None => inner.message().to_owned().into(),
            }
        }
        sqlx::Error::PoolTimedOut => "no connection was free in time".into(),
        sqlx::Error::Io(error) => Box::new(error),
        sqlx::Error::Tls(error) | sqlx::Error::Configuration(error) => error,
        other => Box::new(other),
    }
}

/// `COPY people, line 3, column name: "…"` becomes `row 3, column name`.
fn copied_row(place: &str) -> Option<String> {
    let (_, rest) = place.strip_prefix("COPY ")?.split_once(", line ")?;
    let row = rest.lines().next()?.split(':').next()?;
    Some(format!("row {row}"))
}

struct Verdict {
    fault: Fault,
    retryable: bool,
    hint: Option<&'static str>,
}

impl Verdict {
    fn outside(hint: &'static str) -> Self {
        Self {
            fault: Fault::External,
            retryable: true,
            hint: Some(hint),
        }
    }

    fn user(hint: &'static str) -> Self {
        Self {
            fault: Fault::User,
            retryable: false,
            hint: Some(hint),
        }
    }
}

/// By the classes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres(code: &str) -> Verdict {
    let plain = |fault, retryable| Verdict {
        fault,
        retryable,
        hint: None,
    };
    match code {
        "28P01" | "28000" => Verdict::user("check user and password in the connection's address"),
        "3D000" => {
            Verdict::user("create the database, or name another one in the connection's address")
        }
        "3F000" => Verdict::user("create the schema, or name another one"),
        "42501" => Verdict::user("grant the right to the connection's user"),
        "42P01" => Verdict::user(
            "see the table's name and its schema; `create: true` lets `load: sql` make it",
        ),
        "53300" => Verdict::outside(
            "the server has no free connection; raise its `max_connections` or use a pool",
        ),
        "53100" => Verdict::outside("the server's disk is full"),
        "25006" => Verdict {
            retryable: false,
            ..Verdict::outside("the server is read-only: a standby?")
        },
        // Serialization, deadlock, lock timeout.
        "40001" | "40P01" | "55P03" => plain(Fault::External, true),
        _ if code.starts_with("08")
            || code.starts_with("53")
            || code.starts_with("57")
            || code.starts_with("58") =>
        {
            plain(Fault::External, true)
        }
        _ if code.starts_with("XX") => plain(Fault::External, false),
        _ => plain(Fault::User, false),
    }
}

/// By the primary codes of <https://www.sqlite.org/rescode.html>; the extended ones carry them in their low byte.
fn sqlite(code: &str) -> Verdict {
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => Verdict::outside("another program holds a lock on the file"),
        Ok(8) => Verdict {
            retryable: false,
            ..Verdict::outside("the file or its directory is read-only")
        },
        Ok(13) => Verdict::outside("the disk is full"),
        Ok(14) => Verdict {
            retryable: false,
            ..Verdict::outside("does its directory exist, and may we write there?")
        },
        Ok(10) => Verdict {
            fault: Fault::External,
            retryable: true,
            hint: None,
        },
        Ok(11 | 26) => Verdict::user("the file is no SQLite database, or it is damaged"),
        _ => Verdict {
            fault: Fault::User,
            retryable: false,
            hint: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whose_fault_it_is() {
        for (code, fault, retryable) in [
            ("28P01", Fault::User, false),
            ("42P01", Fault::User, false),
            ("23505", Fault::User, false),
            ("40001", Fault::External, true),
            ("40P01", Fault::External, true),
            ("53300", Fault::External, true),
            ("57P01", Fault::External, true),
            ("25006", Fault::External, false),
        ] {
            let verdict = postgres(code);
            assert_eq!(
                (verdict.fault, verdict.retryable),
                (fault, retryable),
                "{code}"
            );
        }
        for (code, fault, retryable) in [
            ("5", Fault::External, true),
            ("517", Fault::External, true),
            ("14", Fault::External, false),
            ("1", Fault::User, false),
        ] {
            let verdict = sqlite(code);
            assert_eq!(
                (verdict.fault, verdict.retryable),
                (fault, retryable),
                "{code}"
            );
        }
    }

    #[test]
    fn the_row_of_a_copy_is_told() {
        let place = "COPY people, line 3, column name: \"o'hara\"";
        assert_eq!(copied_row(place).as_deref(), Some("row 3, column name"));
        assert_eq!(copied_row("SQL statement \"select 1\""), None);
    }

    #[test]
    fn hosts_that_nobody_knows_and_missing_encryption_have_hints_of_their_own() {
        let unknown = std::io::Error::other(
            "failed to lookup address information: Name or service not known",
        );
        let plain = "server does not support TLS";
        let authority = "invalid peer certificate: UnknownIssuer";
        for (error, retryable, hint) in [
            (
                sqlx::Error::Io(unknown),
                true,
                "is the host's name in the address right?",
            ),
            (
                sqlx::Error::Tls(plain.into()),
                false,
                "the server speaks without encryption only",
            ),
            (
                sqlx::Error::Tls(authority.into()),
                false,
                "if the server has a certificate of an own authority",
            ),
        ] {
            let error = database_error("reach `warehouse`", error);
            assert_eq!((error.fault, error.retryable), (Fault::External, retryable));
            let said = error.hint.unwrap();
            assert!(said.starts_with(hint), "{said}");
        }
    }

    #[test]
    fn a_refused_connection_may_be_tried_again() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = database_error("reach `warehouse`", sqlx::Error::Io(refused));
        assert_eq!((error.fault, error.retryable), (Fault::External, true));
        assert!(
            error
                .full_message()
                .starts_with("cannot reach `warehouse`: connection refused")
        );
    }
}
