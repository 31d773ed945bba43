//! The database that both the history and the warehouse stand on goes away and comes back.

use std::{thread::sleep, time::Duration};

use pipectl_test_support::TestPostgres;

use super::{
    daemons::{all_succeeded, begun},
    harness::waiting::wait_for,
    kills::{enqueue, every_effect_once, project},
    repeated,
};

#[test]
fn a_postgres_that_loses_its_power_costs_no_run_and_doubles_no_row() {
    let server = TestPostgres::durable();
    let mut project = project();
    // The warehouse is away too, and that is a failed attempt.
    for pipeline in ["work", "more"] {
        let path = format!("pipelines/{pipeline}.yaml");
        let patient = "defaults: {retry: {limit: 8, delay: 500ms}}\ntasks:\n";
        project.write(&path, project.read(&path).replace("tasks:\n", patient));
    }
    let history = server.database();
    let database = history.rsplit('/').next().unwrap().to_owned();
    project.set("PIPECTL_STORE", history);
    project.set("PIPECTL_CONNECTION_WAREHOUSE", server.database());
    let mut daemon = begun(&project, "daemon");
    let outages = repeated(3, 30);
    let (days, to) = if outages == 3 {
        (12, "2026-01-13")
    } else {
        (120, "2026-05-01")
    };
    enqueue(&project, "2026-01-01", to);
    let ended = || -> u32 {
        let sql = "select count(*) from pipectl.attempts where state = 'success'";
        server.sql(&database, sql).parse().unwrap()
    };
    for outage in 0..outages {
        sleep(Duration::from_millis(150 + u64::from(outage % 7) * 130));
        server.crash();
        sleep(Duration::from_millis(1_500));
        server.start_again();
        let before = ended();
        // Without help, in ten seconds.
        wait_for(Duration::from_secs(10), || {
            if ended() > before || all_succeeded(&project, days * 2).is_ok() {
                Ok(())
            } else {
                Err(format!("nothing has ended\n{}", daemon.log()))
            }
        });
    }
    assert!(daemon.is_alive());
    wait_for(Duration::from_secs(60), || {
        all_succeeded(&project, days * 2).map_err(|why| format!("{why}\n{}", daemon.log()))
    });
    // What has gone wrong meanwhile is said once, with the place, and that it is over.
    wait_for(Duration::from_secs(5), || {
        let log = daemon.log();
        let said = |words: &str| log.matches(words).count();
        let (away, back) = (said("the history is away"), said("the history is back"));
        // One that is over before the daemon has looked is none.
        let once = away <= 2 * outages as usize && away == back;
        once.then_some(())
            .ok_or(format!("away {away} times, back {back} times\n{log}"))
    });
    let place = format!("/{database}\" error=");
    let log = daemon.log();
    assert!(
        log.contains(&place) || !log.contains("the history is away"),
        "{log}"
    );
    drop(daemon);
    every_effect_once(&project, days);
}
