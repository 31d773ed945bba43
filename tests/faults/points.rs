//! Killed where runs begin and where they go: schedules, followers, sensors, adoption, pruning.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use pipectl_test_support::TestPostgres;
use serde_json::Value;

use super::{
    daemons::{Daemon, begun, runs},
    harness::{Project, waiting::wait_for},
};

/// A run each second, and none is left out.
const TICK: &str = "\
name: tick
schedule: {cron: '* * * * * *', catchup: all}
max_active_runs: 4
tasks:
  wait:
    run: shell
    with: {script: sleep 0.2}
";

/// A run for each of those.
const FOLLOWS: &str = "\
name: follows
schedule: {after: tick}
max_active_runs: 4
tasks:
  one: {run: noop}
";

/// A run for each file; the first one is under way until somebody is killed.
const SENSES: &str = "\
name: senses
schedule: {sensor: go}
max_active_runs: 4
tasks:
  go:
    sensor: file
    with: {path: 'in/*.txt', settle: 0s}
  stay:
    run: shell
    needs: [go]
    with: {script: 'if [ -e begun ]; then exit; fi; touch begun; sleep 60'}
";

/// Of these the last one is kept.
const FORGETS: &str = "\
name: forgets
history: {runs: 1}
tasks:
  one: {run: shell, with: {script: echo said}}
";

/// Where a daemon dies; each must be hit.
const POINTS: [&str; 8] = [
    "adopted",
    "before_prune",
    "before_schedule",
    "after_schedule",
    "before_follow",
    "after_follow",
    "before_sense",
    "after_sense",
];

fn of<'a>(runs: &'a [Value], pipeline: &str) -> Vec<&'a Value> {
    let own = runs.iter().filter(|run| run["pipeline"] == pipeline);
    own.collect()
}

/// The seconds that runs stand for, each of them once.
fn seconds(runs: &[&Value]) -> BTreeSet<i64> {
    let start = |run: &&Value| {
        let start: DateTime<Utc> = run["interval"]["start"].as_str().unwrap().parse().unwrap();
        start.timestamp()
    };
    let seconds: BTreeSet<i64> = runs.iter().map(start).collect();
    assert_eq!(seconds.len(), runs.len(), "a second has two runs");
    seconds
}

fn killed_where_runs_begin(mut project: Project) {
    for (name, text) in [
        ("follows", FOLLOWS),
        ("senses", SENSES),
        ("forgets", FORGETS),
    ] {
        project.write(&format!("pipelines/{name}.yaml"), text);
    }
    project.write("in/first.txt", "");
    let first = begun(&project, "first");
    wait_for(Duration::from_secs(20), || {
        let under_way = project.path("begun").exists();
        under_way.then_some(()).ok_or(first.log())
    });
    first.kill();
    let mut forgets = Vec::new();
    for (number, point) in POINTS.iter().enumerate() {
        project.write(&format!("in/{number}.txt"), "");
        if *point == "before_prune" {
            for _ in 0..3 {
                project.succeed(&["run", "forgets"]);
            }
            forgets = runs(&project);
        }
        project.set("PIPECTL_FAILPOINT", *point);
        let mut daemon = Daemon::start(&project, "dying");
        let code = daemon.end(Duration::from_secs(60));
        assert_eq!(code, None, "{point} was not hit\n{}", daemon.log());
        project.unset("PIPECTL_FAILPOINT");
        recovers(&project);
    }
    let last = Daemon::start(&project, "last");
    let files = POINTS.len() + 1;
    wait_for(Duration::from_secs(60), || {
        let runs = runs(&project);
        let sensed = of(&runs, "senses").len();
        (sensed >= files)
            .then_some(())
            .ok_or(format!("{sensed} of {files} are sensed"))
    });
    project.succeed(&["schedules", "pause", "tick"]);
    wait_for(Duration::from_secs(60), || {
        let runs = runs(&project);
        let open = runs.iter().filter(|run| run["ended"].is_null()).count();
        let (ticks, followers) = (of(&runs, "tick").len(), of(&runs, "follows").len());
        if open == 0 && ticks == followers {
            Ok(())
        } else {
            Err(format!(
                "{open} are open; {followers} follow {ticks}\n{}",
                last.log()
            ))
        }
    });
    drop(last);
    let runs = runs(&project);
    let bad: Vec<&Value> = runs
        .iter()
        .filter(|run| run["state"] != "success")
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(of(&runs, "senses").len(), files);
    let ticks = seconds(&of(&runs, "tick"));
    let (first, last) = (ticks.first().unwrap(), ticks.last().unwrap());
    let all: BTreeSet<i64> = (*first..=*last).collect();
    assert_eq!(ticks, all, "a second is missing");
    assert_eq!(seconds(&of(&runs, "follows")), ticks);
    assert_eq!(of(&runs, "forgets").len(), 1);
    forgotten(&project, &forgets);
}

/// Lets a daemon take up what the one before has left: what is lost three times in a row would have failed.
fn recovers(project: &Project) {
    let daemon = Daemon::start(project, "between");
    wait_for(Duration::from_secs(30), || {
        let is_lost = |run: &Value| run["state"] == "running";
        let open = runs(project).iter().filter(|run| is_lost(run)).count();
        (open == 0).then_some(()).ok_or(daemon.log())
    });
    daemon.kill();
}

/// What was let go of has left nothing, whatever of it was gone when the daemon died.
fn forgotten(project: &Project, runs: &[Value]) {
    let kept = self::runs(project);
    assert_eq!(of(&kept, "forgets").len(), 1);
    for run in of(runs, "forgets") {
        let id = run["run"].as_str().unwrap();
        let is_kept = kept.iter().any(|kept| kept["run"] == run["run"]);
        let has_logs = project.path(".pipectl/logs").join(id).exists();
        assert_eq!(has_logs, is_kept, "{id}");
    }
}

#[test]
fn killed_where_runs_begin_and_go_on_sqlite() {
    killed_where_runs_begin(Project::with("tick", TICK));
}

#[test]
fn killed_where_runs_begin_and_go_on_postgres() {
    let server = TestPostgres::shared();
    let mut project = Project::with("tick", TICK);
    project.set("PIPECTL_STORE", server.database());
    killed_where_runs_begin(project);
}
