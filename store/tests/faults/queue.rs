//! The queue when processes freeze, hold locks or fall silent; and what it costs when there is much history.

use std::{sync::Arc, time::Duration};

use pipectl_engine::{
    id::RunId,
    operator::Interval,
    secret::Secret,
    store::{NewRun, PruneRule, RunFilter, RunStore, SensorKey, Store},
    time::{Clock, SystemClock},
};
use pipectl_store::PostgresStore;
use pipectl_test_support::TestPostgres;
use sqlx::PgPool;
use tokio::time::timeout;

use super::helper::{self, Helper, new_run, open};

const LEASE: Duration = Duration::from_secs(600);
/// What must not wait for anybody takes less.
const SOON: Duration = Duration::from_secs(2);

async fn queued(store: &dyn Store, runs: usize) -> Vec<NewRun> {
    let runs: Vec<_> = (0..runs).map(|_| new_run("churn", true)).collect();
    store.create_runs(&runs).await.unwrap();
    runs
}

#[tokio::test]
async fn a_locked_run_holds_up_no_other() {
    let address = TestPostgres::shared().database();
    let store = open(&address).await.unwrap();
    let now = SystemClock.now();
    let mut runs = queued(&*store, 2).await;
    store.beat("gone", now, LEASE).await.unwrap();
    let lost = store.claim_queued("gone", LEASE, None, 2).await.unwrap();
    assert_eq!(lost.len(), 2);
    runs.extend(queued(&*store, 2).await);
    store.beat("one", now, LEASE).await.unwrap();
    let mine = store.claim_queued("one", LEASE, None, 2).await.unwrap();
    runs.extend(queued(&*store, 3).await);
    // Somebody holds one run that is lost, one that is ours, and the next two of the queue.
    let pool = PgPool::connect(&address).await.unwrap();
    let mut holder = pool.begin().await.unwrap();
    let locked = [runs[0].id, mine[0].run, runs[4].id, runs[5].id].map(RunId::uuid);
    let lock = sqlx::query("select 1 from pipectl.runs where id = any ($1) for update");
    lock.bind(locked).execute(&mut *holder).await.unwrap();

    let beat = timeout(SOON, store.beat("one", now, LEASE)).await;
    beat.unwrap().unwrap();
    let gone = ["gone".to_owned()];
    let adopted = timeout(SOON, store.claim_lost("one", LEASE, &gone, 9)).await;
    let adopted = adopted.unwrap().unwrap();
    assert_eq!(adopted.len(), 1);
    assert_eq!(adopted[0].run, runs[1].id);
    let next = timeout(SOON, store.claim_queued("one", LEASE, None, 1)).await;
    assert_eq!(next.unwrap().unwrap()[0].run, runs[6].id);
    holder.rollback().await.unwrap();
    let rest = store.claim_queued("one", LEASE, None, 9).await.unwrap();
    assert_eq!(rest.len(), 2);
}

#[tokio::test]
async fn a_frozen_claimer_holds_up_nobody() {
    let address = TestPostgres::shared().database();
    let store = open(&address).await.unwrap();
    // More than the helper comes to take, however long the rounds are on a busy machine.
    queued(&*store, 3_000).await;
    let mut helper = Helper::start(&["claim", &address]);
    assert_eq!(helper.line(), "ready");
    for pause in 0..20 {
        tokio::time::sleep(Duration::from_millis(7 + pause % 5)).await;
        helper.signal("STOP");
        let claimed = timeout(SOON, store.claim_queued("one", LEASE, None, 2)).await;
        assert_eq!(claimed.unwrap().unwrap().len(), 2, "round {pause}");
        helper.signal("CONT");
    }
}

/// Waits until nothing has changed for a while, so that the next change is what is heard.
async fn quiet(store: &dyn Store) {
    while timeout(Duration::from_millis(300), store.changed())
        .await
        .is_ok()
    {}
}

