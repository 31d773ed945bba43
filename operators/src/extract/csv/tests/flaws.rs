//! What is wrong with a file, what is told of it, and what is left out.

use super::*;

#[tokio::test]
async fn bad_files_are_named_with_the_line() {
    let cases: [(&[u8], Value, &str, &str); 15] = [
        (b"", json!({}), "`in/a.csv` is empty", "header line"),
        (
            b"a,b\r1,2\r3,4\r",
            json!({}),
            "the lines of `in/a.csv` end with a carriage return alone",
            "tr '\\r' '\\n'",
        ),
        (
            b"a,b\n1,2\n3\n",
            json!({}),
            "line 3 of `in/a.csv` has 1 field, the first line has 2",
            "quotes",
        ),
        (
            b"a,b\n1,2,3\n",
            json!({}),
            "line 2 of `in/a.csv` has 3 fields, the first line has 2",
            "quotes",
        ),
        (
            b"a;b\n1;2,5\n",
            json!({}),
            "`in/a.csv` has one column, called `a;b`",
            "say `delimiter: \";\"`",
        ),
        (
            b"a\nM\xfcller\n",
            json!({"encoding": "utf-8"}),
            "line 2 of `in/a.csv` is not UTF-8: byte 2 is 0xFC",
            "encoding: windows-1252",
        ),
        (
            b"a,b\n\"1,2\n3,4\n",
            json!({}),
            "the quote that opens on line 2 of `in/a.csv` is never closed",
            "quote",
        ),
        (
            b"a\0b,c\n1,2\n",
            json!({"encoding": "utf-8"}),
            "line 1 of `in/a.csv` has a NUL byte among the names of the columns",
            "damaged",
        ),
        (
            b"a,a\n1,2\n",
            json!({}),
            "`in/a.csv` has two columns called `a`",
            "different names",
        ),
        (
            b"a\n1\n2\nx\n",
            json!({"infer_rows": 2}),
            "row 3 of `in/a.csv`: column `a` is `x`, which is no integer",
            "types: {a: string}",
        ),
        (
            b"a\n1\n2\n2.5\n",
            json!({"infer_rows": 2}),
            "row 3 of `in/a.csv`: column `a` is `2.5`, which is no integer",
            "declare it",
        ),
        (
            b"a\n1\nx\n",
            json!({"types": {"a": "number"}}),
            "row 2 of `in/a.csv`: column `a` is `x`, which is no number",
            "declared as number",
        ),
        (
            b"a\n2026-01-01\nsoon\n",
            json!({"types": {"a": "date"}}),
            "row 2 of `in/a.csv`: column `a` is `soon`, which is no date",
            "declared",
        ),
        (
            b"tenure\n1\n",
            json!({"types": {"tenur": "number"}}),
            "`in/a.csv` has no column `tenur`",
            "did you mean `tenure`?",
        ),
        (
            b"tenure\n1\n",
            json!({"columns": ["x"]}),
            "`in/a.csv` has no column `x`",
            "its columns are: `tenure`",
        ),
    ];
    for (content, settings, message, hint) in cases {
        let error = extract(content, settings).await.unwrap_err();
        assert_eq!(
            (error.fault, error.full_message().as_str()),
            (Fault::User, message)
        );
        assert!(
            error.hint.as_deref().unwrap_or_default().contains(hint),
            "{:?}",
            error.hint
        );
    }
}

