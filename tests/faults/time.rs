//! Schedules under a clock that is wrong, and after years of absence.

use std::{
    sync::OnceLock,
    thread::sleep,
    time::{Duration, SystemTime},
};

use pipectl_test_support::{Security, TestPostgres, TestSmtp};

use super::{
    daemons::{Daemon, begins, begun, runs},
    harness::{Project, waiting::wait_for},
    starved::mail_settings,
};

fn scheduled(catchup: &str) -> Project {
    let mut project = Project::with(
        "daily",
        &format!(
            "name: daily\nmax_active_runs: 16\nschedule: {{cron: '0 6 * * *', timezone: Europe/Berlin, catchup: {catchup}}}\ntasks:\n  a:\n    run: noop\n"
        ),
    );
    let clock = project.path("clock").display().to_string();
    project.set("PIPECTL_CLOCK", clock);
    project
}

/// Sets a clock this many seconds after ten past noon (UTC): whenever a test runs, no hour and no day ends by itself under it.
fn set(project: &Project, clock: &str, seconds: i64) {
    static NOON: OnceLock<i64> = OnceLock::new();
    let noon = NOON.get_or_init(|| {
        let today = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() % 86_400;
        12 * 3_600 + 600 - i64::try_from(today).unwrap()
    });
    project.write(clock, (noon + seconds).to_string());
}

fn until(project: &Project, count: usize) {
    wait_for(Duration::from_secs(40), || {
        let runs = runs(project);
        let over = runs.iter().filter(|run| run["state"] == "success").count();
        if over == count.min(1000) && runs.len() == over {
            Ok(())
        } else {
            Err(format!(
                "{over} of {} are over, {count} expected",
                runs.len()
            ))
        }
    });
}

#[test]
fn off_for_three_years() {
    for (catchup, expected) in [("none", 0), ("latest", 1), ("all", 1_095)] {
        let project = scheduled(catchup);
        // Seen for the first time: nothing is to be caught up with.
        set(&project, "clock", 0);
        let daemon = begun(&project, "daemon");
        std::thread::sleep(Duration::from_millis(800));
        assert_eq!(daemon.terminate(), Some(0));
        assert_eq!(runs(&project).len(), 0, "{catchup}");
        set(&project, "clock", 1_095 * 86_400);
        let daemon = Daemon::start(&project, "daemon");
        if expected > 1000 {
            // More than a page: the last page is asked for.
            wait_for(Duration::from_secs(60), || {
                let text = project.succeed(&["history", "export"]).stdout;
                let good = text
                    .lines()
                    .filter(|line| line.contains("\"state\":\"success\""))
                    .count();
                if good == expected {
                    Ok(())
                } else {
                    Err(format!("{good} of {expected}"))
                }
            });
        } else {
            until(&project, expected);
            std::thread::sleep(Duration::from_secs(1));
            until(&project, expected);
        }
        drop(daemon);
    }
}

#[test]
fn a_clock_that_is_set_ahead_and_back_makes_each_run_once() {
    let mut project = Project::with(
        "hourly",
        "name: hourly\nmax_active_runs: 4\nschedule: {every: 1h, catchup: all}\ntasks:\n  a:\n    run: noop\n",
    );
    let clock = project.path("clock").display().to_string();
    project.set("PIPECTL_CLOCK", clock);
    set(&project, "clock", 0);
    let daemon = begun(&project, "daemon");
    std::thread::sleep(Duration::from_secs(1));
    for (offset, expected) in [
        (3_600, 1),
        (7_200, 2),
        (3_600, 2),
        (0, 2),
        (7_200, 2),
        (10_800, 3),
    ] {
        set(&project, "clock", offset);
        std::thread::sleep(Duration::from_secs(2));
        until(&project, expected);
    }
    drop(daemon);
}

#[test]
fn daemons_whose_clocks_differ_by_an_hour_make_each_run_once() {
    let mut project = Project::with(
        "hourly",
        "name: hourly\nmax_active_runs: 4\nschedule: {every: 1h, catchup: all}\ntasks:\n  a:\n    run: noop\n",
    );
    project.set("PIPECTL_STORE", TestPostgres::shared().database());
    let mut daemons = Vec::new();
    for (name, offset) in [("right", 0), ("ahead", 3_600)] {
        let clock = project.path(name).display().to_string();
        project.set("PIPECTL_CLOCK", clock);
        set(&project, name, offset);
        daemons.push(begun(&project, name));
        std::thread::sleep(Duration::from_secs(1));
    }
    for hours in 1..=4 {
        set(&project, "right", (hours - 1) * 3_600);
        set(&project, "ahead", hours * 3_600);
        std::thread::sleep(Duration::from_millis(1_500));
        until(&project, usize::try_from(hours).unwrap());
    }
    // The one that was behind catches up, and finds all done.
    set(&project, "right", 4 * 3_600);
    std::thread::sleep(Duration::from_secs(3));
    until(&project, 4);
    let mut starts: Vec<String> = runs(&project)
        .iter()
        .map(|run| run["interval"]["start"].to_string())
        .collect();
    starts.sort();
    starts.dedup();
    assert_eq!(starts.len(), 4, "{starts:?}");
    drop(daemons);
}

/// The mail about a deadline goes out once, whether the daemon died before it or after.
#[test]
fn a_deadline_is_told_once_though_daemons_die() {
    let server = TestSmtp::start(Security::StartTls);
    let project = Project::with(
        "late",
        "name: late\nschedule: {cron: '* * * * * *', overlap: skip}\ndeadline: 4s\nalerts:\n  - {when: [deadline], email: [team@example.com]}\ntasks:\n  wait:\n    run: shell\n    with: {script: 'echo begun >> begun; sleep 60'}\n",
    );
    project.write("pipectl.yaml", mail_settings(&server, server.port()));
    let daemon = begun(&project, "daemon");
    begins(&project);
    daemon.kill();
    assert!(server.mails().is_empty());
    sleep(Duration::from_secs(4));
    let daemon = begun(&project, "daemon");
    wait_for(Duration::from_secs(15), || {
        let mails = server.mails().len();
        (mails == 1)
            .then_some(())
            .ok_or(format!("{mails}\n{}", daemon.log()))
    });
    daemon.kill();
    let daemon = begun(&project, "daemon");
    wait_for(Duration::from_secs(10), || {
        let log = daemon.log();
        if log.matches("adopted").count() == 2 {
            Ok(())
        } else {
            Err(log)
        }
    });
    sleep(Duration::from_secs(7));
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert!(
        mails[0].content.contains("Subject: [pipectl] late is late"),
        "{}",
        mails[0].content
    );
}
