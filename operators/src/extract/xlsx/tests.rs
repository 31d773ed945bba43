use pipectl_engine::operator::{
    Fault,
    testing::{TestProject, complaints, frame},
};
use serde_json::{Value, json};

use super::*;
use crate::support::{archive::testing::zipped, settings::type_name};

const WORKBOOK: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">
<sheets><sheet name="Orders &amp; more" sheetId="1" r:id="rId1"/><sheet name="Other" sheetId="2" r:id="rId2"/></sheets></workbook>"#;
const RELATIONS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="rId1" Type="t" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Type="t" Target="/xl/worksheets/sheet2.xml"/></Relationships>"#;
const STYLES: &str = r#"<styleSheet><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd hh:mm"/></numFmts>
<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs></styleSheet>"#;
const TEXTS: &str = r#"<sst><si><t>name</t></si><si><r><t>Mül</t></r><r><t xml:space="preserve">ler &lt;3</t></r><rPh><t>no</t></rPh></si></sst>"#;
const SHEET: &str = r#"<worksheet><sheetData>
<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="str"><v>n</v></c><c r="C1" t="inlineStr"><is><t>price</t></is></c><c r="D1" t="str"><v>ok</v></c><c r="E1" t="str"><v>day</v></c><c r="F1" t="str"><v>at</v></c><c r="G1" t="str"><v>mixed</v></c></row>
<row r="2"><c r="A2" t="s"><v>1</v></c><c r="B2"><v>7</v></c><c r="C2"><f>1+1</f><v>1.5</v></c><c r="D2" t="b"><v>1</v></c><c r="E2" s="1"><v>46082</v></c><c r="F2" s="2"><v>46082.5</v></c><c r="G2"><v>1</v></c></row>
<row r="4"><c r="A4" t="str"><v>b</v></c><c r="C4"><v>2</v></c><c r="D4" t="b"><v>0</v></c><c r="E4" s="1"/><c r="F4" s="2"><v>46083</v></c><c r="G4" t="str"><v>NA</v></c></row>
<row r="5"><c r="A5" s="1"/></row>
</sheetData></worksheet>"#;
const OTHER: &str = r#"<worksheet><sheetData><row><c t="str"><v>title</v></c></row>
<row r="3"><c r="B3" t="str"><v>x</v></c><c t="str"><v>y</v></c></row><row><c r="B4"><v>1</v></c><c><v>2</v></c></row><row r="9"><c r="B9" t="str"><v>sum</v></c></row></sheetData></worksheet>"#;

fn workbook() -> Vec<u8> {
    zipped(&[
        ("xl/workbook.xml", WORKBOOK),
        ("xl/_rels/workbook.xml.rels", RELATIONS),
        ("xl/styles.xml", STYLES),
        ("xl/sharedStrings.xml", TEXTS),
        ("xl/worksheets/sheet1.xml", SHEET),
        ("xl/worksheets/sheet2.xml", OTHER),
    ])
}

async fn extract(content: &[u8], settings: Value) -> Result<DataFrame, TaskError> {
    let project = TestProject::new();
    project.write("a.xlsx", content);
    let mut with = json!({"path": "a.xlsx"});
    with.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    Ok(frame(&project.run::<Xlsx>(with).await?))
}

#[tokio::test]
async fn cells_have_types() {
    let table = extract(&workbook(), json!({"null_values": ["NA"]}))
        .await
        .unwrap();
    let types: Vec<String> = table.dtypes().iter().map(type_name).collect();
    assert_eq!(
        types,
        [
            "string", "integer", "number", "boolean", "date", "datetime", "integer"
        ]
    );
    assert_eq!(table.height(), 2);
    let text =
        |column: &str, row: usize| table.column(column).unwrap().get(row).unwrap().to_string();
    assert_eq!(text("name", 0), "\"Müller <3\"");
    assert_eq!(text("n", 1), "null");
    assert_eq!(text("day", 0), "2026-03-01");
    assert_eq!(text("at", 0), "2026-03-01 12:00:00");
    assert_eq!(text("at", 1), "2026-03-02 00:00:00");
    let table = extract(&workbook(), json!({"columns": ["mixed", "day"]}))
        .await
        .unwrap();
    let mixed = table.column("mixed").unwrap().str().unwrap();
    assert_eq!((mixed.get(0), mixed.get(1)), (Some("1"), Some("NA")));
    let settings = json!({"types": {"n": "number", "day": "datetime", "ok": "string"}});
    let table = extract(&workbook(), settings).await.unwrap();
    let types: Vec<String> = table.dtypes().iter().map(type_name).collect();
    assert_eq!(
        (&*types[1], &*types[3], &*types[4]),
        ("number", "string", "datetime")
    );
}

#[tokio::test]
async fn a_part_of_another_sheet_is_read() {
    let expected = df!["x" => [1i64], "y" => [2i64]].unwrap();
    for sheet in [json!("Other"), json!(2)] {
        let settings = json!({"sheet": sheet, "range": "B3:C8"});
        let table = extract(&workbook(), settings).await.unwrap();
        assert!(table.equals(&expected), "{table:?}");
    }
    let settings = json!({"sheet": 2, "range": "B4:C4", "header": false});
    let table = extract(&workbook(), settings).await.unwrap();
    assert_eq!(table.get_column_names(), ["B", "C"]);
}

