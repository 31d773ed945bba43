use pipectl_engine::operator::{
    Fault, TaskIdentity,
    testing::{TestProject, frame, run_in},
};
use pipectl_test_support::TestBucket;
use serde_json::{Value, json};

use std::fs::File;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_written_with_each_compression() {
    let project = TestProject::new();
    let rows = df!["id" => [1i64, 2], "tags" => [Series::new("".into(), ["a"]), Series::new("".into(), ["b"])]].unwrap();
    for compression in ["zstd", "snappy", "none"] {
        let settings = json!({"path": "out/a.parquet", "compression": compression});
        let output = project
            .run_on::<Parquet>(rows.clone(), settings)
            .await
            .unwrap();
        assert_eq!(output.values["rows"], json!(2));
        let file = std::fs::File::open(project.root().join("out/a.parquet")).unwrap();
        assert!(ParquetReader::new(file).finish().unwrap().equals(&rows));
    }
    assert_eq!(project.list("out"), ["a.parquet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_appended_to_the_same_columns() {
    let project = TestProject::new();
    let settings = json!({"path": "a.parquet", "mode": "append"});
    let rows = df!["id" => [1i64, 2]].unwrap();
    for _ in 0..2 {
        project
            .run_on::<Parquet>(rows.clone(), settings.clone())
            .await
            .unwrap();
    }
    let read =
        || ParquetReader::new(File::open(project.root().join("a.parquet")).unwrap()).finish();
    assert!(
        read()
            .unwrap()
            .equals(&df!["id" => [1i64, 2, 1, 2]].unwrap())
    );
    let other = df!["id" => ["x"]].unwrap();
    let error = project
        .run_on::<Parquet>(other, settings.clone())
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "the columns of `a.parquet` are `id` integer, those of the rows `id` string"
    );
    assert_eq!(read().unwrap().height(), 4);
    project.write("a.parquet", "id\n1\n");
    let error = project.run_on::<Parquet>(rows, settings).await.unwrap_err();
    assert!(
        error.message.starts_with("cannot append to `a.parquet`"),
        "{error}"
    );
}

fn days() -> DataFrame {
    df![
        "day" => ["2026-03-01", "2026-03-02", "2026-03-01", "2026-03-02"],
        "kind" => [Some("a:b"), None, Some("a:b"), Some("c")],
        "n" => [1i64, 2, 3, 4],
    ]
    .unwrap()
}

async fn read(project: &TestProject, settings: Value) -> DataFrame {
    let output = project
        .run::<crate::extract::parquet::Parquet>(settings)
        .await;
    let table = frame(&output.unwrap());
    table.sort(["n"], SortMultipleOptions::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_parted_and_read_again() {
    let place = TestBucket::new();
    let project = TestProject::new()
        .with_connection("lake", place.address())
        .with_environment(place.environment());
    for root in ["out/days", "lake://days"] {
        let mut settings = json!({"path": root, "partition_by": ["day", "kind"]});
        let output = project
            .run_on::<Parquet>(days(), settings.clone())
            .await
            .unwrap();
        let pattern = format!("{root}/**/*.parquet");
        assert_eq!(output.values["path"], json!(pattern));
        assert_eq!(
            (&output.values["rows"], &output.values["files"]),
            (&json!(4), &json!(3))
        );
        let wanted = json!({"path": pattern, "columns": ["kind", "n"]});
        let expected = days().select(["kind", "n"]).unwrap();
        let table = read(&project, wanted.clone()).await;
        assert!(table.equals_missing(&expected), "{table:?}");
        let some = json!({"path": pattern, "where": "day = date '2026-03-02' and n < 4"});
        assert_eq!(read(&project, some).await.height(), 1);
        // Written anew by the same task, the old files go.
        project
            .run_on::<Parquet>(days().head(Some(2)), settings.clone())
            .await
            .unwrap();
        assert_eq!(read(&project, wanted.clone()).await.height(), 2);
        // An attempt after a loss does not append again, another task does.
        settings["mode"] = json!("append");
        project
            .run_on::<Parquet>(days(), settings.clone())
            .await
            .unwrap();
        assert_eq!(read(&project, wanted.clone()).await.height(), 2);
        let context = project.context_with([("rows", days())]);
        let task = TaskIdentity {
            key: pipectl_engine::id::TaskKey::task("other"),
            ..context.task.clone()
        };
        let context = TaskContext { task, ..context };
        run_in::<Parquet>(&context, settings).await.unwrap();
        assert_eq!(read(&project, wanted).await.height(), 6);
    }
    assert_eq!(
        project.list("out/days"),
        ["_manifest.json", "day=2026-03-01", "day=2026-03-02"]
    );
    let left = std::fs::read_dir(project.root().join(".pipectl/artifacts"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_do_not_become_too_large() {
    let project = TestProject::new();
    let rows = df!["n" => (0..300_000i64).collect::<Vec<_>>()].unwrap();
    let settings = json!({"path": "out", "file_size": "512KiB"});
    let output = project
        .run_on::<Parquet>(rows.clone(), settings)
        .await
        .unwrap();
    let files = output.values["files"].as_u64().unwrap();
    assert!((2..=10).contains(&files), "{files}");
    let table = read(&project, json!({"path": "out/*.parquet"})).await;
    assert!(table.equals(&rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_cannot_be_written_is_told() {
    let project = TestProject::new();
    project.write("out/a.csv", "x");
    for (settings, message) in [
        (
            json!({"path": "out", "partition_by": ["dya"]}),
            "there is no column `dya` to partition by",
        ),
        (
            json!({"path": "out", "partition_by": ["day", "kind", "n"]}),
            "all columns are partitioned by: the files would hold none",
        ),
        (
            json!({"path": "out/a.csv", "partition_by": ["day"]}),
            "`out/a.csv` is a file",
        ),
        (
            json!({"path": "out/*", "file_size": "1MiB"}),
            "`out/*` is a pattern, not a directory",
        ),
    ] {
        let error = project
            .run_on::<Parquet>(days(), settings)
            .await
            .unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, message)
        );
    }
    assert_eq!(project.list("out"), ["a.csv"]);
}
