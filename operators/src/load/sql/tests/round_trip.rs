//! Every type of Postgres, out and in again.

use super::*;

/// One column of each type that people use: its name, its type, and values of it.
const COLUMNS: &[(&str, &str, [&str; 3])] = &[
    ("small", "smallint", ["-32768", "0", "32767"]),
    ("medium", "integer", ["-2147483648", "0", "2147483647"]),
    (
        "large",
        "bigint",
        ["-9223372036854775808", "0", "9223372036854775807"],
    ),
    ("real", "real", ["0.1", "'-infinity'", "'nan'"]),
    ("double", "double precision", ["0.1", "1e300", "'nan'"]),
    (
        "number",
        "numeric",
        ["0.00000000000000000000000000000000001", "-7", "123.4500"],
    ),
    ("price", "numeric(12, 3)", ["-999999999.999", "0", "1.5"]),
    ("truth", "boolean", ["true", "false", "true"]),
    (
        "words",
        "text",
        [
            "''",
            "'it''s \"ü\" \\ 🦀'",
            "'a longer text than twelve letters'",
        ],
    ),
    ("short", "varchar(10)", ["'ü'", "''", "'ten chars.'"]),
    ("padded", "char(5)", ["'a'", "''", "'abcde'"]),
    (
        "day",
        "date",
        ["'0001-01-01'", "'1969-12-31'", "'9999-12-31'"],
    ),
    (
        "clock",
        "time",
        ["'00:00'", "'12:30:00.000001'", "'23:59:59.999999'"],
    ),
    (
        "moment",
        "timestamp",
        [
            "'0001-01-01'",
            "'1999-12-31 23:59:59.999999'",
            "'9999-12-31'",
        ],
    ),
    (
        "instant",
        "timestamptz",
        ["'0001-01-01'", "'2026-03-29 02:30+01'", "'9999-12-31'"],
    ),
    (
        "span",
        "interval",
        ["'-3 hours'", "'1 day 00:00:00.000001'", "'1000 days'"],
    ),
    (
        "id",
        "uuid",
        [
            "'00000000-0000-0000-0000-000000000000'",
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            "null",
        ],
    ),
    (
        "doc",
        "json",
        ["'{\"b\":  1, \"a\": [null]}'", "'3'", "'null'"],
    ),
    (
        "tree",
        "jsonb",
        ["'{\"b\":  1, \"a\": [null]}'", "'3'", "'null'"],
    ),
    ("bytes", "bytea", ["'\\x00ff'", "''", "'abc'"]),
    ("feeling", "mood", ["'sad'", "'happy'", "null"]),
    ("amount", "positive", ["1", "7", "2147483647"]),
    (
        "smalls",
        "smallint[]",
        ["'{}'", "'{1,null,-3}'", "'{null}'"],
    ),
    (
        "mediums",
        "integer[]",
        ["'{}'", "'{1,null,-3}'", "'{null}'"],
    ),
    (
        "larges",
        "bigint[]",
        ["'{}'", "'{1,null,-3}'", "'{9223372036854775807}'"],
    ),
    ("reals", "real[]", ["'{}'", "'{0.1,null}'", "'{nan}'"]),
    (
        "doubles",
        "double precision[]",
        ["'{}'", "'{0.1,null}'", "'{1e300}'"],
    ),
    (
        "numbers",
        "numeric[]",
        ["'{}'", "'{0.10,null}'", "'{12345.678}'"],
    ),
    (
        "truths",
        "boolean[]",
        ["'{}'", "'{true,null,false}'", "'{false}'"],
    ),
    (
        "texts",
        "text[]",
        ["'{}'", "'{\"a,b\",null,\"\",\"null\"}'", "'{ü}'"],
    ),
    (
        "days",
        "date[]",
        ["'{}'", "'{2026-03-01,null}'", "'{1900-01-01}'"],
    ),
    (
        "instants",
        "timestamptz[]",
        ["'{}'", "'{2026-03-01 12:00:00.5+01,null}'", "null"],
    ),
    (
        "ids",
        "uuid[]",
        [
            "'{}'",
            "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,null}'",
            "null",
        ],
    ),
    (
        "feelings",
        "mood[]",
        ["'{}'", "'{sad,null}'", "'{happy,happy}'"],
    ),
];

/// Types that come and go as text.
const BY_TEXT: &[(&str, &str, [&str; 3])] = &[
    ("address", "inet", ["'10.0.0.1'", "'::1/64'", "null"]),
    ("range", "int4range", ["'[1,5)'", "'empty'", "null"]),
    ("place", "point", ["'(1,2)'", "'(0.1,-3)'", "null"]),
    ("zoned", "timetz", ["'12:00+01'", "'00:00+00'", "null"]),
    ("bits", "bit varying(8)", ["'101'", "''", "null"]),
    ("nets", "cidr[]", ["'{}'", "'{10.0.0.0/8,null}'", "null"]),
];

