//! A session of a database.

use odbc_api::{Connection, parameter::InputParameter};
use pipectl_connections::{OdbcColumn, OdbcFailure, OdbcQuery, OdbcRows, OdbcSession, OdbcValue};
use polars::prelude::DataFrame;

use crate::{
    failure::refused,
    read::{columns_of, read},
    value::parameter,
    write::write,
};

/// A session. Its connection is only gone after it was dropped.
pub(crate) struct Session {
    connection: Option<Connection<'static>>,
    transaction: bool,
}

impl Session {
    pub(crate) fn new(connection: Connection<'static>) -> Self {
        Self {
            connection: Some(connection),
            transaction: false,
        }
    }

    fn connection(&self) -> Result<&Connection<'static>, OdbcFailure> {
        let gone = || OdbcFailure::Other("the session is over".to_owned());
        self.connection.as_ref().ok_or_else(gone)
    }

    /// Ends the transaction by `end`.
    fn ended(
        &mut self,
        end: impl Fn(&Connection<'static>) -> Result<(), odbc_api::Error>,
    ) -> Result<(), OdbcFailure> {
        let connection = self.connection()?;
        end(connection).map_err(refused)?;
        connection.set_autocommit(true).map_err(refused)?;
        self.transaction = false;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.transaction && self.rollback().is_err() {
            // It is lost with its server, and could not even be closed.
            std::mem::forget(self.connection.take());
        }
    }
}

/// Values as parameters.
pub(crate) fn parameters(values: &[OdbcValue]) -> Vec<Box<dyn InputParameter>> {
    values.iter().map(parameter).collect()
}

impl OdbcSession for Session {
    fn system(&mut self) -> Result<(String, Option<char>), OdbcFailure> {
        let connection = self.connection()?;
        let name = connection.database_management_system_name();
        let quote = connection.identifier_quote_char().map_err(refused)?;
        Ok((name.map_err(refused)?, quote.filter(|quote| *quote != ' ')))
    }

    fn describe(
        &mut self,
        sql: &str,
        values: &[OdbcValue],
    ) -> Result<Vec<OdbcColumn>, OdbcFailure> {
        let parameters = parameters(values);
        let cursor = self
            .connection()?
            .execute(sql, parameters.as_slice(), None)
            .map_err(refused)?;
        cursor.map_or_else(|| Ok(Vec::new()), |mut cursor| columns_of(&mut cursor))
    }

    fn read(&mut self, query: &OdbcQuery<'_>, rows: &mut dyn OdbcRows) -> Result<(), OdbcFailure> {
        read(self.connection()?, query, rows)
    }

    fn execute(&mut self, sql: &str, values: &[OdbcValue]) -> Result<u64, OdbcFailure> {
        let parameters = parameters(values);
        let mut statement = self.connection()?.preallocate().map_err(refused)?;
        statement
            .execute(sql, parameters.as_slice())
            .map_err(refused)?;
        // Nothing is known of statements that touch no rows.
        let rows = statement.row_count().ok().flatten().unwrap_or(0);
        Ok(rows as u64)
    }

    fn write(
        &mut self,
        sql: &str,
        rows: &DataFrame,
        going: &dyn Fn() -> bool,
    ) -> Result<(), OdbcFailure> {
        write(self.connection()?, sql, rows, going)
    }

    fn begin(&mut self) -> Result<(), OdbcFailure> {
        self.connection()?.set_autocommit(false).map_err(refused)?;
        self.transaction = true;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), OdbcFailure> {
        self.ended(odbc_api::Connection::commit)
    }

    fn rollback(&mut self) -> Result<(), OdbcFailure> {
        self.ended(odbc_api::Connection::rollback)
    }
}
