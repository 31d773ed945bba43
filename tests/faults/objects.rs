//! Sensors on buckets: objects while daemons die, a bucket that never answers, one that cannot be listed.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    thread::sleep,
    time::{Duration, Instant},
};

use pipectl_test_support::{Security, TestPostgres, TestS3, TestSmtp};

use super::{
    daemons::{
        Daemon, Dice, all_succeeded, begun, has_looked, retry_what_failed_outside, runs, sensor,
    },
    harness::{Project, appending::counted, waiting::wait_for},
    repeated,
    starved::mail_settings,
};

/// A pipeline that is started by objects below `in/` of a connection.
fn drop_of(name: &str, connection: &str) -> String {
    format!(
        "name: {name}\nmax_active_runs: 8\nschedule: {{sensor: arrived}}\ntasks:\n  arrived:\n    sensor: object\n    with: {{connection: {connection}, path: 'in/**/*.csv', poll: 1s}}\n  rows:\n    extract: csv\n    with: {{path: \"${{{{ tasks.arrived.file }}}}\"}}\n  table:\n    load: sql\n    from: rows\n    with: {{connection: warehouse, table: dropped, mode: append, create: true}}\n"
    )
}

/// Puts objects of one row into the bucket, from outside.
const PUT: &str = "\
name: put
params:
  wave: {type: integer}
