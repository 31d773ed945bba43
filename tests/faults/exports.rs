//! What a daemon tells other systems: `OpenLineage` events in a file, `OpenTelemetry` traces over HTTP; and that a collector
//! that is away holds up no run.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    daemons::{all_succeeded, backfill, begun},
    harness::{Project, http::ask, waiting::wait_for},
    health::serving,
};

/// Answers every request with 200 and passes its path and body on.
fn collector() -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(answer).unwrap();
            let path = first.split(' ').nth(1).unwrap().to_owned();
            if sender
                .send((path, serde_json::from_slice(&body).unwrap()))
                .is_err()
            {
                return;
            }
        }
    });
    (url, receiver)
}

const PIPELINE: &str = "\
name: told
interval: 1d
tasks:
  rows:
    extract: csv
    with: {path: rows.csv}
  fails:
    run: shell
    needs: rows
    with: {script: 'exit 1'}
";

#[test]
fn runs_are_told_to_openlineage_and_opentelemetry() {
    let mut project = Project::with("told", PIPELINE);
    project.write("rows.csv", "id,name\n1,a\n2,b\n");
    let (url, told) = collector();
    let file = project.path("lineage.jsonl").display().to_string();
    project.set("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    project.set("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", file);
    let daemon = begun(&project, "daemon");
    backfill(&project, "told", "2026-01-02");
    let (path, traces) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(path, "/v1/traces");
    let spans = traces["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .unwrap();
    let span = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let root = span("told");
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert_eq!(root["status"]["code"], 2);
    for (task, code) in [("rows", 1), ("fails", 2)] {
        assert_eq!(span(task)["parentSpanId"], root["spanId"]);
        assert_eq!(span(task)["traceId"], root["traceId"]);
        assert_eq!(span(task)["status"]["code"], code, "{task}");
    }
    wait_for(Duration::from_secs(10), || {
        let text = std::fs::read_to_string(project.path("lineage.jsonl")).unwrap_or_default();
        if text.lines().count() == 2 {
            Ok(())
        } else {
            Err(text)
        }
    });
    let events: Vec<Value> = project
        .read("lineage.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&events[0]["eventType"], &events[1]["eventType"]),
        (&"START".into(), &"FAIL".into())
    );
    assert_eq!(events[0]["run"]["runId"], events[1]["run"]["runId"]);
    assert_eq!(events[1]["job"]["name"], "told");
    let fields = &events[1]["outputs"][0]["facets"]["schema"]["fields"];
    assert_eq!(
        (&fields[0]["name"], &fields[1]["name"]),
        (&"id".into(), &"name".into())
    );
    assert!(events[1]["run"]["facets"]["nominalTime"]["nominalStartTime"].is_string());
    drop(daemon);
}

#[test]
fn a_collector_that_is_away_holds_up_no_run() {
    let mut project = Project::with("a", "name: a\ninterval: 1d\ntasks:\n  a:\n    run: noop\n");
    project.set("OPENLINEAGE_URL", "http://127.0.0.1:1");
    project.set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let daemon = begun(&project, "daemon");
    backfill(&project, "a", "2026-01-04");
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 3));
    wait_for(Duration::from_secs(20), || {
        let log = daemon.log();
        if log.contains("left out of the export") {
            Ok(())
        } else {
            Err(log)
        }
    });
    assert_eq!(daemon.terminate(), Some(0));
}

/// Takes every connection and answers none.
fn hanging() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    url
}

/// What a measure stands at.
fn measured(port: u16, measure: &str) -> u64 {
    let text = ask(port, "/metrics").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(measure));
    let value = line.unwrap_or_else(|| panic!("no {measure} in {text}"));
    value.trim().parse().unwrap()
}

#[test]
fn a_collector_that_hangs_is_left_out_counted_and_said_once() {
    let mut project = Project::with(
        "a",
        "name: a\ninterval: 1d\nmax_active_runs: 16\ntasks:\n  a:\n    run: noop\n",
    );
    project.set("OTEL_EXPORTER_OTLP_ENDPOINT", hanging());
    let file = project.path("lineage.jsonl").display().to_string();
    project.set("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", file);
    let (daemon, port) = serving(&project);
    // 300 traces, of which 256 may wait and one is under way.
    backfill(&project, "a", "2026-10-28");
    wait_for(Duration::from_secs(150), || all_succeeded(&project, 300));
    let dropped = "pipectl_exports_dropped_total{to=\"opentelemetry\"}";
    assert!(measured(port, dropped) >= 300 - 256 - 3);
    let said = daemon.log();
    let said = said.matches("left out of the export to opentelemetry");
    assert_eq!(said.count(), 1, "{}", daemon.log());
    // The other collector has heard all.
    let sent = "pipectl_exports_sent_total{to=\"openlineage\"}";
    wait_for(Duration::from_secs(10), || {
        let sent = measured(port, sent);
        (sent == 2 * 300).then_some(()).ok_or(sent.to_string())
    });
    let start = Instant::now();
    let log = project.path("daemon.log");
    assert_eq!(daemon.terminate(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("left out of the exports at the end"), "{log}");
}

#[test]
fn what_waits_for_a_collector_is_sent_before_the_end() {
    let mut project = Project::with(
        "a",
        "name: a\ninterval: 1d\nmax_active_runs: 8\ntasks:\n  a:\n    run: noop\n",
    );
    let (url, told) = collector();
    project.set("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    let daemon = begun(&project, "daemon");
    backfill(&project, "a", "2026-01-31");
    wait_for(Duration::from_secs(60), || all_succeeded(&project, 30));
    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(told.try_iter().count(), 30);
}
