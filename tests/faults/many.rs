//! Several daemons on one Postgres.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use pipectl_test_support::TestPostgres;

use super::{
    daemons::{Daemon, Dice, all_succeeded, begun, elsewhere, runs},
    harness::{Project, appending::counted, waiting::wait_for},
    kills::{all_end, every_effect_once, project},
    repeated,
};

/// A project whose history and warehouse are on Postgres, and the name of the history's database.
fn shared() -> (Project, &'static TestPostgres, String) {
    let server = TestPostgres::shared();
    let mut project = project();
    let history = server.database();
    let database = history.rsplit('/').next().unwrap().to_owned();
    project.set("PIPECTL_STORE", history);
    project.set("PIPECTL_CONNECTION_WAREHOUSE", server.database());
    let artifacts = project.path("artifacts").display().to_string();
    project.set("PIPECTL_ARTIFACTS", artifacts);
    (project, server, database)
}

fn backfill(project: &Project, pipeline: &str, to: &str, at_once: &str) {
    let arguments = [
        "backfill",
        pipeline,
        "--from-date",
        "2026-01-01",
        "--to-date",
        to,
        "--max-active-runs",
        at_once,
    ];
    project.succeed(&arguments);
}

#[test]
fn random_kills_of_two_daemons() {
    let (project, server, database) = shared();
    let days = repeated(20, 200);
    let mut daemons = vec![begun(&project, "one"), begun(&project, "two")];
    let to = if days == 20 {
        "2026-01-21"
    } else {
        "2026-07-20"
    };
    backfill(&project, "work", to, "3");
    let mut dice = Dice::new(3);
    for kill in 0..repeated(6, 60) {
        sleep(Duration::from_millis(200 + dice.roll(900)));
        let which = dice.roll(2) as usize;
        daemons.swap_remove(which).kill();
        daemons.push(Daemon::start(
            &project,
            if kill % 2 == 0 { "one" } else { "two" },
        ));
    }
    all_end(
        &project,
        days as usize * 2,
        Duration::from_secs(90 + u64::from(days)),
    );
    drop(daemons);
    every_effect_once(&project, days as usize);
    // Of every task and element one result was accepted.
    let twice = server.sql(
        &database,
        "select count(*) from (select 1 from pipectl.attempts where state = 'success'
        group by run, task, element having count(*) > 1) t",
    );
    assert_eq!(twice, "0");
    // Behind a pooler (tests/pgbouncer.py) nobody is told in the middle of a statement what another listens for.
    for name in ["one", "two"] {
        let log = project.read(&format!("{name}.log"));
        assert!(!log.contains("NotificationResponse"), "{log}");
    }
}

#[test]
fn random_kills_of_three_daemons_with_many_short_tasks() {
    let (project, server, database) = shared();
    let items: Vec<String> = (0..50).map(|item| item.to_string()).collect();
    let short = format!(
        "name: short\ninterval: 1d\ntasks:\n  each:\n    run: noop\n    foreach: {{items: [{}]}}\n",
        items.join(", ")
    );
    project.write("pipelines/short.yaml", short);
    let days = repeated(20, 200);
    let names = ["one", "two", "three"];
    let mut daemons: Vec<Daemon> = names.map(|name| begun(&project, name)).into();
    let to = if days == 20 {
        "2026-01-21"
    } else {
        "2026-07-20"
    };
    backfill(&project, "short", to, "6");
    let mut dice = Dice::new(5);
    for _ in 0..repeated(6, 60) {
        sleep(Duration::from_millis(20 + dice.roll(150)));
        let which = dice.roll(3) as usize;
        daemons.swap_remove(which).kill();
        daemons.push(Daemon::start(&project, names[which]));
    }
    all_end(
        &project,
        days as usize,
        Duration::from_secs(60 + u64::from(days)),
    );
    let accepted = server.sql(
        &database,
        "select count(*), count(distinct (run, task, element)) from pipectl.attempts
        where state = 'success' and element is not null and element >= 0",
    );
    let tasks = days * 50;
    assert_eq!(accepted, format!("{tasks}|{tasks}"));
}

