use super::*;

fn read(text: &str) -> (Option<Node>, Vec<String>) {
    let source = SourceFile::new("f.yaml", text);
    let mut found = Found::new(source.name.clone());
    let node = parse(&source, &mut found);
    let complaints = found
        .into_diagnostics()
        .iter()
        .map(|d| {
            format!(
                "{}:{}:{} {} {}",
                d.code,
                d.place.line,
                d.place.column,
                d.message,
                d.hint.clone().unwrap_or_default()
            )
        })
        .collect();
    (node, complaints)
}

#[test]
fn every_key_and_value_knows_its_place() {
    let text = "a: hello\nb: {c: 1, d: \"x y\"}\nlist:\n  - one\n  - two: 2\nblock: |\n  first\n  second\nü: ok\n";
    let (node, complaints) = read(text);
    assert_eq!(complaints, Vec::<String>::new());
    let node = node.unwrap();
    let at = |node: &Node| (node.mark.line, node.mark.column, node.mark.length);
    assert_eq!(at(node.get("a").unwrap()), (1, 4, 5));
    assert_eq!(at(node.get("b").unwrap()), (2, 4, 16));
    assert_eq!(at(node.get("b").unwrap().get("c").unwrap()), (2, 8, 1));
    assert_eq!(at(node.get("b").unwrap().get("d").unwrap()), (2, 14, 5));
    let NodeValue::List(items) = &node.get("list").unwrap().value else {
        panic!()
    };
    assert_eq!(at(&items[0]), (4, 5, 3));
    assert_eq!(at(&items[1]), (5, 5, 3));
    let block = node.get("block").unwrap();
    assert_eq!(block.text().unwrap().as_ref(), "first\nsecond\n");
    assert_eq!(block.mark.line, 7);
    assert_eq!(at(node.get("ü").unwrap()), (9, 4, 2));
    let slice = text
        .get(block.mark.start as usize..block.mark.end as usize)
        .unwrap();
    assert!(
        slice.contains("first") && slice.contains("second"),
        "{slice:?}"
    );
}

#[test]
fn bad_files_have_one_clear_complaint() {
    let deep = format!("a: {}", "[".repeat(300));
    let deep_block: String = (0..200)
        .flat_map(|level| [" ".repeat(level), "a:\n".to_owned()])
        .collect();
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            let repeated = vec![format!("*a{before}"); 10].join(", ");
            text = format!("{text}a{level}: &a{level} [{repeated}]\n");
        }
        text
    };
    for (text, code, part) in [
        ("", "P005", "empty"),
        ("# only a comment\n", "P005", "empty"),
        ("a: 1\n\tb: 2\n", "P002", "tab"),
        (deep.as_str(), "P004", "nested"),
        (deep_block.as_str(), "P004", "nested"),
        (bomb.as_str(), "P004", "values"),
        ("a: *nothing\n", "P002", "no anchor `&nothing`"),
        ("a: 1\n---\nb: 2\n", "P002", "second document"),
        ("a: [1, 2\nb: 3\n", "P002", ""),
        ("a: 'x\n", "P002", ""),
        ("a: &a [*a]\n", "P004", ""),
        ("a: !python/object x\n", "P002", "tag"),
    ] {
        let (_, complaints) = read(text);
        assert_eq!(complaints.len(), 1, "{text:.60}: {complaints:?}");
        assert!(
            complaints[0].starts_with(code) && complaints[0].contains(part),
            "{text:.60}: {complaints:?}"
        );
    }
}

#[test]
fn duplicate_keys_are_all_named() {
    let (_, complaints) = read("a: 1\nb: 2\na: 3\nb: 4\nc: {x: 1, x: 2}\n");
    assert_eq!(complaints.len(), 3, "{complaints:?}");
    assert!(
        complaints[0].starts_with("P003:3:1 the key `a` appears twice the first one is in line 1"),
        "{complaints:?}"
    );
}

#[test]
fn an_unquoted_expression_in_flow_says_so() {
    for text in [
        "with: {path: ${{ params.x }}}\n",
        "with: {path: ${{ params.x }}, b: 1}\n",
        "a: {b: {{ x }}}\n",
    ] {
        let (_, complaints) = read(text);
        assert!(
            complaints
                .iter()
                .any(|complaint| complaint.contains("quotes")),
            "{text}: {complaints:?}"
        );
    }
}