#[tokio::test]
async fn mistakes_are_named_with_their_place() {
    let whole = workbook();
    let cut = &whole[..whole.len() / 2];
    for (content, settings, message) in [
        (
            &*whole,
            json!({"sheet": "Othr"}),
            "`a.xlsx` has no sheet `Othr`",
        ),
        (&whole, json!({"sheet": 3}), "`a.xlsx` has no sheet 3"),
        (
            &whole,
            json!({"types": {"mixed": "integer"}}),
            "cell G4 of sheet `Orders & more` of `a.xlsx`: `NA` is no integer",
        ),
        (
            &whole,
            json!({"types": {"price": "integer"}}),
            "cell C2 of sheet `Orders & more` of `a.xlsx`: `1.5` is no integer",
        ),
        (
            &whole,
            json!({"types": {"prise": "integer"}}),
            "sheet `Orders & more` of `a.xlsx` has no column `prise`",
        ),
        (
            &whole,
            json!({"sheet": 2, "range": "A3:C8"}),
            "cell A3 of sheet `Other` of `a.xlsx` names no column: it is empty",
        ),
        (
            &whole,
            json!({"range": "K1:L9"}),
            "sheet `Orders & more` of `a.xlsx` is empty",
        ),
        (
            cut,
            json!({}),
            "`a.xlsx` is no workbook that can be read: its directory is missing: is it complete?",
        ),
        (
            b"id,name\n",
            json!({}),
            "`a.xlsx` is no workbook that can be read: its directory is missing: is it complete?",
        ),
    ] {
        let error = extract(content, settings).await.unwrap_err();
        assert_eq!(
            (error.fault, &*error.full_message()),
            (Fault::User, message)
        );
    }
    let found = complaints::<Xlsx>(json!({"path": "a", "range": "B3", "sheet": 0}));
    assert_eq!(
        found,
        [
            "range: this is no part of a sheet",
            "sheet: sheets count from 1"
        ]
    );
}

/// A workbook whose first sheet has this data.
fn with_sheet(data: &str) -> Vec<u8> {
    let sheet = format!("<worksheet><sheetData>{data}</sheetData></worksheet>");
    zipped(&[
        ("xl/workbook.xml", WORKBOOK),
        ("xl/_rels/workbook.xml.rels", RELATIONS),
        ("xl/worksheets/sheet1.xml", &sheet),
        ("xl/worksheets/sheet2.xml", OTHER),
    ])
}

#[tokio::test]
async fn cells_far_out_and_endless_texts_are_refused() {
    let long = "x".repeat(5 << 20);
    let pieces = "x&amp;".repeat(3 << 20);
    for (data, message) in [
        (
            r#"<row r="2"><c r="ZZZZZZ2"><v>1</v></c></row>"#,
            "there is a cell ZZZZZZ2, and the last column of a sheet is XFD",
        ),
        (
            r#"<row r="2"><c r="ZZZZZZZZZZZZZZZZZZ2"><v>1</v></c></row>"#,
            "`ZZZZZZZZZZZZZZZZZZ2` is no cell",
        ),
        (
            r#"<row r="1048577"><c><v>1</v></c></row>"#,
            "there is a row 1048577, and a sheet has 1048576 at most",
        ),
        (r#"<row r="x"/>"#, "`x` is no number of a row"),
        (
            r#"<row r="1"><c r="A2"><v>1</v></c></row>"#,
            "there is a cell A2 in row 1",
        ),
        (
            r#"<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>"#,
            "cell A1 is there twice",
        ),
        (
            r#"<row r="2"><c><v>1</v></c></row><row r="1"><c><v>1</v></c></row><row r="2"><c><v>1</v></c></row>"#,
            "row 2 is there twice",
        ),
        (
            &format!(r#"<row><c t="str"><v>{long}</v></c></row>"#),
            "a text in it is longer than 4 MiB",
        ),
        (
            &format!(r#"<row><c/><c t="str"><v>{pieces}</v></c></row>"#),
            "cell B1 is longer than 4 MiB",
        ),
    ] {
        let error = extract(&with_sheet(data), json!({})).await.unwrap_err();
        assert_eq!(error.fault, Fault::User);
        assert_eq!(
            error.full_message(),
            format!("`a.xlsx` is no workbook that can be read: {message}")
        );
    }
}

#[tokio::test]
async fn cells_and_rows_out_of_their_order_are_read() {
    let data = r#"<row r="3"><c r="B3"><v>4</v></c><c r="A3"><v>3</v></c></row>
        <row r="1"><c r="B1" t="str"><v>y</v></c><c r="A1" t="str"><v>x</v></c></row><row r="2"><c r="A2"><v>1</v></c><c r="B2"><v>2</v></c></row>"#;
    let table = extract(&with_sheet(data), json!({})).await.unwrap();
    let expected = df!["x" => [1i64, 3], "y" => [2i64, 4]].unwrap();
    assert!(table.equals(&expected), "{table:?}");
}
