//! Slots of a pool hold across daemons.

use std::time::Duration;

use pipectl_test_support::TestPostgres;

use super::{
    daemons::{Daemon, all_succeeded, backfill, begins, begun, runs},
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

const HOG: &str = "\
name: hog
interval: 1d
max_active_runs: 10
tasks:
  a:
    run: shell
    pool: narrow
    with: {script: 'echo begun >> begun; sleep 20'}
";

/// Runs that wait for a full pool take up nothing of the daemon.
#[test]
fn a_full_pool_holds_up_no_other_pipeline() {
    let mut project = Project::with("hog", HOG);
    project.write("pipectl.yaml", "pools: {narrow: 1}\n");
    let quick = "name: quick\ninterval: 1d\ntasks:\n  one: {run: noop}\n";
    project.write("pipelines/quick.yaml", quick);
    for history in [None, Some(TestPostgres::shared().database())] {
        if let Some(history) = history {
            project.set("PIPECTL_STORE", history);
        }
        let daemon = Daemon::start_with(&project, "daemon", &["--slots", "2"]).works();
        backfill(&project, "hog", "2026-01-06");
        begins(&project);
        backfill(&project, "quick", "2026-01-04");
        let quick = || {
            let runs = runs(&project).into_iter();
            let quick = runs.filter(|run| run["pipeline"] == "quick");
            quick.map(|run| run["state"].clone()).collect::<Vec<_>>()
        };
        wait_for(Duration::from_secs(10), || {
            let done = quick().iter().filter(|state| *state == "success").count();
            (done == 3)
                .then_some(())
                .ok_or(format!("{:?}\n{}", quick(), daemon.log()))
        });
        assert!(
            runs(&project)
                .iter()
                .all(|run| run["pipeline"] == "quick" || run["ended"].is_null())
        );
        daemon.kill();
        std::fs::remove_file(project.path("begun")).unwrap();
    }
}

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
