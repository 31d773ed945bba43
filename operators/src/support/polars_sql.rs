//! SQL over datasets, by polars.
//!
//! polars' SQL knows no placeholders. A bound value becomes a literal in the parsed tree; the tree is printed, the text
//! parsed again and compared with the tree, and only when both are equal is it run: a value can never become code.

use std::{collections::BTreeSet, ops::ControlFlow};

use pipectl_engine::operator::{SqlText, TaskError};
use polars::{
    prelude::{LazyFrame, PolarsError},
    sql::SQLContext,
};
use serde_json::Value as Json;
use sqlparser::{
    ast::{
        DollarQuotedString, Expr, Query, Statement, TableFactor, UnaryOperator, Value, Visit,
        VisitMut, Visitor, VisitorMut,
    },
    dialect::GenericDialect,
    parser::{Parser, ParserError, ParserOptions},
    tokenizer::{Span, Token, Tokenizer},
};

use super::{
    frame::{polars_error, root},
    order,
    text::{hint_for_name, list},
};

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// A lower-case fragment, with the place in the query.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Flaw {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Flaw> for TaskError {
    fn from(flaw: Flaw) -> Self {
        let error = Self::user(flaw.message);
        match flaw.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Reads one `select` statement, as polars reads it.
///
/// # Errors
/// When it is not SQL, not one statement, or no query.
pub(crate) fn parse(sql: &str) -> Result<Statement, Flaw> {
    let options = ParserOptions {
        trailing_commas: true,
        ..ParserOptions::default()
    };
    let statements = Parser::new(&GenericDialect)
        .with_options(options)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| syntax(&error))?;
    let mut statements = statements.into_iter();
    match (statements.next(), statements.next()) {
        (Some(statement @ Statement::Query(_)), None) => {
            refuse_table_functions(&statement)?;
            Ok(statement)
        }
        (Some(other), None) => {
            let text = other.to_string();
            let first = text.split(' ').next().unwrap_or_default().to_lowercase();
            Err(Flaw::new(format!("`{first}` is not a query")).hint("write one `select` statement"))
        }
        (None, _) => Err(Flaw::new("the query is empty").hint("write one `select` statement")),
        (Some(_), Some(_)) => Err(Flaw::new("there is more than one statement")
            .hint("write one `select`; use `with` for steps")),
    }
}

/// `… at Line: 1, Column: 8` becomes `line 1, column 8 of the query: …`.
fn syntax(error: &ParserError) -> Flaw {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
    };
    let lower = |text: &str| {
        let mut characters = text.chars();
        characters.next().map_or_else(String::new, |first| {
            first.to_lowercase().chain(characters).collect()
        })
    };
    match text
        .rsplit_once(" at Line: ")
        .and_then(|(what, place)| Some((what, place.split_once(", Column: ")?)))
    {
        Some((what, (line, column))) => Flaw::new(format!(
            "line {line}, column {column} of the query: {}",
            lower(what)
        )),
        None => Flaw::new(format!("the query cannot be read: {}", lower(&text))),
    }
}