const SLOW: &str = "\
name: slow
interval: 1d
max_active_runs: 4
tasks:
  rows:
    extract: csv
    with: {path: data/rows.csv}
  wait:
    run: shell
    with: {script: 'sleep 6'}
    needs: rows
  table:
    load: sql
    from: rows
    needs: wait
    with: {connection: warehouse, table: counted, mode: append, create: true}
";

#[test]
fn a_lost_daemons_runs_are_adopted_in_time() {
    let (project, _, _) = shared();
    project.write("pipelines/slow.yaml", SLOW);
    let lost = begun(&project, "lost");
    backfill(&project, "slow", "2026-01-03", "4");
    wait_for(Duration::from_secs(10), || {
        let under_way = runs(&project)
            .iter()
            .filter(|run| run["state"] == "running")
            .count();
        if under_way == 2 {
            Ok(())
        } else {
            Err(format!("{under_way} are under way"))
        }
    });
    // It cannot see the lock file, so only the lease tells.
    let other = elsewhere(&project, "other");
    sleep(Duration::from_millis(1_500));
    assert!(!other.log().contains("adopted"), "{}", other.log());
    lost.kill();
    let start = Instant::now();
    wait_for(Duration::from_secs(15), || {
        let log = project.read("other.log");
        let adopted = log.matches("adopted").count();
        if adopted == 2 { Ok(()) } else { Err(log) }
    });
    // A lease of ten seconds that is renewed every two and a half.
    let took = start.elapsed().as_secs_f64();
    assert!((5.0..15.0).contains(&took), "adopted after {took} s");
    wait_for(Duration::from_secs(20), || all_succeeded(&project, 2));
    assert_eq!(counted(&project, "counted"), 40);
}

/// Two daemons that are both well, each with a state directory of its own, leave each other's runs alone.
#[test]
fn a_healthy_daemons_runs_are_left_to_it() {
    let (project, server, database) = shared();
    let long = SLOW.replace(
        "sleep 6",
        "echo $PIPECTL_RUN $PIPECTL_ATTEMPT >> started; sleep 13",
    );
    project.write("pipelines/slow.yaml", long);
    let daemons = [elsewhere(&project, "one"), elsewhere(&project, "two")];
    backfill(&project, "slow", "2026-01-05", "4");
    wait_for(Duration::from_secs(40), || all_succeeded(&project, 4));
    for daemon in &daemons {
        let log = daemon.log();
        assert!(
            !log.contains("adopted") && !log.contains("taken over"),
            "{log}"
        );
    }
    assert_eq!(project.read("started").lines().count(), 4);
    let attempts = server.sql(
        &database,
        "select count(*), count(distinct (run, task)) from pipectl.attempts",
    );
    assert_eq!(attempts, "12|12");
    drop(daemons);
    assert_eq!(counted(&project, "counted"), 80);
}

#[test]
fn a_frozen_daemons_result_is_refused() {
    let (project, server, database) = shared();
    project.write("pipelines/slow.yaml", SLOW);
    let frozen = begun(&project, "frozen");
    backfill(&project, "slow", "2026-01-02", "4");
    wait_for(Duration::from_secs(10), || {
        if runs(&project).iter().any(|run| run["state"] == "running") {
            Ok(())
        } else {
            Err("nothing is under way".into())
        }
    });
    frozen.signal("-STOP");
    let start = Instant::now();
    let other = elsewhere(&project, "other");
    wait_for(Duration::from_secs(15), || {
        let log = other.log();
        let adopted = log.contains("adopted");
        adopted.then_some(()).ok_or(log)
    });
    let took = start.elapsed().as_secs_f64();
    assert!((5.0..15.0).contains(&took), "adopted after {took} s");
    wait_for(Duration::from_secs(25), || all_succeeded(&project, 1));
    let attempts = "select string_agg(task || ' ' || number || ' ' || state, ', ' order by task, number) from pipectl.attempts";
    let before = server.sql(&database, attempts);
    frozen.signal("-CONT");
    // At once, or when the shell has slept that it was about to start when it was frozen.
    wait_for(Duration::from_secs(20), || {
        let log = frozen.log();
        log.contains("taken over").then_some(()).ok_or(log)
    });
    assert_eq!(server.sql(&database, attempts), before);
    all_succeeded(&project, 1).unwrap();
    assert_eq!(counted(&project, "counted"), 20);
}

