//! The figures.

use std::{fmt::Write as _, path::Path, thread::sleep, time::Duration};

use crate::{Row, place::Place};

const NOOP: &str = "interval: 1d\nmax_active_runs: 16\ntasks:\n  a:\n    run: noop\n";
/// How many runs the latency is measured on.
const TRIGGERS: usize = 300;
/// How long Postgres may take to count what an idle session has read: ten seconds.
const COUNTED: Duration = Duration::from_secs(11);
/// How long an idle daemon is watched.
const IDLE: u64 = 60;

/// From the commit of a run's row to the start of its first task, one run at a time.
pub(crate) fn latency(pipectl: &Path, server: &str) -> Row {
    let place = Place::new(pipectl, server);
    place.write("one", NOOP);
    let (_daemon, _) = place.daemon("log");
    place.run(&[
        "backfill",
        "one",
        "--from-date",
        "2026-01-01",
        "--to-date",
        "2026-01-02",
    ]);
    place.until(
        "select count(*) from pipectl.runs where state = 'success'",
        "1",
    );
    // Rows like that one, made by somebody else: a message goes out with each, as with every run that is enqueued.
    let insert = "insert into pipectl.runs (id, pipeline, version, kind, trigger_data, params, created, state, enqueued, max_active)
        select gen_random_uuid(), pipeline, version, 'api', trigger_data, params, clock_timestamp(), 'queued', true, 16
        from pipectl.runs where kind = 'backfill';\nselect pg_notify('pipectl', '');\nselect pg_sleep(0.03);\n";
    place.sql(&insert.repeat(TRIGGERS));
    place.until(
        "select count(*) from pipectl.runs where state = 'success'",
        &(TRIGGERS + 1).to_string(),
    );
    let found = place.sql(
        "select round(1000 * percentile_cont(0.5) within group (order by s)::numeric, 1) || ' ' ||
            round(1000 * percentile_cont(0.99) within group (order by s)::numeric, 1)
        from (select extract(epoch from t.started - r.created) s from pipectl.runs r join pipectl.tasks t on t.run = r.id
            where r.kind = 'api') x",
    );
    let (median, worst) = found.split_once(' ').unwrap_or_default();
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::MAX);
    Row {
        what: "trigger (row inserted) → first task starts, p50; p99",
        figure: format!("{median} ms; {worst} ms"),
        bar: "≤ 20 ms; ≤ 100 ms",
        holds: number(median) <= 20.0 && number(worst) <= 100.0,
    }
}

/// From the first run's making to the last one's end.
fn took(place: &Place) -> f64 {
    let seconds = place.sql(
        "select round(extract(epoch from max(ended) - min(created))::numeric, 2) from pipectl.runs",
    );
    seconds.parse().unwrap_or(f64::MAX)
}

/// Three years of days.
pub(crate) fn backfill(pipectl: &Path, server: &str) -> Row {
    let place = Place::new(pipectl, server);
    place.write("one", NOOP);
    let (_daemon, _) = place.daemon("log");
    place.run(&[
        "backfill",
        "one",
        "--from-date",
        "2023-01-01",
        "--to-date",
        "2025-12-31",
    ]);
    place.until(
        "select count(*) from pipectl.runs where state = 'success'",
        "1095",
    );
    let seconds = took(&place);
    Row {
        what: "backfill of 1,095 one-task intervals",
        figure: format!("{seconds:.1} s"),
        bar: "≤ 15 s",
        holds: seconds <= 15.0,
    }
}

/// A hundred runs of a hundred tasks, two daemons.
pub(crate) fn many(pipectl: &Path, server: &str) -> Row {
    let place = Place::new(pipectl, server);
    let mut pipeline = "interval: 1d\nmax_active_runs: 100\ntasks:\n".to_owned();
    for task in 0..100 {
        // Writing to a string cannot fail.
        let _written = write!(pipeline, "  t{task}:\n    run: noop\n");
    }
    place.write("wide", &pipeline);
    let _daemons = [place.daemon("one"), place.daemon("two")];
    place.run(&[
        "backfill",
        "wide",
        "--from-date",
        "2025-01-01",
        "--to-date",
        "2025-04-11",
    ]);
    place.until(
        "select count(*) from pipectl.runs where state = 'success'",
        "100",
    );
    let rate = 10_000.0 / took(&place);
    Row {
        what: "100 runs × 100 tasks at once, two daemons",
        figure: format!("{rate:.0} tasks/s"),
        bar: "≥ 1,000 tasks/s",
        holds: rate >= 1_000.0,
    }
}

/// A daemon starts on a history of a million task rows.
pub(crate) fn long_history(pipectl: &Path, server: &str) -> Row {
    let place = Place::new(pipectl, server);
    place.write("one", NOOP);
    drop(place.daemon("first"));
    place.sql(
        "insert into pipectl.runs (id, pipeline, version, kind, trigger_data, params, created, state, started, ended)
            select gen_random_uuid(), 'one', 'gone', 'scheduled', 'null', '{}', now(), 'success', now(), now() from generate_series(1, 10000);
        insert into pipectl.tasks (run, task, element, state, attempt, tries, started, ended)
            select id, 't' || n, -1, 'success', 1, 0, now(), now() from pipectl.runs, generate_series(1, 100) n;
        analyze;",
    );
    let scanned =
        "select seq_tup_read from pg_stat_user_tables where relid = 'pipectl.tasks'::regclass";
    sleep(COUNTED);
    let before = place.sql(scanned);
    let (_daemon, time) = place.daemon("second");
    let seconds = time.as_secs_f64();
    sleep(Duration::from_secs(1) + COUNTED);
    let after = place.sql(scanned);
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let scanned = number(&after) - number(&before);
    Row {
        what: "start with 1,000,000 task rows of history; rows of it scanned then and soon after",
        figure: format!("{seconds:.2} s; {scanned}"),
        bar: "≤ 1 s; 0",
        holds: seconds <= 1.0 && scanned == 0,
    }
}

/// A daemon with much to watch and nothing to do.
pub(crate) fn idle(pipectl: &Path, server: &str) -> Row {
    let mut place = Place::new(pipectl, server);
    let _bucket = place.bucket();
    for pipeline in 0..1_000 {
        let (minute, hour) = (pipeline % 60, 3 + pipeline % 2);
        place.write(
            &format!("cron{pipeline}"),
            &format!("schedule: {{cron: '{minute} {hour} * * 0'}}\ntasks:\n  a:\n    run: noop\n"),
        );
        let prefix = pipeline % 10;
        place.write(
            &format!("sensor{pipeline}"),
            &format!("schedule: {{sensor: a}}\ntasks:\n  a:\n    sensor: object\n    with: {{connection: lake, path: 'in{prefix}/{pipeline}_*.csv', poll: 60s}}\n"),
        );
    }
    let (daemon, _) = place.daemon("log");
    sleep(Duration::from_secs(10));
    let before = daemon.seconds();
    sleep(Duration::from_secs(IDLE));
    let share = (daemon.seconds() - before) / 0.6;
    let memory = daemon.megabytes();
    Row {
        what: "1,000 schedules and 1,000 object sensors over 10 prefixes of an S3 bucket, `poll: 60s`, idle",
        figure: format!("{share:.2} % of a core, {memory:.0} MB"),
        bar: "≤ 1 %, ≤ 80 MB",
        holds: share <= 1.0 && memory <= 80.0,
    }
}
