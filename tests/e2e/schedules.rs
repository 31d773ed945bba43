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

/// The words of `text` by the alphabet.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<_> = text.split_whitespace().map(ToOwned::to_owned).collect();
    words.sort_unstable();
    words
}

/// Tells words: `told` has what ran.
const WRONG: &str = "\
name: words
schedule: {cron: '@daily'}
tasks:
  wrong: {run: shell, with: {script: 'echo wrong >> told'}}
  say:
    run: shell
    needs: wrong
    with: {script: 'echo $WORD >> told', env: {WORD: before}}
  each:
    run: shell
    needs: say
    foreach: {items: [one, two]}
    with: {script: 'echo $ITEM >> told', env: {ITEM: '${{ item }}'}}
";

#[test]
fn a_backfill_does_days_again_by_the_file_as_it_is_now() {
    let project = Project::with("words", WRONG);
    let backfill = |more: &[&str]| {
        let days = ["--from-date", "2026-01-01", "--to-date", "2026-01-03"];
        project.succeed(&[&["backfill", "words"], &days[..], more].concat());
        let told = project.read("told");
        std::fs::remove_file(project.path("told")).unwrap();
        words(&told)
    };
    let last = || {
        let json = project.succeed(&["runs", "show", "last", "--format", "json"]);
        json.json()
    };
    let before = "wrong before one two ";
    assert_eq!(backfill(&[]), words(&before.repeat(2)));
    let first = last();
    let mended = WRONG
        .replace("wrong", "right")
        .replace("env: {WORD: before}", "env: {WORD: '${{ params.word }}'}")
        .replace("[one, two]", "[two, three, four]")
        .replace(
            "tasks:",
            "params: {word: {type: string, default: after}}\ntasks:",
        );
    project.write("pipelines/words.yaml", mended);
    // A run that is retried keeps its version.
    project.succeed(&["retry", "last"]);
    assert_eq!(last()["version"], first["version"]);
    std::fs::remove_file(project.path("told")).unwrap();
    let after = "right after two three four ";
    let completed = ["--reprocess-behavior", "completed"];
    assert_eq!(backfill(&completed), words(&after.repeat(2)));
    let second = last();
    assert_eq!(second["run"], first["run"]);
    assert_ne!(second["version"], first["version"]);
    let names: Vec<_> = second["tasks"].as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["right", "say", "each", "each[0]", "each[1]", "each[2]"]
    );
    assert!(second["tasks"]["say"]["attempts"].as_u64() > Some(1));
    // Without an edit, what is done again is the same.
    assert_eq!(backfill(&completed), words(&after.repeat(2)));
    assert_eq!(last()["version"], second["version"]);
}

#[test]
fn a_schedule_can_be_paused_while_its_file_is_broken() {
    let project = Project::with("daily", DAILY);
    let listed = || {
        let json = project.succeed(&["schedules", "list", "--format", "json"]);
        json.json()["schedules"].clone()
    };
    let broken = "name: daily\nschedule: {cron: '@daily'}\ntasks: [";
    project.write("pipelines/daily.yaml", broken);
    // Nobody knows that it has ever started by itself.
    let refused = project.run(&["schedules", "pause", "daily"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert_eq!(listed(), serde_json::json!([]));
    project.write("pipelines/daily.yaml", DAILY);
    project.succeed(&["run", "daily"]);
    project.write("pipelines/daily.yaml", broken);
    let text = project.succeed(&["schedules", "list"]).stdout;
    assert!(
        text.contains("@daily UTC (by its last good version)"),
        "{text}"
    );
    assert_eq!(
        (&listed()[0]["valid"], &listed()[0]["paused"]),
        (&false.into(), &false.into())
    );
    assert!(listed()[0]["next"].is_string());
    for (command, paused) in [("pause", true), ("resume", false)] {
        let ran = project.succeed(&["schedules", command, "daily"]);
        let warning = "warning: `pipelines/daily.yaml` is not valid: a daemon goes by";
        assert!(ran.stderr.contains(warning), "{ran}");
        assert_eq!(listed()[0]["paused"], paused);
    }
}

#[test]
fn dates_in_the_wrong_order_are_told() {
    let project = Project::with("daily", DAILY);
    let days = ["--from-date", "2026-01-03", "--to-date", "2026-01-01"];
    let refused = project.run(&[&["backfill", "daily"], &days[..]].concat());
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(
        refused.stderr.contains("the dates are reversed"),
        "{refused}"
    );
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
