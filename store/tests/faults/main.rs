//! What the history does when it is killed, cut off, filled up or given something else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod care;
mod helper;
mod queue;

use std::{sync::Arc, time::Duration};

use pipectl_engine::{
    id::RunId,
    store::{RunWrite, Store, StoreError, WriteOutcome, Writer},
};
use pipectl_test_support::TestPostgres;

use helper::{Helper, changes, claimed, open};

/// What stands of a run is what whole commits leave: each wrote one event, and its number everywhere.
async fn assert_whole(store: &dyn Store, run: RunId) -> u64 {
    let record = store.run(run).await.unwrap().unwrap();
    let events = store.events(run, 0, 1_000_000).await.unwrap();
    let tasks = store.tasks(run).await.unwrap();
    assert_eq!(events.len() as u64, record.last_event);
    assert_eq!(
        tasks
            .iter()
            .map(|task| u64::from(task.attempt))
            .collect::<Vec<_>>(),
        [record.last_event]
    );
    assert_eq!(
        tasks[0].output.as_ref().unwrap().values["number"],
        record.last_event
    );
    assert_eq!(
        store.attempts(run).await.unwrap().len() as u64,
        record.last_event
    );
    record.last_event
}

/// Kills a process that commits, several times, and looks at what it left.
async fn kill(address: &str) {
    let store = open(address).await.unwrap();
    for enough in [3, 20, 60] {
        let mut helper = Helper::start(&["commit", address]);
        let run: RunId = helper.line().parse().unwrap();
        while store.run(run).await.unwrap().unwrap().last_event < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        helper.kill();
        // A server may still be about the last statement it was sent.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(assert_whole(&*store, run).await >= enough);
    }
}

#[tokio::test]
async fn a_killed_process_leaves_whole_commits_in_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    kill(&format!(
        "sqlite:{}",
        directory.path().join("history.db").display()
    ))
    .await;
}

#[tokio::test]
async fn a_killed_process_leaves_whole_commits_in_postgres() {
    kill(&TestPostgres::shared().database()).await;
}

