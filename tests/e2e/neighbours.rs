//! Pipelines that name each other, intervals that nobody gives, connections in tests.

use super::harness::{Project, snapshots::check};

fn runs(name: &str, other: &str) -> String {
    format!(
        "name: {name}\ntasks:\n  to_{other}:\n    run: pipeline\n    with: {{pipeline: {other}}}\n"
    )
}

#[test]
fn pipelines_that_start_each_other_are_not_valid() {
    let project = Project::with("a", &runs("a", "b"));
    project
        .write(
            "pipelines/b.yaml",
            "name: b\nschedule: {after: [c, weekly]}\ntasks:\n  on: {run: pipeline, with: {pipeline: c}}\n",
        )
        .write("pipelines/c.yaml", runs("c", "a"))
        .write("pipelines/d.yaml", runs("d", "a"))
        .write("pipelines/good.yaml", "name: good\ntasks:\n  nothing: {run: noop}\n");
    let ran = project.run(&["validate"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    check("validate_neighbours", &ran);
    assert_eq!(project.run(&["run", "c"]).code, Some(2));
    assert!(!project.path(".pipectl").exists());
}

#[test]
fn a_broken_file_is_not_passed_over_among_the_schedules() {
    let project = Project::with(
        "good",
        "name: good\nschedule: {cron: '@daily'}\ntasks:\n  nothing: {run: noop}\n",
    );
    project.write("pipelines/bad.yaml", "name: bad\ntasks:\n  a: {run: nop}\n");
    let ran = project.succeed(&["schedules", "list"]);
    assert!(ran.stdout.contains("good      @daily"), "{ran}");
    assert!(
        ran.stderr
            .contains("warning: `pipelines/bad.yaml` is not valid"),
        "{ran}"
    );
}

#[test]
fn a_run_by_hand_without_its_interval_is_refused_before_it_is_made() {
    let project = Project::with(
        "totals",
        "\
name: totals
schedule: {after: [orders]}
tasks:
  note:
    run: shell
    with: {script: 'echo $DAY > day', env: {DAY: \"${{ interval.start }}\"}}
tests:
  has_a_day: {expect: {note: {state: success}}}
",
    );
    project.write(
        "pipelines/orders.yaml",
        "name: orders\nschedule: {cron: \"@daily\"}\ntasks:\n  nothing: {run: noop}\n",
    );
    let ran = project.run(&["run", "totals"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    check("run_without_interval", &ran);
    assert!(!project.path(".pipectl").exists());
    project.succeed(&["test", "totals"]);
    let declared = project.read("pipelines/totals.yaml") + "interval: 1d\n";
    project.write("pipelines/totals.yaml", declared);
    project.succeed(&["run", "totals"]);
    assert!(project.read("day").contains("T00:00:00Z"));
}

#[test]
fn tests_touch_no_connection_of_the_project() {
    let project = Project::empty();
    // Neither is there; a test that looked for them would fail.
    project
        .write(
            "pipectl.yaml",
            "connections:\n  shop: postgres://me:s3cret@127.0.0.1:1/shop\n  \
             books: sqlite:books.db\n  api: http://127.0.0.1:1\n",
        )
        .write(
            "pipelines/books.yaml",
            "\
name: books
tasks:
  read:
    extract: sql
    with: {connection: shop, table: books}
  large:
    transform: sql
    from: read
    with: {query: select * from read where pages > 300}
  write:
    load: sql
    from: large
    with: {connection: books, table: books, create: true}
  again:
    load: sql
    from: large
    with: {connection: shop, table: large, create: true}
  told:
    run: shell
    with: {connections: [api], script: 'true'}
  asked:
    extract: http
    with: {url: 'http://127.0.0.1:1/${{ run.pipeline }}'}
tests:
  writes_large_ones:
    given: {read: {rows: [{title: a, pages: 10}, {title: b, pages: 400}]}}
    expect:
      write: {state: success, values: {rows: 1}}
      again: {state: success}
  has_no_api:
    expect: {told: {state: success}}
  has_no_web:
    expect: {asked: {state: success}}
  reads_from_nothing:
    expect: {read: {state: failed}}
",
        );
    let ran = project.run(&["test"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    check("test_connections", &ran);
    assert!(!project.path("books.db").exists());
}

/// A test that writes files leaves what is there as it is.
#[test]
fn files_of_a_test_are_written_elsewhere() {
    let project = Project::with(
        "export",
        "name: export
tasks:
  nine:
    extract: csv
    with: {path: nine.csv}
  rows:
    transform: sql
    from: nine
    with: {query: select id - 8 as id from nine}
  file:
    load: csv
    from: rows
    with: {path: out/rows.csv}
tests:
  it_writes:
    expect:
      file: {state: success}
",
    );
    project
        .write("nine.csv", "id\n9\n")
        .write("out/rows.csv", "id\n7\n");
    project.succeed(&["test"]);
    assert_eq!(project.read("out/rows.csv"), "id\n7\n");
    project.succeed(&["run", "export"]);
    assert_eq!(project.read("out/rows.csv"), "id\n1\n");
}
