//! Databases behind ODBC drivers, as far as the house knows them without a driver manager.
//!
//! What speaks to the driver manager is a crate of its own, which is only built when it is asked for: it needs the
//! system's library. It is handed in as an [`OdbcManager`].

use std::{fmt, sync::Arc};

use chrono::{NaiveDate, NaiveDateTime};
use pipectl_engine::{
    connection::Connection,
    operator::{Fault, TaskError},
    secret::Secret,
};
use polars::prelude::DataFrame;

use crate::{odbc_address::connection_string, place::described};

/// Opens sessions by a driver manager. All of it blocks.
pub trait OdbcManager: fmt::Debug + Send + Sync + 'static {
    /// Connects by a connection string.
    ///
    /// # Errors
    /// When there is no such driver, or the server does not let us in.
    fn connect(&self, text: &str) -> Result<Box<dyn OdbcSession>, OdbcFailure>;
}

/// A session of a database. Dropped within a transaction it is rolled back.
pub trait OdbcSession {
    /// What the database calls itself, and what stands around names in its SQL.
    ///
    /// # Errors
    /// When the session is lost.
    fn system(&mut self) -> Result<(String, Option<char>), OdbcFailure>;

    /// The columns of a query.
    ///
    /// # Errors
    /// When it is wrong.
    fn describe(&mut self, sql: &str, values: &[OdbcValue])
    -> Result<Vec<OdbcColumn>, OdbcFailure>;

    /// The rows of a query, `most` at most.
    ///
    /// # Errors
    /// When it is wrong, a value cannot be held in a column, or it does not go on.
    fn read(&mut self, query: &OdbcQuery<'_>, rows: &mut dyn OdbcRows) -> Result<(), OdbcFailure>;

    /// Runs a statement; gives how many rows it has touched.
    ///
    /// # Errors
    /// When it is refused.
    fn execute(&mut self, sql: &str, values: &[OdbcValue]) -> Result<u64, OdbcFailure>;

    /// Runs a statement once for each row, whose values are its parameters: in batches.
    ///
    /// # Errors
    /// When a batch is refused, or it does not go on.
    fn write(
        &mut self,
        sql: &str,
        rows: &DataFrame,
        going: &dyn Fn() -> bool,
    ) -> Result<(), OdbcFailure>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the driver knows none.
    fn begin(&mut self) -> Result<(), OdbcFailure>;

    /// Ends the transaction, for good.
    ///
    /// # Errors
    /// When the database refuses, or is lost.
    fn commit(&mut self) -> Result<(), OdbcFailure>;

    /// Ends the transaction as if it had not been.
    ///
    /// # Errors
    /// When the database is lost.
    fn rollback(&mut self) -> Result<(), OdbcFailure>;
}

/// What becomes of the rows of a query.
pub trait OdbcRows {
    /// The query is run, perhaps once more: rows that were taken before are void.
    fn begin(&mut self);

    /// Takes the next rows, at least once in a run; tells whether more are wanted.
    fn take(&mut self, part: DataFrame) -> bool;
}

/// A query to be read.
#[derive(Clone, Copy)]
pub struct OdbcQuery<'a> {
    /// Its text, with a `?` for each value.
    pub sql: &'a str,
    /// The values.
    pub values: &'a [OdbcValue],
    /// How many rows are wanted at most.
    pub most: Option<usize>,
    /// Whether it is to go on.
    pub going: &'a dyn Fn() -> bool,
}

impl fmt::Debug for OdbcQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OdbcQuery").field(&self.sql).finish()
    }
}

/// A column of a query or a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OdbcColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: OdbcKind,
    /// Its type in words.
    pub type_name: String,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OdbcKind {
    /// True and false.
    Boolean,
    /// Whole numbers.
    Integer,
    /// Floating-point numbers.
    Number,
    /// Decimal numbers.
    Decimal,
    /// Text.
    Text,
    /// Days.
    Date,
    /// Times of day.
    Time,
    /// Moments without a time zone.
    Moment,
    /// Bytes.
    Bytes,
    /// Something that goes in and out as text.
    Other,
}

/// A value of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum OdbcValue {
    /// None.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A day.
    Date(NaiveDate),
    /// A moment without a time zone.
    Moment(NaiveDateTime),
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum OdbcFailure {
    /// The driver or its manager refuses.
    #[error("{message}")]
    Refused {
        /// The five characters by which drivers say what it is (`SQLSTATE`).
        state: String,
        /// In words.
        message: String,
    },
    /// A value that a column cannot hold.
    #[error("row {row} of the query: `{column}` is {what}")]
    Value {
        /// The row, from 1 on.
        row: usize,
        /// The column.
        column: String,
        /// What it is.
        what: String,
    },
    /// Rows that were refused.
    #[error("rows {first} to {last} were refused")]
    Rows {
        /// The first, from 1 on.
        first: usize,
        /// The last.
        last: usize,
        /// Why.
        source: Box<OdbcFailure>,
    },
    /// It was told to stop.
    #[error("the attempt was stopped")]
    Stopped,
    /// What cannot be.
    #[error("{0}")]
    Other(String),
}

impl OdbcFailure {
    /// The same of rows that so many others come before.
    #[must_use]
    pub fn behind(self, before: usize) -> Self {
        match self {
            Self::Rows {
                first,
                last,
                source,
            } => Self::Rows {
                first: first + before,
                last: last + before,
                source,
            },
            other => other,
        }
    }
}

/// A database behind a driver.
#[derive(Clone)]
pub struct OdbcDatabase {
    manager: Arc<dyn OdbcManager>,
    text: Secret,
    secrets: Vec<String>,
}

