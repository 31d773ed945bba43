//! `load: sql` and `extract: sql` against each other, the same on SQLite and on a real Postgres.

use pipectl_engine::{
    id::RunId,
    operator::{
        Fault, Output, TaskContext,
        testing::{TestProject, complaints, frame, run_in},
    },
    time::Timestamp,
};
use pipectl_test_support::TestPostgres;
use polars::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{extract, support::iso};

/// A project for each database.
fn projects() -> [TestProject; 2] {
    let connector = std::sync::Arc::new(pipectl_connections::Connector::default());
    [
        TestProject::new()
            .with_connection("warehouse", "sqlite:warehouse.db")
            .with_service(connector.clone()),
        TestProject::new()
            .with_connection("warehouse", &TestPostgres::shared().database())
            .with_service(std::sync::Arc::new(
                pipectl_connections::Connector::default(),
            )),
    ]
}

fn is_postgres(project: &TestProject) -> bool {
    let context = project.context();
    context.connection("warehouse").unwrap().scheme() == "postgres"
}

fn people() -> DataFrame {
    df!["id" => [1i64, 2, 3], "name" => [Some("ada"), None, Some("o'hara")], "height" => [1.7, 1.8, 1.6]].unwrap()
}

/// A new run of the same task.
fn another_run(project: &TestProject, rows: DataFrame, seconds: i64) -> TaskContext {
    let mut context = project.context_with([("people", rows)]);
    context.run.id = RunId::new(Timestamp::default() + chrono::TimeDelta::seconds(seconds));
    context
}

async fn load(context: &TaskContext, settings: Value) -> Result<Output, TaskError> {
    let mut with = json!({"connection": "warehouse", "table": "people", "create": true});
    with.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    Box::pin(run_in::<Sql>(context, with)).await
}

async fn query(project: &TestProject, sql: &str, values: Value) -> Result<DataFrame, TaskError> {
    let query = json!({"connection": "warehouse", "query": {"sql": sql, "values": values}});
    Box::pin(run_in::<extract::sql::Sql>(&project.context(), query))
        .await
        .map(|output| frame(&output))
}

async fn ids(project: &TestProject) -> Vec<i64> {
    let table = query(project, "select id from people order by id", json!([]))
        .await
        .unwrap();
    table
        .column("id")
        .unwrap()
        .i64()
        .unwrap()
        .iter()
        .flatten()
        .collect()
}

