#![expect(clippy::too_many_lines, reason = "a table of cases is long")]

mod encodings;
mod flaws;

use pipectl_engine::operator::{
    Fault,
    testing::{TestProject, complaints, frame},
};
use polars::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::support::settings::type_name;

async fn extract(content: impl AsRef<[u8]>, settings: Value) -> Result<DataFrame, TaskError> {
    let project = TestProject::new();
    project.write("in/a.csv", content);
    let mut with = json!({"path": "in/a.csv"});
    with.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    Ok(frame(&project.run::<Csv>(with).await?))
}

fn types(frame: &DataFrame) -> Vec<String> {
    frame.dtypes().iter().map(type_name).collect()
}

#[tokio::test]
async fn types_come_from_the_rows() {
    let text = "id,name,price,ok,day,at\n1,ada,1.5,true,2026-03-01,2026-03-01T12:00:00\n2,,2,false,2026-03-02,2026-03-02T12:00:00\n";
    let table = extract(text, json!({})).await.unwrap();
    assert_eq!(
        types(&table),
        ["integer", "string", "number", "boolean", "date", "datetime"]
    );
    assert_eq!(table.column("name").unwrap().null_count(), 1);
    let table = extract(text, json!({"dates": false, "types": {"id": "string"}}))
        .await
        .unwrap();
    assert_eq!(
        types(&table),
        ["string", "string", "number", "boolean", "string", "string"]
    );
}

/// Nothing says what its columns are, and whoever reads them sums no text.
#[tokio::test]
async fn a_file_without_rows_is_told() {
    let project = TestProject::new();
    project.write("in/a.csv", "id,price\n");
    for (settings, warnings) in [
        (
            json!({}),
            vec![
                "`in/a.csv` has no rows, so that `id`, `price` are text: `types` says what columns are",
            ],
        ),
        (
            json!({"types": {"id": "integer", "price": "number"}}),
            vec![],
        ),
    ] {
        let mut with = json!({"path": "in/a.csv"});
        with.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        let output = project.run::<Csv>(with).await.unwrap();
        assert_eq!(output.warnings, warnings);
        assert_eq!(frame(&output).height(), 0);
    }
}

/// A file whose delimiter is another one is no table of one column.
#[tokio::test]
async fn another_delimiter_is_noticed() {
    let text = "id;name\n1;ada\n";
    let error = extract(text, json!({})).await.unwrap_err();
    assert_eq!(error.fault, Fault::User);
    assert_eq!(error.message, "`in/a.csv` has one column, called `id;name`");
    assert_eq!(
        error.hint.as_deref(),
        Some("say `delimiter: \";\"`; if it is one column, name it in `columns`")
    );
    let meant = json!({"columns": ["id;name"]});
    assert_eq!(extract(text, meant).await.unwrap().width(), 1);
    let said = json!({"delimiter": ";"});
    assert_eq!(extract(text, said).await.unwrap().width(), 2);
    assert_eq!(extract("id\n1\n", json!({})).await.unwrap().width(), 1);
}

