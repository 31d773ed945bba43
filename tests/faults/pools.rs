//! Slots of a pool hold across daemons.

use std::time::Duration;

use pipectl_test_support::TestPostgres;

use super::{
    daemons::{all_succeeded, backfill, begun},
    harness::{Project, waiting::wait_for},
};

const POOLED: &str = "\
name: pooled
interval: 1d
max_active_runs: 10
tasks:
  a:
    run: shell
    pool: narrow
    with: {script: 'echo begin >> taken; sleep 0.15; echo end >> taken'}
  b:
    run: shell
    pool: narrow
    with: {script: 'echo begin >> taken; sleep 0.15; echo end >> taken'}
";

#[test]
fn a_pool_of_one_slot_has_one_task_at_a_time_on_all_daemons() {
    let server = TestPostgres::shared();
    let mut project = Project::with("pooled", POOLED);
    project.write("pipectl.yaml", "pools: {narrow: 1}\n");
    project.set("PIPECTL_STORE", server.database());
    let _daemons = ["one", "two"].map(|name| begun(&project, name));
    backfill(&project, "pooled", "2026-01-07");
    wait_for(Duration::from_secs(40), || all_succeeded(&project, 6));
    let taken = project.read("taken");
    let lines: Vec<&str> = taken.lines().collect();
    assert_eq!(lines.len(), 24, "{taken}");
    assert!(
        lines.chunks(2).all(|pair| pair == ["begin", "end"]),
        "{taken}"
    );
}
