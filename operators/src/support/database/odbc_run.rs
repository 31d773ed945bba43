//! Statements in one transaction of a database behind an ODBC driver, with the ledger's entry.

use pipectl_connections::OdbcDatabase;
use pipectl_engine::{
    failpoint,
    operator::{SqlText, TaskContext, TaskError},
};

use super::{
    job::Once,
    odbc::{Session, positional},
    odbc_ledger::Ledger,
};

/// Runs the statements one after the other; gives how many rows each has touched.
pub(super) async fn run(
    database: &OdbcDatabase,
    connection: &str,
    statements: &[SqlText],
    context: &TaskContext,
) -> Result<Once<Vec<u64>>, TaskError> {
    let (database, inner) = (database.clone(), context.clone());
    let (statements, doing) = (
        statements.to_vec(),
        format!("run statements on `{connection}`"),
    );
    let work = move || {
        let mut session = Session::open(&database, doing, &inner)?;
        let ledger = Ledger::ready(&mut session, None, &inner);
        session.with(|session| session.begin())?;
        if let Some(ledger) = &ledger
            && let Some(before) = ledger.claim(&mut session, 0)?
        {
            return Ok(Once::Before(before));
        }
        let mut rows = Vec::new();
        for (number, statement) in (1..).zip(&statements) {
            if inner.cancel.is_cancelled() {
                return Err(super::stopped_statements());
            }
            let (sql, values) = positional(statement)?;
            let touched = session.execute(&sql, &values);
            let refused = |error| super::at_statement(error, number, statements.len());
            rows.push(touched.map_err(refused)?);
        }
        if let Some(ledger) = &ledger {
            ledger.counted(&mut session, rows.iter().sum())?;
        }
        failpoint::hit("run_sql_before_commit");
        session.with(|session| session.commit())?;
        failpoint::hit("run_sql_after_commit");
        Ok(match ledger {
            Some(_) => Once::Now(rows),
            None => Once::Unkept(rows),
        })
    };
    context.compute(work).await
}