#[tokio::test]
async fn changes_are_heard_in_other_processes() {
    let address = TestPostgres::shared().database();
    let (here, there) = (open(&address).await.unwrap(), open(&address).await.unwrap());
    drop(timeout(SOON, here.changed()).await);
    quiet(&*here).await;
    let wait = here.changed();
    queued(&*there, 1).await;
    assert!(timeout(SOON, wait).await.is_ok());

    // What nobody waits for is no news: a run that its maker works on, and each of its writes.
    quiet(&*here).await;
    let wait = here.changed();
    let (run, fence) = helper::claimed(&*there).await;
    let write = pipectl_engine::store::RunWrite {
        run,
        fence,
        changes: helper::changes(1),
    };
    there.commit(&[write]).await.unwrap();
    assert!(timeout(Duration::from_millis(500), wait).await.is_err());

    // The connection that listens is cut off, and comes back.
    let pool = PgPool::connect(&address).await.unwrap();
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and query ilike 'listen%'";
    let cut: i64 = sqlx::query_scalar(cut).fetch_one(&pool).await.unwrap();
    assert_eq!(cut, 1);
    assert!(
        timeout(Duration::from_secs(10), here.changed())
            .await
            .is_ok()
    );
    quiet(&*here).await;
    let wait = here.changed();
    queued(&*there, 1).await;
    assert!(timeout(SOON, wait).await.is_ok());
}