/// One slip among numbers makes a text of the column, and is told.
#[tokio::test]
async fn what_makes_a_text_of_numbers_is_told() {
    let rows = |slip: &str| {
        let rows = (0..30).map(|row| format!("{row},x{row}\n"));
        format!("age,name\n{}{slip},y\n", rows.collect::<String>())
    };
    let warnings = async |slip: &str, settings: Value| {
        let project = TestProject::new();
        project.write("in/a.csv", rows(slip));
        let mut with = json!({"path": "in/a.csv"});
        with.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        project.run::<Csv>(with).await.unwrap().warnings
    };
    assert_eq!(
        warnings("n/a", json!({})).await,
        [
            "`age` is text because of `n/a`: 1 of 31 values are no numbers; `null_values: [\"n/a\"]` if that means nothing, `types: {age: integer}` to be told of each"
        ]
    );
    for (slip, settings) in [
        ("7", json!({})),
        ("n/a", json!({"null_values": ["n/a"]})),
        ("n/a", json!({"types": {"age": "string"}})),
    ] {
        assert_eq!(warnings(slip, settings).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_makes_a_text_of_dates_is_told() {
    for (first, last, settings, told) in [
        ("2026-01-31", "soon", json!({}), Some(("soon", "date"))),
        ("soon", "2026-01-31", json!({}), Some(("soon", "date"))),
        ("3", "2026-01-31", json!({}), None),
        ("2026-01-31", "soon", json!({"dates": false}), None),
        ("2026-01-31", "2026-02-01", json!({}), None),
    ] {
        let rows = (1..=29).map(|day| format!("2026-01-{day:02},x\n"));
        let rows = format!(
            "day,name\n{first},y\n{}{last},z\n",
            rows.collect::<String>()
        );
        let project = TestProject::new();
        project.write("in/a.csv", rows);
        let mut with = json!({"path": "in/a.csv"});
        with.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        let warnings = project.run::<Csv>(with).await.unwrap().warnings;
        let expected = told.map(|(text, of)| format!("`day` is text because of `{text}`: 1 of 31 values are no dates; `null_values: [\"{text}\"]` if that means nothing, `types: {{day: {of}}}` to be told of each"));
        assert_eq!(warnings, Vec::from_iter(expected), "{first} {last}");
    }
}

#[tokio::test]
async fn numbers_with_decimal_commas_are_told() {
    let warnings = async |text: &str, settings: Value| {
        let project = TestProject::new();
        project.write("in/a.csv", text);
        let mut with = json!({"path": "in/a.csv", "delimiter": ";"});
        with.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        project.run::<Csv>(with).await.unwrap().warnings
    };
    let prices = "preis;ort\n3,14;Ulm\n2;Bonn\n-0,5;Hof\n";
    assert_eq!(
        warnings(prices, json!({})).await,
        [
            "`preis` is text, with values like `3,14`: `decimal_comma: true` if the comma stands before decimals, `types: {preis: string}` if it is text"
        ]
    );
    for (text, settings) in [
        (prices, json!({"decimal_comma": true})),
        (prices, json!({"types": {"preis": "string"}})),
        ("a\n3,14\nx\n", json!({})),
        ("a\n1,234,567\n", json!({})),
    ] {
        assert_eq!(
            warnings(text, settings).await,
            Vec::<String>::new(),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_columns_are_refused_or_read_in_little_time() {
    let line =
        |cell: &dyn Fn(usize) -> String| (0..300_000).map(cell).collect::<Vec<_>>().join(",");
    let header = line(&|number| format!("c{number}"));
    let row = line(&|number| number.to_string());
    let text = format!("{header}\n{row}\n{row}\n");
    let error = extract(&text, json!({})).await.unwrap_err();
    assert_eq!(
        (error.fault, error.message.as_str()),
        (
            Fault::User,
            "`in/a.csv` has 300,000 columns, and 50,000 are allowed"
        )
    );
    assert!(error.hint.unwrap().starts_with("raise `max_columns`"));
    let begin = std::time::Instant::now();
    let table = extract(&text, json!({"max_columns": 300_000}))
        .await
        .unwrap();
    assert_eq!((table.height(), table.width()), (2, 300_000));
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
    let twice = format!("{header},c7\n{row},1\n");
    let error = extract(&twice, json!({"max_columns": 400_000}))
        .await
        .unwrap_err();
    assert_eq!(error.message, "`in/a.csv` has two columns called `c7`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_file_comes_from_a_web_server() {
    let api = pipectl_test_support::TestApi::start();
    let content = b"id,name\n1,ada\n2,bob\n";
    for (name, packed) in [
        ("plain.csv", content.to_vec()),
        ("a.csv.zst", zstd::encode_all(&content[..], 3).unwrap()),
        ("a.csv.gz", gzip(content)),
    ] {
        api.serve_file(name, packed, None);
        let path = format!("{}/files/{name}", api.url());
        let project = TestProject::new();
        let with = json!({"path": path, "file_column": "source"});
        let table = frame(&project.run::<Csv>(with).await.unwrap());
        assert_eq!(types(&table), ["integer", "string", "string"], "{name}");
        let source = table.column("source").unwrap().str().unwrap().get(1);
        assert_eq!(source, Some(&*path));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_files_become_one_table() {
    let project = TestProject::new();
    for number in 0..1_000 {
        let rows: Vec<String> = (0..20)
            .map(|row| format!("{number},{row},text {row},0.5"))
            .collect();
        let text = format!("file,row,text,value\n{}\n", rows.join("\n"));
        project.write(&format!("in/{number:04}.csv"), text);
    }
    let output = project.run::<Csv>(json!({"path": "in/*.csv"})).await;
    let table = frame(&output.unwrap());
    assert_eq!(table.height(), 20_000);
    let last = table.column("file").unwrap().get(19_999).unwrap();
    assert_eq!(last.extract::<i64>(), Some(999));
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn the_way_a_file_is_written_can_be_told() {
    let table = extract(
        "a;b\n'x;y';1\nNA; \n",
        json!({"delimiter": ";", "quote": "'", "null_values": ["NA", " "]}),
    );
    let table = table.await.unwrap();
    assert_eq!(
        table.column("a").unwrap().str().unwrap().get(0),
        Some("x;y")
    );
    assert_eq!(
        (
            table.column("a").unwrap().null_count(),
            types(&table)[1].as_str()
        ),
        (1, "integer")
    );
    let table = extract("1\t2\n3\t4\n", json!({"delimiter": "tab", "header": false}))
        .await
        .unwrap();
    assert_eq!(
        (
            table.height(),
            table
                .get_column_names()
                .into_iter()
                .map(PlSmallStr::as_str)
                .collect::<Vec<_>>()
        ),
        (2, vec!["column_1", "column_2"])
    );
    let table = extract("\u{feff}a,b\r\n1,2\r\n", json!({"columns": ["b", "a"]}))
        .await
        .unwrap();
    assert_eq!(table.get_column_names(), ["b", "a"]);
    let table = extract("a,b\n", json!({})).await.unwrap();
    assert_eq!((table.height(), table.width()), (0, 2));
}

#[tokio::test]
async fn several_files_become_one_table() {
    let project = TestProject::new();
    project.write("in/b.csv", "y,x\n3,4\n");
    project.write("in/a.csv", "x,y\n1,2\n");
    let output = project
        .run::<Csv>(json!({"path": "in/*.csv"}))
        .await
        .unwrap();
    let table = frame(&output);
    assert_eq!(
        table.column("x").unwrap().i64().unwrap().to_vec(),
        [Some(1), Some(4)]
    );
    assert_eq!(output.values["files"], json!(2));
    project.write("in/c.csv", "x,z\n5,6\n");
    let error = project
        .run::<Csv>(json!({"path": "in/*.csv"}))
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "`in/c.csv` lacks columns of the files before it: `y`"
    );
    project.write("in/c.csv", "x,y\nfive,6\n");
    let error = project
        .run::<Csv>(json!({"path": "in/*.csv"}))
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "row 1 of `in/c.csv`: column `x` is `five`, which is no integer"
    );
}

#[test]
fn settings_are_checked() {
    let found = complaints::<Csv>(json!({"path": "a", "delimiter": ";;", "quote": "ab"}));
    assert_eq!(
        found,
        [
            "delimiter: the delimiter is one ASCII character",
            "quote: the quote is one ASCII character"
        ]
    );
    assert!(complaints::<Csv>(json!({"path": "a", "delimiter": "tab", "quote": ""})).is_empty());
    assert_eq!(
        complaints::<Csv>(json!({"path": "https://host/in/*.csv?all=*"})),
        [
            "path: `https://host/in/*.csv` is a pattern, and the address of a web server names one file"
        ]
    );
    assert!(complaints::<Csv>(json!({"path": "https://host/a.csv?all=*"})).is_empty());
}

#[tokio::test]
async fn numbers_may_have_a_comma() {
    let settings = json!({"delimiter": ";", "decimal_comma": true, "types": {"b": "number"}});
    let table = extract("a;b\n1,5;2\n-0,25;3,0\n", settings.clone())
        .await
        .unwrap();
    let expected = df!["a" => [1.5, -0.25], "b" => [2.0, 3.0]].unwrap();
    assert!(table.equals(&expected), "{table:?}");
    let error = extract("a;b\n1,5;x\n", settings).await.unwrap_err();
    assert_eq!(
        error.message,
        "row 1 of `in/a.csv`: column `b` is `x`, which is no number"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_files_and_their_directories_are_read() {
    use std::io::Write as _;
    let project = TestProject::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"x\n1\n").unwrap();
    project.write("in/day=2026-03-01/a.csv.gz", encoder.finish().unwrap());
    project.write("in/day=2026-03-02/b.csv", "x,y\n2,b\n");
    let settings = json!({"path": "in/*/*", "schema": "union", "file_column": "file"});
    let table = frame(&project.run::<Csv>(settings).await.unwrap());
    let days = df!["day" => ["2026-03-01", "2026-03-02"]].unwrap().lazy();
    let days = days
        .select([col("day").cast(DataType::Date)])
        .collect()
        .unwrap();
    let expected = df![
        "x" => [1i64, 2],
        "y" => [None, Some("b")],
        "file" => ["in/day=2026-03-01/a.csv.gz", "in/day=2026-03-02/b.csv"],
    ];
    let mut expected = expected.unwrap();
    expected
        .insert_column(1, days.column("day").unwrap().clone())
        .unwrap();
    assert!(table.equals_missing(&expected), "{table:?}");
    let settings = json!({"path": "in/*/*", "hive": false, "schema": "union"});
    let table = frame(&project.run::<Csv>(settings).await.unwrap());
    assert_eq!(table.get_column_names(), ["x", "y"]);
}

/// A file that is large enough to be streamed.
fn large(rows: usize, last: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("id,name,at,price\n");
    for row in 0..rows {
        let name = "x".repeat(40);
        writeln!(
            text,
            "{row},{name},2026-03-01T12:00:{:02},{}.5",
            row % 60,
            row % 7
        )
        .unwrap();
    }
    text + last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_streamed() {
    let project = TestProject::new();
    let rows = 1_000_000;
    project.write("in/a.csv", large(rows, ""));
    let settings = json!({"path": "in/a.csv", "columns": ["id", "at", "price"]});
    let output = project.run::<Csv>(settings.clone()).await.unwrap();
    let (_, dataset) = &output.datasets[0];
    assert!(dataset.in_memory().is_none());
    let table = frame(&output);
    assert_eq!(types(&table), ["integer", "datetime", "number"]);
    assert_eq!(table.shape(), (rows, 3));
    let ids = table.column("id").unwrap().i64().unwrap();
    assert!(
        ids.iter()
            .enumerate()
            .all(|(row, id)| id == i64::try_from(row).ok())
    );
    drop((output, table));
    for (last, message) in [
        (
            "1,x,2026-03-01T12:00:00,many\n",
            "row 1000001 of `in/a.csv`: column `price` is `many`, which is no number",
        ),
        (
            "1,x,soon,1.5\n",
            "row 1000001 of `in/a.csv`: column `at` is `soon`, which is no datetime",
        ),
        (
            "1,x\n",
            "line 1000002 of `in/a.csv` has 2 fields, the first line has 4",
        ),
    ] {
        project.write("in/a.csv", large(rows, last));
        let error = project.run::<Csv>(settings.clone()).await.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, message)
        );
    }
    let left = std::fs::read_dir(project.root().join(".pipectl/artifacts"));
    assert_eq!(left.unwrap().count(), 0);
}
