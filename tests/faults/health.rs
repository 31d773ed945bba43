//! What a daemon answers to those who ask how it is, while it stops and while its history is away; and a command that is
//! told to stop meanwhile.

use std::{
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use pipectl_test_support::TestPostgres;
use serde_json::json;

use super::{
    daemons::{Daemon, backfill, begins},
    harness::{
        Project,
        http::{ask, free_port, get},
        waiting::wait_for,
    },
};

const SLOW: &str = "\
name: slow
interval: 1d
tasks:
  wait:
    run: shell
    with: {script: 'echo begun >> begun; sleep 3'}
";

pub(crate) fn serving(project: &Project) -> (Daemon, u16) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let daemon = Daemon::spawn(
        project,
        "daemon",
        &["daemon", "--listen", &listen, "--grace", "20s"],
    );
    (daemon.works(), port)
}

#[test]
fn it_says_that_it_stops_until_it_has() {
    let project = Project::with("slow", SLOW);
    let (mut daemon, port) = serving(&project);
    backfill(&project, "slow", "2026-01-02");
    begins(&project);
    assert!(ask(port, "/health").unwrap().starts_with("HTTP/1.1 200"));
    // A daemon serves models, too; here there is none.
    assert_eq!(get(port, "/v1/models"), (200, json!({"models": []})));
    daemon.signal("-TERM");
    for _ in 0..10 {
        sleep(Duration::from_millis(100));
        let health = ask(port, "/health").expect("it answers");
        assert!(
            health.starts_with("HTTP/1.1 503") && health.ends_with("not ready: stopping\n"),
            "{health}"
        );
        assert!(
            ask(port, "/health/live")
                .unwrap()
                .starts_with("HTTP/1.1 200")
        );
    }
    assert_eq!(daemon.end(Duration::from_secs(20)), Some(0));
    assert_eq!(ask(port, "/health/live"), None);
}

#[test]
fn it_answers_soon_while_its_history_is_away() {
    let server = TestPostgres::durable();
    let mut project = Project::with("slow", SLOW);
    project.set("PIPECTL_STORE", server.database());
    let (daemon, port) = serving(&project);
    let metrics = ask(port, "/metrics").unwrap();
    assert!(
        metrics.contains("\npipectl_store_up 1\n")
            && metrics.contains("\npipectl_daemons_alive 1\n"),
        "{metrics}"
    );
    server.crash();
    for path in ["/metrics", "/health"] {
        let asked = Instant::now();
        let answer = ask(port, path).unwrap();
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{path}: {:?}",
            asked.elapsed()
        );
        let expected = match path {
            "/health" => "HTTP/1.1 503 ",
            _ => "\npipectl_daemons_alive 0\n",
        };
        assert!(answer.contains(expected), "{answer}");
        assert!(
            path == "/health" || answer.contains("\npipectl_store_up 0\n"),
            "{answer}"
        );
    }
    // Whatever has noticed it first: that it is away, and where it should be.
    let place = format!("127.0.0.1:{}/", server.port());
    wait_for(Duration::from_secs(30), || {
        let log = daemon.log();
        let named = log.contains(&place) && log.contains("the history is away");
        if named { Ok(()) } else { Err(log) }
    });
    server.start_again();
    wait_for(Duration::from_secs(15), || {
        let health = ask(port, "/health").unwrap();
        health
            .starts_with("HTTP/1.1 200")
            .then_some(())
            .ok_or(health)
    });
}

#[test]
fn a_command_that_is_told_to_stop_does_not_wait_for_a_history_that_is_away() {
    let server = TestPostgres::durable();
    let mut project = Project::with("slow", &SLOW.replace("sleep 3", "sleep 60"));
    project.set("PIPECTL_STORE", server.database());
    let child = project.start(&["run", "slow"]);
    begins(&project);
    server.crash();
    sleep(Duration::from_millis(500));
    let told = Instant::now();
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert!(
        told.elapsed() < Duration::from_secs(10),
        "{:?}",
        told.elapsed()
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let told: Vec<&str> = said.lines().rev().take(4).collect();
    assert!(
        told.iter().any(|line| line.starts_with(
            "error: left: the run could not be brought to its end, because the run history is away"
        )) && said.contains("refused")
            && told[0]
                .starts_with("hint: when the history can be reached again, `pipectl run --resume "),
        "{said}"
    );
    assert!(said.matches("WARN").count() <= 2, "{said}");
    server.start_again();
    project.write("pipelines/slow.yaml", SLOW.replace("sleep 3", "true"));
    let resumed = project.run(&["run", "--resume", "last"]);
    assert_eq!(resumed.code, Some(0), "{resumed}");
}