#[tokio::test]
async fn each_mode_meets_old_rows_in_its_way() {
    for project in projects() {
        let new = df!["id" => [3i64, 4], "name" => ["eve", "bob"], "height" => [1.5, 1.9]].unwrap();
        for (mode, expected) in [
            (json!({"mode": "append", "table": "a"}), vec![1, 2, 3, 3, 4]),
            (json!({"mode": "replace", "table": "b"}), vec![3, 4]),
            (
                json!({"mode": "upsert", "key": "id", "table": "c"}),
                vec![1, 2, 3, 4],
            ),
            (
                json!({"mode": "delete_insert", "key": ["id"], "table": "d"}),
                vec![1, 2, 3, 4],
            ),
        ] {
            load(&another_run(&project, people(), 1), mode.clone())
                .await
                .unwrap();
            // Another task of another run: the ledger tells loads apart by them.
            let output = load(&another_run(&project, new.clone(), 2), mode.clone()).await;
            let output = output.unwrap_or_else(|error| panic!("{mode}: {}", error.full_message()));
            assert_eq!(
                (&output.values["rows"], &output.values["already_loaded"]),
                (&json!(2), &json!(false))
            );
            let table = mode["table"].as_str().unwrap();
            let rows = query(
                &project,
                &format!("select id, name from {table} order by id, name"),
                json!([]),
            )
            .await
            .unwrap();
            let found: Vec<_> = rows
                .column("id")
                .unwrap()
                .i64()
                .unwrap()
                .iter()
                .flatten()
                .collect();
            assert_eq!(found, expected, "{mode}");
            if mode["mode"] != "append" {
                let names = rows.column("name").unwrap().str().unwrap().clone();
                assert!(
                    names.iter().any(|name| name == Some("eve")),
                    "{mode}: the newer row counts"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_retry_finds_what_was_written_and_a_redo_writes_again() {
    for project in projects() {
        let mut context = project.context_with([("people", people())]);
        let first = load(&context, json!({})).await.unwrap();
        assert_eq!(first.values["already_loaded"], json!(false));
        context.task.attempt = 2;
        let again = load(&context, json!({})).await.unwrap();
        assert_eq!(
            (&again.values["already_loaded"], &again.values["rows"]),
            (&json!(true), &json!(3))
        );
        assert_eq!(ids(&project).await, [1, 2, 3]);
        assert!(
            project
                .log()
                .iter()
                .any(|line| line.contains("an earlier attempt has already written 3 rows"))
        );
        context.run.redo = 1;
        load(&context, json!({})).await.unwrap();
        context.task.key.element = Some(0);
        load(&context, json!({})).await.unwrap();
        assert_eq!(ids(&project).await, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    }
}

#[tokio::test]
async fn two_attempts_at_once_write_once() {
    for project in projects() {
        let context = project.context_with([("people", people())]);
        load(&another_run(&project, people().head(Some(0)), 9), json!({}))
            .await
            .unwrap();
        let both = tokio::join!(load(&context, json!({})), load(&context, json!({})));
        let before = [both.0.unwrap(), both.1.unwrap()]
            .map(|output| output.values["already_loaded"] == json!(true));
        assert_ne!(before[0], before[1]);
        assert_eq!(ids(&project).await, [1, 2, 3]);
    }
}

#[tokio::test]
async fn a_cancelled_attempt_leaves_nothing() {
    for project in projects() {
        let context = project.context_with([("people", people())]);
        context.cancel.cancel();
        assert!(load(&context, json!({})).await.is_err());
        let error = query(&project, "select * from people", json!([]))
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::User, "{}", error.full_message());
        let context = project.context_with([("people", people())]);
        assert_eq!(
            load(&context, json!({})).await.unwrap().values["already_loaded"],
            json!(false)
        );
    }
}

fn all_types() -> DataFrame {
    let text = df![
        "day" => [Some("2026-02-28"), None, Some("1969-12-31")],
        "moment" => [Some("2026-02-28 12:30:00.123456"), None, Some("1900-01-01 00:00:00.000000")],
        "clock" => [Some("12:30:00.5"), None, Some("00:00:00.0")],
    ]
    .unwrap();
    let cast = |name: &str, of: DataType| {
        iso::converted(text.column(name).unwrap().str().unwrap(), &of).unwrap()
    };
    let moment = cast("moment", DataType::Datetime(TimeUnit::Microseconds, None));
    let instant = moment
        .cast(&DataType::Int64)
        .unwrap()
        .cast(&DataType::Datetime(
            TimeUnit::Microseconds,
            Some(TimeZone::UTC),
        ))
        .unwrap()
        .with_name("instant".into());
    let columns = vec![
        Column::new("truth".into(), [Some(true), None, Some(false)]),
        Column::new("whole".into(), [Some(i64::MAX), None, Some(i64::MIN)]),
        Column::new("real".into(), [Some(0.1), None, Some(-1e300)]),
        Column::new("text".into(), [Some("a'b\"c\\d\n🦀"), None, Some("")]),
        cast("day", DataType::Date),
        moment,
        instant,
        cast("clock", DataType::Time),
        Column::new(
            "bytes".into(),
            [Some(&b"\x00\xff"[..]), None, Some(&b""[..])],
        ),
    ];
    DataFrame::new(3, columns).unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    for project in projects() {
        load(
            &project.context_with([("people", all_types())]),
            json!({"table": "types"}),
        )
        .await
        .unwrap();
        let settings = json!({"connection": "warehouse", "table": "types"});
        let output = Box::pin(run_in::<extract::sql::Sql>(&project.context(), settings))
            .await
            .unwrap();
        let back = frame(&output);
        for column in all_types().columns() {
            let read = back.column(column.name()).unwrap();
            assert_eq!(
                read.dtype(),
                column.dtype(),
                "postgres {}: {read:?}",
                is_postgres(&project)
            );
            assert!(read.equals_missing(column), "{read:?} {column:?}");
            assert_eq!(read.null_count(), 1, "{read:?}");
        }
        // A dataset without rows is loaded like any other.
        load(
            &another_run(&project, all_types().head(Some(0)), 5),
            json!({"table": "types"}),
        )
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn numbers_fit_or_are_refused_by_row() {
    for project in projects() {
        let context = project.context();
        let sql = "create table narrow (id smallint, price numeric(10, 2), share real, day date)";
        execute(&context, sql).await;
        let rows = df!["id" => [1i64, 2], "price" => [1.5, 2.25], "share" => [1i64, 2]].unwrap();
        let settings = json!({"table": "narrow", "create": false});
        load(&another_run(&project, rows, 1), settings.clone())
            .await
            .unwrap();
        let back = query(
            &project,
            "select sum(price) as total from narrow where id >= $1",
            json!([1]),
        )
        .await
        .unwrap();
        assert_eq!(
            back.column("total")
                .unwrap()
                .cast(&DataType::Float64)
                .unwrap()
                .f64()
                .unwrap()
                .get(0),
            Some(3.75)
        );
        if is_postgres(&project) {
            let rows = df!["id" => [1i64, 70_000]].unwrap();
            let error = load(&another_run(&project, rows, 2), settings.clone())
                .await
                .unwrap_err();
            assert_eq!(
                error.message,
                "row 2 of `people`: `id` is 70000, which does not fit into smallint"
            );
            let error = query(&project, "select '(1,2)'::point as p", json!([]))
                .await
                .unwrap_err();
            assert_eq!(
                error.message,
                "column `p` has the type POINT, which datasets do not hold"
            );
        }
        let wrong = df!["id" => ["x"], "price" => ["y"], "share" => [1.5]].unwrap();
        let error = load(&another_run(&project, wrong, 3), settings)
            .await
            .unwrap_err();
        assert!(error.message.starts_with("table `narrow` does not fit `people`: `id` is smallint there and string here; `price` is "), "{}", error.message);
        assert!(
            error.message.ends_with(" there and string here"),
            "{}",
            error.message
        );
    }
}

async fn execute(context: &TaskContext, sql: &'static str) {
    let connector = context
        .services
        .get::<pipectl_connections::Connector>()
        .unwrap();
    let connection = context.connection("warehouse").unwrap();
    match connector
        .database(&context.project, connection)
        .await
        .unwrap()
    {
        pipectl_connections::Database::Postgres(pool) => {
            sqlx::query(sql).execute(&pool).await.map(|_| ()).unwrap();
        }
        pipectl_connections::Database::Sqlite(pool) => {
            sqlx::query(sql).execute(&pool).await.map(|_| ()).unwrap();
        }
    }
}

#[tokio::test]
async fn rows_that_cannot_be_written_are_named_before_the_first() {
    let keyed = json!({"mode": "upsert", "key": ["id"]});
    let cases = [
        (
            df!["id" => [1i64, 1, 2], "name" => ["a", "b", "c"], "height" => [1.0, 1.0, 1.0]]
                .unwrap(),
            keyed.clone(),
            "2 rows of `people` share their key with another row, the first with `id` = 1",
        ),
        (
            df!["id" => [Some(1i64), None], "name" => ["a", "b"], "height" => [1.0, 1.0]].unwrap(),
            keyed.clone(),
            "row 2 of `people` has no `id`, which is part of the key",
        ),
        (
            people(),
            json!({"mode": "upsert", "key": ["ids"]}),
            "`people` has no column `ids`, which is named under `key`",
        ),
        (
            df!["id" => [1i64], "name" => ["a"], "height" => [f64::NAN]].unwrap(),
            json!({}),
            "row 1 of `people`: `height` is NaN, which tables do not hold",
        ),
        (
            df!["id" => [1i64], "name" => ["a"], "heigth" => [1.0]].unwrap(),
            json!({}),
            "table `people` has no column `heigth`",
        ),
        (
            df!["name" => ["a"], "height" => [1.0]].unwrap(),
            json!({}),
            "table `people` needs a value for `id`",
        ),
        (
            df!["id" => [1i64], "name" => [Series::new("".into(), [1, 2])]].unwrap(),
            json!({"table": "lists"}),
            "`name` of `people` is list[i32], for which a table has no type",
        ),
        (
            people(),
            json!({"table": "peopel", "create": false}),
            "there is no table `peopel`",
        ),
    ];
    for project in projects() {
        load(&project.context_with([("people", people())]), keyed.clone())
            .await
            .unwrap();
        for (run, (rows, settings, message)) in (1..).zip(&cases) {
            if message.contains("needs a value") && !is_postgres(&project) {
                // SQLite numbers the rows of an integer primary key itself.
                continue;
            }
            let context = another_run(&project, rows.clone(), run);
            let error = load(&context, settings.clone()).await.expect_err(message);
            assert_eq!(
                (error.fault, error.full_message().as_str()),
                (Fault::User, *message)
            );
            assert!(error.hint.is_some(), "{message}");
        }
        assert_eq!(ids(&project).await, [1, 2, 3]);
        if is_postgres(&project) {
            let nul = df!["id" => [9i64], "name" => ["a\0b"], "height" => [1.0]].unwrap();
            let error = load(&another_run(&project, nul, 99), json!({}))
                .await
                .unwrap_err();
            assert_eq!(
                error.message,
                "row 1 of `people`: `name` contains the character NUL, which Postgres does not hold"
            );
        }
    }
}

#[tokio::test]
async fn an_upsert_needs_a_unique_index() {
    for project in projects() {
        let context = project.context();
        execute(
            &context,
            "create table people (id bigint, name varchar(3), height double precision)",
        )
        .await;
        let keyed = json!({"mode": "upsert", "key": ["id"], "create": false});
        let error = load(&another_run(&project, people(), 1), keyed.clone())
            .await
            .unwrap_err();
        assert!(
            error
                .message
                .starts_with("table `people` has no unique index on `id`"),
            "{}",
            error.message
        );
        assert!(
            error
                .hint
                .unwrap()
                .starts_with("make one: create unique index on \"people\" (\"id\")")
        );
        execute(&context, "create unique index by_id on people (id)").await;
        let result = load(&another_run(&project, people(), 2), keyed.clone()).await;
        if is_postgres(&project) {
            let error = result.unwrap_err();
            assert_eq!(error.fault, Fault::User);
            assert!(
                error
                    .full_message()
                    .contains("value too long for type character varying(3) (row 3, column name)"),
                "{}",
                error.full_message()
            );
        } else {
            result.unwrap();
        }
    }
}

#[tokio::test]
async fn names_may_be_anything() {
    for project in projects() {
        let rows = df!["Order \"No\"" => [1i64, 2], "select" => ["a", "b"]].unwrap();
        let settings =
            json!({"table": "Odd; drop table x", "mode": "upsert", "key": ["Order \"No\""]});
        for run in 1..3 {
            load(&another_run(&project, rows.clone(), run), settings.clone())
                .await
                .unwrap();
        }
        let table = json!({"connection": "warehouse", "table": "Odd; drop table x"});
        let output = Box::pin(run_in::<extract::sql::Sql>(&project.context(), table))
            .await
            .unwrap();
        assert_eq!(frame(&output).height(), 2);
    }
}

#[tokio::test]
async fn values_are_bound() {
    for project in projects() {
        load(&project.context_with([("people", people())]), json!({}))
            .await
            .unwrap();
        let by_name = query(
            &project,
            "select id from people where name = $1",
            json!(["o'hara"]),
        )
        .await
        .unwrap();
        assert_eq!(by_name.height(), 1);
        let none = query(
            &project,
            "select id from people where name = $1",
            json!(["x' or 'x' = 'x"]),
        )
        .await
        .unwrap();
        assert_eq!(none.height(), 0);
        let two = query(
            &project,
            "select id from people where id > $1 and height < $2",
            json!([1, 1.7]),
        )
        .await
        .unwrap();
        assert_eq!(two.height(), 1);
        let error = query(&project, "select id from people where id = $1", json!([]))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "the query has a placeholder `$1` without a value"
        );
    }
}

#[tokio::test]
async fn a_schema_of_postgres_may_be_named() {
    let [_, project] = projects();
    let context = project.context();
    execute(&context, "create schema shop").await;
    load(
        &another_run(&project, people(), 1),
        json!({"table": "shop.people"}),
    )
    .await
    .unwrap();
    let rows = query(
        &project,
        "select count(*) as n from shop.pipectl_ledger",
        json!([]),
    )
    .await
    .unwrap();
    assert_eq!(rows.column("n").unwrap().i64().unwrap().get(0), Some(1));
}

#[tokio::test]
async fn types_of_postgres_are_read_as_they_are() {
    let [_, project] = projects();
    let sql = "select 12.50::numeric(8, 2) as price, gen_random_uuid()::text as id, \
               '{\"a\": 1}'::jsonb as doc, '[2]'::json as list, 3::smallint as small, 4::integer as medium, 1.5::real as r, \
               timestamptz '2026-03-01 12:00:00+01' as at, null::date as day, 'x'::bpchar as c";
    let row = query(&project, sql, json!([])).await.unwrap();
    assert_eq!(
        row.column("price").unwrap().get(0).unwrap().to_string(),
        "12.50"
    );
    assert_eq!(
        row.column("doc").unwrap().str().unwrap().get(0),
        Some("{\"a\": 1}")
    );
    assert_eq!(
        row.column("list").unwrap().str().unwrap().get(0),
        Some("[2]")
    );
    assert_eq!(
        row.column("at").unwrap().get(0).unwrap().to_string(),
        "2026-03-01 11:00:00 UTC"
    );
    let bound = "select $1::date as day, $2::timestamptz as at, $3::numeric as n, $4::uuid as id, $5::boolean as b";
    let values = json!([
        "2026-03-01",
        "2026-03-01T12:00:00Z",
        1.25,
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        true
    ]);
    let row = query(&project, bound, values).await.unwrap();
    assert_eq!(row.column("n").unwrap().get(0).unwrap().to_string(), "1.25");
    assert_eq!(
        row.column("id").unwrap().str().unwrap().get(0),
        Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    );
    let error = query(&project, "select $1::date as day", json!(["soon"]))
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "value 1 of the query is \"soon\", where the database wants DATE"
    );
    let error = query(&project, "selec 1", json!([])).await.unwrap_err();
    assert!(
        error
            .full_message()
            .contains("syntax error at or near \"selec\""),
        "{}",
        error.full_message()
    );
}

#[tokio::test]
async fn many_rows_go_through() {
    for project in projects() {
        let count = 20_000i64;
        let ids: Vec<i64> = (0..count).collect();
        let names: Vec<String> = ids.iter().map(|id| format!("name {id}")).collect();
        let rows = df!["id" => ids, "name" => names, "height" => vec![1.5; 20_000]].unwrap();
        let context = another_run(&project, rows, 1);
        load(&context, json!({"mode": "upsert", "key": "id"}))
            .await
            .unwrap();
        let back = query(
            &project,
            "select count(*) as n, sum(id) as s from people",
            json!([]),
        )
        .await
        .unwrap();
        let cell = |name: &str| {
            back.column(name)
                .unwrap()
                .cast(&DataType::Int64)
                .unwrap()
                .i64()
                .unwrap()
                .get(0)
                .unwrap()
        };
        assert_eq!((cell("n"), cell("s")), (count, count * (count - 1) / 2));
    }
}

#[test]
fn settings_are_checked() {
    let base = |more: Value| {
        let mut with = json!({"connection": "warehouse", "table": "people"});
        with.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        complaints::<Sql>(with)
    };
    assert_eq!(
        base(json!({"mode": "upsert"})),
        ["key: this mode needs a key"]
    );
    assert_eq!(
        base(json!({"table": "a.b.c"})),
        ["table: this is no table's name"]
    );
    assert!(base(json!({"mode": "delete_insert", "key": "id"})).is_empty());
}