#[test]
fn connections_that_are_cut_do_no_harm() {
    let (project, server, database) = shared();
    let daemon = begun(&project, "daemon");
    backfill(&project, "work", "2026-01-11", "3");
    for _ in 0..repeated(6, 60) {
        sleep(Duration::from_millis(300));
        server.sql("postgres", &format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{database}'"));
    }
    wait_for(Duration::from_secs(60), || all_succeeded(&project, 20));
    drop(daemon);
    every_effect_once(&project, 10);
}

#[test]
fn a_locked_run_holds_up_no_other() {
    let (project, server, database) = shared();
    project.write(
        "pipelines/quick.yaml",
        "name: quick\ninterval: 1d\nmax_active_runs: 50\ntasks:\n  a:\n    run: noop\n",
    );
    let daemon = begun(&project, "daemon");
    // The run is locked before anybody can take it: enqueued while the daemon is frozen.
    daemon.signal("-STOP");
    backfill(&project, "quick", "2026-01-21", "50");
    let locked = server.sql(&database, "select id from pipectl.runs order by id limit 1");
    let lock = format!(
        "begin; select id from pipectl.runs where id = '{locked}' for update; select pg_sleep(8); commit;"
    );
    let holder = std::thread::spawn({
        let database = database.clone();
        move || TestPostgres::shared().sql(&database, &lock)
    });
    sleep(Duration::from_millis(300));
    daemon.signal("-CONT");
    wait_for(Duration::from_secs(5), || {
        let good = server.sql(
            &database,
            "select count(*) from pipectl.runs where state = 'success'",
        );
        if good == "19" {
            Ok(())
        } else {
            Err(format!("{good} of 19\n{}", daemon.log()))
        }
    });
    holder.join().unwrap();
    wait_for(Duration::from_secs(15), || all_succeeded(&project, 20));
}

#[test]
fn a_locked_run_under_way_holds_up_no_other() {
    let (project, server, database) = shared();
    project.write(
        "pipelines/stuck.yaml",
        "name: stuck\ninterval: 1d\ntasks:\n  a: {run: shell, with: {script: sleep 1}}\n  b: {run: noop, needs: a}\n",
    );
    project.write(
        "pipelines/quick.yaml",
        "name: quick\ninterval: 1d\nmax_active_runs: 5\ntasks:\n  a:\n    run: noop\n",
    );
    let daemon = begun(&project, "daemon");
    backfill(&project, "stuck", "2026-01-02", "1");
    let under_way = "select coalesce(max(id::text), '') from pipectl.runs where pipeline = 'stuck' and state = 'running'";
    wait_for(Duration::from_secs(10), || {
        if server.sql(&database, under_way).is_empty() {
            Err(daemon.log())
        } else {
            Ok(())
        }
    });
    let locked = server.sql(&database, under_way);
    let held = repeated(12, 60);
    let lock = format!(
        "begin; select id from pipectl.runs where id = '{locked}' for update; select pg_sleep({held}); commit;"
    );
    let holder = std::thread::spawn({
        let database = database.clone();
        move || TestPostgres::shared().sql(&database, &lock)
    });
    // By now the locked run has something to write.
    sleep(Duration::from_millis(2_500));
    backfill(&project, "quick", "2026-01-11", "5");
    wait_for(Duration::from_secs(6), || {
        let good = server.sql(
            &database,
            "select count(*) from pipectl.runs where state = 'success' and pipeline = 'quick'",
        );
        if good == "10" {
            Ok(())
        } else {
            Err(format!("{good} of 10\n{}", daemon.log()))
        }
    });
    assert!(!holder.is_finished(), "the run was not locked all the time");
    holder.join().unwrap();
    wait_for(Duration::from_secs(30), || all_succeeded(&project, 11));
    assert!(
        daemon.log().contains("has locked the run"),
        "{}",
        daemon.log()
    );
}
