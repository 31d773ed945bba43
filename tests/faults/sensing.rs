//! Files that are dropped while daemons die: each thing that is sensed makes one run.

use std::{fs, io::Write as _, thread::sleep, time::Duration};

use pipectl_test_support::TestPostgres;

use super::{
    daemons::{
        Daemon, Dice, all_succeeded, begun, has_looked, retry_what_failed_outside, runs, sensor,
    },
    harness::{Project, appending::counted, waiting::wait_for},
    repeated,
};

fn sensing(settings: &str) -> Project {
    let pipeline = format!(
        "name: drop\nmax_active_runs: 8\nschedule: {{sensor: arrived}}\ntasks:\n  arrived:\n    sensor: file\n    with: {{path: 'in/**/*.csv', {settings}}}\n  rows:\n    extract: csv\n    with: {{path: \"${{{{ tasks.arrived.file }}}}\"}}\n  table:\n    load: sql\n    from: rows\n    with: {{connection: warehouse, table: dropped, mode: append, create: true}}\n"
    );
    let project = Project::with("drop", &pipeline);
    fs::create_dir_all(project.path("in")).unwrap();
    project
}

/// A file appears as people let one appear: whole, by a rename.
fn appear(project: &Project, name: &str, content: &str) {
    project.write("being_written", content);
    let target = project.path(format!("in/{name}"));
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::rename(project.path("being_written"), target).unwrap();
}

#[test]
fn each_file_makes_one_run_and_the_same_name_tomorrow_another() {
    let project = sensing("poll: 1s, settle: 0s");
    let daemon = Daemon::start(&project, "daemon");
    for name in ["a/x.csv", "b/x.csv", "with space.csv", "plus+ümlaut.csv"] {
        appear(&project, name, "id\n1\n");
    }
    wait_for(Duration::from_secs(15), || all_succeeded(&project, 4));
    appear(&project, "a/x.csv", "id\n1\n2\n");
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 5));
    sleep(Duration::from_secs(2));
    all_succeeded(&project, 5).unwrap();
    let kinds: Vec<_> = runs(&project)
        .iter()
        .map(|run| run["kind"].clone())
        .collect();
    assert!(kinds.iter().all(|kind| kind == "sensor"), "{kinds:?}");
    let shown = project
        .succeed(&["sensors", "show", "drop.arrived", "--format", "json"])
        .json();
    assert_eq!(shown["things"].as_array().unwrap().len(), 5, "{shown}");
    // A person wants one thing again.
    project.succeed(&["sensors", "replay", "drop.arrived", "in/b/x.csv"]);
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 6));
    drop(daemon);
    assert_eq!(counted(&project, "dropped"), 4 + 2 + 1);
}

#[test]
fn a_paused_pipeline_senses_nothing_until_it_goes_on() {
    let project = sensing("poll: 1s, settle: 0s");
    let daemon = begun(&project, "daemon");
    appear(&project, "before.csv", "id\n1\n");
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    project.succeed(&["schedules", "pause", "drop"]);
    appear(&project, "meanwhile.csv", "id\n1\n2\n");
    sleep(Duration::from_secs(3));
    all_succeeded(&project, 1).unwrap();
    project.succeed(&["schedules", "resume", "drop"]);
    wait_for(Duration::from_secs(15), || all_succeeded(&project, 2));
    drop(daemon);
    assert_eq!(counted(&project, "dropped"), 3);
}

/// Writes to a file as a program does that has no other place for it: piece by piece.
fn write_slowly(project: &Project, name: &str, pieces: &[&str], pause: Duration) {
    let path = project.path(format!("in/{name}"));
    let mut file = fs::File::create(path).unwrap();
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            sleep(pause);
        }
        file.write_all(piece.as_bytes()).unwrap();
    }
}

