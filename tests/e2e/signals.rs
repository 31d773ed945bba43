//! Ctrl-C once cancels and records it, twice leaves at once.

use std::{
    process::Child,
    thread::sleep,
    time::{Duration, Instant},
};

use super::harness::{
    Project,
    waiting::{begun, signal},
};

const SLOW: &str = "\
name: slow
tasks:
  wait:
    run: shell
    with: {script: 'echo begun > begun; exec sleep 60'}
  after:
    run: noop
    needs: wait
";

const STUBBORN: &str = "\
name: stubborn
tasks:
  wait:
    run: shell
    with: {script: \"trap '' TERM INT HUP; sleep 61 & echo begun > begun; while true; do sleep 0.1; done\"}
";

fn interrupt(child: &Child) {
    signal(child.id(), "-INT");
}

fn end(child: Child, within: Duration) -> (Option<i32>, String) {
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(
        start.elapsed() < within,
        "it took {:?} to end",
        start.elapsed()
    );
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn once_cancels_and_records_it() {
    let project = Project::with("slow", SLOW);
    let child = begun(&project, &["run", "slow"]);
    interrupt(&child);
    let (code, stderr) = end(child, Duration::from_secs(8));
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("stopping"), "{stderr}");
    let run = project
        .succeed(&["runs", "show", "last", "--format", "json"])
        .json();
    assert_eq!(run["state"], "cancelled");
    assert_eq!(run["tasks"]["wait"]["state"], "cancelled");
    assert_eq!(run["tasks"]["after"]["state"], "cancelled");
    project.write("pipelines/slow.yaml", SLOW.replace("exec sleep 60", "true"));
    // The run's own version of the pipeline goes on, not the file's present one.
    let child = begun(&project, &["run", "--resume", "last"]);
    interrupt(&child);
    assert_eq!(end(child, Duration::from_secs(8)).0, Some(130));
}

#[test]
fn a_killed_run_is_shown_with_how_it_goes_on() {
    let project = Project::with("slow", SLOW);
    let mut child = begun(&project, &["run", "slow"]);
    let going_on = |whether: &str| {
        let shown = project.succeed(&["runs", "show", "last"]);
        let json = project.succeed(&["runs", "show", "last", "--format", "json"]);
        let run = json.json()["run"].as_str().unwrap().to_owned();
        let line = format!(
            "  pipectl run --resume {}{whether}\n",
            &run[run.len() - 8..]
        );
        assert!(shown.stderr.contains(&line), "{shown}");
    };
    going_on("  (if the process that works on it is gone)");
    child.kill().unwrap();
    child.wait().unwrap();
    going_on("");
}

/// The processes that work in a directory, by their number and command line.
fn at_work_in(project: &Project) -> Vec<(String, String)> {
    let root = project.root().canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| {
            let path = process.path();
            let at = std::fs::read_link(path.join("cwd")).ok()?;
            let line = std::fs::read_to_string(path.join("cmdline")).ok()?;
            let number = process.file_name().to_string_lossy().into_owned();
            at.starts_with(&root)
                .then(|| (number, line.replace('\0', " ")))
        })
        .collect()
}

#[test]
fn twice_leaves_at_once_and_nothing_behind() {
    let project = Project::with("stubborn", STUBBORN);
    let child = begun(&project, &["run", "stubborn"]);
    let before = at_work_in(&project);
    let of = |what: &str| before.iter().any(|(_, line)| line.contains(what));
    assert!(of("sh -e") && of("sleep 61"), "{before:?}");
    interrupt(&child);
    sleep(Duration::from_millis(300));
    interrupt(&child);
    let (code, stderr) = end(child, Duration::from_secs(2));
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("run --resume"), "{stderr}");
    let start = Instant::now();
    while !at_work_in(&project).is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "still there: {:?}",
            at_work_in(&project)
        );
        sleep(Duration::from_millis(20));
    }
}

/// Whoever says `pipectl backfill … && publish` publishes nothing that is half done.
#[test]
fn a_backfill_that_is_stopped_says_so_and_how_it_goes_on() {
    let project = Project::with("slow", &format!("interval: 1d\n{SLOW}"));
    let days = [
        "backfill",
        "slow",
        "--from-date",
        "2026-03-01",
        "--to-date",
        "2026-03-03",
    ];
    let child = begun(&project, &days);
    interrupt(&child);
    let (code, stderr) = end(child, Duration::from_secs(20));
    assert_eq!(code, Some(130), "{stderr}");
    assert!(
        stderr.contains("`pipectl backfill resume 01") && stderr.contains("` goes on"),
        "{stderr}"
    );
}
