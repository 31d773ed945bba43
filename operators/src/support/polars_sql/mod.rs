//! SQL over datasets, by polars.

mod bind;
mod cases;
mod condition;
mod explain;
mod functions;
mod grouping;
mod literals;
mod parse;
mod refused;
mod size;
mod unions;
mod widen;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pipectl_engine::operator::{SqlText, TaskError};
use polars::{
    prelude::{LazyFrame, PolarsError},
    sql::SQLContext,
};
use sqlparser::ast::Statement;

use self::{
    bind::bind,
    explain::{at, check_numbers, explain, text_for_a_number},
    parse::tables,
    size::with_room,
};
pub(crate) use self::{
    condition::{check_condition, condition_on, filtered},
    explain::Columns,
    parse::{Flaw, parse, parse_expression},
};
use super::{
    frame::{polars_error, root},
    order,
    text::hint_for_name,
};

/// The plan of a query over `tables`. Its rows come in the same order whenever the tables' rows do.
///
/// # Errors
/// When the query cannot be read, or names a table or a column that does not exist.
pub(crate) fn plan(
    text: &SqlText,
    inputs: Vec<(String, LazyFrame)>,
) -> Result<LazyFrame, TaskError> {
    plan_at(text, inputs, 0)
}

/// As [`plan`], for a query whose first `offset` characters are ours and not the user's.
///
/// # Errors
/// As [`plan`].
pub(crate) fn plan_at(
    text: &SqlText,
    inputs: Vec<(String, LazyFrame)>,
    offset: u64,
) -> Result<LazyFrame, TaskError> {
    planned(text, inputs, offset, true)
}

/// The columns of tables, by which [`explained`] finds words.
///
/// # Errors
/// When a table cannot be read.
pub(crate) fn columns_of(tables: &mut [(String, LazyFrame)]) -> Result<Columns, TaskError> {
    tables
        .iter_mut()
        .map(|(name, frame)| {
            let schema = frame
                .collect_schema()
                .map_err(|error| polars_error(&format!("read `{name}`"), &error))?;
            Ok((name.clone(), schema))
        })
        .collect()
}

/// Better words for what a query met only when it ran: text where it wants a number.
pub(crate) fn explained(sql: &str, columns: &Columns, error: &PolarsError) -> Option<TaskError> {
    text_for_a_number(sql, 0, columns, &root(error).to_string())
}

/// What is wrong with a query, without data: that of a task which reads the datasets `inputs`, when they are known.
///
/// # Errors
/// When it cannot be read, or names a table that the task does not read.
pub(crate) fn check_query(sql: &str, inputs: Option<&[String]>) -> Result<(), Flaw> {
    let statement = parse(sql)?;
    functions::known(&statement, sql, 0)?;
    inputs.map_or(Ok(()), |known| only_known(&statement, sql, 0, known))
}

fn only_known(statement: &Statement, sql: &str, offset: u64, known: &[String]) -> Result<(), Flaw> {
    let read = tables(statement);
    let Some(table) = read.iter().find(|table| !known.contains(table)) else {
        return Ok(());
    };
    let message = format!("{}there is no table `{table}`", at(sql, table, offset));
    let known = known.iter().map(String::as_str);
    Err(Flaw::new(message).hint(hint_for_name(table, "the task reads", known)))
}

/// As [`plan_at`]; `wide`: whole numbers have 64 bits, whatever their columns have.
fn planned(
    text: &SqlText,
    inputs: Vec<(String, LazyFrame)>,
    offset: u64,
    wide: bool,
) -> Result<LazyFrame, TaskError> {
    with_room(text.sql.len(), || lowered(text, inputs, offset, wide))
}

