use pipectl_engine::operator::{
    Fault, Interval, State, Woken,
    testing::{TestProject, complaints, frame, run_in},
};
use polars::prelude::*;
use serde_json::json;

use super::*;
use crate::load::sql::tests::{execute, is_postgres, projects};

async fn read(project: &TestProject, settings: Value) -> Result<Output, TaskError> {
    read_after(project, settings, State::none()).await
}

async fn read_after(
    project: &TestProject,
    settings: Value,
    state: State,
) -> Result<Output, TaskError> {
    let mut with = json!({"connection": "warehouse"});
    let settings = settings.as_object().unwrap().clone();
    with.as_object_mut().unwrap().extend(settings);
    let mut context = project.context();
    context.state = state;
    context.woken = None::<Woken>;
    Box::pin(run_in::<Sql>(&context, with)).await
}

fn ids(output: &Output) -> Vec<i64> {
    let frame = frame(output);
    let ids = frame.column("id").unwrap().cast(&DataType::Int64).unwrap();
    ids.i64().unwrap().iter().flatten().collect()
}

#[test]
fn settings_are_checked() {
    for (settings, complaint) in [
        (
            json!({"connection": "a"}),
            ": neither `query` nor `table` is given",
        ),
        (
            json!({"connection": "a", "query": "select 1", "table": "t"}),
            "table: both `query` and `table` are given",
        ),
        (
            json!({"connection": "a", "table": "a.b.c"}),
            "table: this is no table's name",
        ),
        (
            json!({"connection": "a", "query": " "}),
            "query: the query is empty",
        ),
        (
            json!({"connection": "a", "table": "t", "interval_column": "a", "incremental": {"cursor": "b"}}),
            "incremental: an interval's rows are always the same",
        ),
        (
            json!({"connection": "a", "table": "t", "partitions": {"column": "a", "number": 1}}),
            "partitions.number: there may be 2 to 64 sessions",
        ),
    ] {
        assert_eq!(complaints::<Sql>(settings), [complaint]);
    }
    assert!(complaints::<Sql>(json!({"connection": "a", "table": "s.t"})).is_empty());
}

#[tokio::test]
async fn each_run_reads_what_is_new_since_the_last() {
    for project in projects() {
        let context = project.context();
        let sql = "create table t (id integer, changed timestamp, label text); \
            insert into t values (1, '2026-03-01 10:00:00', 'a'), (2, '2026-03-01 11:00:00.5', 'b'), (3, null, 'c')";
        execute(&context, sql).await;
        for (column, later) in [
            ("id", "4"),
            ("changed", "'2026-03-01 12:00:00'"),
            ("label", "'d'"),
        ] {
            execute(&context, "delete from t where id > 3").await;
            let settings = json!({"query": "select * from t;", "incremental": {"cursor": column}});
            let first = read(&project, settings.clone()).await.unwrap();
            let expected = if column == "changed" {
                vec![1, 2]
            } else {
                vec![1, 2, 3]
            };
            assert_eq!(ids(&first), expected, "{column}");
            let state = State::of(first.state.unwrap());
            let none = read_after(&project, settings.clone(), state.clone())
                .await
                .unwrap();
            assert_eq!(
                (ids(&none), none.state),
                (vec![], None),
                "{column}: nothing new"
            );
            let insert = format!("insert into t (id, {column}) values (4, {later})");
            let insert = if column == "id" {
                "insert into t (id) values (4)".to_owned()
            } else {
                insert
            };
            execute(&context, &insert).await;
            let new = read_after(&project, settings.clone(), state.clone())
                .await
                .unwrap();
            assert_eq!(ids(&new), [4], "{column}");
            let again = read_after(&project, settings, State::of(new.state.unwrap())).await;
            assert_eq!(ids(&again.unwrap()), [0_i64; 0], "{column}");
            let full = json!({"table": "t", "incremental": {"cursor": column, "full": true}});
            assert!(ids(&read_after(&project, full, state.clone()).await.unwrap()).len() > 2);
            let other = State::of(json!({"cursor": "other", "after": 1_000_000}));
            let all = json!({"table": "t", "incremental": {"cursor": column}});
            assert!(ids(&read_after(&project, all, other).await.unwrap()).len() > 2);
        }
        let start = json!({"table": "t", "incremental": {"cursor": "id", "start": 2}});
        assert_eq!(ids(&read(&project, start).await.unwrap()), [3, 4]);
        let error = read(
            &project,
            json!({"table": "t", "incremental": {"cursor": "ids"}}),
        )
        .await;
        let error = error.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "the query has no column `ids`, which is named under `incremental`"
            )
        );
        assert!(error.hint.unwrap().starts_with("did you mean `id`?"));
    }
}

