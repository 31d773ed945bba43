//! Tables that are larger than the memory that the process may have.

use pipectl_test_support::TestPostgres;

use super::harness::{
    Project,
    copying::{copied_within, in_sqlite},
};

/// A gigabyte of rows out of Postgres, and into it again.
const COPY: &str = "\
name: copy
tasks:
  rows:
    extract: sql
    with:
      connection: warehouse
      query: >-
        select n as id, n / 8.0 as share, repeat(n::text, 20) as first, repeat(n::text, 21) as second
        from generate_series(1000000, 4999999) as n
  copies:
    load: sql
    from: rows
    with: {connection: warehouse, table: copies, create: true}
  sums:
    extract: sql
    needs: copies
    with:
      connection: warehouse
      query: select count(*) as rows, sum(id) as ids, sum(share) as shares, sum(length(second)) as long from copies
  told:
    load: json
    from: sums
    with: {path: sums.json}
";

/// How much of its own the process may have.
const MOST: u64 = 1_100_000_000;

#[test]
fn a_table_larger_than_memory_goes_through() {
    let mut project = Project::with("copy", COPY);
    let server = TestPostgres::shared();
    project.set("PIPECTL_CONNECTION_WAREHOUSE", server.database());
    project.succeed_within(MOST, &["run", "copy"]);
    let sums: serde_json::Value = serde_json::from_str(&project.read("sums.json")).unwrap();
    let sums = &sums[0];
    assert_eq!(sums["rows"], 4_000_000);
    let text = |name: &str| sums[name].to_string().replace('"', "");
    assert_eq!(text("ids"), "11999998000000");
    assert!(text("shares").starts_with("1499999750000"), "{sums}");
    assert_eq!(sums["long"], 4_000_000_i64 * 7 * 21);
}

#[test]
fn a_table_of_sqlite_larger_than_memory_goes_through() {
    copied_within(650_000_000, &Project::empty(), &in_sqlite());
}