#[test]
fn what_is_still_written_is_left_alone() {
    let project = sensing("poll: 1m, after_success: move, archive: done");
    let daemon = begun(&project, "daemon");
    let pause = Duration::from_millis(1_500);
    write_slowly(&project, "slowly.csv", &["id\n1\n", "2\n", "3\n"], pause);
    // Nobody tells of the moment at which it is settled: that it is noticed long before `poll` is over is the daemon's own.
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    wait_for(Duration::from_secs(5), || {
        let moved = project.path("done/in/slowly.csv").exists();
        moved.then_some(()).ok_or(daemon.log())
    });
    drop(daemon);
    assert_eq!(counted(&project, "dropped"), 3);
}

#[test]
fn what_has_changed_before_its_run_begins_is_loaded_once() {
    let project = sensing("poll: 1s, settle: 0s");
    // While the file is sensed and its run waits, it grows.
    let pipeline = project.read("pipelines/drop.yaml");
    let one = pipeline.replace("max_active_runs: 8", "max_active_runs: 1");
    let slow = one.replace(
        "tasks:\n",
        "tasks:\n  slow:\n    run: shell\n    with: {script: sleep 2}\n",
    );
    project.write("pipelines/drop.yaml", slow);
    let daemon = begun(&project, "daemon");
    appear(&project, "first.csv", "id\n1\n");
    wait_for(Duration::from_secs(10), || has(&project, 1, "running"));
    appear(&project, "second.csv", "id\n1\n");
    wait_for(Duration::from_secs(10), || has(&project, 1, "queued"));
    appear(&project, "second.csv", "id\n1\n2\n3\n");
    wait_for(Duration::from_secs(20), || {
        has(&project, 2, "success").and(has(&project, 1, "cancelled"))
    });
    let log = daemon.log();
    assert!(
        log.contains("cancelled: `in/second.csv` has changed since it was sensed (5 bytes then, 9 now); a run of its own takes what it is now"),
        "{log}"
    );
    drop(daemon);
    assert_eq!(counted(&project, "dropped"), 1 + 3);
}

#[test]
fn what_was_archived_is_put_back_to_be_replayed() {
    let project = sensing("settle: 0s, after_success: move, archive: done");
    let daemon = begun(&project, "daemon");
    let archived = |count| {
        wait_for(Duration::from_secs(10), || {
            all_succeeded(&project, count)?;
            let moved =
                project.path("done/in/a.csv").exists() && !project.path("in/a.csv").exists();
            moved.then_some(()).ok_or(daemon.log())
        });
    };
    appear(&project, "a.csv", "id\n1\n");
    archived(1);
    let replay = ["sensors", "replay", "drop.arrived", "in/a.csv"];
    for count in [2, 3] {
        let ran = project.succeed(&replay);
        assert_eq!(
            ran.stderr,
            "put in/a.csv back from done/in/a.csv: it is sensed anew\n"
        );
        wait_for(Duration::from_secs(10), || all_succeeded(&project, count));
        archived(count);
    }
    drop(daemon);
    assert_eq!(counted(&project, "dropped"), 3);
    project.succeed(&replay);
    let ran = project.succeed(&replay);
    assert_eq!(
        ran.stderr,
        "in/a.csv is there, and is sensed as soon as a daemon looks\n"
    );
    let daemon = begun(&project, "daemon");
    wait_for(Duration::from_secs(10), || {
        let moved = project.path("done/in/a.csv").exists() && !project.path("in/a.csv").exists();
        moved.then_some(()).ok_or(daemon.log())
    });
    drop(daemon);
    fs::remove_file(project.path("done/in/a.csv")).unwrap();
    let ran = project.run(&replay);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .starts_with("error: `in/a.csv` is neither there nor in the archive as `done/in/a.")
            && ran
                .stderr
                .contains("` nor as `done/in/a.csv`\nhint: drop it again"),
        "{ran}"
    );
}

