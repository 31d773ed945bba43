//! SQL text to sqlparser's tree.

use sqlparser::ast::Expr;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::features::call::arguments;
use crate::features::compile::Reason;

/// The longest expression.
const LONGEST: usize = 10_000;

/// How deep operators may stand one in another: each level wants stack of all that walks the tree.
const DEEPEST: usize = 300;

/// Reads one expression.
pub(super) fn parse(sql: &str) -> Reason<Expr> {
    if sql.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect)
        .try_with_sql(sql)
        .map_err(|error| not_read(&error))?;
    let parsed = parser.parse_expr().map_err(|error| not_read(&error))?;
    if parser.peek_token().token != Token::EOF {
        return Err(format!(
            "`{}` is too much after the expression",
            parser.peek_token()
        ));
    }
    let levels = depth(&parsed);
    if levels > DEEPEST {
        return Err(format!(
            "it has {levels} operators one in another, and at most {DEEPEST} are understood"
        ));
    }
    Ok(parsed)
}

/// `Expected: an expression, found: EOF` as a reason.
fn not_read(error: &ParserError) -> String {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "it is nested too deeply",
    };
    let text = text.replace("found: EOF", "found its end");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// How deep an expression is, without climbing down.
fn depth(expression: &Expr) -> usize {
    let (mut deepest, mut open) = (0, vec![(expression, 1)]);
    while let Some((expression, level)) = open.pop() {
        deepest = deepest.max(level);
        let mut add = |inner| open.push((inner, level + 1));
        match expression {
            Expr::BinaryOp { left, right, .. } => {
                add(left);
                add(right);
            }
            Expr::Nested(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::Cast { expr: inner, .. }
            | Expr::Floor { expr: inner, .. }
            | Expr::Ceil { expr: inner, .. }
            | Expr::InList { expr: inner, .. }
            | Expr::Between { expr: inner, .. } => add(inner),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                operand
                    .iter()
                    .chain(else_result)
                    .for_each(|inner| add(inner));
                for branch in conditions {
                    add(&branch.condition);
                    add(&branch.result);
                }
            }
            Expr::Function(function) => {
                if let Ok(arguments) = arguments(function) {
                    arguments.into_iter().for_each(add);
                }
            }
            // No part of a model, whatever is in it.
            _ => {}
        }
    }
    deepest
}