tasks:
  row:
    extract: csv
    with: {path: row.csv}
  object:
    load: csv
    from: row
    foreach: {items: [a/x, b/x, with space, plus+ümlaut, '5', '6', '7', '8', '9', '10'], parallel: 4}
    with: {connection: lake, path: \"in/${{ params.wave }}/${{ item }}.csv\"}
";
const WAVE: usize = 10;

/// Nobody tells of new objects: each is found by a listing, whichever daemon makes it and however early it comes.
#[test]
fn each_object_makes_one_run_while_daemons_die() {
    let (server, bucket) = (TestPostgres::shared(), TestS3::start());
    let mut project = Project::with("drop", &drop_of("drop", "lake"));
    project.write("puts/put.yaml", PUT);
    project.write("row.csv", "id\n1\n");
    for (name, value) in bucket.bucket().environment() {
        project.set(name, value);
    }
    project.set("PIPECTL_CONNECTION_LAKE", bucket.bucket().address());
    let history = server.database();
    let database = history.rsplit('/').next().unwrap().to_owned();
    project.set("PIPECTL_STORE", history);
    project.set("PIPECTL_CONNECTION_WAREHOUSE", server.database());
    let waves = repeated(6, 60) as usize;
    let mut dice = Dice::new(13);
    let mut daemons = vec![begun(&project, "one"), begun(&project, "two")];
    for wave in 0..waves {
        project.succeed(&["run", "puts/put.yaml", "--param", &format!("wave={wave}")]);
        sleep(Duration::from_millis(dice.roll(900)));
        daemons.swap_remove(dice.roll(2) as usize).kill();
        // One that has just started looks at once, whether or not another has a moment ago; so does one whose pipelines are edited.
        daemons.push(Daemon::start(&project, "again"));
        let edited = format!("{}# {wave}\n", drop_of("drop", "lake"));
        project.write("pipelines/drop.yaml", edited);
    }
    // Each object a run, and each wave the run that has put it there.
    let count = waves * WAVE + waves;
    let within = Duration::from_secs(60 + waves as u64 * 3);
    wait_for(within, || {
        retry_what_failed_outside(&project, server, &database);
        all_succeeded(&project, count)
    });
    sleep(Duration::from_secs(3));
    all_succeeded(&project, count).unwrap();
    drop(daemons);
    assert_eq!(counted(&project, "dropped"), waves * WAVE);
    println!(
        "{waves} kills, {} objects, {} listings",
        waves * WAVE,
        bucket.listings()
    );
}

/// Counts what has been archived.
const ARCHIVED: &str = "\
name: archived
tasks:
  rows:
    extract: csv
    with: {connection: lake, path: 'done/**/*.csv'}
  out:
    load: csv
    from: rows
    with: {path: out/archived.csv}
";

#[test]
fn an_archive_of_objects_survives_a_kill_at_each_step() {
    let bucket = TestS3::start();
    let moving = "poll: 1s, after_success: move, archive: done";
    let mut project = Project::with("drop", &drop_of("drop", "lake").replace("poll: 1s", moving));
    let few = PUT.replace(", '5', '6', '7', '8', '9', '10'", "");
    project.write("puts/put.yaml", few);
    project.write("puts/archived.yaml", ARCHIVED);
    project.write("row.csv", "id\n1\n");
    for (name, value) in bucket.bucket().environment() {
        project.set(name, value);
    }
    project.set("PIPECTL_CONNECTION_LAKE", bucket.bucket().address());
    let points = ["before_settle", "thing_copied", "after_settle"];
    for (wave, point) in points.iter().enumerate() {
        project.succeed(&["run", "puts/put.yaml", "--param", &format!("wave={wave}")]);
        project.set("PIPECTL_FAILPOINT", *point);
        let mut daemon = Daemon::start(&project, "dying");
        let code = daemon.end(Duration::from_secs(30));
        assert_eq!(code, None, "{point} was not hit\n{}", daemon.log());
        project.unset("PIPECTL_FAILPOINT");
        let daemon = Daemon::start(&project, "daemon");
        let count = 4 * (wave + 1);
        wait_for(Duration::from_secs(30), || {
            let things = project.run(&["sensors", "show", "drop.arrived"]).stdout;
            let settled = things.matches("settled").count();
            let told = || format!("{settled} of {count}\n{things}\n{}", daemon.log());
            (settled == count).then_some(()).ok_or_else(told)
        });
        // Each object a run, and each wave the run that has put it there.
        all_succeeded(&project, count + wave + 1).unwrap();
    }
    assert_eq!(counted(&project, "dropped"), 12);
    project.succeed(&["run", "puts/archived.yaml"]);
    assert_eq!(project.read("out/archived.csv").lines().count(), 1 + 12);
}

/// A server that takes every connection and answers none.
#[test]
fn a_bucket_that_never_answers_holds_up_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    std::thread::spawn(move || silent.incoming().collect::<Vec<_>>());
    let mut project = Project::with("hung", &drop_of("hung", "silent"));
    project.write("pipelines/drop.yaml", drop_of("drop", "lake"));
    project.set(
        "PIPECTL_CONNECTION_SILENT",
        format!("s3://bucket?endpoint=http://{address}&region=us-east-1"),
    );
    project.set("AWS_ACCESS_KEY_ID", "a");
    project.set("AWS_SECRET_ACCESS_KEY", "b");
    let lake = project.path(".pipectl/lake/in");
    fs::create_dir_all(&lake).unwrap();
    let daemon = begun(&project, "daemon");
    sleep(Duration::from_secs(2));
    for count in 1..=3 {
        fs::write(lake.join(format!("{count}.csv")), "id\n1\n").unwrap();
        wait_for(Duration::from_secs(6), || all_succeeded(&project, count));
    }
    let start = Instant::now();
    assert_eq!(daemon.terminate(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
}

/// A look that failed has seen nothing: what is there at the first one that succeeds is old, whoever makes it.
#[test]
fn what_was_there_before_is_left_alone_though_the_first_looks_failed() {
    let ignoring = drop_of("drop", "lake").replace("poll: 1s", "poll: 1s, existing: ignore");
    let project = Project::with("drop", &ignoring);
    // A directory that leads to itself cannot be listed.
    let lake = project.path(".pipectl/lake");
    fs::create_dir_all(&lake).unwrap();
    symlink("in", lake.join("in")).unwrap();
    let daemon = begun(&project, "one");
    wait_for(Duration::from_secs(10), || {
        let sensor = sensor(&project);
        let failed = sensor["failures"].as_u64() > Some(0);
        failed.then_some(()).ok_or(sensor.to_string())
    });
    assert!(has_looked(&project).is_err());
    daemon.kill();
    fs::remove_file(lake.join("in")).unwrap();
    fs::create_dir(lake.join("in")).unwrap();
    fs::write(lake.join("in/old.csv"), "id\n1\n").unwrap();
    let daemon = Daemon::start(&project, "two");
    wait_for(Duration::from_secs(10), || has_looked(&project));
    fs::write(lake.join("in/new.csv"), "id\n1\n").unwrap();
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(counted(&project, "dropped"), 1);
}

/// People are told once that a sensor cannot look, and once that it can again.
#[test]
fn a_sensor_that_keeps_failing_is_told_once_and_so_is_its_recovery() {
    let server = TestSmtp::start(Security::StartTls);
    let alerts = "alerts:\n  - {when: [failure, recovery], email: [team@example.com]}\n";
    let project = Project::with("drop", &format!("{}{alerts}", drop_of("drop", "lake")));
    project.write("pipectl.yaml", mail_settings(&server, server.port()));
    // A directory that leads to itself cannot be listed.
    let lake = project.path(".pipectl/lake");
    fs::create_dir_all(&lake).unwrap();
    symlink("in", lake.join("in")).unwrap();
    let daemon = begun(&project, "daemon");
    let subjects = || -> Vec<String> {
        let mails = server.mails();
        let subject = |content: &str| {
            let line = content
                .lines()
                .find_map(|line| line.strip_prefix("Subject: "));
            line.map(str::to_owned)
        };
        mails
            .iter()
            .filter_map(|mail| subject(&mail.content))
            .collect()
    };
    let told = |count: usize| {
        wait_for(Duration::from_secs(25), || {
            let subjects = subjects();
            let enough = subjects.len() >= count;
            enough
                .then_some(())
                .ok_or(format!("{subjects:?}\n{}", daemon.log()))
        });
    };
    told(1);
    let first = &server.mails()[0].content;
    assert!(first.contains("could not look 5 times in a row"), "{first}");
    // It fails on, and nobody is told again.
    sleep(Duration::from_secs(8));
    assert_eq!(subjects(), ["[pipectl] drop failed at arrived"]);
    fs::remove_file(lake.join("in")).unwrap();
    fs::create_dir(lake.join("in")).unwrap();
    told(2);
    fs::write(lake.join("in/a.csv"), "id\n1\n").unwrap();
    wait_for(Duration::from_secs(10), || all_succeeded(&project, 1));
    sleep(Duration::from_secs(6));
    assert_eq!(
        subjects(),
        [
            "[pipectl] drop failed at arrived",
            "[pipectl] drop has recovered"
        ]
    );
    let second = &server.mails()[1].content;
    assert!(second.contains("can look again"), "{second}");
    assert_eq!(runs(&project).len(), 1);
    assert_eq!(daemon.terminate(), Some(0));
}
