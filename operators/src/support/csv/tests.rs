//! Files by table; random ones are beside it.

mod random;

use std::{fmt::Write as _, ops::ControlFlow, path::PathBuf};

use pipectl_engine::operator::testing::TestProject;
use polars::prelude::*;

use super::*;

const COMMA: Dialect = Dialect {
    delimiter: b',',
    quote: Some(b'"'),
};

/// A file that is removed in the end.
struct Written {
    _project: TestProject,
    path: PathBuf,
}

impl Written {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let project = TestProject::new();
        project.write("a.csv", content);
        Self {
            path: project.root().join("a.csv"),
            _project: project,
        }
    }

    fn layout(&self, dialect: Dialect, header: bool, size: usize) -> Result<Layout, Flaw> {
        Layout::in_pieces(&self.path, dialect, header, size, &|| false).unwrap()
    }

    fn reader(&self, layout: &Layout, dialect: Dialect, types: Schema) -> std::sync::Arc<Reader> {
        let writing = Writing {
            dialect,
            missing: Vec::new(),
            decimal_comma: false,
        };
        Reader::new(&self.path, layout, writing, types.into()).into()
    }

    /// The records as texts, by the slow way.
    fn records(&self, dialect: Dialect) -> Vec<Vec<Cell<'static>>> {
        let mut records = Vec::new();
        each_record(&self.path, dialect, |line| {
            let owned = |cell: Cell<'_>| Cell {
                text: cell.text.into_owned().into(),
                ..cell
            };
            records.push(cells(line.text, dialect).into_iter().map(owned).collect());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        records
    }
}

fn texts(columns: usize) -> Schema {
    let column = |number| Field::new(format!("c{number}").into(), DataType::String);
    (0..columns).map(column).collect()
}

#[test]
fn records_are_counted_as_they_are_quoted() {
    for (text, fields, records) in [
        ("", 0, 0),
        ("\n \n", 0, 0),
        ("a", 1, 0),
        ("a\n\n1\n", 1, 2),
        ("a,b\n1,2\n", 2, 1),
        ("a,b\r\n1,2\r\n\r\n", 2, 1),
        ("\u{feff}a,b\n1,2", 2, 1),
        ("a,b\n\"1,\n2\",3\n", 2, 1),
        ("a,b\n\"say \"\"hi\"\"\",3\n\n", 2, 1),
        ("a,b\n5\" pipe,3\n", 2, 1),
        ("a,b\n,\n", 2, 1),
        ("\"a\nb\",c\n1,2\n3,4", 2, 2),
    ] {
        for size in [1, 5, 1000] {
            let found = Written::new(text).layout(COMMA, true, size).unwrap();
            assert_eq!((found.fields, found.records), (fields, records), "{text:?}");
        }
    }
}

#[test]
fn flaws_have_a_line() {
    let ragged = |line, found| Flaw::Ragged {
        line,
        expected: 2,
        found,
    };
    let latin = Flaw::Encoding {
        line: 2,
        byte: 2,
        found: 0xfc,
    };
    for (text, expected) in [
        (&b"a,b\n1,2\n3\n"[..], ragged(3, 1)),
        (b"a,b\n1,2,3\n", ragged(2, 3)),
        (b"a,b\n1,2\n\n\n3", ragged(5, 1)),
        (b"a,b\n\"x\n\ny\",2\n3\n", ragged(5, 1)),
        (b"a,b\n1,2\n\"open,3\n4,5\n", Flaw::Unclosed { line: 3 }),
        (
            b"a,b\n1,\"x\ny\"\nz,\"open\n4,5",
            Flaw::Unclosed { line: 4 },
        ),
        (b"\"a,b\n1,2\n", Flaw::Unclosed { line: 1 }),
        (b"name\nM\xfcller\n", latin.clone()),
        (b"name\nM\xfcller,\"x", latin),
    ] {
        for size in [1, 1000] {
            let shown = String::from_utf8_lossy(text);
            let file = Written::new(text);
            let found: Result<(), Flaw> = file.layout(COMMA, true, size).and_then(|layout| {
                match file.reader(&layout, COMMA, texts(2)).frame() {
                    Err(Failure::Shape(flaw)) => Err(flaw),
                    other => panic!("{shown}: {other:?}"),
                }
            });
            assert_eq!(found.err(), Some(expected.clone()), "{shown}");
        }
    }
}

#[test]
fn a_file_is_looked_at_in_parts_as_in_one() {
    let mut text = String::from("\u{feff}a,b\n");
    for row in 0..600_000 {
        writeln!(text, "{row},some text").unwrap();
    }
    let quoted = text.clone() + "\"x\ny\",1\n" + "1,2\n";
    let latin = [quoted.as_bytes(), b"\xfc,1\n"].concat();
    let long = format!("a,b\n1,{}", "x".repeat(LONGEST + 10));
    for (content, expected) in [
        (text.as_bytes(), Ok(600_000)),
        (quoted.as_bytes(), Ok(600_002)),
        (
            &latin,
            Err(Flaw::Encoding {
                line: 600_005,
                byte: 1,
                found: 0xfc,
            }),
        ),
        (long.as_bytes(), Err(Flaw::TooLong { line: 2 })),
    ] {
        let file = Written::new(content);
        let layout = file.layout(COMMA, true, 1 << 20);
        let records = layout.as_ref().map(|layout| layout.records);
        assert_eq!(records.map_err(Clone::clone), expected);
        if let Ok(layout) = layout {
            let frame = file.reader(&layout, COMMA, texts(2)).frame().unwrap();
            assert_eq!(frame.height() as u64, layout.records);
        }
    }
}

