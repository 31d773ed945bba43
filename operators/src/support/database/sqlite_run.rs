//! Statements in one transaction of SQLite, with the ledger's entry.

use pipectl_engine::{
    failpoint,
    operator::{SqlText, TaskContext, TaskError},
};
use sqlx::{AssertSqlSafe, Executor as _, SqliteConnection, SqlitePool, Statement as _};

use super::{
    bound::unbound,
    job::{LEDGER, Once},
    sqlite_read::arguments,
    sqlite_session::Session,
    table::TableName,
};

/// Runs the statements one after the other; gives how many rows each has touched.
pub(super) async fn run(
    pool: &SqlitePool,
    connection: &str,
    statements: &[SqlText],
    context: &TaskContext,
) -> Result<Once<Vec<u64>>, TaskError> {
    let session = Session::new(format!("run statements on `{connection}`"), context);
    let fail = |error| session.fail(error);
    let ledger = TableName {
        schema: None,
        name: LEDGER.to_owned(),
    };
    let mut transaction = pool.begin_with("begin immediate").await.map_err(fail)?;
    if let Some(before) = session.claim(&mut transaction, &ledger, 0).await? {
        return Ok(Once::Before(before));
    }
    let mut rows = Vec::new();
    for (number, statement) in (1..).zip(statements) {
        let refused = |error| super::at_statement(session.fail(error), number, statements.len());
        if context.cancel.is_cancelled() {
            return Err(super::stopped_statements());
        }
        let text = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(statement.sql.clone()));
        let prepared = (&mut *transaction).prepare(text).await.map_err(refused)?;
        if let Some(sqlx::Either::Right(places)) = prepared.parameters()
            && places > statement.values.len()
        {
            return Err(unbound(statement.values.len()));
        }
        let values =
            arguments(&statement.values).map_err(|error| refused(sqlx::Error::Encode(error)))?;
        let query = sqlx::query_with(AssertSqlSafe(statement.sql.clone()), values);
        // What SQLite says of one statement it says again after the next one, when that touches no rows.
        let before = touched(&mut transaction).await.map_err(refused)?;
        let done = query.persistent(false).execute(&mut *transaction).await;
        done.map_err(refused)?;
        let after = touched(&mut transaction).await.map_err(refused)?;
        rows.push(u64::try_from(after - before).unwrap_or(0));
    }
    let total = rows.iter().sum();
    session.counted(&mut transaction, &ledger, total).await?;
    failpoint::hit("run_sql_before_commit");
    transaction.commit().await.map_err(fail)?;
    failpoint::hit("run_sql_after_commit");
    Ok(Once::Now(rows))
}

async fn touched(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let rows = sqlx::query_scalar("select total_changes()");
    rows.fetch_one(connection).await
}
