//! Pipelines that start by themselves, and the care of their history, as far as no daemon is needed.

use super::harness::{Project, snapshots::check};

const DAILY: &str = "name: daily\nschedule: {cron: '@daily'}\ntasks:\n  nothing: {run: noop}\n";

#[test]
fn a_paused_schedule_has_no_next_run() {
    let project = Project::with("daily", DAILY);
    let listed = || {
        let json = project.succeed(&["schedules", "list", "--format", "json"]);
        let text = project.succeed(&["schedules", "list"]).stdout;
        (text, json.json()["schedules"][0].clone())
    };
    let (text, answer) = listed();
    assert!(text.contains("00:00:00 UTC"), "{text}");
    assert!(answer["next"].is_string(), "{answer}");
    project.succeed(&["schedules", "pause", "daily"]);
    let (text, answer) = listed();
    let line = text.lines().last().unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["daily", "@daily", "UTC", "paused"]
    );
    assert_eq!(
        (&answer["next"], &answer["paused"]),
        (&serde_json::Value::Null, &true.into())
    );
    project.succeed(&["schedules", "resume", "daily"]);
    assert!(listed().0.contains("00:00:00 UTC"));
}

#[test]
fn pruning_says_which_rules_there_are() {
    let project = Project::with("daily", DAILY);
    check(
        "history_prune_without_a_rule",
        &project.run(&["history", "prune"]),
    );
    for _ in 0..3 {
        project.succeed(&["run", "daily"]);
    }
    for (rule, gone) in [
        (&["--keep", "2"][..], "1 run"),
        (&["--older-than", "1d"], "0 runs"),
        (&["--older-than", "0s", "--keep", "1"], "1 run"),
        (&["--older-than", "0s"], "1 run"),
    ] {
        let ran = project.succeed(&[&["history", "prune"], rule].concat());
        assert_eq!(
            ran.stdout,
            format!("removed {gone}, with data and logs\n"),
            "{rule:?}"
        );
    }
}
