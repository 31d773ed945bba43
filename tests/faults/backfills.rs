//! Backfills: in the order that was asked for, and cancelled without a trace on what they had not begun.

use std::time::Duration;

use serde_json::Value;

use super::{
    daemons::{begun, runs},
    harness::{Project, waiting::wait_for},
};

/// Each run tells its day; one that finds a file `slow` takes its time.
const TELLS: &str = "\
name: days
schedule: {cron: '@daily', timezone: Europe/Berlin}
tasks:
  tell:
    run: shell
    with:
      script: 'echo $DAY >> told; if [ -e slow ]; then sleep 30; fi'
      env: {DAY: \"${{ interval.start | date('%d') }}\"}
";

fn october(project: &Project, more: &[&str]) {
    let days = ["--from-date", "2026-10-01", "--to-date", "2026-10-21"];
    project.succeed(&[&["backfill", "days"], &days[..], more].concat());
}

/// The runs after a command that dies at a point.
fn killed(project: &mut Project, point: &str, arguments: &[&str]) -> Vec<Value> {
    project.set("PIPECTL_FAILPOINT", point);
    let ran = project.run(arguments);
    assert_eq!(ran.code, None, "{point} was not hit: {ran}");
    project.unset("PIPECTL_FAILPOINT");
    runs(project)
}

/// The days as they were told, and nothing of them afterwards.
fn told(project: &Project) -> Vec<u32> {
    let text = project.read("told");
    std::fs::remove_file(project.path("told")).unwrap();
    text.lines().map(|day| day.parse().unwrap()).collect()
}

#[test]
fn days_come_in_their_order() {
    let project = Project::with("days", TELLS);
    october(&project, &[]);
    let days: Vec<u32> = (1..=20).collect();
    assert_eq!(told(&project), days);
    let backwards: Vec<u32> = days.iter().rev().copied().collect();
    let again = ["--reprocess-behavior", "completed"];
    october(&project, &[&["--run-backwards"], &again[..]].concat());
    assert_eq!(told(&project), backwards);
    let _daemon = begun(&project, "daemon");
    for (more, expected) in [(&["--run-backwards"][..], &backwards), (&[], &days)] {
        october(&project, &[&again, more].concat());
        wait_for(Duration::from_secs(30), || {
            let done = runs(&project).iter().all(|run| run["state"] == "success");
            done.then_some(()).ok_or("it is not over".into())
        });
        assert_eq!(&told(&project), expected);
    }
    // The later ones have taken over what the first had: it has nothing of which a part could be done.
    let listed = project.succeed(&["backfill", "list"]).stdout;
    assert!(
        listed.contains("superseded") && !listed.contains("0/0"),
        "{listed}"
    );
}

#[test]
fn a_stretch_that_reaches_into_the_future_is_told_where_it_ends() {
    let project = Project::with("days", TELLS);
    let days = [
        "--from-date",
        "2026-10-01",
        "--to-date",
        "2099-01-01",
        "--dry-run",
    ];
    let ran = project.succeed(&[&["backfill", "days"], &days[..]].concat());
    assert!(
        ran.stderr
            .contains("--to-date is in the future: the last interval that is over ends at "),
        "{ran}"
    );
    let days = [
        "--from-date",
        "2026-10-01",
        "--to-date",
        "2026-10-03",
        "--dry-run",
    ];
    let ran = project.succeed(&[&["backfill", "days"], &days[..]].concat());
    assert!(!ran.stderr.contains("future"), "{ran}");
}

#[test]
fn killed_where_a_backfill_begins_and_where_it_is_cancelled() {
    let mut project = Project::with("days", TELLS);
    let backfill = ["backfill", "days", "--from-date", "2026-10-01"];
    let backfill = [&backfill[..], &["--to-date", "2026-10-21"]].concat();
    assert_eq!(killed(&mut project, "before_backfill", &backfill).len(), 0);
    assert_eq!(killed(&mut project, "after_backfill", &backfill).len(), 20);
    project.succeed(&["backfill", "resume", "last"]);
    let nothing = project.succeed(&[&backfill[..], &["--format", "json"]].concat());
    assert_eq!(nothing.json()["kept"].as_array().unwrap().len(), 20);
    assert_eq!(told(&project), (1..=20).collect::<Vec<u32>>());
    let before = runs(&project);
    let again = [&backfill[..], &["--reprocess-behavior", "completed"]].concat();
    let queued = killed(&mut project, "after_backfill", &again);
    assert!(
        queued.iter().all(|run| run["state"] == "queued"),
        "{queued:?}"
    );
    killed(
        &mut project,
        "backfill_cancelled",
        &["backfill", "cancel", "last"],
    );
    let listed = project.succeed(&["backfill", "list", "--format", "json"]);
    assert_eq!(listed.json()["backfills"][0]["state"], "cancelled");
    assert_eq!(runs(&project), before);
    assert!(!project.path("told").exists());
}

#[test]
fn a_cancelled_reprocessing_leaves_what_it_had_not_begun() {
    let project = Project::with("days", TELLS);
    october(&project, &[]);
    told(&project);
    let before = runs(&project);
    let _daemon = begun(&project, "daemon");
    project.write("slow", "");
    october(&project, &["--reprocess-behavior", "completed"]);
    wait_for(Duration::from_secs(10), || {
        let begun = project.path("told").exists();
        begun.then_some(()).ok_or("it has not begun".into())
    });
    project.succeed(&["backfill", "cancel", "last"]);
    wait_for(Duration::from_secs(10), || {
        let states: Vec<_> = runs(&project)
            .iter()
            .map(|run| run["state"].clone())
            .collect();
        let count = |state: &str| states.iter().filter(|found| *found == state).count();
        if (count("success"), count("cancelled")) == (19, 1) {
            Ok(())
        } else {
            Err(format!("{states:?}"))
        }
    });
    // The newest first: the last one had been begun.
    assert_eq!(runs(&project)[..19], before[..19]);
    for command in ["resume", "pause"] {
        let refused = project.run(&["backfill", command, "last"]);
        assert_eq!(refused.code, Some(2), "{refused}");
        assert!(
            refused
                .stderr
                .contains(" was cancelled: it cannot go on\nhint: ")
        );
        assert!(
            refused.stderr.contains("--from-date 2026-10-01T00:00:00+02:00 --to-date 2026-10-21T00:00:00+02:00 --reprocess-behavior completed"),
            "{refused}"
        );
    }
    let listed = project.succeed(&["backfill", "list"]).stdout;
    let rows: Vec<&str> = listed.lines().collect();
    assert!(
        rows[1].contains("  cancelled  2026-10-01 00:00 CEST  2026-10-21 00:00 CEST "),
        "{listed}"
    );
    assert!(rows[2].contains("  done  "), "{listed}");
}

#[test]
fn a_backfill_without_a_daemon_works_on_child_runs_and_what_they_start() {
    let project = Project::with("days", TELLS);
    let nested = |name: &str, child: &str| {
        let file = format!(
            "name: {name}\nschedule: {{cron: '@daily'}}\ntasks:\n  child: {{run: pipeline, with: {{pipeline: {child}}}}}\n"
        );
        project.write(&format!("pipelines/{name}.yaml"), &file);
    };
    nested("parent", "days");
    nested("grandparent", "parent");
    let days = ["--from-date", "2026-10-01", "--to-date", "2026-10-03"];
    let ran = project.succeed(&[&["backfill", "grandparent"], &days[..]].concat());
    assert!(ran.stdout.contains("2 runs: 2 success"), "{ran}");
    let listed = runs(&project);
    assert_eq!(listed.len(), 6, "{listed:?}");
    assert!(
        listed.iter().all(|run| run["state"] == "success"),
        "{listed:?}"
    );
}

/// Kills a backfill of two days in its first run.
fn killed_backfill(project: &Project) {
    project.write("slow", "");
    let days = ["--from-date", "2026-10-01", "--to-date", "2026-10-03"];
    let mut left = project.start(&[&["backfill", "days"], &days[..]].concat());
    wait_for(Duration::from_secs(10), || {
        let begun = project.path("told").exists();
        begun.then_some(()).ok_or("it has not begun".into())
    });
    let quiet = project.succeed(&["backfill", "list"]);
    assert!(!quiet.stderr.contains("no daemon"), "{quiet}");
    left.kill().unwrap();
    left.wait().unwrap();
}

/// What a command that was killed has left is nobody's until somebody takes it up.
#[test]
fn a_backfill_that_nobody_works_on_says_so_and_goes_on_when_it_is_resumed() {
    let project = Project::with("days", TELLS);
    killed_backfill(&project);
    let listed = project.succeed(&["backfill", "list"]);
    assert!(listed.stderr.contains("no daemon is alive"), "{listed}");
    std::fs::remove_file(project.path("slow")).unwrap();
    let resumed = project.succeed(&["backfill", "resume", "last"]);
    assert!(resumed.stdout.contains("2 runs: 2 success"), "{resumed}");
}

/// Nobody would hear that a run whose command is gone is to stop.
#[test]
fn nothing_of_a_backfill_whose_command_was_killed_runs_on_when_it_is_cancelled() {
    let project = Project::with("days", TELLS);
    killed_backfill(&project);
    project.succeed(&["backfill", "cancel", "last"]);
    let states: Vec<_> = runs(&project)
        .iter()
        .map(|run| run["state"].clone())
        .collect();
    assert_eq!(states, ["cancelled", "cancelled"]);
}
