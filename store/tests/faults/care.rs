//! The care of history: nothing is left behind, and nothing is read that need not be.

use std::collections::BTreeMap;

use pipectl_engine::{id::RunId, store::conformance};
use pipectl_test_support::TestPostgres;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

use super::helper::open;

/// The tables from which a run's rows need not go, with how many stay of a run that has something in each.
const STAYS: [(&str, i64); 2] = [("outbox", 1), ("things", 1)];

/// Compares what there was of a run in each table that names runs with what is left of it.
fn compare(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) {
    assert!(before.len() > 12, "{before:?}");
    for (table, count) in before {
        assert!(
            *count > 0,
            "`conformance::full::full_run` leaves nothing in the table `{table}`"
        );
        let stays = STAYS.iter().find(|(name, _)| name == table);
        let stays = stays.map_or(0, |(_, count)| *count);
        assert_eq!(after[table], stays, "rows of a removed run in `{table}`");
    }
}

macro_rules! counts {
    ($pool:expr, $tables:expr, $run:expr) => {{
        let tables: Vec<String> = sqlx::query_scalar($tables).fetch_all($pool).await.unwrap();
        let mut counts = BTreeMap::new();
        for table in tables {
            let column = if table == "runs" { "id" } else { "run" };
            let schema = if $tables.contains("information_schema") {
                "pipectl."
            } else {
                ""
            };
            let sql = format!("select count(*) from {schema}{table} where {column} = $1");
            let count = sqlx::query_scalar(AssertSqlSafe(sql)).bind($run);
            counts.insert(table, count.fetch_one($pool).await.unwrap());
        }
        counts
    }};
}

#[tokio::test]
async fn a_removed_run_leaves_nothing_in_postgres() {
    const TABLES: &str = "select distinct table_name::text from information_schema.columns
        where table_schema = 'pipectl' and (column_name = 'run' or table_name = 'runs')";
    let address = TestPostgres::shared().database();
    let store = open(&address).await.unwrap();
    let run: RunId = conformance::full::full_run(&*store).await;
    let pool = PgPool::connect(&address).await.unwrap();
    let before = counts!(&pool, TABLES, run.uuid());
    assert_eq!(store.remove_runs(&[run]).await.unwrap(), 1);
    compare(&before, &counts!(&pool, TABLES, run.uuid()));
}

#[tokio::test]
async fn a_removed_run_leaves_nothing_in_sqlite() {
    const TABLES: &str =
        "select distinct t.name from sqlite_schema t join pragma_table_info(t.name) c
        where t.type = 'table' and (c.name = 'run' or t.name = 'runs')";
    let directory = tempfile::tempdir().unwrap();
    let store = pipectl_store::open(None, directory.path()).await.unwrap();
    let run: RunId = conformance::full::full_run(&*store).await;
    let file = directory.path().join("history.db");
    let file = format!("sqlite:{}", file.display());
    let pool = SqlitePool::connect(&file).await.unwrap();
    let before = counts!(&pool, TABLES, run.uuid());
    assert_eq!(store.remove_runs(&[run]).await.unwrap(), 1);
    compare(&before, &counts!(&pool, TABLES, run.uuid()));
}
