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

#[path = "../harness/mod.rs"]
mod harness;

use harness::{
    Project,
    appending::{appending, every_row_once},
};
use pipectl_test_support::TestPostgres;

/// Several batches.
const ROWS: u32 = 7_000;

/// Where a process can be lost.
const POINTS: [&str; 3] = [
    "odbc_before_batch:3",
    "load_sql_before_commit",
    "load_sql_after_commit",
];

fn sqlite() -> Project {
    let mut project = appending(ROWS);
    let file = project.path("shop.db");
    let address = format!("odbc:Driver={{SQLite3}};Database={}", file.display());
    project.set("PIPECTL_CONNECTION_WAREHOUSE", address);
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

#[test]
fn a_killed_load_counts_once_on_sqlite() {
    every_row_once(sqlite(), &POINTS, ROWS as usize);
}

#[test]
fn a_killed_load_counts_once_on_postgres() {
    every_row_once(postgres(), &POINTS, ROWS as usize);
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
        assert_eq!(told, "copies,least\n6650,5\n");
        let found = project.run(&["doctor"]).to_string();
        assert!(
            found.contains("odbc (from the environment), reached"),
            "{found}"
        );
    }
}