fn refuse_table_functions(statement: &Statement) -> Result<(), Flaw> {
    struct Functions;
    impl Visitor for Functions {
        type Break = String;
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
            match factor {
                TableFactor::Table {
                    name,
                    args: Some(_),
                    ..
                } if name.to_string().starts_with("read_") => ControlFlow::Break(name.to_string()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match statement.visit(&mut Functions) {
        ControlFlow::Break(name) => Err(Flaw::new(format!(
            "`{name}(…)` reads a file behind the pipeline's back"
        ))
        .hint("read it in a task of its own with `extract:` and name that task in `from:`")),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The tables that a statement reads and does not define itself.
pub(crate) fn tables(statement: &Statement) -> BTreeSet<String> {
    #[derive(Default)]
    struct Names {
        read: BTreeSet<String>,
        defined: BTreeSet<String>,
    }
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|with| &with.cte_tables);
            self.defined
                .extend(tables.map(|table| table.alias.name.value.clone()));
            ControlFlow::Continue(())
        }
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table {
                name, args: None, ..
            } = factor
            {
                let parts: Vec<_> = name
                    .0
                    .iter()
                    .filter_map(|part| Some(part.as_ident()?.value.as_str()))
                    .collect();
                self.read.insert(parts.join("."));
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names::default();
    let _done = statement.visit(&mut names);
    names.read.difference(&names.defined).cloned().collect()
}

/// Where a word first stands in a query: line and column.
fn place_of(sql: &str, word: &str) -> Option<(u64, u64)> {
    let tokens = Tokenizer::new(&GenericDialect, sql)
        .tokenize_with_location()
        .ok()?;
    tokens.into_iter().find_map(|token| match &token.token {
        Token::Word(found) if found.value == word => {
            Some((token.span.start.line, token.span.start.column))
        }
        _ => None,
    })
}

fn at(sql: &str, word: &str) -> String {
    place_of(sql, word).map_or_else(String::new, |(line, column)| {
        format!("line {line}, column {column} of the query: ")
    })
}

/// The text of a query with its values put in as literals.
///
/// # Errors
/// When the query cannot be read, or a value cannot be said in SQL.
pub(crate) fn bind(text: &SqlText) -> Result<String, Flaw> {
    let mut statement = parse(&text.sql)?;
    if text.values.is_empty() {
        return Ok(text.sql.clone());
    }
    let mut binder = Binder {
        values: &text.values,
    };
    if let ControlFlow::Break(flaw) = VisitMut::visit(&mut statement, &mut binder) {
        return Err(flaw);
    }
    let printed = statement.to_string();
    if parse(&printed).as_ref() != Ok(&statement) {
        return Err(Flaw::new("the query cannot be run with bound values").hint(
            "sqlparser does not print it as it reads it; put the value into a column first",
        ));
    }
    Ok(printed)
}

struct Binder<'a> {
    values: &'a [Json],
}

impl VisitorMut for Binder<'_> {
    type Break = Flaw;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Flaw> {
        if let Expr::InList { list, .. } = expr {
            // A list that was bound to `in ($1)`.
            let items = std::mem::take(list).into_iter();
            *list = items
                .flat_map(|item| {
                    if let Expr::Tuple(items) = item {
                        items
                    } else {
                        vec![item]
                    }
                })
                .collect();
        }
        let Expr::Value(value) = expr else {
            return ControlFlow::Continue(());
        };
        match &value.value {
            Value::Placeholder(name) => {
                let number = name
                    .strip_prefix('$')
                    .and_then(|digits| digits.parse::<usize>().ok());
                match number.and_then(|number| self.values.get(number.checked_sub(1)?)) {
                    Some(value) => match literal(value) {
                        Ok(literal) => *expr = literal,
                        Err(flaw) => return ControlFlow::Break(flaw),
                    },
                    None => {
                        let flaw = Flaw::new(format!(
                            "{}there is no value for `{name}`",
                            at_placeholder(value.span)
                        ));
                        return ControlFlow::Break(flaw.hint("write the value as `${{ … }}`"));
                    }
                }
            }
            Value::SingleQuotedString(text) => value.value = string(text),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn at_placeholder(span: Span) -> String {
    format!(
        "line {}, column {} of the query: ",
        span.start.line, span.start.column
    )
}

fn literal(value: &Json) -> Result<Expr, Flaw> {
    let plain = |value: Value| Expr::Value(value.with_span(Span::empty()));
    Ok(match value {
        Json::Null => plain(Value::Null),
        Json::Bool(value) => plain(Value::Boolean(*value)),
        Json::String(text) => plain(string(text)),
        Json::Number(number) => {
            let digits = number_text(number);
            match digits.strip_prefix('-') {
                None => plain(Value::Number(digits, false)),
                Some(digits) => Expr::Nested(Box::new(Expr::UnaryOp {
                    op: UnaryOperator::Minus,
                    expr: Box::new(plain(Value::Number(digits.to_owned(), false))),
                })),
            }
        }
        Json::Array(items) => Expr::Tuple(items.iter().map(literal).collect::<Result<_, _>>()?),
        Json::Object(_) => {
            return Err(Flaw::new("a map cannot be a value in SQL").hint("pick one of its fields"));
        }
    })
}

/// A number without an exponent, which polars' SQL does not read.
fn number_text(number: &serde_json::Number) -> String {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, Some(float)) => {
            let text = float.to_string();
            if text.contains('.') {
                text
            } else {
                format!("{text}.0")
            }
        }
        (None, None) => number.to_string(),
    }
}

/// A string in the quotes that sqlparser prints faithfully: it does not double quotes that look escaped already.
fn string(text: &str) -> Value {
    if !text.contains(['\'', '\\']) {
        return Value::SingleQuotedString(text.to_owned());
    }
    let mut tag = "v".to_owned();
    while text.contains(&format!("${tag}")) {
        tag.push('v');
    }
    Value::DollarQuotedString(DollarQuotedString {
        value: text.to_owned(),
        tag: Some(tag),
    })
}

/// The plan of a query over `tables`. Its rows come in the same order whenever the tables' rows do.
///
/// # Errors
/// When the query cannot be read, or names a table or a column that does not exist.
pub(crate) fn plan(
    text: &SqlText,
    inputs: Vec<(String, LazyFrame)>,
) -> Result<LazyFrame, TaskError> {
    let statement = parse(&text.sql)?;
    let known: Vec<_> = inputs.iter().map(|(name, _)| name.clone()).collect();
    for table in tables(&statement) {
        if !known.contains(&table) {
            let known = known.iter().map(String::as_str);
            let message = format!("{}there is no table `{table}`", at(&text.sql, &table));
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
    planned.map_err(|error| explain(&text.sql, &columns, &error))
}

type Columns = Vec<(String, polars::prelude::SchemaRef)>;

/// polars' complaint about a query, with the place and what was probably meant.
fn explain(sql: &str, columns: &Columns, error: &PolarsError) -> TaskError {
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
        .flat_map(|(_, schema)| schema.iter_names().map(|column| column.as_str()))
        .collect();
    let hint = if known.contains(&name) {
        format!(
            "it is not there at this point of the query; the columns are {}",
            list(known)
        )
    } else {
        hint_for_name(name, "the columns are", known)
    };
    TaskError::user(format!("{}there is no column `{name}`", at(sql, name))).hint(hint)
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

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, IntoLazy, df};
    use serde_json::json;

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
                run(sql, &[value.clone()]).unwrap().height(),
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
