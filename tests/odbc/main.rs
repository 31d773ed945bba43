//! The binary with the feature `odbc`: a process that is killed, and what the documentation shows, by SQLite's driver and by
//! that of Postgres.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::cast_possible_truncation,
    dead_code,
    reason = "a test that cannot go on fails; the binary under test needs the PATH; the harness is shared"
)]

#[path = "../e2e/harness.rs"]
mod harness;

use harness::Project;
use pipectl_test_support::TestPostgres;

/// Several batches.
const ROWS: u32 = 7_000;

const APPEND: &str = "name: append
tasks:
  orders:
    extract: csv
    with: {path: data/orders.csv}
  table:
    load: sql
    from: orders
    with: {connection: warehouse, table: orders, mode: append, create: true}
  after:
    extract: sql
    needs: table
    with: {connection: warehouse, query: select count(*) as found from orders}
  file:
    load: csv
    from: after
    with: {path: out/count.csv}
";

fn sqlite() -> Project {
    let mut project = Project::with("append", APPEND);
    let file = project.path("shop.db");
    let address = format!("odbc:Driver={{SQLite3}};Database={}", file.display());
    project.set("PIPECTL_CONNECTION_WAREHOUSE", address);
    let rows: String = (0..ROWS)
        .map(|row| format!("{row},{}\n", row % 7))
        .collect();
    project.write("data/orders.csv", format!("id,amount\n{rows}"));
    project
}

fn postgres() -> Project {
    let mut project = sqlite();
    let url = TestPostgres::shared().database();
    let place = url.rsplit_once('@').unwrap().1;
    let (host, database) = place.split_once('/').unwrap();
    let (host, port) = host.split_once(':').unwrap();
    let address = format!(
        "odbc:Driver={{PostgreSQL Unicode}};Server={host};Port={port};Database={database};UID=postgres"
    );
    project.set("PIPECTL_CONNECTION_WAREHOUSE", address);
    project
}

fn every_row_once(mut project: Project) {
    let points = [
        "odbc_before_batch:3",
        "load_sql_before_commit",
        "load_sql_after_commit",
    ];
    for (runs, point) in (1..).zip(points) {
        project.set("PIPECTL_FAILPOINT", point);
        let lost = project.run(&["run", "append"]);
        assert_eq!(lost.code, None, "{point}: the process was to die\n{lost}");
        project.unset("PIPECTL_FAILPOINT");
        project.succeed(&["run", "--resume", "last"]);
        let text = project.read("out/count.csv");
        let count: u32 = text.lines().nth(1).unwrap().parse().unwrap();
        assert_eq!(count, runs * ROWS, "{point}");
    }
}

#[test]
fn a_killed_load_counts_once_on_sqlite() {
    every_row_once(sqlite());
}

#[test]
fn a_killed_load_counts_once_on_postgres() {
    every_row_once(postgres());
}

/// What stands in `docs/databases.md` under the name of this pipeline.
fn documented(name: &str) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/databases.md"));
    let page = page.unwrap();
    let mut blocks = page.split("```yaml\n").skip(1);
    let block = blocks.find(|block| block.starts_with(&format!("name: {name}\n")));
    block.unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn what_is_documented_runs() {
    for project in [sqlite(), postgres()] {
        project.succeed(&["run", "append"]);
        project.write("pipelines/copied.yaml", documented("copied"));
        for _ in 0..2 {
            project.succeed(&["run", "copied"]);
        }
        let told = project.read("out/copies.csv");
        assert_eq!(told, "copies,least\n2000,5\n");
        let found = project.run(&["doctor"]).to_string();
        assert!(
            found.contains("odbc (from the environment), reached"),
            "{found}"
        );
    }
}