impl fmt::Debug for OdbcDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OdbcDatabase").field(&self.manager).finish()
    }
}

impl OdbcDatabase {
    /// The database behind a connection, once it has let us in.
    pub(crate) async fn open(
        manager: Option<&Arc<dyn OdbcManager>>,
        connection: &Connection,
    ) -> Result<Self, TaskError> {
        let Some(manager) = manager else {
            return Err(TaskError::user(format!(
                "connection `{}` is one of ODBC, which this pipectl is built without",
                connection.name
            ))
            .hint("build one with it: `cargo build --release --features odbc` needs unixODBC (`unixodbc-dev`)"));
        };
        let database = Self {
            manager: Arc::clone(manager),
            text: Secret::new(connection_string(connection)),
            secrets: connection.secrets(),
        };
        let (inner, reach) = (database.clone(), format!("reach {}", described(connection)));
        crate::disk::blocking(move || {
            let reached = inner.connect().map(drop);
            reached.map_err(|failure| inner.error(&reach, &failure))
        })
        .await?;
        Ok(database)
    }

    /// A new session. This blocks.
    ///
    /// # Errors
    /// When the server does not let us in.
    pub fn connect(&self) -> Result<Box<dyn OdbcSession>, OdbcFailure> {
        self.manager.connect(self.text.expose())
    }

    /// A failure as a task's; `doing` says what was tried, as in ``read from `warehouse` ``.
    pub fn error(&self, doing: &str, failure: &OdbcFailure) -> TaskError {
        let (fault, retryable, hint) = verdict(failure);
        let mut text = failure.to_string();
        if let OdbcFailure::Rows { source, .. } = failure {
            text = format!("{text}: {source}");
        }
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        let mut error = match failure {
            OdbcFailure::Value { .. } | OdbcFailure::Stopped => TaskError::external(text),
            _ => TaskError::external(format!("cannot {doing}")).because(text),
        };
        error = error.retryable(retryable);
        error.fault = fault;
        error.hint = hint.map(ToOwned::to_owned);
        error
    }
}

type Verdict = (Fault, bool, Option<&'static str>);

/// Whose fault it is, whether another try can help, and what to do.
fn verdict(failure: &OdbcFailure) -> Verdict {
    match failure {
        OdbcFailure::Refused { state, message } => refusal(state, &message.to_ascii_lowercase()),
        OdbcFailure::Rows { source, .. } => verdict(source),
        OdbcFailure::Value { .. } => (
            Fault::User,
            false,
            Some("change it in the query, for example by a `cast`"),
        ),
        OdbcFailure::Stopped => (Fault::External, true, None),
        OdbcFailure::Other(_) => (Fault::External, false, None),
    }
}

/// By the classes of ISO 9075 and those of ODBC; drivers that do not keep to them are known by their words.
fn refusal(state: &str, message: &str) -> Verdict {
    let password = [
        "password authentication failed",
        "access denied",
        "login failed",
        "no password supplied",
        "ora-01017",
    ];
    if state.starts_with("28") || password.iter().any(|words| message.contains(words)) {
        let hint = "check user and password of the connection";
        return (Fault::User, false, Some(hint));
    }
    match state {
        "IM002" | "IM003" | "IM004" | "IM012" => driver(),
        _ if message.contains("can't open lib") => driver(),
        "42S02" | "42P01" => (
            Fault::User,
            false,
            Some("see the table's name and its schema; `create: true` lets `load: sql` make it"),
        ),
        "3D000" => (
            Fault::User,
            false,
            Some("create the database, or name another one in the connection's address"),
        ),
        "40001" | "40P01" | "55P03" | "HYT00" | "HYT01" => (Fault::External, true, None),
        // SQLite's driver has one state for all.
        "HY000" if message.contains("locked") || message.contains("busy") => (
            Fault::External,
            true,
            Some("another program holds a lock on the file"),
        ),
        _ if state.starts_with("08") || state.starts_with("57") || state.starts_with("53") => (
            Fault::External,
            true,
            Some("is the server running, and does a firewall let us through?"),
        ),
        _ => (Fault::User, false, None),
    }
}

fn driver() -> Verdict {
    let hint = "`odbcinst -q -d` lists the drivers, `odbcinst -q -s` the data sources that the machine has";
    (Fault::User, false, Some(hint))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pipectl_engine::connection::Origin;

    use super::*;

    #[test]
    fn states_and_words_say_whose_fault_it_is() {
        for (state, message, fault, retryable) in [
            ("28000", "", Fault::User, false),
            (
                "08001",
                "FATAL: password authentication failed for user \"me\"",
                Fault::User,
                false,
            ),
            ("08001", "connection refused", Fault::External, true),
            ("IM002", "data source name not found", Fault::User, false),
            ("01000", "Can't open lib 'none'", Fault::User, false),
            ("40001", "deadlock", Fault::External, true),
            ("23505", "duplicate key", Fault::User, false),
            ("HY000", "database is locked", Fault::External, true),
        ] {
            let failure = OdbcFailure::Refused {
                state: state.to_owned(),
                message: message.to_owned(),
            };
            let (found, again, _) = verdict(&failure);
            assert_eq!((found, again), (fault, retryable), "{state} {message}");
        }
    }

    #[tokio::test]
    async fn without_a_manager_it_is_told_how_to_get_one() {
        let connection = Connection {
            name: "shop".to_owned(),
            url: Secret::new("odbc:shop".to_owned()),
            settings: BTreeMap::new(),
            origin: Origin::File,
        };
        let error = OdbcDatabase::open(None, &connection).await.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "connection `shop` is one of ODBC, which this pipectl is built without"
            )
        );
        assert!(error.hint.unwrap().contains("--features odbc"));
    }
}
