//! Rows in and out by real drivers: `psqlODBC` against a throwaway Postgres, SQLite's against a file, and MariaDB's where
//! `tests/mariadb.py` runs the tests.

#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test, which is told of a server by the environment"
)]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use pipectl_connections::{Connector, OdbcManager as _};
use pipectl_engine::operator::{
    Fault, Kind, Outcome, Output, TaskContext, TaskError, Wait,
    testing::{TestProject, frame},
};
use pipectl_odbc::Manager;
use pipectl_test_support::TestPostgres;
use polars::prelude::*;
use serde_json::{Value, json};

/// A project whose connection `shop` is behind a driver.
fn project(address: &str) -> TestProject {
    TestProject::new()
        .with_service(Arc::new(Connector::default().with_odbc(Arc::new(Manager))))
        .with_connection("shop", address)
}

/// A database of the throwaway Postgres: its address for the driver, and for ourselves.
fn postgres() -> (String, String) {
    let url = TestPostgres::shared().database();
    let rest = url.split_once("://").unwrap().1;
    let (credentials, place) = rest.rsplit_once('@').unwrap();
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (host, database) = place.split_once('/').unwrap();
    let (host, port) = host.split_once(':').unwrap();
    let address = format!(
        "odbc:Driver={{PostgreSQL Unicode}};Server={host};Port={port};Database={database};UID={user};PWD={password}"
    );
    (address, url)
}

/// A new database of the throwaway MariaDB, if there is one. By itself it would not hold every text.
fn mariadb() -> Option<String> {
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("PIPECTL_TEST_MARIADB").ok()?;
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("drivers_{}_{number}", std::process::id());
    let mut session = Manager
        .connect(server.strip_prefix("odbc:").unwrap())
        .unwrap();
    let sql = format!("create database {name} character set latin1");
    session.execute(&sql, &[]).unwrap();
    Some(format!("{server};Database={name}"))
}

/// All kinds of databases, with what must live as long as they are used.
fn databases() -> Vec<(String, tempfile::TempDir)> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let sqlite = format!("odbc:Driver={{SQLite3}};Database={}", file.display());
    let servers = [Some(postgres().0), mariadb()].into_iter().flatten();
    let servers = servers.map(|address| (address, tempfile::tempdir().unwrap()));
    servers.chain([(sqlite, directory)]).collect()
}

async fn run(
    context: &TaskContext,
    kind: Kind,
    name: &str,
    settings: Value,
) -> Result<Outcome, TaskError> {
    let operators = pipectl_operators::all();
    let operator = operators.get(kind, name).unwrap();
    let config = operator.parse(&settings).unwrap();
    operator.run(config, context).await
}

fn done(outcome: Outcome) -> Output {
    match outcome {
        Outcome::Done(output) => output,
        other => panic!("{other:?}"),
    }
}

async fn load(
    project: &TestProject,
    rows: DataFrame,
    settings: Value,
) -> Result<Output, TaskError> {
    load_in(&project.context_with([("rows", rows)]), settings).await
}

async fn load_in(context: &TaskContext, settings: Value) -> Result<Output, TaskError> {
    let mut with = json!({"connection": "shop", "table": "people", "create": true});
    let all = with.as_object_mut().unwrap();
    all.extend(settings.as_object().unwrap().clone());
    run(context, Kind::Load, "sql", with).await.map(done)
}

async fn extract(project: &TestProject, settings: Value) -> Result<DataFrame, TaskError> {
    extract_in(&project.context(), settings).await
}

async fn extract_in(context: &TaskContext, settings: Value) -> Result<DataFrame, TaskError> {
    let mut with = json!({"connection": "shop"});
    let all = with.as_object_mut().unwrap();
    all.extend(settings.as_object().unwrap().clone());
    let output = run(context, Kind::Extract, "sql", with).await.map(done)?;
    Ok(frame(&output))
}

async fn statements(project: &TestProject, all: Value) -> Result<Output, TaskError> {
    let with = json!({"connection": "shop", "statements": all});
    let context = project.context();
    run(&context, Kind::Run, "sql", with).await.map(done)
}

/// One that is neither the run nor the task of the others.
fn another(mut context: TaskContext, task: &str) -> TaskContext {
    task.clone_into(&mut context.task.key.task);
    context
}

