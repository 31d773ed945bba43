//! Conditions on rows: `where:` of an operator that reads.

use std::ops::ControlFlow;

use pipectl_engine::operator::{SqlText, TaskError};
use polars::{
    prelude::{Expr, LazyFrame},
    sql::sql_expr,
};
use sqlparser::ast::{BinaryOperator, Expr as SqlExpr, SetExpr, Statement, Visit, Visitor};

use super::{
    Flaw,
    bind::bind,
    parse, parse_expression, planned,
    size::{GROUP, in_groups, with_room},
};
use crate::support::frame::polars_error;

/// What stands before the condition.
const BEFORE: &str = "select * from files where ";

fn whole(condition: &SqlText) -> SqlText {
    SqlText {
        sql: format!("{BEFORE}{}", condition.sql),
        values: condition.values.clone(),
    }
}

/// Looks whether a condition can be read.
///
/// # Errors
/// Names what is wrong, with its place.
pub(crate) fn check_condition(condition: &SqlText) -> Result<(), Flaw> {
    parse_expression(&condition.sql)
}

/// The rows of `plan` for which the condition holds.
///
/// # Errors
/// When it cannot be read, or names a column that does not exist.
pub(crate) fn filtered(plan: LazyFrame, condition: &SqlText) -> Result<LazyFrame, TaskError> {
    check_condition(condition)?;
    // Its columns stay as they are.
    planned(
        &whole(condition),
        vec![("files".to_owned(), plan)],
        BEFORE.len() as u64,
        false,
    )
}

/// The part of a condition that speaks of nothing but `columns`: where it does not hold, the whole does not.
///
/// # Errors
/// When the condition cannot be read.
pub(crate) fn condition_on(
    condition: &SqlText,
    columns: &[&str],
) -> Result<Option<Expr>, TaskError> {
    check_condition(condition)?;
    let bound = bind(&whole(condition))?;
    let Statement::Query(query) = parse(&bound)? else {
        return Ok(None);
    };
    let SetExpr::Select(select) = *query.body else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    if let Some(selection) = select.selection {
        conjuncts(selection, &mut parts);
    }
    parts.retain(|part| speaks_only_of(part, columns));
    if parts.is_empty() {
        return Ok(None);
    }
    let mut texts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
    while texts.len() > GROUP {
        let groups = in_groups(texts).into_iter();
        texts = groups
            .map(|group| format!("({})", group.join(" and ")))
            .collect();
    }
    let text = texts.join(" and ");
    with_room(text.len(), || {
        sql_expr(&text)
            .map(Some)
            .map_err(|error| polars_error("read the condition", &error))
    })
}

fn conjuncts(expr: SqlExpr, parts: &mut Vec<SqlExpr>) {
    match expr {
        SqlExpr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            conjuncts(*left, parts);
            conjuncts(*right, parts);
        }
        // A long chain is marked as one that is to stay together.
        SqlExpr::Nested(inner) | SqlExpr::IsTrue(inner) => conjuncts(*inner, parts),
        other => parts.push(other),
    }
}

fn speaks_only_of(expr: &SqlExpr, columns: &[&str]) -> bool {
    struct Names<'a>(&'a [&'a str]);
    impl Visitor for Names<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &SqlExpr) -> ControlFlow<()> {
            let fine = match expr {
                SqlExpr::Identifier(name) => self.0.contains(&name.value.as_str()),
                SqlExpr::CompoundIdentifier(_)
                | SqlExpr::Subquery(_)
                | SqlExpr::Exists { .. }
                | SqlExpr::InSubquery { .. } => false,
                _ => true,
            };
            if fine {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        }
    }
    expr.visit(&mut Names(columns)).is_continue()
}
