//! What goes wrong outside: databases, disks, permissions, mail. Exit code 3 or a failed run, a message, no half output.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use pipectl_test_support::TestPostgres;

use super::{
    commands::{ORDERS, SALES, sales},
    harness::{Project, copying::in_sqlite, snapshots::check},
};

#[test]
fn a_history_that_cannot_be_reached() {
    let mut project = sales();
    project.set("PIPECTL_STORE", "postgres://me:hunter2@127.0.0.1:9/history");
    let ran = project.run(&["run", "sales"]);
    assert_eq!(ran.code, Some(3), "{ran}");
    assert!(!ran.stderr.contains("hunter2"), "{ran}");
    check("store_unreachable", &ran);
}

#[test]
fn a_history_at_an_address_of_another_kind() {
    let mut project = sales();
    project.set("PIPECTL_STORE", "mysql://me:hunter2@localhost/history");
    let ran = project.run(&["runs", "list"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(!ran.stderr.contains("hunter2"), "{ran}");
    check("store_of_another_kind", &ran);
}

const LOAD: &str = "\
name: load
tasks:
  orders: {extract: csv, with: {path: data/orders.csv}}
  table:
    load: sql
    from: orders
    with: {connection: warehouse, table: orders, mode: append, create: true}
";

#[test]
fn a_warehouse_with_a_wrong_password() {
    let server = TestPostgres::shared();
    let address = server.guarded_database("hunter2");
    let mut project = Project::with("load", LOAD);
    project.write("data/orders.csv", ORDERS);
    project.set("PIPECTL_CONNECTION_WAREHOUSE", address);
    let ran = project.run(&["run", "load"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        !ran.stderr.contains("hunter2") && !ran.stdout.contains("hunter2"),
        "{ran}"
    );
    let shown = project.run(&["runs", "show", "last", "--format", "json"]);
    assert!(!shown.stdout.contains("hunter2"), "{shown}");
    let online = project.run(&["validate", "--online"]);
    assert_eq!(online.code, Some(3), "{online}");
    assert!(!online.stdout.contains("hunter2"), "{online}");
}

#[test]
fn a_state_directory_that_cannot_be_written() {
    let project = sales();
    // A file where the directory should be stops even root, whom permissions do not.
    project.write(".pipectl", "");
    let ran = project.run(&["run", "sales"]);
    assert_eq!(ran.code, Some(3), "{ran}");
    check("state_directory_is_a_file", &ran);
}

#[test]
fn an_output_directory_that_cannot_be_written() {
    let project = sales();
    fs::create_dir(project.path("out")).unwrap();
    fs::set_permissions(project.path("out"), fs::Permissions::from_mode(0o555)).unwrap();
    let is_root = fs::write(project.path("out/probe"), "").is_ok();
    if is_root {
        // Permissions do not stop root: a file in the way does.
        fs::remove_dir_all(project.path("out")).unwrap();
        project.write("out", "");
    }
    let ran = project.run(&["run", "sales"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("task `file` failed"), "{ran}");
}

/// A small file system of its own, where the test may mount one.
struct SmallDisk<'a>(&'a Project);

impl<'a> SmallDisk<'a> {
    fn mount(project: &'a Project, path: &str, size: &str) -> Option<Self> {
        fs::create_dir_all(project.path(path)).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(project.path(path))
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(project))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ended = Command::new("umount").arg(self.0.path("small")).status();
    }
}

#[test]
fn a_full_disk_leaves_no_half_output() {
    let project = Project::with(
        "sales",
        &SALES.replace("out/totals.csv", "small/totals.csv"),
    );
    let rows: String = (0..60_000)
        .map(|row| format!("c{row:08},{row}.5\n"))
        .collect();
    project.write("data/orders.csv", format!("country,amount\n{rows}"));
    let Some(_disk) = SmallDisk::mount(&project, "small", "64k") else {
        eprintln!("no file system can be mounted here: this test needs root");
        return;
    };
    let ran = project.run(&["run", "sales"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("No space left on device") || ran.stderr.contains("full"),
        "{ran}"
    );
    let left: Vec<_> = fs::read_dir(project.path("small"))
        .unwrap()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_full_disk_while_a_large_table_is_streamed() {
    let project = Project::with("sales", SALES);
    let mut rows = String::from("country,amount\n");
    for row in 0..4_000_000_u64 {
        // Figures that do not get much smaller when they are packed.
        let amount = row.wrapping_mul(2_654_435_761) % 1_000_003;
        rows.push_str(&format!("c{:05},{amount}.25\n", amount % 90_001));
    }
    project.write("data/orders.csv", rows);
    let Some(_disk) = SmallDisk::mount(&project, "small", "4m") else {
        eprintln!("no file system can be mounted here: this test needs root");
        return;
    };
    let artifacts = project.path("small/artifacts");
    let mut command = project.command(&["run", "sales"]);
    let ran = command
        .env("PIPECTL_ARTIFACTS", &artifacts)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    let directory = artifacts.join(".unfinished");
    let said = format!(
        "cannot read `data/orders.csv`: its rows cannot be written: no space is left on the disk of {}",
        directory.display()
    );
    assert!(text.contains(&said), "{text}");
    assert!(text.contains("make room on the disk"), "{text}");
    assert!(!text.contains("out of specification"), "{text}");
    let left = fs::read_dir(project.path("small/artifacts/.unfinished"));
    assert_eq!(left.unwrap().count(), 0, "{text}");
    assert!(!project.path("out/totals.csv").exists());
}

#[test]
fn a_full_disk_while_a_large_query_is_read() {
    let pipeline = "name: rows\ntasks:\n  rows:\n    extract: sql\n    with: {connection: warehouse, query: QUERY}\n";
    // Quoted, because of the commas in it.
    let query = format!("\"{}\"", in_sqlite());
    let project = Project::with("rows", &pipeline.replace("QUERY", &query));
    let Some(_disk) = SmallDisk::mount(&project, "small", "4m") else {
        eprintln!("no file system can be mounted here: this test needs root");
        return;
    };
    let artifacts = project.path("small/artifacts");
    let mut command = project.command(&["run", "rows"]);
    let ran = command
        .env("PIPECTL_ARTIFACTS", &artifacts)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    let said = "cannot write the query's rows: No space left on device";
    assert!(text.contains(said), "{text}");
    assert!(text.contains("make room on the disk"), "{text}");
    let left = fs::read_dir(artifacts.join(".unfinished"));
    assert_eq!(left.unwrap().count(), 0, "{text}");
}

#[test]
fn a_full_disk_under_a_parquet_file_is_tried_again() {
    let pipeline = "name: sales\ntasks:\n  orders: {extract: csv, with: {path: data/orders.csv}}\n  \
                    file: {load: parquet, from: orders, with: {path: small/orders.parquet}, retry: {limit: 1, delay: 10ms}}\n";
    let project = Project::with("sales", pipeline);
    let rows: String = (0..60_000_u64)
        .map(|row| format!("{}\n", row.wrapping_mul(2_654_435_761)))
        .collect();
    project.write("data/orders.csv", format!("amount\n{rows}"));
    let Some(_disk) = SmallDisk::mount(&project, "small", "64k") else {
        eprintln!("no file system can be mounted here: this test needs root");
        return;
    };
    let ran = project.run(&["run", "sales"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    for said in [
        "cannot write `small/orders.parquet`: No space left on device",
        "make room on the disk",
    ] {
        assert!(ran.stderr.contains(said), "{ran}");
    }
    assert!(!ran.stderr.contains("out of specification"), "{ran}");
    assert!(ran.stderr.contains("up_for_retry"), "{ran}");
    assert_eq!(fs::read_dir(project.path("small")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_under_the_history() {
    let project = sales();
    let rows: String = (0..60_000)
        .map(|row| format!("c{row:08},{row}.5\n"))
        .collect();
    project.write("data/orders.csv", format!("country,amount\n{rows}"));
    let Some(_disk) = SmallDisk::mount(&project, "small", "256k") else {
        eprintln!("no file system can be mounted here: this test needs root");
        return;
    };
    let ran = project.run(&["run", "sales", "--state-dir", "small"]);
    assert!(matches!(ran.code, Some(1 | 3)), "{ran}");
    assert!(ran.stderr.contains("error:"), "{ran}");
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    assert!(
        !project.path("out/totals.csv").exists() || ran.code == Some(3),
        "{ran}"
    );
}

#[test]
fn a_project_that_does_not_fit_on_the_disk_is_not_begun() {
    let project = Project::empty();
    let Some(_disk) = SmallDisk::mount(&project, "small", "12k") else {
        eprintln!("no file system can be mounted here: this test needs root");
        return;
    };
    let ran = project.run(&["init", "small/new"]);
    assert_eq!(ran.code, Some(3), "{ran}");
    assert!(ran.stderr.contains("is there room on the disk"), "{ran}");
    let left = std::fs::read_dir(project.path("small")).unwrap();
    assert_eq!(left.count(), 0, "{ran}");
}
