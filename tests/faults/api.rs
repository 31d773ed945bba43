//! Three years pulled from a paging API, day by day and page by page, killed three times on the way: every record is in
//! Postgres, and none is there twice.

use std::{process::Stdio, time::Duration};

use pipectl_test_support::{ApiOptions, TestApi, TestPostgres};

use super::{
    daemons::{Daemon, begun, runs},
    harness::{Project, waiting::wait_for},
    repeated,
};

/// Ten records a day, three a page.
const RECORDS: u32 = 10;
/// Three years.
const DAYS: u32 = 1_095;

/// A run for each day: what a page brings is appended, so that a record that comes twice stands there twice.
const BY_RUNS: &str = "\
name: airq
interval: 1d
max_active_runs: 12
defaults:
  retry: {limit: 5, delay: 100ms}
tasks:
  measurements:
    extract: http
    with:
      connection: api
      path: records/cursor
      records: data
      pagination: {by: cursor, next: meta.next, size: 3}
      slice: {every: 1d, start: start, end: end, format: date}
      columns: [id, time, site, pm2_5_value]
      types: {time: timestamp}
  table:
    load: sql
    from: measurements
    with: {connection: warehouse, table: measurements, mode: append, create: true}
";

/// Gives its child all days.
const YEARS: &str = "\
name: years
tasks:
  all:
    run: pipeline
    with: {pipeline: airq, interval: {start: '2023-01-01T00:00:00Z', end: '2025-12-31T00:00:00Z'}}
";

/// One run for all days.
const BY_SLICES: &str = "\
name: airq
interval: 1d
tasks:
  measurements:
    extract: http
    with:
      connection: api
      path: records/cursor
      records: data
      pagination: {by: cursor, next: meta.next, size: 3}
      slice: {every: 1d, start: start, end: end, format: date}
      parallel: 8
      columns: [id, time, site, pm2_5_value]
      types: {time: timestamp}
  table:
    load: sql
    from: measurements
    with: {connection: warehouse, table: measurements, mode: append, create: true}
";

struct Pulled {
    project: Project,
    api: TestApi,
    server: &'static TestPostgres,
    warehouse: String,
}

impl Pulled {
    fn new(pipeline: &str) -> Self {
        let server = TestPostgres::shared();
        let api = TestApi::with(ApiOptions {
            latency: Duration::from_millis(1),
            records_per_day: RECORDS,
            trouble_in: Some(53),
            ..ApiOptions::default()
        });
        let mut project = Project::with("airq", pipeline);
        let warehouse = server.database();
        project.set("PIPECTL_STORE", server.database());
        project.set("PIPECTL_CONNECTION_WAREHOUSE", &warehouse);
        project.set("PIPECTL_CONNECTION_API", api.url());
        Self {
            project,
            api,
            server,
            warehouse,
        }
    }

    /// Starts the binary; nobody reads what it says.
    fn start(&self, arguments: &[&str]) -> std::process::Child {
        let mut command = self.project.command(arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn calls(&self) -> usize {
        self.api.calls().len()
    }

    /// Waits until the API has answered so many calls.
    fn heard(&self, calls: usize) {
        wait_for(Duration::from_secs(30), || {
            let heard = self.calls();
            if heard >= calls {
                Ok(())
            } else {
                Err(format!("{heard} of {calls} calls"))
            }
        });
    }

    /// Every record of every day is there once, as the API has it.
    #[track_caller]
    fn every_record_once(&self, days: u32, last: &str) {
        let sql = "select count(*), count(distinct id), count(distinct time::date), min(time), max(id), \
                   sum(pm2_5_value) from measurements";
        let values: f64 = (0..RECORDS).map(|number| f64::from(number) / 4.0).sum();
        let expected = format!(
            "{all}|{all}|{days}|2023-01-01 00:00:00+00|{last}-0009|{}",
            values * f64::from(days),
            all = RECORDS * days
        );
        let found = self
            .server
            .sql(&self.warehouse, &format!("set time zone 'UTC'; {sql}"));
        assert!(found.trim().ends_with(&expected), "{found}\n{expected}");
    }
}

#[test]
fn a_backfill_of_many_days_survives_three_kills() {
    // One year here, three when there is time.
    let days = repeated(365, DAYS);
    let (last, end) = if days == DAYS {
        ("2025-12-30", "2025-12-31")
    } else {
        ("2023-12-31", "2024-01-01")
    };
    let pulled = Pulled::new(BY_RUNS);
    let first = begun(&pulled.project, "daemon");
    let arguments = [
        "backfill",
        "airq",
        "--from-date",
        "2023-01-01",
        "--to-date",
        end,
        "--max-active-runs",
        "12",
    ];
    let ran = pulled.project.succeed(&arguments);
    assert!(ran.stderr.contains("a daemon works on it"), "{ran}");
    let mut daemon = first;
    for kill in 1..=3 {
        pulled.heard(kill * days as usize);
        daemon.kill();
        daemon = Daemon::start(&pulled.project, "daemon");
    }
    wait_for(Duration::from_secs(120), || {
        let all = pulled
            .project
            .succeed(&["backfill", "list", "--format", "json"])
            .json();
        let runs = &all["backfills"][0]["runs"];
        if runs["success"] == days {
            Ok(())
        } else {
            Err(runs.to_string())
        }
    });
    drop(daemon);
    pulled.every_record_once(days, last);
}

#[test]
fn a_run_over_three_years_goes_on_at_its_pages_after_three_kills() {
    let pulled = Pulled::new(BY_SLICES);
    pulled.project.write("pipelines/years.yaml", YEARS);
    let mut child = pulled.start(&["run", "years"]);
    for kill in 1..=3 {
        pulled.heard(kill * 1_000);
        child.kill().unwrap();
        child.wait().unwrap();
        let runs = runs(&pulled.project);
        let run = runs.iter().find(|run| run["pipeline"] == "years").unwrap();
        child = pulled.start(&["run", "--resume", run["run"].as_str().unwrap()]);
    }
    assert!(child.wait().unwrap().success());
    pulled.every_record_once(DAYS, "2025-12-30");
    // Four pages a day; some are fetched again after a trouble or a kill, but no kill costs more than what was under way.
    let needed = 4 * DAYS as usize;
    let more = pulled.calls() - needed;
    assert!(
        more < needed / 20 + 3 * 100,
        "{more} calls more than {needed}"
    );
}
