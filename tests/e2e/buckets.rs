//! Pipelines on a bucket, and files that are appended to.

use std::{thread::sleep, time::Duration};

use pipectl_test_support::TestBucket;

use super::harness::{Project, appending::lost_and_resumed};

const DROP: &str = "\
name: drop
params:
  key: {type: string}
tasks:
  rows:
    extract: csv
    with: {path: data/rows.csv}
  object:
    load: csv
    from: rows
    with: {connection: lake, path: \"${{ params.key }}\"}
";

const TAKE: &str = "\
name: take
tasks:
  arrived:
    sensor: object
    with: {connection: lake, path: in/**/*.csv, poll: 1s}
    timeout: 1m
  rows:
    extract: csv
    with: {path: \"${{ tasks.arrived.file }}\"}
  copy:
    load: csv
    from: rows
    with: {path: out/copy.csv}
  archive:
    load: parquet
    from: rows
    with: {path: \"lake://out/${{ run.pipeline }}.parquet\"}
  again:
    extract: parquet
    needs: archive
    with: {path: \"${{ tasks.archive.path }}\"}
";

fn project(place: &TestBucket) -> Project {
    let mut project = Project::with("drop", DROP);
    project.write("pipelines/take.yaml", TAKE);
    project.write("data/rows.csv", "id,name\n1,ada\n2,grace\n");
    for (name, value) in place.environment() {
        project.set(name, value);
    }
    project.set("PIPECTL_CONNECTION_LAKE", place.address());
    project
}

#[test]
fn an_object_is_awaited_read_and_written_with_all_else_in_the_bucket() {
    let place = TestBucket::new();
    let mut project = project(&place.below("a lake"));
    project.set("PIPECTL_ARTIFACTS", place.below("artifacts").address());
    let mut take = project.start(&["run", "take"]);
    sleep(Duration::from_millis(500));
    assert!(take.try_wait().unwrap().is_none(), "it waits");
    project.succeed(&["run", "drop", "--param", "key=in/a b/mit ü + x.csv"]);
    let ended = take.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert_eq!(project.read("out/copy.csv"), project.read("data/rows.csv"));
    let shown = project
        .succeed(&["runs", "show", "last", "--format", "json"])
        .json();
    assert_eq!(shown["pipeline"], "drop");
    assert!(!project.path(".pipectl/artifacts").exists());
}

#[test]
fn a_bucket_that_refuses_is_told_by_run_and_by_validate() {
    let mut project = project(&TestBucket::new());
    project.set("AWS_SECRET_ACCESS_KEY", "hunter2");
    for arguments in [
        &["run", "take"][..],
        &["validate", "--online", "pipelines/take.yaml"],
    ] {
        let ran = project.run(arguments);
        assert_ne!(ran.code, Some(0), "{ran}");
        let said = format!("{ran}");
        assert!(said.contains("check AWS_ACCESS_KEY_ID"), "{ran}");
        assert!(!said.contains("hunter2"), "{ran}");
    }
}

const APPEND: &str = "\
name: append
tasks:
  rows:
    extract: csv
    with: {path: data/rows.csv}
  csv:
    load: csv
    from: rows
    with: {path: out/all.csv, mode: append}
";

/// Appends to a set of files, and counts what the set's list names.
const SET: &str = "\
name: append
tasks:
  rows:
    extract: csv
    with: {path: data/rows.csv}
  set:
    load: parquet
    from: rows
    with: {path: out/set, partition_by: [kind], mode: append}
  there:
    extract: parquet
    needs: set
    with: {path: 'out/set/**/*.parquet'}
  csv:
    load: csv
    from: there
    with: {path: out/there.csv}
";

#[test]
fn a_loss_while_a_set_of_files_is_appended_to_leaves_every_row_once() {
    let mut project = Project::with("append", SET);
    project.write("data/rows.csv", "id,kind\n1,a\n2,b\n3,a\n");
    let points = [
        "load_files_before_manifest",
        "load_files_after_manifest",
        "attempt_ended:2",
    ];
    for (runs, point) in (1..).zip(points) {
        lost_and_resumed(&mut project, "append", point);
        let there = project.read("out/there.csv");
        assert_eq!(there.lines().count(), 1 + 3 * runs, "{point}\n{there}");
    }
}

#[test]
fn a_loss_while_a_file_is_appended_to_leaves_every_row_once() {
    let mut project = Project::with("append", APPEND);
    project.write("data/rows.csv", "id\n1\n2\n");
    let mut runs = 0;
    for point in [
        "load_file_before_rename",
        "load_file_after_rename",
        "attempt_ended:2",
    ] {
        project.set("PIPECTL_FAILPOINT", point);
        let lost = project.run(&["run", "append"]);
        assert_eq!(lost.code, None, "{point}: the process was to die\n{lost}");
        project.unset("PIPECTL_FAILPOINT");
        project.succeed(&["run", "--resume", "last"]);
        runs += 1;
        let expected = format!("id\n{}", "1\n2\n".repeat(runs));
        assert_eq!(project.read("out/all.csv"), expected, "{point}");
    }
}
