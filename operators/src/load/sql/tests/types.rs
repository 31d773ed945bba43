//! Types: what is written is read again.

use super::*;

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
        }
        // A file without values makes columns of text, and nothing in them is wrong for any table.
        let none = Column::full_null("id".into(), 2, &DataType::String);
        let rows = df!["price" => [1.0, 2.0]].unwrap();
        let rows = rows.hstack(&[none.clone(), none.clone().with_name("day".into())]);
        load(&another_run(&project, rows.unwrap(), 4), settings.clone())
            .await
            .unwrap();
        let empty = DataFrame::new(2, vec![none.clone(), none.with_name("price".into())]);
        load(
            &another_run(&project, empty.unwrap().head(Some(0)), 5),
            settings.clone(),
        )
        .await
        .unwrap();
        // A day without rows says nothing of types, and so makes no table; the next one makes it.
        let first = json!({"table": "first", "create": true});
        let none = df!["id" => Vec::<String>::new()].unwrap();
        for (rows, run) in [
            (none.clone(), 6),
            (df!["id" => [7i64]].unwrap(), 7),
            (none, 8),
        ] {
            load(&another_run(&project, rows, run), first.clone())
                .await
                .unwrap();
        }
        let back = query(&project, "select id from first", json!([])).await;
        assert_eq!(
            back.unwrap().column("id").unwrap().i64().unwrap().get(0),
            Some(7)
        );
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