fn lowered(
    text: &SqlText,
    inputs: Vec<(String, LazyFrame)>,
    offset: u64,
    wide: bool,
) -> Result<LazyFrame, TaskError> {
    let statement = parse(&text.sql)?;
    let known: Vec<_> = inputs.iter().map(|(name, _)| name.clone()).collect();
    only_known(&statement, &text.sql, offset, &known)?;
    let mut columns = Vec::new();
    let mut context = SQLContext::new();
    for (name, mut frame) in inputs {
        let schema = frame
            .collect_schema()
            .map_err(|error| polars_error(&format!("read `{name}`"), &error))?;
        if wide {
            frame = widen::columns(frame, &schema);
        }
        columns.push((name.clone(), schema));
        context.register(&name, frame);
    }
    check_numbers(
        &functions::of_numbers(&statement),
        &text.sql,
        offset,
        &columns,
    )?;
    let mut bound = bind(text)?;
    if wide {
        bound = widen::calls(&bound)?;
    }
    let plan = move || {
        let mut plan = order::kept(context.execute(&bound)?);
        plan.collect_schema()?;
        Ok(plan)
    };
    let planned = catch_unwind(AssertUnwindSafe(plan)).map_err(|_| not_planned())?;
    planned.map_err(|error| explain(&text.sql, offset, &columns, &error))
}