#[tokio::test]
async fn the_rows_of_the_runs_interval_are_read() {
    for project in projects() {
        let context = project.context();
        let sql = "create table t (id integer, day date, at timestamp); insert into t values \
            (1, '2026-03-01', '2026-03-01 22:59:59.999'), (2, '2026-03-02', '2026-03-01 23:00:00'), \
            (3, '2026-03-02', '2026-03-02 22:59:59.999'), (4, '2026-03-03', '2026-03-02 23:00:00'), (5, null, null)";
        execute(&context, sql).await;
        let midnight = |day: &str| {
            let moment = chrono::DateTime::parse_from_rfc3339(&format!("{day}T00:00:00+01:00"));
            moment.unwrap().to_utc()
        };
        let mut context = project.context();
        context.run.zone = "Europe/Berlin".parse().unwrap();
        context.run.interval = Some(Interval {
            start: midnight("2026-03-02"),
            end: midnight("2026-03-03"),
        });
        for column in ["day", "at"] {
            let settings = json!({
                "connection": "warehouse",
                "query": {"sql": "select * from t where id < $1 order by id", "values": [9]},
                "interval_column": column
            });
            let output = Box::pin(run_in::<Sql>(&context, settings)).await.unwrap();
            assert_eq!(ids(&output), [2, 3], "{column}");
        }
        let wrong = json!({"connection": "warehouse", "table": "t", "interval_column": "id"});
        if is_postgres(&project) {
            let error = Box::pin(run_in::<Sql>(&context, wrong)).await.unwrap_err();
            assert_eq!(
                error.message,
                "`id` is int4: an interval has dates or times"
            );
        }
    }
}