fn has(project: &Project, count: usize, state: &str) -> Result<(), String> {
    let runs = runs(project);
    let found = runs.iter().filter(|run| run["state"] == state).count();
    (found == count).then_some(()).ok_or(format!("{runs:?}"))
}

#[test]
fn what_was_there_before_is_left_alone_when_that_is_wished() {
    let project = sensing("poll: 1s, settle: 0s, existing: ignore");
    appear(&project, "old.csv", "id\n1\n");
    let daemon = Daemon::start(&project, "daemon");
    wait_for(Duration::from_secs(10), || has_looked(&project));
    appear(&project, "new.csv", "id\n1\n");
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    drop(daemon);
    assert_eq!(counted(&project, "dropped"), 1);
}

/// Whether it is settled or not; and what is being written stays what was there, also for the daemon after the next.
#[test]
fn what_was_there_unsettled_is_left_alone_too() {
    let project = sensing("poll: 1s, settle: 3s, existing: ignore, after_success: delete");
    let (old, slow) = (project.path("in/old.csv"), project.path("in/slow.csv"));
    fs::write(&old, "id\n1\n").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pause = Duration::from_secs(1);
            write_slowly(
                &project,
                "slow.csv",
                &["id\n", "1\n", "2\n", "3\n", "4\n"],
                pause,
            );
        });
        wait_for(Duration::from_secs(5), || {
            slow.exists().then_some(()).ok_or("it is not there".into())
        });
        let daemon = begun(&project, "first");
        wait_for(Duration::from_secs(10), || has_looked(&project));
        daemon.kill();
        let _daemon = begun(&project, "second");
        sleep(Duration::from_secs(9));
    });
    let daemon = begun(&project, "third");
    appear(&project, "new.csv", "id\n1\n");
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    wait_for(Duration::from_secs(5), || {
        let removed = !project.path("in/new.csv").exists();
        removed.then_some(()).ok_or(daemon.log())
    });
    assert!(old.exists() && slow.exists());
    // Of what was being written nothing is left in the ledger but what it has become.
    let shown = project.succeed(&["sensors", "show", "drop.arrived", "--format", "json"]);
    let shown = shown.json();
    let mut names: Vec<_> = shown["things"]
        .as_array()
        .unwrap()
        .iter()
        .map(|thing| thing["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["in/new.csv", "in/old.csv", "in/slow.csv"],
        "{shown}"
    );
    // The same name tomorrow is a new thing.
    appear(&project, "slow.csv", "id\n1\n");
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 2));
}

