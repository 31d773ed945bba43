//! Rows that are never held all at once.

use pipectl_engine::{dataset::Dataset, operator::Inputs};

use super::*;

const ROWS: i64 = 110_000;

/// The numbers from 1 on, with names and heights that `change` may change, as a plan that has not been run.
fn lazily(
    project: &TestProject,
    seconds: i64,
    change: impl Fn(LazyFrame) -> LazyFrame,
) -> TaskContext {
    let numbers: Vec<_> = (1..=ROWS).collect();
    let frame = df!["id" => &numbers, "height" => numbers.iter().map(|_| 1.5).collect::<Vec<_>>()];
    let rows = frame
        .unwrap()
        .lazy()
        .with_columns([lit("ada").alias("name")]);
    let rows = Dataset::from_lazy(change(rows)).unwrap();
    let mut context = another_run(project, people(), seconds);
    context.inputs = Inputs::new([("people".to_owned(), rows)]);
    context
}

/// How many rows there are, of them with the name `eve`, and what the ledger says of the last load.
async fn counts(project: &TestProject) -> [i64; 3] {
    let sql = "select (select count(*) from people) as all_rows, \
        (select count(*) from people where name = 'eve') as eve, \
        (select max(rows) from pipectl_ledger) as ledger";
    let table = query(project, sql, json!([])).await.unwrap();
    ["all_rows", "eve", "ledger"].map(|name| {
        let value = table.column(name).unwrap().get(0).unwrap();
        value.try_extract().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_written_part_by_part_in_every_mode() {
    for project in projects() {
        let output = load(&lazily(&project, 1, |rows| rows), json!({"key": ["id"]}))
            .await
            .unwrap();
        assert_eq!(output.values["rows"], json!(ROWS));
        // How many they would be was not known before.
        assert_eq!(counts(&project).await, [ROWS, 0, ROWS]);
        let eve = |rows: LazyFrame| {
            let late = rows.filter(col("id").gt(lit(50_000)));
            late.with_columns([lit("eve").alias("name"), col("id") + lit(1_000)])
        };
        let upsert = json!({"mode": "upsert", "key": ["id"]});
        load(&lazily(&project, 2, eve), upsert).await.unwrap();
        assert_eq!(counts(&project).await, [ROWS + 1_000, ROWS - 50_000, ROWS]);
        let ada = |rows: LazyFrame| rows.filter(col("id").gt(lit(60_000)));
        let by_key = json!({"mode": "delete_insert", "key": ["id"]});
        load(&lazily(&project, 3, ada), by_key).await.unwrap();
        assert_eq!(counts(&project).await, [ROWS + 1_000, 10_000, ROWS]);
        let replace = json!({"mode": "replace"});
        load(&lazily(&project, 4, ada), replace).await.unwrap();
        assert_eq!(counts(&project).await, [ROWS - 60_000, 0, ROWS]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_late_part_is_named_and_nothing_is_written() {
    let at = |row: i64, value: Expr, column: &str| {
        let otherwise = col(column);
        let is = col("id").eq(lit(row));
        when(is).then(value).otherwise(otherwise).alias(column)
    };
    let keyed = json!({"mode": "upsert", "key": ["id"]});
    for project in projects() {
        load(&another_run(&project, people(), 1), keyed.clone())
            .await
            .unwrap();
        let twice = at(100_000, lit(7_i64), "id");
        let none = at(100_001, lit(NULL), "id");
        let endless = at(100_002, lit(f64::INFINITY), "height");
        let nul = at(100_003, lit("a\0b"), "name");
        let mut cases = vec![
            (
                twice,
                keyed.clone(),
                "2 rows of `people` share their key with another row, the first with `id` = 7",
            ),
            (
                none,
                keyed.clone(),
                "row 100001 of `people` has no `id`, which is part of the key",
            ),
        ];
        if is_postgres(&project) {
            let text = "row 100003 of `people`: `name` contains the character NUL, which Postgres does not hold";
            cases.push((nul, json!({"mode": "replace"}), text));
            let text = "row 2 of `people`: `id` is 2, which the table refuses: the database refused it: duplicate key value violates unique constraint";
            cases.push((lit("x").alias("name"), json!({}), text));
        } else {
            let text = "row 100002 of `people`: `height` is inf, which `people` does not hold";
            cases.push((endless, json!({"mode": "replace"}), text));
        }
        for (run, (change, settings, message)) in (2..).zip(cases) {
            let context = lazily(&project, run, |rows| rows.with_columns([change.clone()]));
            let error = load(&context, settings).await.expect_err(message);
            if !message.contains("duplicate key") {
                assert_eq!(error.full_message(), message);
            }
        }
        assert_eq!(ids(&project).await, [1, 2, 3]);
    }
}
