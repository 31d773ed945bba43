//! Speaks to databases by the system's ODBC driver manager: rows come and go in batches, column by column.
//!
//! It is a crate of its own because it needs the driver manager's library (`unixODBC`), which is nothing that
//! everybody has. The binary hands it to its connections when it is built with the feature `odbc`.

mod failure;
mod gather;
mod read;
mod session;
mod value;
mod write;

use odbc_api::{ConnectionOptions, environment};
use pipectl_connections::{OdbcFailure, OdbcManager, OdbcSession};

use self::{failure::refused, session::Session};

/// How many seconds a server may take to let us in.
const LOGIN: u32 = 10;

/// The driver manager of this system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manager;

impl OdbcManager for Manager {
    fn connect(&self, text: &str) -> Result<Box<dyn OdbcSession>, OdbcFailure> {
        let options = ConnectionOptions {
            login_timeout_sec: Some(LOGIN),
            ..ConnectionOptions::default()
        };
        let environment = environment().map_err(refused)?;
        let connection = environment.connect_with_connection_string(text, options);
        Ok(Box::new(Session::new(connection.map_err(refused)?)))
    }
}
