//! A run whose process is killed goes on, and what it appends is there once.

use std::{thread::sleep, time::Duration};

use pipectl_test_support::TestPostgres;

use super::harness::{
    Project,
    appending::{appending, counted, every_row_once, lost_and_resumed},
    repository,
};

const ROWS: u32 = 500;

/// Where a process can be lost round the load's transaction.
const POINTS: [&str; 5] = [
    "load_sql_before_commit",
    "load_sql_after_commit",
    "after_commit:2",
    "after_commit:3",
    "attempt_ended:2",
];

#[test]
fn every_row_once_on_sqlite() {
    every_row_once(appending(ROWS), &POINTS, ROWS as usize);
}

#[test]
fn every_row_once_on_postgres() {
    let server = TestPostgres::shared();
    let mut project = appending(ROWS);
    project.set("PIPECTL_STORE", server.database());
    project.set("PIPECTL_CONNECTION_WAREHOUSE", server.database());
    every_row_once(project, &POINTS, ROWS as usize);
}

/// Each run makes an order, reads what is new, and copies it.
const FOLLOW: &str = "\
name: follow
tasks:
  made:
    run: sql
    with:
      connection: warehouse
      statements:
        - create table if not exists orders (number bigint primary key)
        - insert into orders select coalesce(max(number), 0) + 1 from orders
  fresh:
    extract: sql
    needs: made
    with: {connection: warehouse, table: orders, incremental: {cursor: number}}
  copied:
    load: sql
    from: fresh
    with: {connection: warehouse, table: copies, create: true}
  told:
    extract: sql
    needs: copied
    with:
      connection: warehouse
      query: select (select count(*) from orders) as orders, count(*) as copies, count(distinct number) as numbers from copies
  file:
    load: csv
    from: told
    with: {path: out/count.csv}
";

fn every_order_followed(mut project: Project) {
    let points = [
        "run_sql_before_commit",
        "run_sql_after_commit",
        "attempt_ended:2",
        "load_sql_before_commit",
        "load_sql_after_commit",
        "after_commit:2",
        "after_commit:5",
    ];
    for (runs, point) in (1..).zip(points) {
        lost_and_resumed(&mut project, "follow", point);
        let told = project.read("out/count.csv");
        let told = told.lines().nth(1).unwrap();
        assert_eq!(told, format!("{runs},{runs},{runs}"), "{point}");
    }
}

#[test]
fn every_order_is_followed_once_on_sqlite() {
    every_order_followed(Project::with("follow", FOLLOW));
}

#[test]
fn every_order_is_followed_once_on_postgres() {
    let server = TestPostgres::shared();
    let mut project = Project::with("follow", FOLLOW);
    project.set("PIPECTL_STORE", server.database());
    project.set("PIPECTL_CONNECTION_WAREHOUSE", server.database());
    every_order_followed(project);
}

#[test]
fn every_row_once_after_kills_at_any_moment() {
    let project = appending(ROWS);
    let mut runs = 0;
    for step in 0_u64..12 {
        let mut child = project.start(&["run", "append"]);
        sleep(Duration::from_millis(15 + 12 * step));
        child.kill().unwrap();
        child.wait().unwrap();
        // Killed before the run was written down, there is nothing to go on with; after its end neither.
        let list = project
            .succeed(&["runs", "list", "--pipeline", "append", "--format", "json"])
            .json();
        let listed = list["runs"].as_array().unwrap();
        if listed.len() == runs {
            continue;
        }
        runs = listed.len();
        if listed[0]["state"] != "success" {
            project.succeed(&["run", "--resume", "last"]);
        }
        assert_eq!(
            counted(&project, "orders"),
            runs * ROWS as usize,
            "killed after step {step}"
        );
    }
    assert!(runs > 0, "no process lived long enough to begin a run");
}

#[test]
fn the_main_pipeline_runs_on_postgres_unchanged() {
    let server = TestPostgres::shared();
    let (history, warehouse) = (server.database(), server.database());
    let mut project = Project::repository();
    project.set("PIPECTL_STORE", &history);
    project.set("PIPECTL_CONNECTION_WAREHOUSE", &warehouse);
    let answer = project
        .succeed(&["run", "pipelines/churn.yaml", "--format", "json"])
        .json();
    assert_eq!(answer["state"], "success");
    let predictions = answer["tasks"]["scores"]["rows"].as_u64().unwrap();
    let stored = server.sql(&warehouse, "select count(*) from customers_predictions");
    assert_eq!(stored.trim(), predictions.to_string());
    let runs = server.sql(
        &history,
        "select count(*) from pipectl.runs where state = 'success'",
    );
    assert_eq!(runs.trim(), "1");
    assert!(repository().join("pipelines/churn.yaml").is_file());
    assert!(!project.path(".pipectl/history.db").exists());
}

/// Commands that start soon after one another read what is new one after the other: nothing is copied twice.
#[test]
fn runs_that_begin_together_take_turns() {
    let project = Project::with("follow", FOLLOW);
    project.succeed(&["run", "follow"]);
    let slow = FOLLOW.replace(
        "  fresh:\n",
        "  pause:\n    run: shell\n    needs: made\n    with: {script: sleep 1}\n  fresh:\n",
    );
    let slow = slow.replace(
        "    needs: made\n    with: {connection: warehouse, table: orders",
        "    needs: pause\n    with: {connection: warehouse, table: orders",
    );
    project.write("pipelines/follow.yaml", &slow);
    let children = [0, 1, 2].map(|_| project.start(&["run", "follow"]));
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    let told = outputs.each_ref().map(|output| {
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).contains("`max_active_runs` is 1")
    });
    assert_eq!(told.iter().filter(|told| **told).count(), 2, "{outputs:?}");
    assert_eq!(project.read("out/count.csv").lines().nth(1), Some("4,4,4"));
    // One that was killed holds nobody up.
    let mut killed = project.start(&["run", "follow"]);
    sleep(Duration::from_millis(700));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let next = project.succeed(&["run", "follow"]);
    assert!(next.stdout.contains("success"), "{next}");
    assert_eq!(project.read("out/count.csv").lines().nth(1), Some("6,6,6"));
}
