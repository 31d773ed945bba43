//! How long queries may be.

use pipectl_engine::operator::{SqlText, TaskError};
use polars::prelude::{DataFrame, IntoLazy, df};

use crate::support::polars_sql::{check_condition, check_query, condition_on, filtered, plan};

fn joined(count: usize, between: &str, term: impl Fn(usize) -> String) -> String {
    (0..count).map(term).collect::<Vec<_>>().join(between)
}

fn text(sql: String) -> SqlText {
    SqlText {
        sql,
        values: Vec::new(),
    }
}

fn run(sql: String) -> Result<DataFrame, TaskError> {
    let t = df!["v" => [Some(1_i64), Some(2), None], "w" => ["a", "o'h", ""]].unwrap();
    let plan = plan(&text(sql), vec![("t".to_owned(), t.lazy())])?;
    Ok(plan.collect().unwrap())
}

/// Queries of so many terms, with how many rows they give.
fn queries(count: usize) -> [(String, usize); 7] {
    let ors = joined(count, " or ", |term| format!("v = {}", term + 2));
    let ands = joined(count, " and ", |term| format!("v <> {}", term + 2));
    let texts = joined(count, " || ", |_| "w".to_owned());
    let all = joined(count, " union all ", |_| "select v from t".to_owned());
    let named = joined(count, " union all ", |_| "select v from u".to_owned());
    let distinct = joined(count, " union ", |_| "select v from t".to_owned());
    [
        (format!("select v from t where {ors}"), 1),
        (format!("select v from t where {ands}"), 1),
        (format!("select {ands} as x, {ors} as y from t"), 3),
        (format!("select {texts} as x from t where w <> 'it''s'"), 3),
        (all.clone(), 3 * count),
        (
            format!("with u as (select v from t where v > 1) {named} order by v"),
            count,
        ),
        (distinct, 3),
    ]
}

#[test]
fn long_chains_are_understood() {
    for count in [500, 2_000] {
        for (sql, rows) in queries(count) {
            let start = sql.get(..30).unwrap().to_owned();
            let inputs = ["t".to_owned()];
            assert_eq!(check_query(&sql, Some(&inputs)), Ok(()), "{start}");
            let found = run(sql).unwrap_or_else(|error| panic!("{start}: {error}"));
            assert_eq!(found.height(), rows, "{count} of {start}");
        }
    }
    let texts = joined(500, " || ", |term| match term {
        0 => "w".to_owned(),
        _ => format!("'{}'''", term % 10),
    });
    let frame = run(format!("select {texts} as x from t")).unwrap();
    let column = frame.column("x").unwrap().str().unwrap().clone();
    let cell = column.get(0).unwrap();
    assert!(cell.starts_with("a1'2'3'") && cell.len() == 999, "{cell}");
}

#[test]
fn what_is_too_large_is_refused_with_its_size() {
    let expected = [
        (
            "the query has 50,000 terms with `or` between them, and at most 10,000 are understood",
            "v in (1, 2, 3)",
        ),
        (
            "the query has 50,000 terms with `and` between them",
            "not in",
        ),
        (
            "the query has 50,000 terms with `and` between them",
            "not in",
        ),
        (
            "the query has 50,000 terms with `||` between them",
            "several tasks",
        ),
        (
            "the query puts 50,000 queries together by `union` and its like, and at most 10,000",
            "several tasks",
        ),
        ("the query puts 50,000 queries together", "several tasks"),
        ("the query puts 50,000 queries together", "several tasks"),
    ];
    for ((sql, _), (message, hint)) in queries(50_000).into_iter().zip(expected) {
        let flaw = check_query(&sql, None).unwrap_err();
        assert!(flaw.message.starts_with(message), "{}", flaw.message);
        assert!(flaw.hint.unwrap_or_default().contains(hint), "{message}");
        assert!(run(sql).is_err());
    }
    for (between, count, message) in [
        (
            "+",
            5_000,
            "the query has an expression that is 5,000 levels deep",
        ),
        (
            "+",
            50_000,
            "the query has an expression that is 50,000 levels deep",
        ),
        (
            "*v||",
            50_000,
            "the query has an expression that is 99,999 levels deep",
        ),
    ] {
        let sql = format!("select {} as x", joined(count, between, |_| "v".to_owned()));
        let flaw = check_query(&sql, None).unwrap_err();
        assert!(flaw.message.starts_with(message), "{}", flaw.message);
        assert!(run(sql).is_err());
    }
    let pair = " union all select v from t union select v from t";
    let alternately = format!("select v from t{}", pair.repeat(1_000));
    let flaw = check_query(&alternately, None).unwrap_err();
    assert_eq!(
        flaw.message,
        "the query puts 2,001 queries together by `union` and its like, and at most 1,000 are understood"
    );
    let nulls = format!("select v{} as x from t", " is null".repeat(50_000));
    assert!(check_query(&nulls, None).is_err());
    let joins = joined(600, " ", |term| {
        format!("join t as t{term} on t.v = t{term}.v")
    });
    let flaw = check_query(&format!("select t.v from t {joins}"), None).unwrap_err();
    assert_eq!(
        flaw.message,
        "the query joins 601 tables, and at most 400 go together"
    );
}

#[test]
fn sums_and_joins_are_as_deep_as_they_may_be() {
    for count in (100..900).step_by(50) {
        let sum = joined(count, "+", |_| "v".to_owned());
        assert!(run(format!("select {sum} as x from t")).is_ok(), "{count}");
    }
    let sum = joined(900, "+", |_| "v".to_owned());
    let frame = run(format!("select {sum} as x from t where {sum} > 1000")).unwrap();
    assert_eq!(frame.column("x").unwrap().i64().unwrap().get(0), Some(1800));
    let joins = joined(390, " ", |term| {
        format!("join t as t{term} on t.v = t{term}.v")
    });
    assert_eq!(
        run(format!("select t.v from t {joins}")).unwrap().height(),
        2
    );
}

#[test]
fn long_conditions_filter_and_prune() {
    let ands = text(joined(3_000, " and ", |term| format!("v <> {}", term + 2)));
    let frame = df!["v" => [1_i64, 2, 5_000]].unwrap().lazy();
    let rows = filtered(frame, &ands).unwrap().collect().unwrap();
    assert_eq!(rows.height(), 2);
    assert!(condition_on(&ands, &["v"]).unwrap().is_some());
    let sum = text(joined(50_000, "+", |_| "v".to_owned()));
    assert!(check_condition(&sum).is_err());
}
