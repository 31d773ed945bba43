//! A run in the foreground hears of it when somebody else wants it to be stopped.

use std::time::{Duration, Instant};

use pipectl_test_support::TestPostgres;

use super::harness::{
    Project,
    waiting::{begun, signal},
};

const SLOW: &str = "\
name: slow
tasks:
  wait:
    run: shell
    with: {script: 'echo begun > begun; test -e go || exec sleep 60'}
  after:
    run: noop
    needs: wait
";

const PARENT: &str = "\
name: parent
tasks:
  child:
    run: pipeline
    with: {pipeline: slow}
";

fn state(project: &Project, run: &str) -> String {
    let shown = project.succeed(&["runs", "show", run, "--format", "json"]);
    shown.json()["state"].as_str().unwrap().to_owned()
}

/// Cancels the newest run of `cancelled` while `started` is run.
fn cancels(project: &Project, started: &str, cancelled: &str, code: i32) {
    let child = begun(project, &["run", started]);
    let list = ["runs", "list", "--pipeline", cancelled, "--format", "json"];
    let list = project.succeed(&list).json();
    let run = list["runs"][0]["run"].as_str().unwrap();
    let asked = Instant::now();
    let said = project.succeed(&["runs", "cancel", run]);
    assert!(said.stderr.contains("is asked to stop"), "{said}");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "it took {:?}\n{stderr}",
        asked.elapsed()
    );
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains("somebody has asked for it"), "{stderr}");
    assert_eq!(state(project, run), "cancelled");
    let again = project.run(&["runs", "cancel", run]);
    assert_eq!(again.code, Some(2), "{again}");
    assert!(again.stderr.contains("is over: cancelled"), "{again}");
}

fn everywhere(project: &Project) {
    project.write("pipelines/parent.yaml", PARENT);
    cancels(project, "slow", "slow", 130);
    cancels(project, "parent", "parent", 130);
    // The parent fails when somebody cancels its child.
    cancels(project, "parent", "slow", 1);
    assert_eq!(state(project, "last"), "failed");
}

#[test]
fn a_run_in_the_foreground_hears_that_it_is_cancelled() {
    everywhere(&Project::with("slow", SLOW));
}

#[test]
fn on_postgres_too() {
    let server = TestPostgres::shared();
    let mut project = Project::with("slow", SLOW);
    project.set("PIPECTL_STORE", server.database());
    everywhere(&project);
}

#[test]
fn a_run_whose_command_was_killed_is_over() {
    let project = Project::with("slow", SLOW);
    let mut child = begun(&project, &["run", "slow"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let late = project.run(&["runs", "cancel", "last"]);
    assert_eq!(late.code, Some(2), "{late}");
    assert!(late.stderr.contains("is over: failed"), "{late}");
}

#[test]
fn a_wish_that_nobody_heard_does_not_stop_the_next_attempt() {
    let project = Project::with("slow", SLOW);
    let mut child = begun(&project, &["run", "slow"]);
    signal(child.id(), "-STOP");
    let asked = project.succeed(&["runs", "cancel", "last"]);
    assert!(asked.stderr.contains("is asked to stop"), "{asked}");
    child.kill().unwrap();
    child.wait().unwrap();
    project.write("go", "");
    project.succeed(&["run", "--resume", "last"]);
}