/// polars gives up on some things in the middle, without a word that would help.
fn not_planned() -> TaskError {
    TaskError::user("the query has something in it that polars cannot compute")
        .hint("take parts of it away until it runs, to find the one; `pipectl docs sql` lists what is understood")
}

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, IntoLazy, df};
    use serde_json::{Value as Json, json};

    use super::*;

    fn text(sql: &str, values: &[Json]) -> SqlText {
        SqlText {
            sql: sql.to_owned(),
            values: values.to_vec(),
        }
    }

    fn people() -> DataFrame {
        df!["name" => ["ada", "bob", "o'hara"], "age" => [36, 41, 29], "height" => [1.7, 1.8, 1.6]]
            .unwrap()
    }

    fn run(sql: &str, values: &[Json]) -> Result<DataFrame, TaskError> {
        let mut tables = vec![("people".to_owned(), people().lazy())];
        let columns = columns_of(&mut tables)?;
        let plan = plan(&text(sql, values), tables)?;
        plan.collect().map_err(|error| {
            explained(sql, &columns, &error)
                .unwrap_or_else(|| polars_error("run the query", &error))
        })
    }

    #[test]
    fn a_column_of_many_values_is_not_chosen_from() {
        let sql = "select name, age, count(*) as n from people group by name";
        let error = run(sql, &[]).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.hint.as_deref()),
            (
                "line 1, column 14 of the query: `age` has many values in a group, and none of them is chosen",
                Some(
                    "write it behind `group by` too, or take one of them, as in `max(age) as age`"
                )
            )
        );
    }

    #[test]
    fn values_are_bound_whatever_they_contain() {
        let nasty = [
            "ada",
            "o'hara",
            "o''hara",
            "''",
            "'",
            "\\",
            "\\'",
            "\\' or 1=1 --",
            "$v$",
            "$v",
            "a$vv$b$",
            "$1",
            "",
            "line\nbreak",
            "'; drop table people; --",
            "ünïcödé 🦀",
            "/* */",
            "\\\\'",
            "a'b\\'c''d\"e",
        ];
        for value in nasty {
            let frame = run("select $1 as v, name from people limit 1", &[json!(value)]).unwrap();
            assert_eq!(
                frame.column("v").unwrap().str().unwrap().get(0),
                Some(value),
                "{value}"
            );
        }
        assert_eq!(
            run("select * from people where name = $1", &[json!("o'hara")])
                .unwrap()
                .height(),
            1
        );
        assert_eq!(
            run(
                "select * from people where name = $1",
                &[json!("x' or '1'='1")]
            )
            .unwrap()
            .height(),
            0
        );
    }

    #[test]
    fn own_strings_survive_beside_bound_ones() {
        let frame = run(
            "select 'it''s' as a, 'a''''b' as b, 'c\\' as c, $1 as d from people limit 1",
            &[json!(1)],
        );
        let frame = frame.unwrap();
        let cell = |name: &str| {
            frame
                .column(name)
                .unwrap()
                .str()
                .unwrap()
                .get(0)
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            (cell("a"), cell("b"), cell("c")),
            ("it's".into(), "a''b".into(), "c\\".into())
        );
    }

    #[test]
    fn numbers_null_booleans_and_lists_are_bound() {
        for (sql, value, rows) in [
            ("select * from people where age > $1", json!(36), 1),
            ("select * from people where age > $1", json!(-1), 3),
            ("select * from people where 50-$1 > age", json!(-1), 3),
            ("select * from people where height < $1", json!(1.75), 2),
            ("select * from people where height > $1", json!(1e-7), 3),
            ("select * from people where height < $1", json!(1e300), 3),
            ("select * from people where age = $1", json!(null), 0),
            ("select * from people where $1", json!(true), 3),
            (
                "select * from people where name in ($1)",
                json!(["ada", "o'hara"]),
                2,
            ),
            ("select * from people limit $1", json!(2), 2),
        ] {
            assert_eq!(
                run(sql, std::slice::from_ref(&value)).unwrap().height(),
                rows,
                "{sql} with {value}"
            );
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let cases = [
            (
                "select * frm people",
                "line 1, column 10 of the query: expected",
                "",
            ),
            (
                "select *\nfrom poeple",
                "line 2, column 6 of the query: there is no table `poeple`",
                "did you mean `people`?",
            ),
            (
                "select name,\n  aeg from people",
                "line 2, column 3 of the query: there is no column `aeg`",
                "did you mean `age`?",
            ),
            (
                "select p.aeg from people p",
                "there is no column `aeg`",
                "did you mean `age`?",
            ),
            (
                "select * from people where nam = 'x'",
                "there is no column `nam`",
                "did you mean `name`?",
            ),
            ("", "the query is empty", "select"),
            ("drop table people", "`drop` is not a query", "select"),
            ("select 1; select 2", "more than one statement", "with"),
            (
                "select * from read_csv('/etc/passwd')",
                "`read_csv(…)` reads a file",
                "extract",
            ),
            (
                "select * from people where age > $2",
                "there is no value for `$2`",
                "${{",
            ),
            (
                "select 'open from people",
                "line 1, column 8 of the query: unterminated string literal",
                "",
            ),
            (
                "select name,\n  uper(name) from people",
                "line 2, column 3 of the query: there is no function `uper`",
                "did you mean `upper`?",
            ),
            (
                "select name, sum(age) from people group by name order by sum(age)",
                "line 1, column 58 of the query: `order by` behind a `group by` knows only what `select` names",
                "name the aggregate with `as`",
            ),
            (
                "select name, sum(age) as n from people group by name order by height",
                "there is no column `height`",
                "name the aggregate with `as`",
            ),
            (
                "select * from people p where exists (select 1 from people q where q.age > p.age)",
                "the query has `exists (…)`, which is not understood here",
                "a join says most such things",
            ),
            (
                "select * from people where (name, age) in (select name, age from people)",
                "the query has `(a, b) in (select …)`",
                "a join says most such things",
            ),
        ];
        for (sql, message, hint) in cases {
            let error = run(sql, &[json!(1)]).unwrap_err();
            assert!(error.message.contains(message), "{sql}: {}", error.message);
            assert!(
                error.hint.clone().unwrap_or_default().contains(hint),
                "{sql}: {:?}",
                error.hint
            );
        }
    }

    #[test]
    fn text_where_a_number_is_meant_is_named() {
        for (sql, message) in [
            (
                "select * from people where name >= 5",
                "cannot run the query: line 1, column 28 of the query: it compares text with a number",
            ),
            (
                "select age, sum(name) as n from people group by age",
                "cannot run the query: line 1, column 17 of the query: there is no `sum` of text",
            ),
            (
                "select avg(name) as n from people",
                "cannot run the query: line 1, column 12 of the query: there is no `avg` of text",
            ),
            (
                "select age, avg(name) as n from people group by age",
                "cannot run the query: line 1, column 17 of the query: there is no `avg` of text",
            ),
            (
                "select people.age, Median(people.name) over (partition by age) as n from people",
                "cannot run the query: line 1, column 34 of the query: there is no `median` of text",
            ),
            (
                "select age from people where age > 1 and sqrt(name) > 2",
                "cannot run the query: line 1, column 47 of the query: there is no `sqrt` of text",
            ),
            (
                "select name * 2 as n from people",
                "cannot run the query: line 1, column 8 of the query: it calculates with text",
            ),
            (
                "select * from people where name in (1, 2)",
                "cannot run the query: line 1, column 28 of the query: it looks for numbers among texts, or for a text among numbers",
            ),
            (
                "select round(name, 1) as n from people",
                "cannot run the query: line 1, column 14 of the query: it rounds text",
            ),
        ] {
            let error = run(sql, &[]).unwrap_err();
            assert_eq!(error.message, message, "{sql}");
            let hint = error.hint.unwrap_or_default();
            assert!(
                hint.starts_with("`name` is text") && hint.contains("try_cast(name as double)"),
                "{hint}"
            );
        }
        // A text beside it is not meant.
        let error = run(
            "select name as who, sum(city) as n from (select name, name as city from people) group by name",
            &[],
        );
        let hint = error.unwrap_err().hint.unwrap_or_default();
        assert!(!hint.contains("city"), "{hint}");
        let own =
            "select avg(name) as n from (select age, age + 1 as name from people) group by age";
        assert_eq!(run(own, &[]).unwrap().width(), 1);
        let cast = run("select sum(try_cast(name as double)) as n from people", &[]);
        assert_eq!(cast.unwrap().height(), 1);
    }

    #[test]
    fn tables_of_a_with_clause_are_no_inputs() {
        let sql = "with old as (select * from people where age > 30) select o.* from old o join people p on o.name = p.name";
        assert_eq!(
            tables(&parse(sql).unwrap()).into_iter().collect::<Vec<_>>(),
            ["people"]
        );
        assert_eq!(run(sql, &[]).unwrap().height(), 2);
    }

    /// Some of the functions that polars names are behind features that are not built in.
    fn is_built_in(function: &str) -> bool {
        let unknown = format!("there is no function `{function}`");
        run(&format!("select {function}(name) as v from people"), &[])
            .err()
            .is_none_or(|error| !error.message.contains(&unknown))
    }

    /// What docs/sql.md says of the dialect.
    #[test]
    fn the_dialect_is_as_documented() {
        let page = include_str!("../../../../docs/sql.md");
        let words: std::collections::HashSet<&str> = page
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .collect();
        let unlisted: Vec<_> = polars::sql::keywords::all_functions()
            .into_iter()
            // Files are read by `extract`, and functions of bits are not built in.
            .filter(|name| !name.starts_with("read_") && !name.starts_with("bit_"))
            .filter(|name| *name != "columns")
            .filter(|name| words.contains(name) != is_built_in(name))
            .collect();
        assert_eq!(unlisted, Vec::<&str>::new());
        for (expression, expected) in [
            ("7 / 2", "3.5"),
            ("div(7, 2)", "3"),
            ("1 / 0", "inf"),
            ("-4 % 3", "2"),
            ("cast(date_part('month', date '2026-03-01') as int)", "3"),
            ("strftime(date '2026-03-01', '%Y-%m')", "2026-03"),
            ("strptime('01.03.2026', '%d.%m.%Y')", "2026-03-01 00:00:00"),
            (
                "strptime(strftime(date '2026-03-17', '%Y-%m-01'), '%Y-%m-%d')",
                "2026-03-01 00:00:00",
            ),
            (
                "cast(date '2026-03-01' + interval '1 day' as date)",
                "2026-03-02",
            ),
        ] {
            let sql = format!("select {expression} as v from people limit 1");
            let frame = run(&sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error}"));
            let value = frame.column("v").unwrap().get(0).unwrap();
            assert_eq!(value.str_value(), expected, "{expression}");
        }
        let rows = |sql: &str| run(sql, &[]).map(|frame| frame.height());
        for (sql, height) in [
            (
                "select name from people where age in (select max(age) from people)",
                1,
            ),
            ("select distinct age from people union select 1 as age", 4),
            (
                "select name, row_number() over (order by age) as n from people",
                3,
            ),
            (
                "select age > 30 as old, count(*) as n from people group by age > 30 having count(*) > 1",
                1,
            ),
        ] {
            assert_eq!(rows(sql).unwrap(), height, "{sql}");
        }
        for refused in [
            "select name from people where age = (select max(age) from people)",
            "select date_trunc('month', date '2026-03-01') from people",
            "select sum(age) over (order by age rows between 1 preceding and current row) from people",
        ] {
            let error = rows(refused).unwrap_err();
            assert!(error.full_message().len() < 300, "{error}");
        }
    }
}
