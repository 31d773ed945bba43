//! What cannot be written, and what is said of it.

use super::*;

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
async fn sqlite_holds_neither_lists_nor_numbers_without_end() {
    let [project, _] = projects();
    for (rows, message) in [
        (
            df!["id" => [1i64, 2], "height" => [1.0, f64::NAN]].unwrap(),
            "row 2 of `people`: `height` is NaN, which `people` does not hold",
        ),
        (
            df!["id" => [1i64], "name" => [Series::new("".into(), [1, 2])]].unwrap(),
            "`name` of `people` is list[i32], for which a table has no type",
        ),
    ] {
        let error = load(&another_run(&project, rows, 1), json!({})).await;
        let error = error.unwrap_err();
        assert_eq!(error.full_message(), message);
        assert!(error.hint.is_some(), "{message}");
    }
}

#[tokio::test]
async fn what_postgres_refuses_is_named_by_row_and_column_and_value() {
    let [_, project] = projects();
    let context = project.context();
    execute(
        &context,
        "create type mood as enum ('sad', 'happy'); \
         create table people (id bigint primary key, price numeric(5, 2), mood mood, doc jsonb, far inet, small smallint[])",
    )
    .await;
    let rows = |column: &str, values: Column| {
        let ids = Column::new("id".into(), [1i64, 2, 3]);
        DataFrame::new(3, vec![ids, values.with_name(column.into())]).unwrap()
    };
    let text = |values: [&str; 3]| Column::new("v".into(), values);
    let list = |values: [i64; 2]| Some(Series::new("".into(), values));
    for (run, (rows, messages)) in (1..).zip([
        (
            rows("price", Column::new("v".into(), [1.5, 2.5, 12_345.678])),
            ["row 3 of `people`: `price` is 12345.678, which the table refuses: numeric field overflow", "precision 5, scale 2"],
        ),
        (
            rows("mood", text(["sad", "bored", "happy"])),
            ["row 2 of `people`: `mood` is bored, which the table refuses", "invalid input value for enum mood"],
        ),
        (
            rows("doc", text(["{}", "[]", "{a"])),
            ["row 3 of `people`: `doc` is {a, which the table refuses", "invalid input syntax for type json"],
        ),
        (
            rows("far", text(["10.0.0.1", "here", "10.0.0.2"])),
            ["invalid input syntax for type inet", "\"here\""],
        ),
        (
            rows("small", Column::new("v".into(), [list([1, 2]), None, list([3, 70_000])])),
            ["row 3 of `people`: `small` is 70000, which does not fit into smallint[]", ""],
        ),
        (
            df!["id" => [5i64, 5]].unwrap(),
            ["duplicate key value violates unique constraint", "Key (id)=(5) already exists"],
        ),
    ]) {
        let error = load(&another_run(&project, rows, run), json!({"create": false})).await;
        let error = error.unwrap_err();
        for message in messages {
            assert!(error.full_message().contains(message), "{}", error.full_message());
        }
        assert_eq!((error.fault, error.retryable), (Fault::User, false));
        assert!(ids(&project).await.is_empty());
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_table_that_is_gone_are_said() {
    let address = TestPostgres::shared().guarded_database("the wrong one");
    let project = TestProject::new().with_connection("warehouse", &address);
    let error = load(&project.context_with([("people", people())]), json!({})).await;
    let error = error.unwrap_err();
    assert_eq!((error.fault, error.retryable), (Fault::User, false));
    assert!(
        error
            .full_message()
            .contains("password authentication failed"),
        "{}",
        error.full_message()
    );
    assert!(!error.full_message().contains("wrong one"));
    assert_eq!(
        error.hint.unwrap(),
        "check user and password in the connection's address"
    );
    for project in projects() {
        load(&another_run(&project, people(), 1), json!({}))
            .await
            .unwrap();
        query(&project, "select id, height from people", json!([]))
            .await
            .unwrap();
        execute(&project.context(), "alter table people drop column height").await;
        let error = query(&project, "select id, height from people", json!([])).await;
        let message = error.unwrap_err().full_message();
        assert!(message.contains("height"), "{message}");
        let error = load(&another_run(&project, people(), 2), json!({})).await;
        assert_eq!(
            error.unwrap_err().message,
            "table `people` has no column `height`"
        );
        execute(&project.context(), "drop table people").await;
        let error = query(&project, "select id from people", json!([])).await;
        let message = error.unwrap_err().full_message();
        assert!(message.contains("people"), "{message}");
        let error = load(
            &another_run(&project, people(), 3),
            json!({"create": false}),
        )
        .await;
        assert_eq!(error.unwrap_err().message, "there is no table `people`");
    }
}
