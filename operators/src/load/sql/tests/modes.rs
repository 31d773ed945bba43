//! How rows meet those that are there.

use super::*;

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
                    .starts_with("row 3 of `people`: `name` is o'hara, which the table refuses: value too long for type character varying(3)"),
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
    assert!(base(json!({"mode": "delete_insert", "interval_column": "day"})).is_empty());
    for (settings, complaint) in [
        (
            json!({"mode": "delete_insert"}),
            "mode: it is not said which rows are deleted",
        ),
        (
            json!({"mode": "delete_insert", "key": "id", "interval_column": "day"}),
            "interval_column: rows are deleted by their key or by their interval",
        ),
        (
            json!({"interval_column": "day"}),
            "interval_column: this mode deletes no interval",
        ),
    ] {
        assert_eq!(base(settings), [complaint]);
    }
}

/// Rows of these days, at noon UTC too.
fn days(days: &[&str]) -> DataFrame {
    let text = Column::new("day".into(), days);
    let day = iso::converted(text.str().unwrap(), &DataType::Date).unwrap();
    let noon = day
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        .unwrap()
        .cast(&DataType::Int64)
        .unwrap();
    let noon = (&noon + &Column::new("noon".into(), [43_200_000_000_i64])).unwrap();
    let naive = noon
        .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        .unwrap();
    let utc = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
    let columns = vec![
        day,
        naive.with_name("naive".into()),
        noon.cast(&utc).unwrap().with_name("at".into()),
    ];
    DataFrame::new(days.len(), columns).unwrap()
}

/// A run of one day in Berlin.
fn run_of_a_day(project: &TestProject, rows: DataFrame, seconds: i64, day: u32) -> TaskContext {
    let mut context = another_run(project, rows, seconds);
    let midnight = |day| {
        let day = chrono::NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
        day.and_hms_opt(0, 0, 0).unwrap().and_utc() - chrono::TimeDelta::hours(1)
    };
    context.run.zone = "Europe/Berlin".parse().unwrap();
    context.run.interval = Some(pipectl_engine::operator::Interval {
        start: midnight(day),
        end: midnight(day + 1),
    });
    context
}

#[tokio::test]
async fn the_rows_of_an_interval_are_replaced() {
    for project in projects() {
        for column in ["day", "naive", "at"] {
            let settings =
                json!({"table": column, "mode": "delete_insert", "interval_column": column});
            let all = days(&["2026-03-01", "2026-03-02", "2026-03-02", "2026-03-03"]);
            let append = json!({"table": column});
            load(&another_run(&project, all, 1), append).await.unwrap();
            let new = days(&["2026-03-02"]);
            let context = run_of_a_day(&project, new, 2, 2);
            load(&context, settings.clone()).await.unwrap();
            let count = format!("select count(*) as n from \"{column}\"");
            let rows = query(&project, &count, json!([])).await.unwrap();
            assert_eq!(
                rows.column("n").unwrap().get(0).unwrap(),
                AnyValue::Int64(3),
                "{column}"
            );
            assert!(
                project
                    .log()
                    .iter()
                    .any(|line| line.ends_with("2 rows of the interval deleted"))
            );
            let strangers = days(&["2026-03-02", "2026-03-03"]);
            let context = run_of_a_day(&project, strangers, 3, 2);
            let error = load(&context, settings.clone()).await.unwrap_err();
            let start = format!("row 2 of `people`: `{column}` is 2026-03-03");
            assert!(error.message.starts_with(&start), "{}", error.message);
            assert!(
                error.message.ends_with(
                    "which is not in the run's interval from 2026-03-02T00:00:00+01:00 to 2026-03-03T00:00:00+01:00"
                ),
                "{}",
                error.message
            );
            let error = load(&another_run(&project, days(&["2026-03-02"]), 4), settings).await;
            assert_eq!(
                error.unwrap_err().message,
                "the run has no interval, and `interval_column` asks for it"
            );
        }
    }
}

#[tokio::test]
async fn an_interval_shorter_than_a_day_has_no_days() {
    for project in projects() {
        let rows = days(&["2026-03-02"]);
        load(&another_run(&project, rows.clone(), 1), json!({}))
            .await
            .unwrap();
        let mut context = run_of_a_day(&project, rows, 2, 2);
        let interval = context.run.interval.as_mut().unwrap();
        interval.end = interval.start + chrono::TimeDelta::hours(1);
        let settings = json!({"mode": "delete_insert", "interval_column": "day"});
        let error = load(&context, settings).await.unwrap_err();
        assert!(
            error
                .message
                .contains("is no whole day, and `day` holds days"),
            "{}",
            error.message
        );
    }
}

#[tokio::test]
async fn columns_are_added_on_request() {
    for project in projects() {
        load(&another_run(&project, people(), 1), json!({}))
            .await
            .unwrap();
        let wider = df!["id" => [4i64], "name" => ["eve"], "height" => [1.5], "age" => [36i64], "good" => [true]].unwrap();
        let error = load(&another_run(&project, wider.clone(), 2), json!({}))
            .await
            .unwrap_err();
        assert_eq!(error.message, "table `people` has no columns `age`, `good`");
        assert!(
            error
                .hint
                .unwrap()
                .ends_with("`add_columns: true` adds what is missing")
        );
        let settings = json!({"add_columns": true});
        load(&another_run(&project, wider, 3), settings.clone())
            .await
            .unwrap();
        load(&another_run(&project, people(), 4), settings)
            .await
            .unwrap();
        let rows = query(
            &project,
            "select age, good from people order by age nulls last",
            json!([]),
        );
        let rows = rows.await.unwrap();
        assert_eq!(rows.height(), 7);
        assert_eq!(
            rows.column("age").unwrap().get(0).unwrap(),
            AnyValue::Int64(36)
        );
        assert_eq!(rows.column("good").unwrap().null_count(), 6);
    }
}

#[tokio::test]
async fn an_append_goes_straight_into_the_table() {
    let [_, project] = projects();
    let context = project.context();
    let sql = "create table people (id bigint, name text, height double precision); \
        create function no_stage() returns trigger language plpgsql as $$ begin \
        if to_regclass('pg_temp.pipectl_stage') is not null then raise 'staged'; end if; return new; end $$; \
        create trigger t before insert on people for each row execute function no_stage()";
    execute(&context, sql).await;
    load(&another_run(&project, people(), 1), json!({}))
        .await
        .unwrap();
    assert_eq!(ids(&project).await, [1, 2, 3]);
}
