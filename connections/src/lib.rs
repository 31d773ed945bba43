//! Opens databases, buckets, APIs and mail servers: addresses, TLS, secrets, and whose fault a failure is.
//!
//! An address with its credentials comes in as data ([`pipectl_engine::connection::Connection`]); what goes out in
//! messages is never more than the host and the database's name.

mod bucket;
mod connector;
mod disk;
mod entry;
mod failure;
mod files;
mod http;
mod mlflow;
mod object;
mod odbc;
mod odbc_address;
mod pattern;
mod place;
mod restore;
mod settle;
mod smtp;
mod things;
mod transfer;

pub use bucket::Bucket;
pub use connector::{Connector, DATABASES, Database, is_database, local_directory, no_database};
pub use entry::Entry;
pub use failure::database_error;
pub use files::{Found, io_error, io_failure, look, matching, watched};
pub use http::{Answer, Call, Caller, Fetched, HttpClient, Patience, SharedTurns, Target, Turns};
pub use mlflow::{Mlflow, MlflowModel, MlflowRun, RunFacts};
pub use object::{ObjectPlace, is_object_store, object_error, object_place};
pub use odbc::{
    OdbcColumn, OdbcDatabase, OdbcFailure, OdbcKind, OdbcManager, OdbcQuery, OdbcRows, OdbcSession,
    OdbcValue,
};
pub use pattern::{is_pattern, matches_below};
pub use place::{described, located};
pub use restore::{Restored, restore_thing};
pub use settle::{Settled, file_now, settle_thing};
pub use smtp::{MailServer, mail_hint, mail_server};
pub use things::{Looked, Sight, list_many, things};