#[tokio::test]
async fn several_processes_write_one_sqlite_file() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", directory.path().join("history.db").display());
    let mut helpers: Vec<_> = (0..3)
        .map(|_| Helper::start(&["commit", &address]))
        .collect();
    let runs: Vec<RunId> = helpers
        .iter_mut()
        .map(|helper| helper.line().parse().unwrap())
        .collect();
    let store = open(&address).await.unwrap();
    for run in &runs {
        while store.run(*run).await.unwrap().unwrap().last_event < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    drop(helpers);
    for run in runs {
        assert_whole(&*store, run).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_harms_nothing() {
    let mut helper = Helper::on_small_disk(&["fill"]);
    let message = helper.line();
    assert!(
        message.contains("the disk is full; free some space"),
        "{message}"
    );
    assert_eq!(helper.line(), "unavailable");
    assert_eq!(helper.line(), "whole");
}

#[tokio::test]
async fn a_read_only_disk_is_said() {
    let mut helper = Helper::on_small_disk(&["read only"]);
    for _ in 0..2 {
        let message = helper.line();
        assert!(message.contains("writable"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_reported_and_the_writer_goes_on() {
    let server = TestPostgres::shared();
    let address = server.database();
    let database = address.rsplit('/').next().unwrap().to_owned();
    let store = open(&address).await.unwrap();
    let (run, fence) = claimed(&*store).await;
    let write = |number| RunWrite {
        run,
        fence,
        changes: changes(number),
    };
    store.commit(&[write(1)]).await.unwrap();
    // Another session holds the run, so that a commit hangs until its backend is terminated.
    let pool = sqlx::PgPool::connect(&address).await.unwrap();
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("select 1 from pipectl.runs for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where application_name = 'pipectl' and wait_event_type = 'Lock'";
    let terminated = || {
        let database = database.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let count = tokio::task::block_in_place(|| {
                    TestPostgres::shared().sql(&database, terminate)
                });
                if count != "0" {
                    return;
                }
            }
        }
    };
    let second = [write(2)];
    let (answer, ()) = tokio::join!(store.commit(&second), terminated());
    assert!(
        matches!(answer, Err(StoreError::Unavailable { .. })),
        "{answer:?}"
    );
    let writer = Writer::start(Arc::clone(&store));
    let release = async {
        terminated().await;
        holder.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(writer.write(write(2)), release);
    assert_eq!(answer.unwrap(), WriteOutcome::Done);
    assert_eq!(assert_whole(&*store, run).await, 2);
}

#[tokio::test]
async fn a_database_that_crashes_is_found_again() {
    let server = TestPostgres::durable();
    let store = open(&server.database()).await.unwrap();
    let (run, fence) = claimed(&*store).await;
    let writer = Writer::start(Arc::clone(&store));
    let write = |number| RunWrite {
        run,
        fence,
        changes: changes(number),
    };
    writer.write(write(1)).await.unwrap();
    server.crash_and_restart();
    writer.write(write(2)).await.unwrap();
    assert_eq!(assert_whole(&*store, run).await, 2);
}

#[tokio::test]
async fn many_that_open_a_new_database_do_not_hinder_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", directory.path().join("history.db").display());
    for address in [TestPostgres::shared().database(), file] {
        let opened = futures::future::join_all((0..6).map(|_| open(&address))).await;
        for store in opened {
            claimed(&*store.unwrap()).await;
        }
    }
}

async fn refused(address: &str) -> String {
    match open(address).await {
        Ok(_) => panic!("`{address}` was opened"),
        Err(error) => {
            let cause = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            format!("{error} | {cause}")
        }
    }
}

#[tokio::test]
async fn what_is_no_history_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("text"), "customerID,tenure\n".repeat(100)).unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    helper::other_database(&path("other")).await;
    helper::newer_history(&path("newer")).await;
    for (name, reason) in [
        ("text", "the file is not an SQLite database"),
        ("directory", "the database file cannot be opened"),
        ("text/history.db", "cannot make the directory"),
        ("other", "is an SQLite database of something else"),
        (
            "newer",
            "made by a newer version of this program (it has `9999_future`)",
        ),
    ] {
        let message = refused(&format!("sqlite:{}", path(name).display())).await;
        assert!(message.contains(reason), "{name}: {message}");
    }
    assert_eq!(
        std::fs::read_to_string(path("text"))
            .unwrap()
            .lines()
            .count(),
        100
    );
}

#[tokio::test]
async fn a_server_that_refuses_is_quoted_without_the_password() {
    let server = TestPostgres::shared();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (address, reason) in [
        (
            format!("postgres://user:hunter2@{nobody}/x"),
            format!(
                "cannot reach Postgres at {}:{}/x",
                nobody.ip(),
                nobody.port()
            ),
        ),
        (
            format!("postgres://postgres@127.0.0.1:{}/nothing", server.port()),
            "create it or change the address".to_owned(),
        ),
        (
            server.guarded_database("hunter2"),
            "check user and password".to_owned(),
        ),
    ] {
        let message = refused(&address).await;
        assert!(message.contains(&reason), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert!(
        open(&server.guarded_database("the right one"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_newer_history_on_postgres_is_refused() {
    let server = TestPostgres::shared();
    let address = server.database();
    open(&address).await.unwrap();
    let database = address.rsplit('/').next().unwrap();
    server.sql(
        database,
        "insert into pipectl.migrations (name) values ('9999_future')",
    );
    assert!(refused(&address).await.contains("newer version"));
}

/// A history of the first version, with a run that somebody was working on, is taken along.
#[tokio::test]
async fn an_older_history_is_brought_up_to_date() {
    let run = helper::new_run("churn", false);
    let columns =
        "(id, pipeline, version, kind, trigger_data, params, created, state, owner, fence)";
    let server = TestPostgres::shared();
    let postgres = server.database();
    let schema = "create schema pipectl; create table pipectl.migrations (name text primary key,
        applied timestamptz not null default now()); insert into pipectl.migrations (name) values ('0001_history');";
    let first = include_str!("../../../migrations/postgres/0001_history.sql");
    let insert = format!(
        "insert into pipectl.runs {columns} values ('{}', 'churn', 'abc', 'manual', 'null', '{{}}', now(), 'running',
            'one', 7)",
        run.id
    );
    let pool = sqlx::PgPool::connect(&postgres).await.unwrap();
    for sql in [schema, first, &insert] {
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", directory.path().join("history.db").display());
    let schema =
        "pragma application_id = 1885566060; create table migrations (name text primary key,
        applied integer not null) strict; insert into migrations values ('0001_history', 0);";
    let first = include_str!("../../../migrations/sqlite/0001_history.sql");
    let insert = format!(
        "insert into runs {columns} values (x'{}', 'churn', 'abc', 'manual', 'null', '{{}}', 0, 'running', 'one', 7)",
        run.id.uuid().simple()
    );
    helper::write_sqlite(&sqlite, &[schema, first, &insert].concat()).await;
    for address in [postgres, sqlite] {
        let store = open(&address).await.unwrap();
        let read = store.run(run.id).await.unwrap().unwrap();
        assert_eq!(
            (read.fence, read.run.enqueued, read.requeued),
            (7, false, None)
        );
        let foreground = store.foreground_runs().await.unwrap();
        assert_eq!(foreground, [(run.id, "one".to_owned(), true)]);
    }
}

/// The other side of [`Helper`]: not a test, but what runs in a process of its own.
#[tokio::test]
#[ignore = "what the tests above start"]
async fn helper_process() {
    helper::work().await;
}

/// Several commands may come to a new project at once: one of them makes the file, the others wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_new_file_is_opened_by_many_at_once() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.db");
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let path = path.clone();
            all.spawn(async move { pipectl_store::SqliteStore::open(&path).await.map(drop) });
        }
        while let Some(opened) = all.join_next().await {
            opened.unwrap().unwrap();
        }
    }
}