fn moments(zone: Option<TimeZone>) -> Column {
    let micros = Column::new("c".into(), [Some(1_772_366_400_123_456_i64), None]);
    micros
        .cast(&DataType::Datetime(TimeUnit::Microseconds, zone))
        .unwrap()
}

fn typed() -> DataFrame {
    let named = |name: &str, column: Column| column.with_name(name.into());
    let time = Column::new("c".into(), [Some(45_000_500_000_000_i64), None]);
    let decimal = Column::new("c".into(), [Some("-1234567890.12"), None]);
    let columns = vec![
        Column::new("id".into(), [1_i64, 2]),
        Column::new("big".into(), [Some(i64::MAX), None]),
        Column::new("small".into(), [Some(-7_i16), None]),
        Column::new("price".into(), [Some(0.1 + 0.2), None]),
        Column::new("ok".into(), [Some(true), None]),
        Column::new("name".into(), [Some("Zoë 🦀 o'hara \"x\" ?"), None]),
        Column::new("blank".into(), [Some(""), None]),
        named(
            "day",
            Column::new("c".into(), [Some(20_513_i32), None])
                .cast(&DataType::Date)
                .unwrap(),
        ),
        named("at", moments(None)),
        named(
            "raw",
            Column::new("c".into(), [Some(&b"\x00\xff\x01"[..]), None]),
        ),
        named("time", time.cast(&DataType::Time).unwrap()),
        named("amount", decimal.cast(&DataType::Decimal(18, 2)).unwrap()),
    ];
    DataFrame::new(2, columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_comes_out() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let sqlite = address.contains("SQLite3");
        let mut rows = typed();
        if sqlite {
            let error = load(&project, rows.clone(), json!({})).await.unwrap_err();
            let message = "`amount` of `rows` is decimal[18,2], for which a table has no type";
            assert_eq!(error.message, message);
            rows = rows.drop("amount").unwrap();
        }
        load(&project, rows.clone(), json!({})).await.unwrap();
        let query = json!({"query": "select * from people order by id"});
        let found = extract(&project, query).await.unwrap();
        assert_eq!(found.height(), 2, "{address}");
        for column in rows.columns() {
            let name = column.name().as_str();
            let back = found.column(name).unwrap();
            let same = match name {
                "small" => column.cast(&DataType::Int64).unwrap(),
                "amount" => column.cast(&DataType::Decimal(38, 2)).unwrap(),
                "at" if sqlite => {
                    let millis = DataType::Datetime(TimeUnit::Milliseconds, None);
                    let left = back.cast(&millis).unwrap();
                    assert_eq!(left, column.cast(&millis).unwrap());
                    continue;
                }
                // The driver writes numbers with so many digits.
                "price" if sqlite => {
                    let number = back.get(0).unwrap().extract::<f64>().unwrap();
                    assert!((number - 0.3).abs() < 1e-12, "{number}");
                    continue;
                }
                "time" if sqlite => {
                    // Parts of a second are lost.
                    let time = back.get(0).unwrap().to_string();
                    assert!(time.starts_with("12:30:00"), "{time}");
                    assert_eq!(back.null_count(), 1);
                    continue;
                }
                _ => column.clone(),
            };
            assert!(
                back.equals_missing(&same),
                "{address} {name}: {back:?} {same:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_types_come_as_what_they_are() {
    let (address, url) = postgres();
    TestPostgres::shared().sql(
        &url,
        "create table t (a int2, b int4, c int8, d real, e double precision, f numeric, g varchar(10), h char(3), \
         i uuid, j jsonb, k timestamptz, l bytea, m text[]); \
         insert into t values (1, 2, 3, 1.5, 0.1, 1.23456789012345678901234, 'ü', 'x', \
         'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}', '2026-03-01 12:00:00+02', '\\x00ff', '{a,b}'), \
         (null, null, null, null, null, 2, null, null, null, null, null, null, null)",
    );
    let project = project(&address);
    let found = extract(&project, json!({"table": "t"})).await.unwrap();
    let text = |name: &str| {
        let column = found.column(name).unwrap();
        column.get(0).unwrap().to_string()
    };
    for (name, expected) in [
        ("a", "1"),
        ("b", "2"),
        ("c", "3"),
        ("d", "1.5"),
        ("e", "0.1"),
        ("f", "1.23456789012345678901234"),
        ("g", "\"ü\""),
        ("h", "\"x  \""),
        ("i", "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\""),
        ("j", "\"{\"a\": 1}\""),
        ("k", "2026-03-01 10:00:00"),
        ("l", "b\"\\x00\\xff\""),
        ("m", "\"{a,b}\""),
    ] {
        assert_eq!(text(name), expected, "{name}");
    }
    for column in found.columns().iter().filter(|column| column.name() != "f") {
        assert_eq!(column.null_count(), 1, "{}", column.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_smaller_than_the_rows() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let count = 12_345_i64;
        let ids: Vec<i64> = (0..count).collect();
        let texts: Vec<String> = ids.iter().map(|id| format!("row {id} ü")).collect();
        let rows = df!["id" => &ids, "text" => &texts].unwrap();
        let output = load(&project, rows.clone(), json!({"key": "id"}))
            .await
            .unwrap();
        assert_eq!(output.values["rows"], json!(count));
        let query = json!({"query": "select * from people order by id"});
        let found = extract(&project, query).await.unwrap();
        assert!(found.equals(&rows), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_stay_whole() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let long = "ä".repeat(100_000);
        let texts = ["short", &long, "", "end"];
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let rows = df!["id" => [1_i64, 2, 3, 4], "text" => texts, "raw" => bytes].unwrap();
        load(&project, rows.clone(), json!({})).await.unwrap();
        let query = json!({"query": "select id, text, raw from people order by id"});
        let found = extract(&project, query).await.unwrap();
        for (row, text) in texts.iter().enumerate() {
            let length = |name: &str| match found.column(name).unwrap().get(row).unwrap() {
                AnyValue::String(text) => text.len(),
                AnyValue::Binary(bytes) => bytes.len(),
                other => panic!("{other:?}"),
            };
            assert_eq!(
                (length("text"), length("raw")),
                (text.len(), text.len()),
                "{address} {row}"
            );
        }
        assert!(found.equals(&rows), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_meet_those_that_are_there_as_the_mode_says() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let steps = [
            (
                json!({"mode": "append", "key": "id"}),
                df!["id" => [1_i64, 2], "v" => ["a", "b"]],
            ),
            (
                json!({"mode": "upsert", "key": "id"}),
                df!["id" => [2_i64, 3], "v" => ["B", "c"]],
            ),
            (
                json!({"mode": "delete_insert", "key": "id"}),
                df!["id" => [3_i64], "v" => ["C"]],
            ),
            (
                json!({"mode": "append", "add_columns": true}),
                df!["id" => [4_i64], "v" => ["d"]].map(|rows| {
                    let more = Column::new("more".into(), [0.5]);
                    rows.hstack(&[more]).unwrap()
                }),
            ),
        ];
        for (number, (settings, rows)) in steps.into_iter().enumerate() {
            let context = project.context_with([("rows", rows.unwrap())]);
            let context = another(context, &format!("step_{number}"));
            load_in(&context, settings).await.unwrap();
        }
        let query = json!({"query": "select id, v, more from people order by id"});
        let found = extract(&project, query).await.unwrap();
        let expected = df![
            "id" => [1_i64, 2, 3, 4],
            "v" => ["a", "B", "C", "d"],
            "more" => [None, None, None, Some(0.5)]
        ];
        assert!(
            found.equals_missing(&expected.unwrap()),
            "{address} {found}"
        );
        let replace = project.context_with([("rows", df!["id" => [9_i64]].unwrap())]);
        load_in(&another(replace, "replace"), json!({"mode": "replace"}))
            .await
            .unwrap();
        let found = extract(&project, json!({"query": "select id from people"})).await;
        assert!(
            found.unwrap().equals(&df!["id" => [9_i64]].unwrap()),
            "{address}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_lost_after_its_commit_is_known() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let rows = df!["id" => [1_i64, 2]].unwrap();
        let first = load(&project, rows.clone(), json!({})).await.unwrap();
        assert_eq!(first.values["already_loaded"], json!(false));
        assert!(first.warnings.is_empty(), "{address}");
        let second = load(&project, rows.clone(), json!({})).await.unwrap();
        assert_eq!(second.values["already_loaded"], json!(true));
        assert_eq!(second.values["rows"], json!(2));
        let found = extract(&project, json!({"table": "people"})).await.unwrap();
        assert_eq!(found.height(), 2, "{address}");
        let mut again = project.context_with([("rows", rows)]);
        again.run.redo = 1;
        load_in(&again, json!({})).await.unwrap();
        let found = extract(&project, json!({"table": "people"})).await.unwrap();
        assert_eq!(found.height(), 4, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_make_a_ledger_it_says_so() {
    let (address, url) = postgres();
    let database = url.rsplit('/').next().unwrap();
    TestPostgres::shared().sql(
        &url,
        &format!(
            "create table people (id bigint); revoke create on schema public from public; \
             create role writer_{database} login password 'w'; grant select, insert on people to writer_{database}"
        ),
    );
    let start = address.split(";UID=").next().unwrap();
    let project = project(&format!("{start};UID=writer_{database};PWD=w"));
    let rows = df!["id" => [1_i64]].unwrap();
    for expected in [1, 2] {
        let output = load(&project, rows.clone(), json!({})).await.unwrap();
        assert!(
            output.warnings[0].contains("pipectl_ledger"),
            "{:?}",
            output.warnings
        );
        let found = extract(&project, json!({"table": "people"})).await.unwrap();
        assert_eq!(found.height(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_is_named_and_nothing_stays() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let rows = df!["id" => (0..5_000_i64).collect::<Vec<_>>()].unwrap();
        load(&project, rows, json!({"key": "id"})).await.unwrap();
        let mut ids: Vec<i64> = (10_000..15_000).collect();
        ids[4_321] = 7;
        let rows = df!["id" => ids].unwrap();
        let context = another(project.context_with([("rows", rows)]), "second");
        let error = load_in(&context, json!({})).await.unwrap_err();
        assert_eq!(error.fault, Fault::User, "{address}");
        assert_eq!(error.message, "cannot write to `shop`: row 4322 of `rows`");
        let text = error.full_message().to_ascii_lowercase();
        let broken = ["unique", "duplicate entry"];
        assert!(broken.iter().any(|words| text.contains(words)), "{text}");
        let query = json!({"query": "select count(*) as n from people"});
        let found = extract(&project, query).await.unwrap();
        let n = found.columns()[0].get(0).unwrap().extract::<i64>();
        assert_eq!(n, Some(5_000), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told_before_the_first_row() {
    for (address, _kept) in databases() {
        let project = project(&address);
        load(&project, df!["id" => [1_i64]].unwrap(), json!({}))
            .await
            .unwrap();
        for (rows, message) in [
            (
                df!["id" => ["one"]],
                "table `people` does not fit `rows`: `id` is of whole numbers there and string here",
            ),
            (
                df!["id" => [1_i64], "other" => [1_i64]],
                "table `people` has no column `other`",
            ),
            (
                df!["id" => [1_u64, u64::MAX]],
                "row 2 of `rows`: `id` is 18446744073709551615, which does not fit into of whole numbers",
            ),
        ] {
            let context = project.context_with([("rows", rows.unwrap())]);
            let error = load_in(&another(context, "other"), json!({}))
                .await
                .unwrap_err();
            assert_eq!(error.message, message, "{address}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_bound() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let rows = typed().drop("amount").unwrap();
        load(&project, rows, json!({})).await.unwrap();
        for (condition, value) in [
            ("name = $1", json!("Zoë 🦀 o'hara \"x\" ?")),
            ("id = $1", json!(1)),
            ("price > $1 - 0.001 and price < $1 + 0.001", json!(0.3)),
            ("day = $1", json!("2026-03-01")),
        ] {
            let sql = format!("select id from people where {condition}");
            let query = json!({"sql": sql, "values": [value]});
            let found = extract(&project, json!({"query": query})).await;
            let found = found
                .unwrap_or_else(|error| panic!("{address} {condition}: {}", error.full_message()));
            assert!(
                found.equals(&df!["id" => [1_i64]].unwrap()),
                "{address} {condition}"
            );
        }
        let query = json!({"sql": "select $2", "values": [1]});
        let error = extract(&project, json!({"query": query}))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "the query has a placeholder `$2` without a value"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_read_by_interval_and_by_cursor() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let days = Column::new("day".into(), [20_512_i32, 20_513, 20_514]);
        let id = Column::new("id".into(), [1_i64, 2, 3]);
        let day = days.cast(&DataType::Date).unwrap();
        let at = days.cast(&DataType::Int64).unwrap();
        let at = (at * 86_400_000_000_i64)
            .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
            .unwrap()
            .with_name("at".into());
        let rows = DataFrame::new(3, vec![id, day, at]).unwrap();
        load(&project, rows, json!({})).await.unwrap();
        let mut context = project.context();
        context.run.interval = Some(pipectl_engine::operator::Interval {
            start: "2026-03-01T00:00:00Z".parse().unwrap(),
            end: "2026-03-02T00:00:00Z".parse().unwrap(),
        });
        for column in ["day", "at"] {
            let with = json!({"table": "people", "interval_column": column});
            let found = extract_in(&context, with).await.unwrap();
            assert_eq!(
                found.column("id").unwrap().get(0).unwrap().extract::<i64>(),
                Some(2)
            );
            assert_eq!(found.height(), 1, "{address} {column}");
        }
        let with = json!({"table": "people", "incremental": {"cursor": "id", "start": 1}});
        let found = extract(&project, with).await.unwrap();
        assert_eq!(found.height(), 2, "{address}");
        let with = json!({"table": "people", "incremental": {"cursor": "idd"}});
        let error = extract(&project, with).await.unwrap_err();
        assert!(
            error.message.contains("no column `idd`"),
            "{}",
            error.message
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_one_and_a_sensor_looks() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let all = json!([
            "create table t (a integer)",
            "insert into t values (1)",
            {"sql": "insert into t values ($1)", "values": [2]},
        ]);
        let output = statements(&project, all.clone()).await.unwrap();
        assert_eq!(output.values["already_run"], json!(false), "{address}");
        let output = statements(&project, all).await.unwrap();
        assert_eq!(output.values["already_run"], json!(true), "{address}");
        let mut context = project.context();
        context.task.key.task = "wrong".to_owned();
        let with = json!({"connection": "shop", "statements": ["insert into t values (3)", "insert into nowhere values (1)"]});
        let error = run(&context, Kind::Run, "sql", with).await.unwrap_err();
        assert!(
            error.message.ends_with("(statement 2 of 2)"),
            "{}",
            error.message
        );
        let found = extract(&project, json!({"table": "t"})).await.unwrap();
        assert_eq!(found.height(), 2, "{address}");
        for (query, fires) in [
            ("select 1 from t where a = 2", true),
            ("select 1 from t where a = 3", false),
        ] {
            let with = json!({"connection": "shop", "query": query});
            let outcome = run(&project.context(), Kind::Sensor, "sql", with)
                .await
                .unwrap();
            assert_eq!(
                !matches!(outcome, Outcome::Wait(Wait::Until(_))),
                fires,
                "{address} {query}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_why() {
    let url = TestPostgres::shared().guarded_database("the right one");
    let place = url.rsplit_once('@').unwrap().1;
    let (host, database) = place.split_once('/').unwrap();
    let (host, port) = host.split_once(':').unwrap();
    let server = format!("odbc:Driver={{PostgreSQL Unicode}};Server={host};Database={database}");
    for (address, fault, message) in [
        (
            format!("{server};Port={port};UID=guarded;PWD=hunter2"),
            Fault::User,
            "password authentication failed",
        ),
        (
            format!("{server};Port=1;UID=guarded;PWD=hunter2"),
            Fault::External,
            "cannot reach `shop`",
        ),
        (
            "odbc:Driver={No Such Driver};PWD=hunter2".to_owned(),
            Fault::User,
            "Can't open lib 'No Such Driver'",
        ),
        (
            "odbc:nowhere".to_owned(),
            Fault::User,
            "Data source name not found",
        ),
        (
            "odbc:Driver={SQLite3};Database=/dev/null/a.db".to_owned(),
            Fault::User,
            "cannot",
        ),
    ] {
        let error = extract(&project(&address), json!({"query": "select 1 as one"})).await;
        let error = error.unwrap_err();
        let text = error.full_message();
        assert!(text.contains(message), "{address}: {text}");
        assert_eq!(error.fault, fault, "{address}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let (address, _) = postgres();
    let error = extract(&project(&address), json!({"query": "select nothing"})).await;
    let text = error.unwrap_err().full_message();
    assert!(text.contains("column \"nothing\" does not exist"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_attempt_leaves_nothing() {
    for (address, _kept) in databases() {
        let project = project(&address);
        let rows = df!["id" => (0..10_000_i64).collect::<Vec<_>>()].unwrap();
        let context = project.context_with([("rows", rows)]);
        context.cancel.cancel();
        let error = load_in(&context, json!({})).await.unwrap_err();
        assert!(error.message.contains("stopped"), "{}", error.message);
        let found = extract(&project, json!({"table": "people"})).await.unwrap();
        assert_eq!(found.height(), 0, "{address}");
    }
}

type Change = fn(LazyFrame) -> LazyFrame;

/// The numbers up to this one, as a plan that has not been run.
fn lazily(context: TaskContext, rows: i64, change: Change) -> TaskContext {
    let frame = df!["id" => (1..=rows).collect::<Vec<_>>()].unwrap();
    let plan = frame.lazy().with_columns([lit("ada").alias("name")]);
    let dataset = pipectl_engine::dataset::Dataset::from_lazy(change(plan)).unwrap();
    TaskContext {
        inputs: pipectl_engine::operator::Inputs::new([("people".to_owned(), dataset)]),
        ..context
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_written_part_by_part_in_every_mode() {
    const ROWS: i64 = 60_000;
    for (address, _kept) in databases() {
        let project = project(&address);
        let eve = |rows: LazyFrame| {
            let late = rows.filter(col("id").gt(lit(51_000)));
            late.with_columns([lit("eve").alias("name"), col("id") + lit(1_000)])
        };
        let late = |rows: LazyFrame| rows.filter(col("id").gt(lit(52_000)));
        let steps: [(&str, Change, [i64; 3]); 4] = [
            ("append", |rows| rows, [ROWS, 0, ROWS]),
            ("upsert", eve, [ROWS + 1_000, ROWS - 51_000, ROWS - 51_000]),
            ("delete_insert", late, [ROWS + 1_000, 1_000, ROWS - 52_000]),
            ("replace", late, [ROWS - 52_000, 0, ROWS - 52_000]),
        ];
        for (mode, change, expected) in steps {
            let context = lazily(another(project.context(), mode), ROWS, change);
            load_in(&context, json!({"mode": mode, "key": "id"}))
                .await
                .unwrap();
            let sql =
                "select count(*) as a, count(case when name = 'eve' then 1 end) as b from people";
            let people = extract(&project, json!({"query": sql})).await.unwrap();
            let ledger = extract(&project, json!({"table": "pipectl_ledger"}))
                .await
                .unwrap();
            let entry = ledger
                .lazy()
                .filter(col("task").eq(lit(mode)))
                .collect()
                .unwrap();
            let number = |column: &Column| column.get(0).unwrap().extract::<i64>().unwrap();
            let mut found: Vec<_> = people.columns().iter().map(number).collect();
            found.push(number(entry.column("rows").unwrap()));
            assert_eq!(found, expected, "{address} {mode}");
        }
        let twice = |rows: LazyFrame| {
            let late = when(col("id").eq(lit(55_000)))
                .then(lit(60_000))
                .otherwise(col("id"));
            rows.with_columns([late.alias("id") + lit(100_000)])
        };
        let context = lazily(another(project.context(), "late"), ROWS, twice);
        let error = load_in(&context, json!({})).await.unwrap_err();
        let text = error.full_message();
        // Of its batch no row is refused when it is alone.
        assert!(text.contains(" to 60000 were refused"), "{address} {text}");
        let query = json!({"query": "select count(*) as n from people"});
        let found = extract(&project, query).await.unwrap();
        let n = found.columns()[0].get(0).unwrap().extract::<i64>();
        assert_eq!(n, Some(8_000), "{address}");
    }
}