#[test]
fn a_reset_that_would_clear_away_what_was_left_alone_wants_a_yes() {
    let project = sensing("poll: 1s, settle: 0s, existing: ignore, after_success: delete");
    appear(&project, "old.csv", "id\n1\n");
    let daemon = begun(&project, "daemon");
    wait_for(Duration::from_secs(10), || has_looked(&project));
    let ran = project.run(&["sensors", "reset", "drop.arrived"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.stderr,
        "error: `drop.arrived` would sense also what it was to leave alone (`existing: ignore`): 1 thing that is there now would get a run, and be removed after it\n\
        hint: `pipectl sensors reset drop.arrived --yes` does so; `pipectl sensors replay drop.arrived THING` takes a single one\n"
    );
    sleep(Duration::from_secs(2));
    assert!(project.path("in/old.csv").exists());
    project.succeed(&["sensors", "reset", "drop.arrived", "--yes"]);
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    drop(daemon);
}

#[test]
fn sensors_are_listed_with_what_they_look_for() {
    let project = sensing("poll: 1s, settle: 0s");
    let daemon = begun(&project, "daemon");
    wait_for(Duration::from_secs(10), || has_looked(&project));
    drop(daemon);
    let is = |state: &str| {
        let listed = sensor(&project);
        assert_eq!(
            (listed["state"].as_str(), listed["path"].as_str()),
            (Some(state), Some("in/**/*.csv"))
        );
    };
    is("watched");
    project.succeed(&["schedules", "pause", "drop"]);
    is("paused");
    let table = project.succeed(&["sensors", "list"]).stdout;
    let head = table.lines().next().unwrap();
    assert_eq!(
        head.split("  ")
            .map(str::trim)
            .filter(|head| !head.is_empty())
            .collect::<Vec<_>>(),
        [
            "Sensor",
            "State",
            "Looks for",
            "Looked (UTC)",
            "Since (UTC)",
            "Failures"
        ],
        "{table}"
    );
    fs::remove_file(project.path("pipelines/drop.yaml")).unwrap();
    assert_eq!(sensor(&project)["state"], "not watched");
}

#[test]
fn an_archive_survives_a_kill_at_each_step() {
    let mut project = sensing("poll: 1s, settle: 0s, after_success: move, archive: done");
    let points = [
        "before_settle",
        "thing_taken",
        "thing_copied",
        "after_settle",
    ];
    for (index, point) in points.iter().enumerate() {
        for name in ["a/x.csv", "b/x.csv"] {
            appear(&project, name, &format!("id\n{index}\n"));
        }
        project.set("PIPECTL_FAILPOINT", *point);
        let mut daemon = Daemon::start(&project, "dying");
        assert_eq!(
            daemon.end(Duration::from_secs(20)),
            None,
            "{point}\n{}",
            daemon.log()
        );
        project.unset("PIPECTL_FAILPOINT");
        let daemon = Daemon::start(&project, "daemon");
        wait_for(Duration::from_secs(20), || {
            let left = fs::read_dir(project.path("in"))
                .unwrap()
                .flatten()
                .flat_map(|directory| fs::read_dir(directory.path()).unwrap())
                .count();
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} files are left\n{}", daemon.log()))
            }
        });
        wait_for(Duration::from_secs(10), || {
            all_succeeded(&project, 2 * (index + 1))
        });
        drop(daemon);
    }
    let all = 2 * points.len();
    assert_eq!(counted(&project, "dropped"), all);
    let archived = project.run(&["sensors", "show", "drop.arrived"]).stdout;
    assert_eq!(archived.matches("settled").count(), all, "{archived}");
}

/// News of changes are lost and doubled all the while: what is there is what a listing finds.
#[test]
fn many_files_while_daemons_die() {
    let server = TestPostgres::shared();
    let mut project = sensing("poll: 1s, settle: 0s");
    project.set("PIPECTL_FAILPOINT", "news_are_garbled");
    let history = server.database();
    let database = history.rsplit('/').next().unwrap().to_owned();
    project.set("PIPECTL_STORE", history);
    project.set("PIPECTL_CONNECTION_WAREHOUSE", server.database());
    let files = repeated(300, 10_000) as usize;
    let mut dice = Dice::new(11);
    let mut daemons: Vec<Daemon> = ["one", "two", "three"]
        .iter()
        .map(|name| begun(&project, name))
        .collect();
    for file in 0..files {
        appear(&project, &format!("{}/{file}.csv", file % 7), "id\n1\n");
        if file % (files / 10) == files / 20 {
            let lost = dice.roll(3) as usize;
            daemons.swap_remove(lost).kill();
            daemons.push(Daemon::start(&project, "again"));
        }
        if file % 20 == 0 {
            sleep(Duration::from_millis(20));
        }
    }
    let state = || {
        server.sql(
            &database,
            "select state, count(*) from pipectl.runs group by state",
        )
    };
    wait_for(Duration::from_secs(60 + files as u64 / 10), || {
        retry_what_failed_outside(&project, server, &database);
        if state() == format!("success|{files}") {
            Ok(())
        } else {
            Err(state())
        }
    });
    sleep(Duration::from_secs(2));
    assert_eq!(state(), format!("success|{files}"));
    drop(daemons);
    assert_eq!(counted(&project, "dropped"), files);
}
