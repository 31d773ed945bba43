//! Tasks that are killed, that do not want to end, and that take their process with them: the attempt fails and says why,
//! nothing stays behind, and the other runs of the same daemon go on.

use std::{fs, process::Command, time::Duration};

use super::{
    daemons::{Daemon, backfill, begun, runs},
    harness::{BINARY, Project, waiting::wait_for},
};

/// A run beside the troubled one that begins before the trouble and must end well.
const BESIDE: &str = "\
name: beside
interval: 1d
tasks:
  wait:
    run: shell
    with: {script: 'for step in 1 2 3 4 5 6 7 8; do sleep 0.25; done; echo ended >> beside'}
";

fn project(tasks: &str) -> Project {
    let project = Project::with(
        "troubled",
        &format!("name: troubled\ninterval: 1d\ntasks:\n{tasks}"),
    );
    project.write("pipelines/beside.yaml", BESIDE);
    project.write("data/rows.csv", "id\n1\n2\n");
    project
}

fn enqueue(project: &Project, pipeline: &str) {
    backfill(project, pipeline, "2026-01-02");
}

/// The state of the run of a pipeline, once it is over.
fn end_of(project: &Project, pipeline: &str) -> serde_json::Value {
    let mut found = serde_json::Value::Null;
    wait_for(Duration::from_secs(40), || {
        let run = runs(project)
            .into_iter()
            .find(|run| run["pipeline"] == pipeline);
        match run {
            Some(run) if !run["ended"].is_null() => {
                found = run;
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    });
    found
}

/// A daemon with a run that gets into trouble, and one beside it.
fn troubled(project: &Project) -> Daemon {
    let daemon = begun(project, "daemon");
    enqueue(project, "beside");
    enqueue(project, "troubled");
    daemon
}

/// What a task has said with which the troubled run has failed.
#[track_caller]
fn failure(project: &Project, task: &str) -> String {
    let run = end_of(project, "troubled");
    assert_eq!(run["state"], "failed", "{}", project.read("daemon.log"));
    error_of(project, &run, task)
}

#[track_caller]
fn the_one_beside_went_on(project: &Project) {
    assert_eq!(end_of(project, "beside")["state"], "success");
}

/// What a task of a run has said at its end.
fn error_of(project: &Project, run: &serde_json::Value, task: &str) -> String {
    let shown = project
        .succeed(&[
            "runs",
            "show",
            run["run"].as_str().unwrap(),
            "--format",
            "json",
        ])
        .json();
    shown["tasks"][task]["error"].to_string()
}

/// The numbers of processes in a file, once so many are there.
fn pids(project: &Project, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    wait_for(Duration::from_secs(10), || {
        let text = fs::read_to_string(project.path("pids")).unwrap_or_default();
        found = text.lines().filter_map(|line| line.parse().ok()).collect();
        if found.len() == count {
            Ok(())
        } else {
            Err(format!("{found:?} of {count}"))
        }
    });
    found
}

/// What stands in `/proc` of a process: its state and its parent. None when it is gone.
fn process(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    (state != 'Z').then_some((state, fields.next()?.parse().ok()?))
}

/// The children of a process, and theirs.
fn descendants(of: u32) -> Vec<u32> {
    let all: Vec<u32> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            all.iter()
                .filter(|pid| process(**pid).is_some_and(|(_, theirs)| theirs == parent)),
        );
        next += 1;
    }
    found.split_off(1)
}

#[track_caller]
fn all_gone(pids: &[u32], within: Duration) {
    wait_for(within, || {
        let left: Vec<_> = pids.iter().filter(|pid| process(**pid).is_some()).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?} of {pids:?} still run"))
        }
    });
}

fn kill_hard(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}

/// Which of a daemon's descendants is the process of an isolated task.
fn isolated(daemon: &Daemon) -> u32 {
    let mut found = None;
    wait_for(Duration::from_secs(10), || {
        found = descendants(daemon.id()).into_iter().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("__task")
        });
        found
            .map(|_| ())
            .ok_or("no task has a process of its own".into())
    });
    found.unwrap()
}

/// A task that waits, in a shell and in what that has started.
fn waits(isolation: &str) -> String {
    format!(
        "  wait:\n    run: shell\n{isolation}    with: {{script: 'echo $$ >> pids; sleep 300 & echo $! >> pids; wait'}}\n"
    )
}

