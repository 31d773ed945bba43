//! `cache:`: what is neither a setting nor an input counts too.

use std::{fs, os::unix::fs::PermissionsExt as _, thread, time::Duration};

use super::harness::{Project, Ran};

/// Its own pipeline, view, key and program.
const PIPELINE: &str = r"
name: made
tasks:
  rows: {extract: csv, with: {path: data/rows.csv}}
  known: {transform: features, from: rows, cache: true, with: {time: at, views: [plans]}}
  hidden: {transform: mask, from: rows, cache: true, with: {hash: [customer], key: {file: mask.key}}}
  asked: {transform: mask, from: rows, cache: true, with: {hash: [customer], key: {env: MASK_KEY}}}
  same: {transform: tally, from: rows, cache: true}
";

const VIEW: &str = "name: plans\nentity: customer\nevent_time: at\ncolumns: [plan]\nsource: {path: data/plans.csv}\n";

const PROGRAM: &str = r#"#!/bin/sh
if [ "$1" = describe ]; then
  echo '{"protocol": 1, "summary": "Counts.", "takes": "one", "settings": {"type": "object", "properties": {}}, "outputs": {"values": {"n": {"type": "integer", "description": "A number."}}}}'
else
  echo '{"values": {"n": NUMBER}}'
fi
"#;

fn program(project: &Project, number: u32) {
    let path = project.path("bin/pipectl-transform-tally");
    // Not written over: another test's fork may hold it open for writing.
    let fresh = project.path("bin/fresh");
    project.write("bin/fresh", PROGRAM.replace("NUMBER", &number.to_string()));
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(fresh, path).unwrap();
}

/// The tasks that were taken from an earlier run.
fn taken(ran: &Ran) -> Vec<String> {
    let tasks = ran.json()["tasks"].clone();
    let tasks = tasks.as_object().unwrap();
    let taken = tasks.iter().filter(|(_, task)| {
        let note = task["note"].as_str().unwrap_or_default();
        note.starts_with("taken from run")
    });
    let mut taken: Vec<String> = taken.map(|(name, _)| name.clone()).collect();
    taken.sort();
    taken
}

#[test]
fn what_is_taken_was_made_of_the_same_views_keys_and_programs() {
    let mut project = Project::with("made", PIPELINE);
    project.write("data/rows.csv", "customer,at\na,2026-03-02T00:00:00Z\n");
    project.write(
        "data/plans.csv",
        "customer,at,plan\na,2026-03-01T00:00:00Z,small\n",
    );
    project.write("features/plans.yaml", VIEW);
    project.write("mask.key", "0123456789abcdef\n");
    program(&project, 1);
    let path = std::env::var("PATH").unwrap();
    project.set("PATH", format!("{}:{path}", project.path("bin").display()));
    project.set("MASK_KEY", "0123456789abcdef".to_owned());
    let run = |project: &Project| taken(&project.succeed(&["run", "made", "--format", "json"]));
    assert!(run(&project).is_empty());
    assert_eq!(run(&project), ["asked", "hidden", "known", "same"]);

    // The source's rows, then the view itself.
    thread::sleep(Duration::from_millis(20));
    project.write(
        "data/plans.csv",
        "customer,at,plan\na,2026-03-01T00:00:00Z,large\n",
    );
    assert_eq!(run(&project), ["asked", "hidden", "same"]);
    project.write("features/plans.yaml", format!("{VIEW}ttl: 1h\n"));
    assert_eq!(run(&project), ["asked", "hidden", "same"]);

    project.write("mask.key", "another key, another key\n");
    assert_eq!(run(&project), ["asked", "known", "same"]);
    project.set("MASK_KEY", "another key, another key".to_owned());
    assert_eq!(run(&project), ["hidden", "known", "same"]);

    program(&project, 2);
    assert_eq!(run(&project), ["asked", "hidden", "known"]);
    assert_eq!(run(&project), ["asked", "hidden", "known", "same"]);
}

#[test]
fn a_view_over_a_database_is_read_anew_and_the_log_says_so() {
    let project = Project::with("made", PIPELINE.split("  hidden:").next().unwrap());
    project.write("data/rows.csv", "customer,at\na,2026-03-02T00:00:00\n");
    let view = VIEW.replace(
        "{path: data/plans.csv}",
        "{connection: warehouse, table: plans}",
    );
    project.write("features/plans.yaml", view);
    let fill = "name: fill\ntasks:\n  plans: {run: sql, with: {connection: warehouse, statements: [\"create table plans (customer text, at datetime, plan text)\"]}}\n";
    project.write("pipelines/fill.yaml", fill);
    project.succeed(&["run", "fill"]);
    for _ in 0..2 {
        let ran = project.succeed(&["run", "made", "--format", "json"]);
        assert!(taken(&ran).is_empty(), "{ran}");
        let id = ran.json()["run"].as_str().unwrap().to_owned();
        let log = project.succeed(&["runs", "logs", &id, "known"]);
        let said = "nobody knows whether the rows of the feature view `plans` are as they were";
        assert!(log.stdout.contains(said), "{log}");
    }
}