#[tokio::test]
async fn partitions_read_every_row_once() {
    let [sqlite, postgres] = projects();
    let context = postgres.context();
    let sql = "create table t as select i as id, i::bigint * 1000000000 as large, i / 7.0 as share, \
        (i / 3.0)::double precision as f, date '2026-01-01' + i as day, \
        timestamptz '2026-01-01' + i * interval '1 minute' as at, 'x' || i as label, null::inet as far, \
        case when i % 3 > 0 then i end as gaps from generate_series(1, 1000) as i";
    execute(&context, sql).await;
    for column in ["id", "large", "share", "f", "day", "at", "gaps"] {
        for number in [2, 5] {
            let settings = json!({
                "query": {"sql": "select * from t where id <= $1", "values": [900]},
                "partitions": {"column": column, "number": number}
            });
            let mut found = ids(&read(&postgres, settings).await.unwrap());
            found.sort_unstable();
            assert_eq!(found, (1..=900).collect::<Vec<_>>(), "{column} {number}");
        }
    }
    for (query, rows) in [
        ("select * from t where id < 0", 0),
        ("select * from t where id = 7", 1),
    ] {
        let settings = json!({"query": query, "partitions": {"column": "id", "number": 4}});
        assert_eq!(ids(&read(&postgres, settings).await.unwrap()).len(), rows);
    }
    let settings = json!({"table": "t", "partitions": {"column": "label", "number": 4}});
    let error = read(&postgres, settings).await.unwrap_err();
    assert_eq!(
        error.message,
        "`label` is text: partitions are ranges of numbers, dates or times"
    );
    let settings = json!({"query": "select 1 / (1000 - id) as id from t", "partitions": {"column": "id", "number": 4}});
    let error = read(&postgres, settings).await.unwrap_err();
    assert!(
        error.full_message().contains("division by zero"),
        "{}",
        error.full_message()
    );
    execute(
        &sqlite.context(),
        "create table t (id integer); insert into t values (1), (2)",
    )
    .await;
    let settings = json!({"table": "t", "partitions": {"column": "id", "number": 2}});
    assert_eq!(ids(&read(&sqlite, settings).await.unwrap()), [1, 2]);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_told_with_those_that_are() {
    for project in projects() {
        let statements =
            "create table customers (id integer); create view newest as select 1 as id";
        execute(&project.context(), statements).await;
        for (query, hint) in [
            (
                "select id from custmers where id > 0",
                "did you mean `customers`? the tables are: `customers`, `newest`",
            ),
            (
                "select * from somewhere_else",
                "the tables are: `customers`, `newest`",
            ),
        ] {
            let error = read(&project, json!({"query": query})).await.unwrap_err();
            assert_eq!(
                error.hint.as_deref(),
                Some(hint),
                "{}",
                error.full_message()
            );
            assert_eq!(error.fault, Fault::User);
        }
    }
}

#[tokio::test]
async fn all_partitions_see_the_same_rows() {
    let [_, project] = projects();
    let context = project.context();
    execute(
        &context,
        "create table t (id integer); insert into t select generate_series(1, 1000)",
    )
    .await;
    // Each session sleeps before it reads; meanwhile everything changes.
    let settings = json!({
        "query": "select id from t where pg_sleep(0.0005) is not null",
        "partitions": {"column": "id", "number": 3}
    });
    let change = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        execute(&context, "update t set id = id + 500").await;
    };
    let (output, ()) = tokio::join!(read(&project, settings), change);
    let mut found = ids(&output.unwrap());
    found.sort_unstable();
    assert_eq!(found, (1..=1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn values_of_all_kinds_are_bound() {
    let [_, project] = projects();
    let sql = "select $1::text as a, $2::integer[] as b, $3::text[] as c, '$1' as d, $4 is null as e, $5::inet::text as f \
               -- $6\n where $7 = 'it''s' and $8";
    let values = json!([
        "x' || pg_sleep(9) || '",
        [1, null],
        ["a,\"b\\"],
        null,
        "10.0.0.1",
        0,
        "it's",
        true
    ]);
    let sql = sql
        .replace("$4 is", "$4::date is")
        .replace("$7", "$6")
        .replace("$8", "$7");
    let values = Value::Array(
        values
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != 5)
            .map(|(_, value)| value.clone())
            .collect(),
    );
    let output = read(&project, json!({"query": {"sql": sql, "values": values}}))
        .await
        .unwrap();
    let row = frame(&output);
    let text = |name: &str| row.column(name).unwrap().get(0).unwrap().to_string();
    assert_eq!(text("a"), "\"x' || pg_sleep(9) || '\"");
    assert_eq!(text("d"), "\"$1\"");
    assert_eq!(
        (text("e"), text("f")),
        ("true".to_owned(), "\"10.0.0.1/32\"".to_owned())
    );
    let list = row
        .column("c")
        .unwrap()
        .list()
        .unwrap()
        .get_as_series(0)
        .unwrap();
    assert_eq!(list.str().unwrap().get(0), Some("a,\"b\\"));
    assert_eq!(
        row.column("b").unwrap().dtype(),
        &DataType::List(Box::new(DataType::Int32))
    );
}

#[tokio::test]
async fn a_cancelled_attempt_stops_reading() {
    let [_, project] = projects();
    let context = project.context();
    let cancel = context.cancel.clone();
    let settings = json!({"connection": "warehouse", "query": "select pg_sleep(60)::text as a"});
    let stop = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(Box::pin(run_in::<Sql>(&context, settings)), stop);
    assert_eq!(
        result.unwrap_err().message,
        "the attempt was stopped while it read"
    );
}
