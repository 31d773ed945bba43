//! What waits takes no slot from what could work.

use std::{fs, time::Duration};

use pipectl_test_support::TestPostgres;

use super::{
    daemons::begun,
    harness::{Project, waiting::wait_for},
};

const WAITS: &str = "\
name: waits
interval: 1d
max_active_runs: 1000
tasks:
  arrived:
    sensor: file
    with: {path: in/come.csv, poll: 5s, settle: 0s}
  after:
    run: noop
    needs: arrived
";

const QUICK: &str = "name: quick\ninterval: 1d\ntasks:\n  a:\n    run: noop\n";

#[test]
fn a_thousand_waiting_sensors_hold_no_slot() {
    let server = TestPostgres::shared();
    let mut project = Project::with("waits", WAITS);
    project.write("pipelines/quick.yaml", QUICK);
    fs::create_dir_all(project.path("in")).unwrap();
    let history = server.database();
    let database = history.rsplit('/').next().unwrap().to_owned();
    project.set("PIPECTL_STORE", history);
    let daemon = begun(&project, "daemon");
    let backfill = |pipeline: &str, to: &str, at_once: &str| {
        project.succeed(&[
            "backfill",
            pipeline,
            "--from-date",
            "2020-01-01",
            "--to-date",
            to,
            "--max-active-runs",
            at_once,
        ]);
    };
    backfill("waits", "2022-09-27", "1000");
    let count = |what: &str, expected: &str| {
        let sql = format!("select count(*) from pipectl.{what}");
        let found = server.sql(&database, &sql);
        if found == expected {
            Ok(())
        } else {
            Err(format!("{what}: {found} of {expected}\n{}", daemon.log()))
        }
    };
    wait_for(Duration::from_secs(40), || {
        count("tasks where state = 'deferred'", "1000")
    });
    backfill("quick", "2020-01-02", "1");
    wait_for(Duration::from_secs(5), || {
        count("runs where pipeline = 'quick' and state = 'success'", "1")
    });
    let waited = server.sql(
        &database,
        "select extract(epoch from a.started - r.created) from pipectl.attempts a
        join pipectl.runs r on r.id = a.run where r.pipeline = 'quick'",
    );
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap()
        .trim();
    println!("1,000 sensors wait; another task began after {waited} s; the daemon has {memory}");
    assert!(waited.parse::<f64>().unwrap() < 1.0, "{waited}");
    // All of them are awake when it comes.
    project.write("in/come.csv", "id\n1\n");
    wait_for(Duration::from_secs(60), || {
        count("runs where state = 'success'", "1001")
    });
    assert_eq!(daemon.terminate(), Some(0));
}
