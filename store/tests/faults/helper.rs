//! Processes to be killed or starved: this test binary, started again with something to do.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use pipectl_engine::{
    env::Env,
    id::{RunId, TaskKey},
    secret::Secret,
    state::TaskState,
    store::{
        AttemptRecord, Change, EventRecord, NewRun, OutputRecord, RunWrite, Store, StoreError,
        TaskChange, conformance::run_at,
    },
    time::{Clock, SystemClock},
};
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};

const VARIABLE: &str = "PIPECTL_TEST_HELPER";

/// A process of its own, killed at the latest when it is dropped.
pub(crate) struct Helper {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts a process that does what the first of `words` says.
    pub(crate) fn start(words: &[&str]) -> Self {
        Self::spawn(&mut Command::new(std::env::current_exe().unwrap()), words)
    }

    /// Starts it with a disk of its own of 1 MiB; the disk's path is its last word.
    pub(crate) fn on_small_disk(words: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap().keep();
        let script = "mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--map-root-user", "sh", "-c", script])
            .arg(&directory);
        command.arg(std::env::current_exe().unwrap());
        let words: Vec<_> = words.iter().copied().chain(directory.to_str()).collect();
        Self::spawn(&mut command, &words)
    }

    fn spawn(command: &mut Command, words: &[&str]) -> Self {
        command.args([
            "--exact",
            "helper_process",
            "--ignored",
            "--nocapture",
            "--quiet",
        ]);
        command
            .env(VARIABLE, words.join("|"))
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "the helper has ended"
            );
            if let Some(said) = line.trim_end().strip_prefix("> ") {
                return said.to_owned();
            }
        }
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "\n> {line}").unwrap();
    output.flush().unwrap();
}

/// What runs in the process that is started.
pub(crate) async fn work() {
    let env = Env::system();
    let Some(words) = env.get(VARIABLE) else {
        return;
    };
    let (what, with) = words.split_once('|').unwrap();
    match what {
        "commit" => commit(with).await,
        "claim" => claim(with).await,
        "fill" => fill(Path::new(with)).await,
        _ => read_only(Path::new(with)).await,
    }
}

async fn commit(address: &str) {
    let store = open(address).await.unwrap();
    let (run, fence) = claimed(&*store).await;
    say(&run.to_string());
    for number in 1.. {
        store
            .commit(&[RunWrite {
                run,
                fence,
                changes: changes(number),
            }])
            .await
            .unwrap();
    }
}

async fn claim(address: &str) {
    let store = open(address).await.unwrap();
    say("ready");
    loop {
        let lease = Duration::from_secs(1);
        store.claim_queued("helper", lease, None, 1).await.unwrap();
    }
}

async fn fill(disk: &Path) {
    let store = pipectl_store::open(None, disk).await.unwrap();
    let (run, fence) = claimed(&*store).await;
    let mut kept = 0;
    for number in 1.. {
        match store
            .commit(&[RunWrite {
                run,
                fence,
                changes: changes(number),
            }])
            .await
        {
            Ok(_) => kept = number,
            Err(error) => {
                say(&error.to_string());
                say(if matches!(error, StoreError::Unavailable { .. }) {
                    "unavailable"
                } else {
                    "invalid"
                });
                break;
            }
        }
    }
    let events = store.events(run, 0, 1_000_000).await.unwrap().len() as u64;
    let tasks = store.tasks(run).await.unwrap();
    say(if (events, u64::from(tasks[0].attempt)) == (kept, kept) {
        "whole"
    } else {
        "broken"
    });
}

async fn read_only(disk: &Path) {
    drop(pipectl_store::open(None, disk).await.unwrap());
    // What is dropped is closed by a thread of its own.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let remount = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk)
        .status()
        .unwrap();
    assert!(remount.success());
    let Err(error) = pipectl_store::open(None, disk).await else {
        panic!()
    };
    say(&error.to_string());
    let Err(error) = pipectl_store::open(None, &disk.join("new")).await else {
        panic!()
    };
    say(&error.to_string());
}

pub(crate) async fn open(address: &str) -> Result<Arc<dyn Store>, StoreError> {
    pipectl_store::open(
        Some(&Secret::new(address.to_owned())),
        Path::new("/nowhere"),
    )
    .await
}

/// A run of `pipeline`.
pub(crate) fn new_run(pipeline: &str, enqueued: bool) -> NewRun {
    NewRun {
        enqueued,
        ..run_at(pipeline, SystemClock.now())
    }
}

/// A run that is ours.
pub(crate) async fn claimed(store: &dyn Store) -> (RunId, u64) {
    let run = new_run("churn", false);
    store.create_run(&run).await.unwrap();
    (
        run.id,
        store
            .claim(run.id, "helper", Duration::from_secs(600))
            .await
            .unwrap()
            .unwrap()
            .fence,
    )
}

/// Changes that all bear the same number.
pub(crate) fn changes(number: u64) -> Vec<Change> {
    let (now, key) = (SystemClock.now(), TaskKey::task("a"));
    let attempt = u32::try_from(number).unwrap();
    let values = json!({"number": number, "ballast": "x".repeat(1_000)})
        .as_object()
        .unwrap()
        .clone();
    vec![
        Change::Event(EventRecord {
            number,
            at: now,
            kind: "task".to_owned(),
            key: Some(key.clone()),
            data: json!({}),
        }),
        Change::Task(TaskChange {
            task: "a".to_owned(),
            state: TaskState::Running,
            attempt,
            ..TaskChange::default()
        }),
        Change::Attempt(AttemptRecord {
            key: key.clone(),
            number: attempt,
            state: TaskState::Running,
            started: now,
            ended: None,
            error: None,
        }),
        Change::Output {
            key,
            attempt,
            output: OutputRecord {
                values,
                ..OutputRecord::default()
            },
            at: now,
        },
    ]
}

/// Executes statements in an SQLite file, which is made when it is not there.
pub(crate) async fn write_sqlite(address: &str, sql: &str) {
    let mut connection = SqliteConnection::connect(&format!("{address}?mode=rwc"))
        .await
        .unwrap();
    let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
    sql.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn execute(path: &Path, sql: &str) {
    write_sqlite(&format!("sqlite:{}", path.display()), sql).await;
}

/// An SQLite database that is no history.
pub(crate) async fn other_database(path: &Path) {
    execute(path, "create table customers (id text)").await;
}

/// A history that has gone through a step that is not known yet.
pub(crate) async fn newer_history(path: &Path) {
    drop(open(&format!("sqlite:{}", path.display())).await.unwrap());
    execute(
        path,
        "insert into migrations (name, applied) values ('9999_future', 0)",
    )
    .await;
}
