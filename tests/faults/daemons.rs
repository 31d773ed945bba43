//! Daemons as processes, and waiting for what they do.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use pipectl_test_support::TestPostgres;
use serde_json::Value;

use super::harness::{
    Project,
    waiting::{signal, wait_for},
};

/// A daemon; killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: std::path::PathBuf,
}

impl Daemon {
    /// Starts a daemon; its log is a file of this name in the project.
    pub(crate) fn start(project: &Project, name: &str) -> Self {
        Self::start_with(project, name, &[])
    }

    pub(crate) fn start_with(project: &Project, name: &str, arguments: &[&str]) -> Self {
        Self::spawn(
            project,
            name,
            &[&["daemon", "--no-serve"], arguments].concat(),
        )
    }

    /// The binary with these arguments, which make a daemon of it.
    pub(crate) fn spawn(project: &Project, name: &str, arguments: &[&str]) -> Self {
        Self::of(project, name, project.command(arguments))
    }

    /// What this command becomes.
    pub(crate) fn of(project: &Project, name: &str, mut command: Command) -> Self {
        let log = project.path(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    /// The daemon, once it works.
    pub(crate) fn works(self) -> Self {
        wait_for(Duration::from_secs(10), || {
            let log = self.log();
            if log.contains("the daemon works") {
                Ok(())
            } else {
                Err(log)
            }
        });
        self
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal_name: &str) {
        signal(self.child.id(), signal_name);
    }

    /// Stops it as a supervisor does, and says how it ended.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(&mut self, within: Duration) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < within, "it does not end\n{}", self.log());
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A daemon, once it works.
pub(crate) fn begun(project: &Project, name: &str) -> Daemon {
    Daemon::start(project, name).works()
}

/// A daemon, once it works, with a state directory of its own: it cannot tell whether the process of another one is gone.
pub(crate) fn elsewhere(project: &Project, name: &str) -> Daemon {
    let mut command = project.command(&["daemon", "--no-serve"]);
    command.env(
        "PIPECTL_STATE_DIR",
        project.path(format!("state-of-{name}")),
    );
    Daemon::of(project, name, command).works()
}

/// Has a pipeline run for each day of 2026 before `to`.
#[track_caller]
pub(crate) fn backfill(project: &Project, pipeline: &str, to: &str) {
    let days = ["--from-date", "2026-01-01", "--to-date", to];
    project.succeed(&[&["backfill", pipeline], &days[..]].concat());
}

/// Waits until a task has made the file `begun`.
#[track_caller]
pub(crate) fn begins(project: &Project) {
    wait_for(Duration::from_secs(10), || {
        let begun = project.path("begun").exists();
        begun.then_some(()).ok_or("it has not begun".into())
    });
}

/// The runs of a project, the newest first.
pub(crate) fn runs(project: &Project) -> Vec<Value> {
    let ran = project.succeed(&["runs", "list", "--limit", "1000", "--format", "json"]);
    ran.json()["runs"].as_array().unwrap().clone()
}

/// The project's one sensor.
pub(crate) fn sensor(project: &Project) -> Value {
    let list = project.succeed(&["sensors", "list", "--format", "json"]);
    list.json()["sensors"].get(0).cloned().unwrap_or_default()
}

/// Whether that sensor has ever been able to look.
pub(crate) fn has_looked(project: &Project) -> Result<(), String> {
    let sensor = sensor(project);
    let looked = sensor["looked"].is_string().then_some(());
    looked.ok_or(sensor.to_string())
}

/// Says how far things are while not all runs have ended well, or there are not so many.
pub(crate) fn all_succeeded(project: &Project, count: usize) -> Result<(), String> {
    let runs = runs(project);
    let good = runs.iter().filter(|run| run["state"] == "success").count();
    if runs.len() == count && good == count {
        return Ok(());
    }
    let bad = runs.iter().find(|run| run["state"] == "failed");
    Err(format!(
        "{good} of {} runs have succeeded, {count} were expected; one that failed: {bad:?}",
        runs.len()
    ))
}

/// Has runs that have failed by no fault of theirs done again by hand: a task whose daemons died three times is not tried again by
/// itself, and neither is one that its machine was too busy for.
pub(crate) fn retry_what_failed_outside(project: &Project, server: &TestPostgres, database: &str) {
    let failed = server.sql(
        database,
        "select id, coalesce(tasks.error::text, runs.error) from pipectl.runs
         left join pipectl.tasks on run = id and tasks.state = 'failed' where runs.state = 'failed'",
    );
    for line in failed.lines() {
        let (run, error) = line.split_once('|').unwrap();
        let error: Value = serde_json::from_str(error).unwrap();
        assert_eq!(error["fault"], "external", "{line}");
        // A task that was lost three times may have had its effect: what failed alone is tried, not all anew.
        project.succeed(&["retry", run, "--failed"]);
    }
}

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides` (`SplitMix64`).
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}
