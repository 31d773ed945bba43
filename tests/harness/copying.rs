//! Tables that are larger than the memory that the process may have.

use super::Project;

/// Long rows out of a database, and into it again.
const COPY: &str = "\
name: copy
tasks:
  rows:
    extract: sql
    with:
      connection: warehouse
      query: QUERY
  copies:
    load: sql
    from: rows
    with: {connection: warehouse, table: copies, create: true}
  sums:
    extract: sql
    needs: copies
    with:
      connection: warehouse
      query: select count(*) as found, sum(id) as ids, sum(length(text)) as characters from copies
  told:
    load: json
    from: sums
    with: {path: sums.json}
";

/// How many rows there are, numbered from a million on, and how often their texts have the number: together 560 MB.
pub(crate) const ROWS: u64 = 400_000;
pub(crate) const REPEATED: u64 = 200;

/// The query of these rows in SQLite's words.
pub(crate) fn in_sqlite() -> String {
    let last = 1_000_000 + ROWS - 1;
    format!(
        "with recursive numbers(n) as (select 1000000 union all select n + 1 from numbers where n < {last}) \
         select n as id, replace(hex(zeroblob({REPEATED})), '00', n) as text from numbers"
    )
}

/// Copies what a query gives in a process that may have so many bytes of its own; every row has to be there.
#[track_caller]
pub(crate) fn copied_within(bytes: u64, project: &Project, query: &str) {
    project.write("pipelines/copy.yaml", COPY.replace("QUERY", query));
    project.succeed_within(bytes, &["run", "copy"]);
    let sums: serde_json::Value = serde_json::from_str(&project.read("sums.json")).unwrap();
    let sums = &sums[0];
    let number = |name: &str| sums[name].to_string().replace('"', "");
    assert_eq!(number("found"), ROWS.to_string());
    let ids = ROWS * 1_000_000 + ROWS * (ROWS - 1) / 2;
    assert_eq!(number("ids"), ids.to_string());
    assert_eq!(number("characters"), (ROWS * 7 * REPEATED).to_string());
}
