//! How text files are written.

use super::*;

#[tokio::test]
async fn encodings_are_found_out() {
    let utf16: Vec<u8> = "\u{feff}a;b\nä;1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let latin = b"a;b\n\xe4;1\n".to_vec();
    for (content, encoding) in [
        (utf16.clone(), "auto"),
        (utf16, "utf-16"),
        (latin.clone(), "auto"),
        (latin, "latin1"),
        ("\u{feff}a;b\nä;1\n".as_bytes().to_vec(), "windows-1252"),
    ] {
        let settings = json!({"encoding": encoding, "delimiter": ";"});
        let table = extract(content, settings).await.unwrap();
        let expected = df!["a" => ["ä"], "b" => [1i64]].unwrap();
        assert!(table.equals(&expected), "{encoding}: {table:?}");
    }
}

#[tokio::test]
async fn what_was_taken_for_windows_1252_is_told() {
    let project = TestProject::new();
    let japanese = b"name,v\n\x93\xfa\x96\x7b\x8c\xea,1\n";
    project.write("in/a.csv", japanese);
    project.write("in/b.csv", japanese);
    let warnings = async |settings| project.run::<Csv>(settings).await.unwrap().warnings;
    let one = warnings(json!({"path": "in/a.csv"})).await;
    assert_eq!(
        one,
        [
            "`in/a.csv` is not UTF-8 (line 2, byte 1: 0x93) and was read as Windows-1252: write `encoding: windows-1252` if \
          that is right, else what it is, as in `encoding: shift_jis`"
        ]
    );
    let both = warnings(json!({"path": "in/*.csv", "rejects": {}})).await;
    assert_eq!(both.len(), 1);
    assert!(both[0].ends_with("; so is 1 file more too"), "{}", both[0]);
    for said in ["windows-1252", "shift_jis"] {
        let none = warnings(json!({"path": "in/a.csv", "encoding": said})).await;
        assert_eq!(none, Vec::<String>::new(), "{said}");
    }
}

#[tokio::test]
async fn utf_16_without_a_mark_is_named() {
    let units: Vec<u16> = "name,v\nä,1\n".encode_utf16().collect();
    let little: Vec<u8> = units.iter().copied().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = units.iter().copied().flat_map(u16::to_be_bytes).collect();
    for (content, encoding) in [(little, "utf-16le"), (big, "utf-16be")] {
        let error = extract(content.clone(), json!({})).await.unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.hint),
            (
                "`in/a.csv` looks like UTF-16 without a mark at its beginning: every second byte is NUL",
                Some(format!("say `encoding: {encoding}`"))
            )
        );
        let table = extract(content, json!({"encoding": encoding}))
            .await
            .unwrap();
        let expected = df!["name" => ["ä"], "v" => [1i64]].unwrap();
        assert!(table.equals(&expected), "{table:?}");
    }
}

#[tokio::test]
async fn the_line_of_a_wrong_byte_is_named() {
    let mut content = b"name,v\n".to_vec();
    for _ in 0..300_000 {
        content.extend_from_slice(b"\x93\xfa\x96\x7b,1\n");
    }
    let (first, last) = (content.clone(), b"\x93\xff,1\nab,2\n");
    for (start, line) in [(&first[..0], 1), (&first[..7], 2), (&first[..], 300_002)] {
        let content = [start, last].concat();
        let error = extract(content, json!({"encoding": "shift_jis"})).await;
        let error = error.unwrap_err();
        assert_eq!(
            (error.message, error.hint.as_deref()),
            (
                format!("line {line} of `in/a.csv` is not Shift_JIS"),
                Some("say how the file is written by `encoding`")
            )
        );
    }
    let table = extract(first, json!({"encoding": "shift_jis"}));
    let table = table.await.unwrap();
    assert_eq!(table.height(), 300_000);
    let name = table.column("name").unwrap().get(299_999).unwrap();
    assert_eq!(name.get_str(), Some("日本"));
}
