//! SQL over datasets, by polars.

mod bind;
mod condition;
mod parse;

use std::collections::BTreeSet;

use pipectl_engine::operator::{SqlText, TaskError};
use polars::{
    prelude::{LazyFrame, PlSmallStr, PolarsError},
    sql::SQLContext,
};

use self::{
    bind::bind,
    parse::{place_of, tables},
};
pub(crate) use self::{
    condition::{check_condition, condition_on, filtered},
    parse::{Flaw, parse, parse_expression},
};
use super::{
    frame::{polars_error, root},
    order,
    text::{hint_for_name, list},
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
    let statement = parse(&text.sql)?;
    let known: Vec<_> = inputs.iter().map(|(name, _)| name.clone()).collect();
    for table in tables(&statement) {
        if !known.contains(&table) {
            let known = known.iter().map(String::as_str);
            let message = format!(
                "{}there is no table `{table}`",
                at(&text.sql, &table, offset)
            );
            return Err(TaskError::user(message).hint(hint_for_name(
                &table,
                "the task reads",
                known,
            )));
        }
    }
    let mut columns = Vec::new();
    let mut context = SQLContext::new();
    for (name, mut frame) in inputs {
        let schema = frame
            .collect_schema()
            .map_err(|error| polars_error(&format!("read `{name}`"), &error))?;
        columns.push((name.clone(), schema));
        context.register(&name, frame);
    }
    let bound = bind(text)?;
    let planned = context
        .execute(&bound)
        .map(order::kept)
        .and_then(|mut plan| {
            plan.collect_schema()?;
            Ok(plan)
        });
    planned.map_err(|error| explain(&text.sql, offset, &columns, &error))
}

type Columns = Vec<(String, polars::prelude::SchemaRef)>;

/// polars' complaint about a query, with the place and what was probably meant.
fn explain(sql: &str, offset: u64, columns: &Columns, error: &PolarsError) -> TaskError {
    let text = root(error).to_string();
    let unknown_column = matches!(
        root(error),
        PolarsError::ColumnNotFound(_) | PolarsError::SchemaFieldNotFound(_)
    ) || text.contains("unable to find column")
        || text.contains("no column named");
    let Some(name) = unknown_column.then(|| quoted(&text)).flatten() else {
        return polars_error("run the query", error);
    };
    let read = tables_of(sql);
    let known: Vec<_> = columns
        .iter()
        .filter(|(table, _)| read.contains(table))
        .flat_map(|(_, schema)| schema.iter_names().map(PlSmallStr::as_str))
        .collect();
    let hint = if known.contains(&name) {
        format!(
            "it is not there at this point of the query; the columns are {}",
            list(known)
        )
    } else {
        hint_for_name(name, "the columns are", known)
    };
    TaskError::user(format!(
        "{}there is no column `{name}`",
        at(sql, name, offset)
    ))
    .hint(hint)
}

fn tables_of(sql: &str) -> BTreeSet<String> {
    parse(sql)
        .map(|statement| tables(&statement))
        .unwrap_or_default()
}

/// The first word in quotes of any kind.
fn quoted(text: &str) -> Option<&str> {
    let start = text.find(['"', '\'', '`'])?;
    let quote = text.get(start..)?.chars().next()?;
    let rest = text.get(start + 1..)?;
    rest.get(..rest.find(quote)?)
        .filter(|name| !name.is_empty())
}

/// The place of a word, as the beginning of a message.
fn at(sql: &str, word: &str, offset: u64) -> String {
    place_of(sql, word).map_or_else(String::new, |(line, column)| {
        let column = if line == 1 {
            column.saturating_sub(offset)
        } else {
            column
        };
        format!("line {line}, column {column} of the query: ")
    })
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
        let plan = plan(
            &text(sql, values),
            vec![("people".to_owned(), people().lazy())],
        )?;
        plan.collect()
            .map_err(|error| polars_error("run the query", &error))
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
    fn tables_of_a_with_clause_are_no_inputs() {
        let sql = "with old as (select * from people where age > 30) select o.* from old o join people p on o.name = p.name";
        assert_eq!(
            tables(&parse(sql).unwrap()).into_iter().collect::<Vec<_>>(),
            ["people"]
        );
        assert_eq!(run(sql, &[]).unwrap().height(), 2);
    }
}
