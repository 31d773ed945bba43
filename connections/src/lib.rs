//! Opens databases and mail servers: addresses, TLS, secrets, and whose fault a failure is.
//!
//! An address with its credentials comes in as data ([`pipectl_engine::connection::Connection`]); what goes out in
//! messages is never more than the host and the database's name.

mod connector;
mod failure;
mod place;
mod smtp;

pub use connector::{Connector, Database};
pub use failure::database_error;
pub use place::described;
pub use smtp::{MailServer, mail_server};
