//! Statements in one transaction of Postgres, with the ledger's entry.

use pipectl_engine::{
    failpoint,
    operator::{SqlText, TaskContext, TaskError},
};
use sqlx::{AssertSqlSafe, Connection as _, PgPool};

use super::{
    bound,
    job::{LEDGER, Once},
    postgres_session::Session,
    table::TableName,
};

/// Runs the statements one after the other; gives how many rows each has touched.
pub(super) async fn run(
    pool: &PgPool,
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
    session.make_ledger(pool, &ledger).await?;
    let mut connection = pool.acquire().await.map_err(fail)?;
    // A statement that is given up would go on, and hold up whoever gets the connection next.
    connection.close_on_drop();
    // The statements may change the tables that earlier ones were prepared for.
    connection.clear_cached_statements().await.map_err(fail)?;
    let mut transaction = connection.begin().await.map_err(fail)?;
    if let Some(before) = session.enter(&mut transaction, &ledger, 0).await? {
        return Ok(Once::Before(before));
    }
    let mut rows = Vec::new();
    for (number, statement) in (1..).zip(statements) {
        let refused = |error| super::at_statement(session.fail(error), number, statements.len());
        let done = async {
            let prepared = bound::prepare(&mut transaction, statement, refused).await?;
            prepared.bind(&mut transaction).await.map_err(refused)?;
            let query = sqlx::query(AssertSqlSafe(prepared.sql.clone())).persistent(false);
            query.execute(&mut *transaction).await.map_err(refused)
        };
        let done = tokio::select! {
            done = done => done?,
            () = context.cancel.cancelled() => return Err(super::stopped_statements()),
        };
        rows.push(done.rows_affected());
    }
    let total = rows.iter().sum();
    session.counted(&mut transaction, &ledger, total).await?;
    failpoint::hit("run_sql_before_commit");
    transaction.commit().await.map_err(fail)?;
    failpoint::hit("run_sql_after_commit");
    Ok(Once::Now(rows))
}
