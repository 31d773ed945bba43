//! Values as literals in the parsed tree.
//!
//! polars' SQL knows no placeholders. A bound value becomes a literal in the parsed tree; the tree is printed, the text
//! parsed again and compared with the tree, and only when both are equal is it run: a value can never become code.

use std::ops::ControlFlow;

use pipectl_engine::operator::SqlText;
use serde_json::Value as Json;
use sqlparser::{
    ast::{DollarQuotedString, Expr, UnaryOperator, Value, VisitMut, VisitorMut},
    tokenizer::Span,
};

use super::parse::{Flaw, parse, parse_settled};

/// The text of a query with its values put in as literals.
///
/// # Errors
/// When the query cannot be read, or a value cannot be said in SQL.
pub(crate) fn bind(text: &SqlText) -> Result<String, Flaw> {
    let (mut statement, settled) = parse_settled(&text.sql)?;
    if text.values.is_empty() && !settled {
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
        return Err(if text.values.is_empty() {
            Flaw::new("the query is too long in a way that cannot be cut")
                .hint("split it into several tasks")
        } else {
            Flaw::new("the query cannot be run with bound values").hint(
                "sqlparser does not print it as it reads it; put the value into a column first",
            )
        });
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
                let bound = number.and_then(|number| self.values.get(number.checked_sub(1)?));
                let flaw = || {
                    let place = at_placeholder(value.span);
                    Flaw::new(format!("{place}there is no value for `{name}`"))
                        .hint("write the value as `${{ … }}`")
                };
                match bound.ok_or_else(flaw).and_then(literal) {
                    Ok(literal) => *expr = literal,
                    Err(flaw) => return ControlFlow::Break(flaw),
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