/// A load that ends its process in the middle.
fn a_load_that_exits(isolation: &str) -> Project {
    let mut project = project(&format!(
        "  rows:\n    extract: csv\n    with: {{path: data/rows.csv}}\n  table:\n    load: sql\n    from: rows\n{isolation}    with: {{connection: warehouse, table: t, mode: append, create: true}}\n"
    ));
    project.set("PIPECTL_FAILPOINT", "load_sql_before_commit");
    project
}

const IN_A_PROCESS: &str = "    isolation: process\n";

/// A script that no polite signal ends, with a child that is as stubborn.
const STUBBORN: &str = "trap \"\" TERM INT HUP; echo $$ >> pids; (trap \"\" TERM; sleep 300) & echo $! >> pids; while true; do sleep 1; done";

#[test]
fn a_killed_script_has_failed_and_leaves_nothing() {
    let project = project(&waits(""));
    let daemon = troubled(&project);
    let pids = pids(&project, 2);
    kill_hard(pids[0]);
    let error = failure(&project, "wait");
    assert!(error.contains("was killed by SIGKILL"), "{error}");
    all_gone(&pids, Duration::from_secs(8));
    the_one_beside_went_on(&project);
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn a_killed_process_of_a_task_has_failed_and_leaves_nothing() {
    let project = project(&waits(IN_A_PROCESS));
    let daemon = troubled(&project);
    let mut pids = pids(&project, 2);
    pids.extend(descendants(isolated(&daemon)));
    // As the kernel does it when the machine is out of memory.
    kill_hard(isolated(&daemon));
    let error = failure(&project, "wait");
    assert!(
        error.contains("the task's process was killed by SIGKILL"),
        "{error}"
    );
    assert!(error.contains("it had taken "), "{error}");
    all_gone(&pids, Duration::from_secs(8));
    the_one_beside_went_on(&project);
    drop(daemon);
}

#[test]
fn what_does_not_want_to_end_is_ended_with_its_grandchildren() {
    for isolation in ["", IN_A_PROCESS] {
        let project = project(&format!(
            "  wait:\n    run: shell\n{isolation}    with: {{script: '{STUBBORN}'}}\n"
        ));
        let daemon = begun(&project, "daemon");
        enqueue(&project, "troubled");
        let mut pids = pids(&project, 2);
        pids.extend(descendants(daemon.id()));
        let run = runs(&project)[0]["run"].as_str().unwrap().to_owned();
        project.succeed(&["runs", "cancel", &run]);
        let run = end_of(&project, "troubled");
        assert_eq!(run["state"], "cancelled", "{isolation}");
        all_gone(&pids, Duration::from_secs(10));
        drop(daemon);
    }
}

#[test]
fn what_allocates_without_end_is_stopped_at_its_limit() {
    let script =
        "\n        kept = []\n        while True: kept.append(bytearray(b\"x\" * 4_000_000))";
    let tasks = format!(
        "  eats:\n    run: python\n    memory: 96MiB\n    with:\n      script: |{script}\n"
    );
    let project = project(&tasks);
    let daemon = troubled(&project);
    let error = failure(&project, "eats");
    assert!(
        error.contains("stopped at its limit of 96.0 MiB of memory: it had taken "),
        "{error}"
    );
    the_one_beside_went_on(&project);
    all_gone(&descendants(daemon.id()), Duration::from_secs(8));
    drop(daemon);
}

/// The fail point is only come to in the task's process.
#[test]
fn what_exits_its_process_has_failed_and_the_others_go_on() {
    let project = a_load_that_exits(IN_A_PROCESS);
    let mut daemon = troubled(&project);
    let error = failure(&project, "table");
    assert!(
        error.contains("the task's process was killed by SIGABRT"),
        "{error}"
    );
    the_one_beside_went_on(&project);
    assert!(daemon.is_alive());
}

#[test]
fn what_overflows_its_stack_has_failed_and_the_others_go_on() {
    let mut project = a_load_that_exits(IN_A_PROCESS);
    project.set("PIPECTL_FAILPOINT", "deep@load_sql_before_commit");
    let mut daemon = troubled(&project);
    let error = failure(&project, "table");
    assert!(error.contains("has overflowed its stack"), "{error}");
    the_one_beside_went_on(&project);
    assert!(daemon.is_alive());
}

/// In-process, the load takes the daemon with it; a supervisor starts the daemon again. The third try is made in a process
/// of its own, so that the others do not go with it once more.
fn takes_the_daemon_down(project: &Project, named: &str) {
    let mut daemon = troubled(project);
    let mut losses = 0;
    wait_for(Duration::from_secs(40), || {
        if !daemon.is_alive() {
            losses += 1;
            daemon = Daemon::start(project, "daemon");
        }
        let runs = runs(project);
        if runs.iter().all(|run| !run["ended"].is_null()) {
            Ok(())
        } else {
            Err(format!("{losses} losses; {runs:?}\n{}", daemon.log()))
        }
    });
    assert_eq!(losses, 2);
    the_one_beside_went_on(project);
    let error = failure(project, "table");
    assert!(error.contains(named), "{error}");
    assert!(daemon.is_alive());
}

#[test]
fn what_takes_the_daemon_down_is_found_and_the_others_succeed() {
    takes_the_daemon_down(
        &a_load_that_exits(""),
        "the task's process was killed by SIGABRT",
    );
}

#[test]
fn what_overflows_the_daemons_stack_is_found_and_the_others_succeed() {
    let mut project = a_load_that_exits("");
    project.set("PIPECTL_FAILPOINT", "deep@load_sql_before_commit");
    takes_the_daemon_down(&project, "has overflowed its stack");
}

/// A daemon that the system gives no more than this, in KiB, of memory of its own: what asks for more dies, as it does when
/// the kernel has none left. The limit stands for the kernel's killer, which no test may wake on a machine that others use.
fn starving(project: &Project, limit: u32) -> Daemon {
    let script = format!("ulimit -d {limit}; exec {BINARY} daemon --no-serve");
    Daemon::of(project, "daemon", project.program("sh", &["-c", &script]))
}

/// Without `memory:` nobody watches what a task takes.
#[test]
fn what_takes_all_memory_without_a_limit_is_named_and_the_others_succeed() {
    let ids: String = (0..40_000).map(|row| format!("{row}\n")).collect();
    let project = project(
        "  ids:\n    extract: csv\n    with: {path: data/ids.csv}\n  eats:\n    transform: sql\n    from: ids\n    with: {query: 'select a.id as one, b.id as two from ids a cross join ids b order by two, one'}\n",
    );
    project.write("data/ids.csv", format!("id\n{ids}"));
    let mut daemon = starving(&project, 1_500_000).works();
    enqueue(&project, "beside");
    enqueue(&project, "troubled");
    let mut losses = 0;
    wait_for(Duration::from_secs(60), || {
        if !daemon.is_alive() {
            losses += 1;
            daemon = starving(&project, 1_500_000);
        }
        let runs = runs(&project);
        let open = runs.iter().any(|run| run["ended"].is_null());
        let said = || format!("{losses} losses; {runs:?}\n{}", daemon.log());
        if open { Err(said()) } else { Ok(()) }
    });
    assert!(losses <= 3, "{losses} losses");
    the_one_beside_went_on(&project);
    let error = failure(&project, "eats");
    println!("{losses} losses of the daemon; {error}");
    assert!(
        error.contains("the task's process was killed by SIGABRT") || error.contains("memory"),
        "{error}"
    );
    assert!(daemon.is_alive());
}

#[test]
fn a_script_that_takes_all_memory_without_a_limit_is_named_and_the_daemon_lives() {
    let script =
        "\n        kept = []\n        while True: kept.append(bytearray(b\"x\" * 4_000_000))";
    let project = project(&format!(
        "  eats:\n    run: python\n    with:\n      script: |{script}\n"
    ));
    let mut daemon = starving(&project, 600_000).works();
    enqueue(&project, "beside");
    enqueue(&project, "troubled");
    let error = failure(&project, "eats");
    assert!(error.contains("MemoryError"), "{error}");
    the_one_beside_went_on(&project);
    assert!(daemon.is_alive());
}

#[test]
fn the_third_loss_fails_a_task() {
    let project =
        project("  wait:\n    run: shell\n    with: {script: 'echo $$ >> pids; sleep 60'}\n");
    let mut daemon = begun(&project, "daemon");
    enqueue(&project, "troubled");
    for loss in 1..=3 {
        pids(&project, loss);
        daemon.kill();
        daemon = Daemon::start(&project, "daemon");
    }
    let error = failure(&project, "wait");
    assert!(
        error.contains("3 times the process that worked on it was gone before it ended"),
        "{error}"
    );
    all_gone(&pids(&project, 3), Duration::from_secs(8));
    assert!(daemon.is_alive());
}
