//! Long queries.
//!
//! A chain of one operator, as `a or b or c`, is read as a tree that is as deep as the chain is long, and all that walks
//! trees, polars first, needs stack for each level. Chains whose terms may be grouped at will are grouped anew, so that
//! the tree is flat; what stays too deep is refused.

use std::{ops::ControlFlow, thread};

use sqlparser::ast::{BinaryOperator, Expr, Query, Select, Value, VisitMut, VisitorMut};

use super::{cases, parse::Flaw, unions};
use crate::support::text::thousands;

/// From so many terms on a chain is grouped anew.
pub(super) const LONG: usize = 64;
/// How many terms stand in a group.
pub(super) const GROUP: usize = 16;
/// How many terms a chain may have.
pub(super) const MOST: usize = 10_000;
/// How deep expressions may be nested, chains that cannot be grouped among them.
pub(super) const DEEPEST: usize = 1_000;
/// How many tables a `from` may join.
const JOINED: usize = 400;

/// A text of so many bytes is not deep enough for any stack to be too small.
const SHORT: usize = 500;
/// The stack for longer ones; the system gives only what is used of it.
const STACK: usize = 256 << 20;

/// Does what walks the trees of a query `length` bytes long, on a stack that is large enough.
///
/// # Errors
/// Those of the work; when there is no room for the stack.
pub(crate) fn with_room<T: Send, E: From<Flaw> + Send>(
    length: usize,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    if length <= SHORT {
        return work();
    }
    thread::scope(|scope| {
        let walking = thread::Builder::new()
            .name("query".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work);
        match walking.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => Err(Flaw::new(format!(
                "there is no memory left to read a query of {} characters: {error}",
                thousands(length as u64)
            ))
            .into()),
        }
    })
}

/// Makes a tree flat, and says whether it has changed anything.
///
/// # Errors
/// When the query is too large.
pub(super) fn settle(tree: &mut impl VisitMut) -> Result<bool, Flaw> {
    let mut settling = Settling::default();
    match tree.visit(&mut settling) {
        ControlFlow::Break(flaw) => Err(flaw),
        ControlFlow::Continue(()) => Ok(settling.changed),
    }
}

#[derive(Default)]
struct Settling {
    /// How deep we are.
    depth: usize,
    changed: bool,
}