#[test]
fn the_first_wrong_value_is_found() {
    let mut text = String::from("n,d\n");
    for row in 0..1000 {
        writeln!(text, "{row},2026-03-01").unwrap();
    }
    text += "x,2026-03-01\n\n1,soon\n1,2,3\n";
    let file = Written::new(&text);
    let layout = file.layout(COMMA, true, 100).unwrap();
    let types = Schema::from_iter([
        Field::new("n".into(), DataType::Int64),
        Field::new("d".into(), DataType::Date),
    ]);
    let reader = file.reader(&layout, COMMA, types);
    assert!(reader.frame().is_err());
    match reader.first_failure() {
        Some(Failure::Value {
            row: 1001,
            column: 0,
            text,
            quotes: false,
        }) => assert_eq!(text, "x"),
        other => panic!("{other:?}"),
    }
    let error = reader.plan().unwrap().collect().unwrap_err();
    assert!(
        error.to_string().contains("is not what its column is"),
        "{error}"
    );
}

#[test]
fn quotes_that_end_too_early_are_no_text() {
    let file = Written::new("a,b\n\"x\"y,1\n");
    let layout = file.layout(COMMA, true, 100).unwrap();
    match file.reader(&layout, COMMA, texts(2)).frame() {
        Err(Failure::Value { text, quotes, .. }) => assert_eq!((&*text, quotes), ("\"x\"y", true)),
        other => panic!("{other:?}"),
    }
}

/// Plans of two files that look alike, and are not.
fn twins() -> (Written, Written, LazyFrame, LazyFrame) {
    let file = |factor: i64| {
        let mut text = String::from("id,value,name\n");
        for row in 0..500 {
            writeln!(text, "{row},{},n{row}", row * factor).unwrap();
        }
        let file = Written::new(text);
        let layout = file.layout(COMMA, true, 64).unwrap();
        let types = Schema::from_iter([
            Field::new("id".into(), DataType::Int64),
            Field::new("value".into(), DataType::Int64),
            Field::new("name".into(), DataType::String),
        ]);
        let plan = file.reader(&layout, COMMA, types).plan().unwrap();
        (file, plan)
    };
    let ((one, first), (other, second)) = (file(1), file(10));
    (one, other, first, second)
}

#[test]
fn a_plan_gives_what_is_asked_for() {
    let (_one, _other, first, second) = twins();
    for engine in [Engine::Streaming, Engine::InMemory] {
        let collect = |plan: LazyFrame| plan.collect_with_engine(engine).unwrap().unwrap_single();
        let all = collect(first.clone());
        let ids: Vec<Option<i64>> = (0..500).map(Some).collect();
        assert_eq!(all.shape(), (500, 3));
        assert_eq!(all.column("id").unwrap().i64().unwrap().to_vec(), ids);
        let some = collect(first.clone().select([col("value"), col("id")]));
        assert_eq!(some.get_column_names(), ["value", "id"]);
        assert_eq!(some.column("value").unwrap().i64().unwrap().to_vec(), ids);
        for counted in [
            first.clone().select([len().alias("n")]),
            first
                .clone()
                .filter(col("id").lt(lit(500)))
                .select([len().alias("n")]),
            first.clone().select([lit(1).alias("n").sum(), len()]),
        ] {
            let counted = collect(counted);
            let last = counted.columns().last().unwrap();
            assert_eq!(last.u32().unwrap().get(0), Some(500), "{counted}");
        }
        let few = collect(first.clone().slice(100, 7).select([col("name")]));
        assert_eq!(
            few.column("name").unwrap().str().unwrap().get(0),
            Some("n100")
        );
        assert_eq!(few.height(), 7);
        let joined = first.clone().join(
            second.clone(),
            [col("id")],
            [col("id")],
            JoinArgs::new(JoinType::Inner),
        );
        let sums = [col("value").sum(), col("value_right").sum()];
        let sums = collect(joined.select(sums));
        let expected = df!["value" => [124_750_i64], "value_right" => [1_247_500_i64]].unwrap();
        assert!(sums.equals(&expected), "{sums}");
        let both = concat(
            [first.clone(), second.clone(), first.clone()],
            UnionArgs::default(),
        );
        let sum = collect(both.unwrap().select([col("value").sum()]));
        assert_eq!(
            sum.column("value").unwrap().i64().unwrap().get(0),
            Some(1_497_000)
        );
    }
}
