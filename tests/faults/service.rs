//! A daemon as a service: one at a time on SQLite, stopped by signals, pipelines edited while it runs.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    daemons::{Daemon, all_succeeded, backfill, begins, begun, runs},
    harness::{Project, waiting::wait_for},
};

#[test]
fn a_second_daemon_says_why_it_does_not_start() {
    let project = Project::with("a", "name: a\ntasks:\n  a:\n    run: noop\n");
    let daemon = begun(&project, "daemon");
    let second = project.run(&["daemon", "--no-serve"]);
    assert_eq!(second.code, Some(2));
    assert_eq!(
        second.stderr,
        format!(
            "error: a daemon works here already (process {})\nhint: on SQLite there can be one; for several, put the history on Postgres: PIPECTL_STORE=postgres://…\n",
            daemon.id()
        )
    );
    // Who reads the log as JSON reads this too.
    let third = project.run(&["daemon", "--no-serve", "--log-format", "json"]);
    let line: serde_json::Value = serde_json::from_str(&third.stderr).unwrap();
    assert_eq!(line["level"], "ERROR", "{third}");
    let message = line["fields"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("a daemon works here already"),
        "{third}"
    );
    let hint = line["fields"]["hint"].as_str().unwrap();
    assert!(hint.starts_with("on SQLite there can be one"), "{third}");
    // Beside it people may run what they like.
    project.succeed(&["run", "a"]);
    assert_eq!(daemon.terminate(), Some(0));
}

const SLOW: &str = "\
name: slow
interval: 1d
tasks:
  wait:
    run: shell
    with: {script: 'echo begun >> begun; sleep 2; echo ended >> ended'}
  after:
    run: noop
    needs: wait
";

#[test]
fn sigterm_lets_runs_end_within_the_grace() {
    let project = Project::with("slow", SLOW);
    let daemon = Daemon::start_with(&project, "daemon", &["--grace", "20s"]).works();
    backfill(&project, "slow", "2026-01-03");
    begins(&project);
    assert_eq!(daemon.terminate(), Some(0));
    let runs = runs(&project);
    let count = |state: &str| runs.iter().filter(|run| run["state"] == state).count();
    assert_eq!((count("success"), count("queued")), (1, 1));
}