/// A table of these columns: a row of each value, and one of nulls.
async fn table_of(project: &TestProject, columns: &[&(&str, &str, [&str; 3])]) {
    let declared: Vec<_> = columns
        .iter()
        .map(|(name, of, _)| format!("\"{name}\" {of}"))
        .collect();
    let row = |values: Vec<&str>| format!("({})", values.join(", "));
    let mut rows: Vec<_> = (0..3)
        .map(|number| row(columns.iter().map(|(.., values)| values[number]).collect()))
        .collect();
    rows.push(row(vec!["null"; columns.len()]));
    let sql = format!(
        "create type mood as enum ('sad', 'happy'); create domain positive as integer check (value > 0); \
         create table source ({}); insert into source values {}; create table target (like source)",
        declared.join(", "),
        rows.join(", ")
    );
    execute(&project.context(), &sql).await;
}

#[tokio::test]
async fn every_type_of_postgres_goes_through_a_frame_and_back() {
    let all: Vec<_> = COLUMNS.iter().chain(BY_TEXT).collect();
    for columns in [COLUMNS.iter().collect(), all] {
        let [_, project] = projects();
        table_of(&project, &columns).await;
        let settings = json!({"connection": "warehouse", "table": "source"});
        let output = Box::pin(run_in::<extract::sql::Sql>(&project.context(), settings)).await;
        let read = frame(&output.unwrap());
        assert_eq!((read.height(), read.width()), (4, columns.len()));
        for column in read.columns() {
            assert!(column.get(3).unwrap().is_null(), "{column:?}");
        }
        for (run, settings) in [
            json!({"table": "target", "create": false}),
            json!({"table": "made"}),
        ]
        .into_iter()
        .enumerate()
        {
            let context = another_run(&project, read.clone(), i64::try_from(run).unwrap());
            load(&context, settings).await.unwrap();
        }
        for (name, of, _) in &columns {
            // These have no equality.
            let cast = if matches!(*of, "json" | "point") {
                "::text"
            } else {
                ""
            };
            let sql = format!(
                "select count(*) from (select s.\"{name}\"{cast} from source s \
                 except all select t.\"{name}\"{cast} from target t) as lost having count(*) > 0"
            );
            let lost = query(&project, &sql, json!([])).await.unwrap();
            assert_eq!(lost.height(), 0, "{name}: {lost:?}");
        }
        let again = query(&project, "select * from made", json!([]))
            .await
            .unwrap();
        assert!(again.equals_missing(&read), "{again:?} {read:?}");
        assert_eq!(again.schema(), read.schema());
    }
}

#[test]
fn the_documentation_lists_every_type() {
    let text = include_str!("../../../../../docs/databases.md");
    let (_, types) = text.split_once("## Types").unwrap();
    let rows = types.lines().filter_map(|line| line.strip_prefix("| "));
    let named: Vec<_> = rows
        .filter_map(|row| row.split(" |").next())
        .flat_map(|names| names.split('`').skip(1).step_by(2))
        .collect();
    for (name, of, _) in COLUMNS {
        let of = of.trim_end_matches("[]").split('(').next().unwrap();
        if !["mood", "positive"].contains(&of) {
            assert!(named.contains(&of), "{name}: {of} is not in {named:?}");
        }
    }
    for row in [
        "| enumerations |",
        "| domains |",
        "| arrays of all these",
        "| all others",
    ] {
        assert!(types.contains(row), "{row}");
    }
}

#[tokio::test]
async fn what_columns_do_not_hold_is_named_by_row() {
    let [_, project] = projects();
    for (value, message) in [
        (
            "'infinity'::timestamptz",
            "row 2 of the query: `v` is the moment `infinity`",
        ),
        (
            "'-infinity'::date",
            "row 2 of the query: `v` is the date `infinity`",
        ),
        (
            "'nan'::numeric",
            "row 2 of the query: `v` is a numeric that is not finite or has more than 38 digits",
        ),
        (
            "1e50::numeric",
            "row 2 of the query: `v` is a numeric that is not finite or has more than 38 digits",
        ),
        (
            "'1 month'::interval",
            "row 2 of the query: `v` is an interval with months, whose length varies",
        ),
        (
            "'24:00'::time",
            "row 2 of the query: `v` is the time 24:00:00",
        ),
        (
            "array[[1,2],[3,4]]",
            "row 2 of the query: `v` is an array of more than one dimension",
        ),
    ] {
        let sql = format!("select v from (values (null), ({value})) as t (v)");
        let error = query(&project, &sql, json!([])).await.unwrap_err();
        assert_eq!(error.full_message(), message);
        let text = format!("select cast(v as text) from ({sql}) t");
        query(&project, &text, json!([])).await.unwrap();
    }
    let twice = query(&project, "select 1 as a, 2 as a", json!([]))
        .await
        .unwrap_err();
    assert_eq!(twice.message, "the query has two columns `a`");
    let explained = query(&project, "explain select 1", json!([]))
        .await
        .unwrap();
    assert!(explained.height() > 0);
}
