//! Reading a query as polars reads it, and finding things in it.

use std::{collections::BTreeSet, ops::ControlFlow};

use pipectl_engine::operator::TaskError;
use sqlparser::{
    ast::{Query, Statement, TableFactor, Visit, Visitor},
    dialect::GenericDialect,
    keywords::Keyword,
    parser::{Parser, ParserError, ParserOptions},
    tokenizer::{Token, Tokenizer},
};

use super::{
    functions::known,
    refused::refuse,
    size::{settle, with_room},
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
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
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
/// When it is not SQL, not one statement, no query, or too large.
pub(crate) fn parse(sql: &str) -> Result<Statement, Flaw> {
    parse_settled(sql).map(|(statement, _)| statement)
}

/// As [`parse`]; says too whether the tree is other than the text, because the text had long chains.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_settled(sql: &str) -> Result<(Statement, bool), Flaw> {
    with_room(sql.len(), || {
        let options = ParserOptions {
            trailing_commas: true,
            ..ParserOptions::default()
        };
        let statements = Parser::new(&GenericDialect)
            .with_options(options)
            .try_with_sql(sql)
            .and_then(|mut parser| parser.parse_statements())
            .map_err(|error| syntax(sql, &error))?;
        let mut statement = only_query(statements)?;
        let settled = settle(&mut statement)?;
        refuse(&statement)?;
        Ok((statement, settled))
    })
}

fn only_query(statements: Vec<Statement>) -> Result<Statement, Flaw> {
    let mut statements = statements.into_iter();
    match (statements.next(), statements.next()) {
        (Some(statement @ Statement::Query(_)), None) => Ok(statement),
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
fn syntax(sql: &str, error: &ParserError) -> Flaw {
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
    let placed = text
        .rsplit_once(" at Line: ")
        .and_then(|(what, place)| Some((what, place.split_once(", Column: ")?)));
    let flaw = match (placed, text.strip_suffix(", found: EOF")) {
        (Some((what, (line, column))), _) => Flaw::new(format!(
            "line {line}, column {column} of the query: {}",
            lower(what)
        )),
        (None, Some(what)) => {
            let (line, column) = end_of(sql);
            Flaw::new(format!(
                "line {line}, column {column} of the query: {}, and the query ends here",
                lower(what)
            ))
        }
        (None, None) => Flaw::new(format!("the query cannot be read: {}", lower(&text))),
    };
    match reserved(sql) {
        Some(word) => flaw.hint(format!(
            "`{word}` is a word of SQL: as the name of a table it stands in quotes, `\"{word}\"`"
        )),
        None => flaw,
    }
}

/// The line and the column of the last character that says something.
fn end_of(sql: &str) -> (usize, usize) {
    let text = sql.trim_end();
    let last = text.rsplit('\n').next().unwrap_or_default();
    let lines = text.matches('\n').count() + 1;
    (lines, last.chars().count().max(1))
}

/// A word of SQL's own that stands where a table is named.
fn reserved(sql: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect, sql).tokenize().ok()?;
    let words: Vec<_> = tokens
        .iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .map(|token| match token {
            Token::Word(word) if word.quote_style.is_none() => Some(word),
            _ => None,
        })
        .collect();
    let named = words.windows(2).find_map(|pair| match pair {
        [Some(before), Some(name)]
            if matches!(before.keyword, Keyword::FROM | Keyword::JOIN)
                && name.keyword != Keyword::NoKeyword =>
        {
            Some(name.value.clone())
        }
        _ => None,
    })?;
    // Some of SQL's words are fine as names.
    let tried = format!("select * from {named}");
    let fine = Parser::parse_sql(&GenericDialect, &tried).is_ok();
    (!fine).then_some(named)
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
pub(super) fn place_of(sql: &str, word: &str) -> Option<(u64, u64)> {
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

/// Reads one expression, as polars reads it.
///
/// # Errors
/// When it is no expression, more than one, too large, or calls a function that there is not.
pub(crate) fn parse_expression(sql: &str) -> Result<(), Flaw> {
    with_room(sql.len(), || {
        let mut parser = Parser::new(&GenericDialect)
            .try_with_sql(sql)
            .map_err(|error| syntax(sql, &error))?;
        let mut expression = parser.parse_expr().map_err(|error| syntax(sql, &error))?;
        let next = parser.next_token();
        settle(&mut expression)?;
        if next.token == Token::EOF {
            refuse(&expression)?;
            return known(&expression, sql, 0);
        }
        let place = next.span.start;
        Err(Flaw::new(format!(
            "line {}, column {} of the expression: `{}` was not expected",
            place.line, place.column, next.token
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_sql_as_names_want_quotes() {
        let hint = |word: &str| {
            Some(format!(
                "`{word}` is a word of SQL: as the name of a table it stands in quotes, `\"{word}\"`"
            ))
        };
        for (sql, message, word) in [
            (
                "select *\nfrom table",
                "line 2, column 10 of the query: expected: (, and the query ends here",
                "table",
            ),
            (
                "select * from a join table on a.x = 1",
                "line 1, column 28 of the query: expected: (, found: on",
                "table",
            ),
        ] {
            let flaw = parse(sql).unwrap_err();
            assert_eq!(flaw.message, message);
            assert_eq!(flaw.hint, hint(word), "{sql}");
        }
        assert!(parse("select * from \"table\"").is_ok());
        let flaw = parse("select * from people where").unwrap_err();
        assert_eq!(
            (flaw.hint, flaw.message.contains("the query ends here")),
            (None, true)
        );
    }
}