#[test]
fn what_is_not_over_after_the_grace_is_left_to_the_next() {
    let project = Project::with("slow", SLOW);
    let daemon = Daemon::start_with(&project, "daemon", &["--grace", "0s"]).works();
    backfill(&project, "slow", "2026-01-02");
    begins(&project);
    let start = Instant::now();
    assert_eq!(daemon.terminate(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
    let show = project
        .succeed(&["runs", "show", "last", "--format", "json"])
        .json();
    assert_eq!(show["tasks"]["wait"]["state"], "up_for_retry", "{show}");
    assert!(!project.path("ended").exists());
    let daemon = Daemon::start(&project, "daemon");
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    drop(daemon);
    assert_eq!(project.read("begun").lines().count(), 2);
    assert_eq!(project.read("ended").lines().count(), 1);
}

#[test]
fn a_second_signal_ends_the_grace() {
    let project = Project::with("slow", &SLOW.replace("sleep 2", "sleep 100"));
    let daemon = Daemon::start_with(&project, "daemon", &["--grace", "100s"]).works();
    backfill(&project, "slow", "2026-01-02");
    begins(&project);
    let start = Instant::now();
    daemon.signal("-INT");
    wait_for(Duration::from_secs(10), || {
        let log = daemon.log();
        log.contains("stopping").then_some(()).ok_or(log)
    });
    assert_eq!(daemon.terminate(), Some(0));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// A time that is edited, a sensor that is edited and one that is new, while the daemon works.
#[test]
fn edited_times_and_sensors_count_at_once() {
    let cron = |cron: &str| {
        format!(
            "name: tick\nschedule: {{cron: '{cron}'}}\ntasks:\n  a:\n    run: shell\n    with: {{script: echo tick >> words}}\n"
        )
    };
    let senses = |name: &str, directory: &str| {
        format!(
            "name: {name}\nschedule: {{sensor: go}}\ntasks:\n  go:\n    sensor: file\n    with: {{path: '{directory}/*.txt', settle: 0s}}\n  a:\n    run: shell\n    needs: go\n    with: {{script: echo {name} >> words}}\n"
        )
    };
    let project = Project::with("tick", &cron("0 3 1 1 *"));
    project.write("pipelines/old.yaml", senses("old", "before"));
    let daemon = begun(&project, "daemon");
    sleep(Duration::from_millis(1_500));
    project
        .write("pipelines/tick.yaml", cron("* * * * * *"))
        .write("pipelines/old.yaml", senses("old", "after"))
        .write("pipelines/new.yaml", senses("new", "fresh"))
        .write("after/a.txt", "x")
        .write("fresh/a.txt", "x");
    for word in ["tick", "old", "new"] {
        wait_for(Duration::from_secs(15), || {
            let words = std::fs::read_to_string(project.path("words")).unwrap_or_default();
            let is_there = words.lines().any(|line| line == word);
            is_there
                .then_some(())
                .ok_or(format!("no {word} in {words:?}\n{}", daemon.log()))
        });
    }
    drop(daemon);
}

#[test]
fn an_edit_is_picked_up_and_a_broken_one_keeps_the_last_good_version() {
    let pipeline = |word: &str| {
        format!(
            "name: tick\nschedule: {{cron: '* * * * * *'}}\ntasks:\n  a:\n    run: shell\n    with: {{script: 'echo {word} >> words'}}\n"
        )
    };
    let project = Project::with("tick", &pipeline("one"));
    let daemon = Daemon::start(&project, "daemon");
    let says = |word: &str| {
        wait_for(Duration::from_secs(10), || {
            let words = std::fs::read_to_string(project.path("words")).unwrap_or_default();
            if words.lines().last() == Some(word) {
                Ok(())
            } else {
                Err(format!("{words}\n{}", daemon.log()))
            }
        });
    };
    says("one");
    project.write("pipelines/tick.yaml", pipeline("two"));
    says("two");
    project.write(
        "pipelines/tick.yaml",
        "name: tick\nschedule: {cron: '* * * * * *'}\ntasks:\n  a:\n    run: shel\n",
    );
    wait_for(Duration::from_secs(10), || {
        let log = daemon.log();
        if log.contains("the last good version stays in force") {
            Ok(())
        } else {
            Err(log)
        }
    });
    let before = project.read("words").lines().count();
    sleep(Duration::from_millis(2_200));
    let words = project.read("words");
    assert!(words.lines().count() > before, "{words}");
    assert_eq!(words.lines().last(), Some("two"));
    assert!(
        daemon.log().contains("pipelines/tick.yaml:5"),
        "{}",
        daemon.log()
    );
    drop(daemon);
}

#[test]
fn a_run_whose_command_was_killed_has_failed() {
    let project = Project::with("slow", SLOW);
    let mut child = project.start(&["run", "slow"]);
    begins(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    let listed = runs(&project);
    assert_eq!(listed[0]["state"], "failed", "{listed:?}");
    let error = listed[0]["error"].as_str().unwrap();
    assert!(
        error.contains("the process that worked on it is gone; `pipectl run --resume"),
        "{error}"
    );
    project.succeed(&["run", "--resume", "last"]);
    all_succeeded(&project, 1).unwrap();
}

#[test]
fn a_daemon_cancels_what_people_want_cancelled() {
    let project = Project::with(
        "slow",
        "name: slow\ninterval: 1d\ntasks:\n  wait:\n    run: shell\n    with: {script: 'echo begun > begun; sleep 60'}\n",
    );
    let daemon = begun(&project, "daemon");
    backfill(&project, "slow", "2026-01-03");
    begins(&project);
    project.succeed(&["backfill", "pause", "last"]);
    for run in runs(&project) {
        project.succeed(&["runs", "cancel", run["run"].as_str().unwrap()]);
    }
    wait_for(Duration::from_secs(10), || {
        let runs = runs(&project);
        if runs.iter().all(|run| run["state"] == "cancelled") {
            Ok(())
        } else {
            Err(format!("{runs:?}"))
        }
    });
    drop(daemon);
}

#[test]
fn a_backfill_is_left_to_the_daemon_in_one_line() {
    let project = Project::with("slow", SLOW);
    let daemon = begun(&project, "daemon");
    let days = ["--from-date", "2026-01-01", "--to-date", "2026-01-02"];
    let ran = project.succeed(&[&["backfill", "slow"], &days[..]].concat());
    let told: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        told[0].ends_with(" of slow: 1 run")
            && told[1].starts_with("a daemon works on it; `pipectl backfill list`"),
        "{ran}"
    );
    assert_eq!((ran.stdout.as_str(), told.len()), ("", 2));
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn a_backfill_after_a_killed_daemon_is_worked_off_by_its_command() {
    let project = Project::with("slow", SLOW);
    begun(&project, "daemon").kill();
    backfill(&project, "slow", "2026-01-02");
    assert_eq!(runs(&project)[0]["state"], "success");
    let ran = project.succeed(&["backfill", "cancel", "last"]);
    assert!(
        ran.stderr.starts_with("nothing to do: all runs of "),
        "{ran}"
    );
    let listed = project.succeed(&["backfill", "list"]).stdout;
    assert!(listed.contains("  done  "), "{listed}");
}

#[test]
fn a_failed_run_stands_in_the_log_with_its_first_failure() {
    let fails = "run: shell\n    with: {script: exit 3}";
    let text = format!(
        "name: bad\nschedule: {{cron: '@daily'}}\ntasks:\n  broken:\n    {fails}\n  after:\n    run: noop\n    needs: broken\n"
    );
    let project = Project::with("bad", &text);
    let daemon = begun(&project, "daemon");
    backfill(&project, "bad", "2026-01-02");
    wait_for(Duration::from_secs(10), || {
        let log = daemon.log();
        let told = |line: &str| line.contains("over: `broken`: ") && line.contains("WARN");
        log.lines().any(told).then_some(()).ok_or(log)
    });
    assert_eq!(daemon.terminate(), Some(0));
}

/// The examples that start by themselves do so when they stand among the pipelines.
#[test]
fn examples_start_by_themselves() {
    let project = Project::repository();
    for name in ["scheduled", "on_new_files"] {
        let example = project.read(&format!("examples/{name}.yaml"));
        project.write(&format!("pipelines/{name}.yaml"), example);
    }
    // With a start in the past the latest day is caught up with at once.
    let scheduled = project.read("pipelines/scheduled.yaml");
    let since = scheduled.replace("catchup: latest", "catchup: latest, start: 2026-01-01");
    assert_ne!(scheduled, since);
    project.write("pipelines/scheduled.yaml", since);
    let daemon = begun(&project, "daemon");
    wait_for(Duration::from_secs(20), || all_succeeded(&project, 2));
    let mut kinds: Vec<_> = runs(&project)
        .iter()
        .map(|run| format!("{} {}", run["pipeline"], run["kind"]))
        .collect();
    kinds.sort();
    assert_eq!(
        kinds,
        ["\"on_new_files\" \"sensor\"", "\"scheduled\" \"scheduled\""]
    );
    let files = std::fs::read_dir(project.path("out/scheduled")).unwrap();
    assert_eq!(files.count(), 1);
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn settings_are_read_anew_on_sighup() {
    let project = Project::with(
        "kept",
        "name: kept\ninterval: 1d\ntasks:\n  a:\n    extract: csv\n    with: {path: a.csv}\n  b:\n    load: sql\n    from: a\n    with: {connection: warehouse, table: t, mode: append, create: true}\n",
    );
    project.write("a.csv", "a\n1\n");
    let settings = |text: &str| project.write("pipectl.yaml", text);
    settings("connections: {warehouse: 'sqlite:one.db'}\n");
    let daemon = begun(&project, "daemon");
    let hangs_up = |says: &str| {
        daemon.signal("-HUP");
        wait_for(Duration::from_secs(5), || {
            let log = daemon.log();
            if log.contains(says) { Ok(()) } else { Err(log) }
        });
    };
    let loads = |to: &str, count| {
        backfill(&project, "kept", to);
        wait_for(Duration::from_secs(10), || all_succeeded(&project, count));
    };
    loads("2026-01-02", 1);
    assert!(project.path("one.db").exists());
    settings("conections: {}\n");
    hangs_up("ERROR the settings in force stay, for the new ones are not valid: pipectl.yaml:1: ");
    settings("connections: {warehouse: 'sqlite:two.db'}\npools: {few: 1}\n");
    hangs_up("INFO pipectl.yaml is read anew");
    let log = daemon.log();
    assert!(
        log.contains("WARN `pools` changes when the daemon is started anew"),
        "{log}"
    );
    loads("2026-01-03", 2);
    assert!(project.path("two.db").exists());
    std::fs::remove_file(project.path("pipectl.yaml")).unwrap();
    hangs_up("INFO there is no pipectl.yaml to be read anew");
}

#[test]
fn a_port_that_is_taken_is_a_warning_in_the_format_of_the_log() {
    let project = Project::with("a", "name: a\ntasks:\n  a:\n    run: noop\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["daemon", "--listen", &address, "--log-format", "json"];
    let daemon = Daemon::spawn(&project, "daemon", &arguments).works();
    let log = daemon.log();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let warning = lines.iter().find(|line| line["level"] == "WARN").unwrap();
    let message = warning["fields"]["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("cannot listen on {address}")),
        "{log}"
    );
    assert_eq!(daemon.terminate(), Some(0));
}