#[tokio::test]
async fn who_waits_while_the_database_is_away_does_not_spin() {
    let address = TestPostgres::shared().database();
    let store = open(&address).await.unwrap();
    let database = address.rsplit('/').next().unwrap().to_owned();
    drop(timeout(SOON, store.changed()).await);
    let sql = format!(
        "alter database {database} allow_connections false; select pg_terminate_backend(pid)
        from pg_stat_activity where datname = '{database}'"
    );
    tokio::task::spawn_blocking(move || TestPostgres::shared().sql("postgres", &sql))
        .await
        .unwrap();
    let mut heard = 0;
    let listen = async {
        loop {
            store.changed().await;
            heard += 1;
        }
    };
    assert!(timeout(Duration::from_secs(3), listen).await.is_err());
    assert!(heard <= 4, "woken {heard} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_cost_one_error() {
    let address = TestPostgres::shared().database();
    let store = open(&address).await.unwrap();
    let now = SystemClock.now();
    // All connections are in use at once, and then idle for less time than they are trusted.
    let beats = (0..8).map(|_| store.beat("one", now, LEASE));
    futures::future::join_all(beats).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()";
    let database = address.rsplit('/').next().unwrap();
    let cut = tokio::task::block_in_place(|| TestPostgres::shared().sql(database, cut));
    assert!(cut.parse::<u32>().unwrap() > 1, "{cut} connections");
    let mut errors = 0;
    for _ in 0..20 {
        errors += u32::from(store.beat("one", now, LEASE).await.is_err());
    }
    assert!(errors <= 1, "{errors} errors");
}

/// Rows of finished runs, as many as make the database prefer its indexes.
const HISTORY: &str = "
    insert into pipectl.runs (id, pipeline, version, kind, trigger_data, params, interval_start, interval_end, created,
            state, ended, fence)
        select ('0190' || lpad(to_hex(n), 28, '0'))::uuid, 'p' || n % 100, 'abc', 'scheduled', 'null', '{}',
            now() - n * interval '1 minute', now() - (n - 1) * interval '1 minute', now(),
            case n % 10 when 0 then 'failed' else 'success' end, now() - n * interval '1 minute', 1
        from generate_series(1, 50000) n;
    insert into pipectl.tasks (run, task, element, state, attempt, tries)
        select id, t, -1, 'success', 1, 0 from pipectl.runs, unnest(array['a', 'b', 'c', 'd']) t;
    insert into pipectl.events (run, number, happened, kind, element, data)
        select id, 1, now(), 'run', -1, '{}' from pipectl.runs;
    insert into pipectl.things (pipeline, task, key, identity, name, details, size, modified, state, seen, run)
        select pipeline, 'arrived', id::text, id::text, id::text, '{}', 1, created, 'settled', created, id
        from pipectl.runs;
    analyze";

/// All that a daemon asks when it starts and while it idles.
async fn ask(store: &dyn Store) {
    let now = SystemClock.now();
    let hour = Duration::from_secs(3_600);
    store.beat("one", now, LEASE).await.unwrap();
    store.claim_queued("one", LEASE, None, 8).await.unwrap();
    store.claim_lost("one", LEASE, &[], 8).await.unwrap();
    store.foreground_runs().await.unwrap();
    store.owned("one").await.unwrap();
    store.unfinished().await.unwrap();
    store.schedules().await.unwrap();
    let pipelines = ["p1", "p2"].map(str::to_owned);
    let since = store
        .successes_since(&pipelines, now - hour, None, 100)
        .await;
    assert_eq!(since.unwrap().len(), 2);
    let interval = Interval {
        start: now - hour,
        end: now,
    };
    store.success_of("p1", interval).await.unwrap();
    store.triggered("p1", "interval:x").await.unwrap();
    let sensor = SensorKey {
        pipeline: "p1".to_owned(),
        task: "arrived".to_owned(),
    };
    store.to_settle(&sensor, 100).await.unwrap();
    store.things(&sensor, 100).await.unwrap();
    store.unseen(&sensor, &["x".to_owned()]).await.unwrap();
    store.backfills(100).await.unwrap();
    let newest = RunFilter {
        limit: 20,
        ..RunFilter::default()
    };
    store.runs(&newest).await.unwrap();
}

/// What the care of history asks.
async fn look_for_old_runs(store: &dyn Store) {
    let days = SystemClock.now() - Duration::from_secs(20 * 24 * 3_600);
    for (before, keep) in [(Some(days), None), (None, Some(100))] {
        let rule = PruneRule {
            before,
            keep,
            ..PruneRule::default()
        };
        assert_eq!(store.prunable(&rule, 100).await.unwrap().len(), 100);
    }
}

#[tokio::test]
async fn a_long_history_is_not_read_through() {
    let address = TestPostgres::shared().database();
    let store: Arc<dyn Store> = open(&address).await.unwrap();
    let pool = PgPool::connect(&address).await.unwrap();
    sqlx::raw_sql(HISTORY).execute(&pool).await.unwrap();
    queued(&*store, 3).await;
    drop(store);
    // Each session leaves its counts when it ends, so that they are whole when the others are closed.
    pool.close().await;
    let read =
        "select coalesce(sum(seq_tup_read), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint
        from pg_stat_user_tables where n_live_tup > 1000";
    let scanned = async || -> (i64, i64) {
        let pool = PgPool::connect(&address).await.unwrap();
        loop {
            let sessions = "select count(*) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
            let sessions: i64 = sqlx::query_scalar(sessions).fetch_one(&pool).await.unwrap();
            if sessions == 0 {
                return sqlx::query_as(read).fetch_one(&pool).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // A daemon's questions need few rows; those of the care of history some of each of the 100 pipelines.
    for (care, most) in [(false, 1_000), (true, 40_000)] {
        let before = scanned().await;
        let store = open(&address).await.unwrap();
        if care {
            look_for_old_runs(&*store).await;
        } else {
            ask(&*store).await;
        }
        drop(store);
        let after = scanned().await;
        let (scanned, fetched) = (after.0 - before.0, after.1 - before.1);
        assert_eq!(scanned, 0, "rows read by sequential scans");
        assert!(fetched < most, "{fetched} rows fetched by their index");
    }
}

/// The server ends what waits for ever, and what a frozen process has begun; the mistake is one that passes.
#[tokio::test]
async fn no_statement_and_no_open_transaction_lasts_for_ever() {
    let store = PostgresStore::open(&Secret::new(TestPostgres::shared().database()))
        .await
        .unwrap();
    for setting in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        let limit: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(store.pool())
            .await
            .unwrap();
        assert_eq!(limit, "1min", "{setting}");
    }
    let runs = queued(&store, 1).await;
    let blocker = sqlx::query("set statement_timeout = '50ms'");
    let mut patient = store.pool().acquire().await.unwrap();
    blocker.execute(&mut *patient).await.unwrap();
    let ended = sqlx::query("select pg_sleep(5)")
        .execute(&mut *patient)
        .await;
    let error = ended.unwrap_err();
    let code = error
        .as_database_error()
        .and_then(|error| error.code().map(String::from));
    assert_eq!(code.as_deref(), Some("57014"));
    // The connection goes on.
    drop(patient);
    assert!(store.run(runs[0].id).await.unwrap().is_some());
}
