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

use std::sync::atomic::{AtomicU32, Ordering};

use harness::{
    Project,
    appending::{appending, every_row_once},
    copying::{self, REPEATED, copied_within, in_sqlite},
};
use pipectl_test_support::TestPostgres;

/// Several batches.
const ROWS: u32 = 7_000;

/// How many bytes of its own a process may have that copies a larger table.
const MEMORY: u64 = 700_000_000;

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

/// A new database of the server that `tests/mariadb.py` has started.
fn mariadb() -> Project {
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("PIPECTL_TEST_MARIADB").unwrap();
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("binary_{}_{number}", std::process::id());
    let mut project = appending(ROWS);
    project.set("PIPECTL_CONNECTION_WAREHOUSE", &server);
    let made = "name: made\ntasks:\n  made:\n    run: sql\n    with: {connection: warehouse, statements: [create database NAME]}\n";
    project.write("pipelines/made.yaml", made.replace("NAME", &name));
    project.succeed(&["run", "made"]);
    let address = format!("{server};Database={name}");
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

#[test]
#[ignore = "`tests/mariadb.py` starts the server: `./test --all`"]
fn a_killed_load_counts_once_on_mariadb() {
    every_row_once(mariadb(), &POINTS, ROWS as usize);
}

#[test]
#[ignore = "`tests/mariadb.py` starts the server: `./test --all`"]
fn what_is_documented_runs_on_mariadb() {
    documented_runs(&mariadb());
}

#[test]
fn a_table_larger_than_memory_goes_through() {
    copied_within(MEMORY, &sqlite(), &in_sqlite());
    let last = 999_999 + copying::ROWS;
    let query = format!(
        "select n as id, repeat(n::text, {REPEATED}) as text from generate_series(1000000, {last}) as n"
    );
    copied_within(MEMORY, &postgres(), &query);
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
    documented_runs(&sqlite());
    documented_runs(&postgres());
}

fn documented_runs(project: &Project) {
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