#[tokio::test]
async fn a_date_column_that_changes_is_no_silent_null() {
    let error = extract(
        "d\n2026-01-01\n2026-01-02\nsoon\n",
        json!({"infer_rows": 2}),
    )
    .await
    .unwrap_err();
    assert_eq!(
        error.full_message(),
        "row 3 of `in/a.csv`: column `d` is `soon`, which is no date"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_kept() {
    let text =
        "id,day\n1,2026-03-01\n2\nx,2026-03-02\n3,\"soon, \"\"maybe\"\"\"\n4,2026-03-04\n5,6,7\n";
    let settings = json!({"rejects": {"limit": 4}, "types": {"id": "integer", "day": "date"}});
    let project = TestProject::new();
    project.write("in/a.csv", text);
    let run = async |settings: &Value| {
        let mut with = settings.clone();
        with["path"] = json!("in/*.csv");
        project.run::<Csv>(with).await
    };
    let output = run(&settings).await.unwrap();
    let ids = frame(&output).column("id").unwrap().i64().unwrap().to_vec();
    assert_eq!(ids, [Some(1), Some(4)]);
    assert_eq!(output.values["rejected"], json!(4));
    assert_eq!(
        output.warnings,
        ["4 records were left out: see `rejects.csv`"]
    );
    assert_eq!(
        String::from_utf8_lossy(&output.artifacts[0].content),
        "file,line,reason,record\n\
         \"in/a.csv\",3,\"1 field, the first line has 2\",\"2\"\n\
         \"in/a.csv\",4,\"column `id` is `x`, which is no integer\",\"x,2026-03-02\"\n\
         \"in/a.csv\",5,\"column `day` is `soon, \"\"maybe\"\"`, which is no date\",\"3,\"\"soon, \"\"\"\"maybe\"\"\"\"\"\"\"\n\
         \"in/a.csv\",7,\"3 fields, the first line has 2\",\"5,6,7\"\n"
    );
    let mut fewer = settings.clone();
    fewer["rejects"]["limit"] = json!(1);
    let error = run(&fewer).await.unwrap_err();
    assert_eq!(
        error.message,
        "more than 1 record cannot be read; the last one is line 4 of `in/a.csv`"
    );
    assert_eq!(error.evidence.artifacts[0].name, "rejects.csv");
    let left = std::fs::read_dir(project.root().join(".pipectl/artifacts"));
    assert_eq!(left.unwrap().count(), 0);
}

#[tokio::test]
async fn empty_lines_are_no_records_but_in_a_table_of_one_column() {
    let table = extract("a,b\r\n1,2\r\n\r\n3,4\r\n\r\n", json!({}))
        .await
        .unwrap();
    assert!(table.equals(&df!["a" => [1i64, 3], "b" => [2i64, 4]].unwrap()));
    let table = extract("a\n1\n\n3\n", json!({})).await.unwrap();
    assert!(table.equals_missing(&df!["a" => [Some(1i64), None, Some(3)]].unwrap()));
    let settings = json!({"rejects": {}, "types": {"a": "integer"}});
    let table = extract("a\n1\n\nx\n", settings).await.unwrap();
    assert!(table.equals_missing(&df!["a" => [Some(1i64), None]].unwrap()));
}

/// As people write numbers and days.
#[tokio::test]
async fn what_is_written_otherwise_is_told_how_to_read() {
    for (value, of, settings, hint) in [
        ("54,16", "number", json!({}), "`decimal_comma: true`"),
        (
            "1.254,16",
            "number",
            json!({}),
            "replace(replace(b, '.', ''), ',', '.')",
        ),
        (
            "1.254,16",
            "number",
            json!({"decimal_comma": true}),
            "points between thousands are not read",
        ),
        (
            "1.254",
            "number",
            json!({"decimal_comma": true}),
            "points between thousands are not read",
        ),
        ("31.12.2026", "date", json!({}), "strptime(b, '%d.%m.%Y')"),
        ("31/12/2026", "date", json!({}), "strptime(b, '%d/%m/%Y')"),
        ("soon", "date", json!({}), "declared as date"),
        ("x", "number", json!({}), "declared as number"),
    ] {
        let mut with = json!({"delimiter": ";", "types": {"b": of}});
        with.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        let error = extract(format!("a;b\n1;{value}\n"), with)
            .await
            .unwrap_err();
        let told = error.hint.unwrap();
        assert!(told.contains(hint), "{value}: {told}");
    }
}

#[tokio::test]
async fn quotes_end_with_their_field() {
    let text = "a,b\n\"\",\"1\"\n\"say \"\"hi\"\"\", 2\n\"x\"y,3\n";
    let settings = json!({"types": {"b": "integer"}});
    let error = extract(text, settings.clone()).await.unwrap_err();
    assert_eq!(
        error.message,
        "row 3 of `in/a.csv`: the quotes of column `a` end before it does: `\"x\"y`"
    );
    assert!(error.hint.unwrap().contains("stands there twice"));
    let mut with = settings;
    with["rejects"] = json!({"limit": 1});
    let table = extract(text, with).await.unwrap();
    let expected = df!["a" => ["", "say \"hi\""], "b" => [1i64, 2]].unwrap();
    assert!(table.equals(&expected), "{table:?}");
}
