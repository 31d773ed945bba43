//! The ledger in a database behind an ODBC driver, where one can be made.

use pipectl_connections::OdbcValue;
use pipectl_engine::operator::{TaskContext, TaskError};
use polars::prelude::DataType;

use super::{
    job::{Identity, LEDGER},
    odbc::Session,
    table::TableName,
};

/// The table in which each piece of work is entered once.
pub(super) struct Ledger {
    table: String,
    identity: Identity,
}

/// What is told when there is none.
pub(crate) const NONE: &str = "no table `pipectl_ledger` can be made there: a process that is lost right after its commit is \
                               not known to have been there, and its rows are written again";

impl Ledger {
    /// The ledger beside a table. It is made if it is not there; nothing when that is not allowed.
    pub(super) fn ready(
        session: &mut Session,
        beside: Option<&TableName>,
        context: &TaskContext,
    ) -> Option<Self> {
        let name = beside.map_or_else(
            || TableName {
                schema: None,
                name: LEDGER.to_owned(),
            },
            |table| table.beside(LEDGER),
        );
        let dialect = session.dialect;
        let table = dialect.table(&name);
        if session.columns(&name).is_err() {
            let whole = dialect.type_of(&DataType::Int64, false);
            let whole = whole.unwrap_or_else(|| "bigint".to_owned());
            let quoted = |name: &str| dialect.quoted(name);
            let sql = format!(
                "create table {table} ({} varchar(64) not null, {} varchar(255) not null, {} {whole} not null, \
                 {} {whole} not null, {} {whole} not null, primary key ({}))",
                quoted("run"),
                quoted("task"),
                quoted("element"),
                quoted("redo"),
                quoted("rows"),
                dialect.list(["run", "task", "element", "redo"]),
            );
            // Another attempt may have made it in the meantime.
            if let Err(error) = session.execute(&sql, &[])
                && session.columns(&name).is_err()
            {
                context.log.warn(error.full_message());
                return None;
            }
        }
        Some(Self {
            table,
            identity: Identity::of(context),
        })
    }

    /// How many rows an earlier attempt has written, if one has; else the work is entered, in the transaction that is
    /// open.
    pub(super) fn claim(&self, session: &mut Session, rows: u64) -> Result<Option<u64>, TaskError> {
        let dialect = session.dialect;
        let sql = format!(
            "select {} from {} where {}",
            dialect.quoted("rows"),
            self.table,
            same(session)
        );
        let found = session.first(&sql, &self.values())?;
        if found.height() > 0 {
            let rows = found
                .columns()
                .first()
                .and_then(|column| column.get(0).ok());
            let rows = rows.and_then(|rows| rows.extract::<u64>());
            return Ok(Some(rows.unwrap_or(0)));
        }
        let sql = format!(
            "insert into {} ({}) values (?, ?, ?, ?, ?)",
            self.table,
            dialect.list(["run", "task", "element", "redo", "rows"])
        );
        let mut values = self.values();
        values.push(whole(rows));
        session.execute(&sql, &values)?;
        Ok(None)
    }

    /// Says how many rows it were, when that is known only now.
    pub(super) fn counted(&self, session: &mut Session, rows: u64) -> Result<(), TaskError> {
        let sql = format!(
            "update {} set {} = ? where {}",
            self.table,
            session.dialect.quoted("rows"),
            same(session)
        );
        let mut values = vec![whole(rows)];
        values.extend(self.values());
        session.execute(&sql, &values).map(drop)
    }

    fn values(&self) -> Vec<OdbcValue> {
        let Identity {
            run,
            task,
            element,
            redo,
        } = &self.identity;
        vec![
            OdbcValue::Text(run.clone()),
            OdbcValue::Text(task.clone()),
            OdbcValue::Integer(i64::from(*element)),
            OdbcValue::Integer(i64::from(*redo)),
        ]
    }
}

fn same(session: &Session) -> String {
    let names = ["run", "task", "element", "redo"];
    let equal = names.map(|name| format!("{} = ?", session.dialect.quoted(name)));
    equal.join(" and ")
}

fn whole(rows: u64) -> OdbcValue {
    OdbcValue::Integer(i64::try_from(rows).unwrap_or(i64::MAX))
}
