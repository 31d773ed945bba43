//! Reading a query as polars reads it, and finding things in it.

use std::{collections::BTreeSet, ops::ControlFlow};

use pipectl_engine::operator::TaskError;
use sqlparser::{
    ast::{Query, Statement, TableFactor, Visit, Visitor},
    dialect::GenericDialect,
    parser::{Parser, ParserError, ParserOptions},
    tokenizer::{Token, Tokenizer},
};

use super::refused::refuse;

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
            refuse(&statement)?;
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
/// When it is no expression, or more than one.
pub(crate) fn parse_expression(sql: &str) -> Result<(), Flaw> {
    let mut parser = Parser::new(&GenericDialect)
        .try_with_sql(sql)
        .map_err(|error| syntax(&error))?;
    parser.parse_expr().map_err(|error| syntax(&error))?;
    let next = parser.next_token();
    if next.token == Token::EOF {
        return Ok(());
    }
    let place = next.span.start;
    Err(Flaw::new(format!(
        "line {}, column {} of the expression: `{}` was not expected",
        place.line, place.column, next.token
    )))
}