impl VisitorMut for Settling {
    type Break = Flaw;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Flaw> {
        self.changed |= unions::settle(&mut query.body)?;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Flaw> {
        let joined: usize = select.from.iter().map(|table| 1 + table.joins.len()).sum();
        if joined > JOINED {
            let message = format!(
                "the query joins {} tables, and at most {JOINED} go together",
                thousands(joined as u64)
            );
            return ControlFlow::Break(
                Flaw::new(message).hint("split it into several tasks, each of which joins some"),
            );
        }
        // polars takes a condition apart at each `and`, and works on the parts as if there were few.
        if let Some(condition) = &mut select.selection
            && chain(condition, &BinaryOperator::And) > LONG
        {
            let inner = std::mem::replace(condition, nothing());
            *condition = Expr::IsTrue(Box::new(Expr::Nested(Box::new(inner))));
            self.changed = true;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<Flaw> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let levels = self.depth + dismantle(expression);
            return ControlFlow::Break(too_deep(levels));
        }
        match cases::settle(expression) {
            Ok(changed) => self.changed |= changed,
            Err(flaw) => return ControlFlow::Break(flaw),
        }
        if let Expr::BinaryOp { op, .. } = &*expression
            && may_be_grouped(op)
        {
            let op = op.clone();
            let terms = chain(expression, &op);
            if terms > MOST {
                dismantle(expression);
                return ControlFlow::Break(too_long(&op, terms));
            }
            if terms > LONG {
                *expression = grouped(taken_apart(expression, &op), &op);
                self.changed = true;
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<Flaw> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

fn too_deep(levels: usize) -> Flaw {
    Flaw::new(format!(
        "the query has an expression that is {} levels deep, and at most {} are understood",
        thousands(levels as u64),
        thousands(DEEPEST as u64)
    ))
    .hint("compute parts of it in a `with` or in tasks of their own; of many values beside each other make rows, and `sum` them")
}

fn too_long(op: &BinaryOperator, terms: usize) -> Flaw {
    let word = op.to_string().to_lowercase();
    let hint = match op {
        BinaryOperator::Or => {
            "values of one column go into a list, as in `v in (1, 2, 3)`, or into a dataset that is joined; else split it into several tasks"
        }
        BinaryOperator::And => {
            "values of one column go into a list, as in `v not in (1, 2, 3)`, or into a dataset that is joined; else split it into several tasks"
        }
        _ => "split it into several tasks",
    };
    Flaw::new(format!(
        "the query has {} terms with `{word}` between them, and at most {} are understood",
        thousands(terms as u64),
        thousands(MOST as u64)
    ))
    .hint(hint)
}

/// Whether it is the same how the terms of a chain are grouped. Sums are not: of floats the last digits would change.
fn may_be_grouped(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::And | BinaryOperator::Or | BinaryOperator::StringConcat
    )
}

/// How many terms a chain of `op` has.
fn chain(expression: &Expr, op: &BinaryOperator) -> usize {
    let mut terms = 1;
    let mut next = expression;
    while let Expr::BinaryOp {
        left, op: found, ..
    } = next
        && found == op
    {
        terms += 1;
        next = left;
    }
    terms
}

/// What stands where something was taken from.
pub(super) fn nothing() -> Expr {
    Expr::value(Value::Null)
}

/// The terms of a chain, in their order.
fn taken_apart(expression: &mut Expr, op: &BinaryOperator) -> Vec<Expr> {
    let mut terms = Vec::new();
    let mut rest = std::mem::replace(expression, nothing());
    loop {
        match rest {
            Expr::BinaryOp {
                left,
                op: found,
                right,
            } if found == *op => {
                terms.push(*right);
                rest = *left;
            }
            first => {
                terms.push(first);
                terms.reverse();
                return terms;
            }
        }
    }
}

/// The chain of all terms, as a chain of chains in parentheses.
fn grouped(mut terms: Vec<Expr>, op: &BinaryOperator) -> Expr {
    let join = |terms: Vec<Expr>| {
        let chain = terms.into_iter().reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: op.clone(),
            right: Box::new(right),
        });
        chain.unwrap_or_else(nothing)
    };
    while terms.len() > GROUP {
        let groups = in_groups(terms).into_iter();
        terms = groups
            .map(|group| Expr::Nested(Box::new(join(group))))
            .collect();
    }
    join(terms)
}

/// Items in groups of [`GROUP`].
pub(super) fn in_groups<T>(items: Vec<T>) -> Vec<Vec<T>> {
    let mut items = items.into_iter();
    let mut groups = Vec::new();
    loop {
        let group: Vec<T> = items.by_ref().take(GROUP).collect();
        if group.is_empty() {
            return groups;
        }
        groups.push(group);
    }
}

/// Takes a deep tree apart from its top, so that nobody has to climb down to drop it; says how deep it was.
fn dismantle(expression: &mut Expr) -> usize {
    let mut levels = 0;
    let mut rest = std::mem::replace(expression, nothing());
    while let Some(first) = first_of(&mut rest) {
        rest = std::mem::replace(first, nothing());
        levels += 1;
    }
    levels
}

/// What stands first in an expression and can be a chain itself.
fn first_of(expression: &mut Expr) -> Option<&mut Expr> {
    match expression {
        Expr::BinaryOp { left: first, .. }
        | Expr::AnyOp { left: first, .. }
        | Expr::AllOp { left: first, .. }
        | Expr::IsDistinctFrom(first, _)
        | Expr::IsNotDistinctFrom(first, _)
        | Expr::IsNull(first)
        | Expr::IsNotNull(first)
        | Expr::IsTrue(first)
        | Expr::IsNotTrue(first)
        | Expr::IsFalse(first)
        | Expr::IsNotFalse(first)
        | Expr::IsUnknown(first)
        | Expr::IsNotUnknown(first)
        | Expr::Nested(first)
        | Expr::Cast { expr: first, .. }
        | Expr::Collate { expr: first, .. }
        | Expr::UnaryOp { expr: first, .. }
        | Expr::Between { expr: first, .. }
        | Expr::InList { expr: first, .. }
        | Expr::InSubquery { expr: first, .. }
        | Expr::Like { expr: first, .. }
        | Expr::ILike { expr: first, .. }
        | Expr::SimilarTo { expr: first, .. }
        | Expr::RLike { expr: first, .. }
        | Expr::AtTimeZone {
            timestamp: first, ..
        } => Some(first),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
