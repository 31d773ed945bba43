//! Long chains of `union`, as chains of expressions are in [`size`](super::size).

use std::ops::ControlFlow;

use sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, Values};

use super::{
    parse::Flaw,
    size::{DEEPEST, GROUP, LONG, MOST, in_groups},
};
use crate::support::text::thousands;

/// Groups a chain of `union`s anew; says whether there was one.
pub(super) fn settle(body: &mut SetExpr) -> ControlFlow<Flaw, bool> {
    let (mut all, mut alike, mut same) = (1, 1, true);
    let first = as_union(body);
    let mut next = &*body;
    while let SetExpr::SetOperation { left, right, .. } = next {
        same = same && first.is_some() && as_union(next) == first;
        alike += usize::from(same);
        all += 1;
        // `intersect` binds closer, and so may stand on the right.
        let mut inner = &**right;
        while let SetExpr::SetOperation { left, .. } = inner {
            all += 1;
            inner = left;
        }
        next = left;
    }
    let too_many = (alike > MOST).then_some((alike, MOST));
    let too_many = too_many.or((alike < all && all > DEEPEST).then_some((all, DEEPEST)));
    if let Some((many, most)) = too_many {
        take_queries_apart(body);
        return ControlFlow::Break(
            Flaw::new(format!(
                "the query puts {} queries together by `union` and its like, and at most {} are understood",
                thousands(many as u64),
                thousands(most as u64)
            ))
            .hint("split it into several tasks; rows of constants are better read from a file with `extract: csv`"),
        );
    }
    if let Some((op, quantifier)) = first
        && alike > LONG
    {
        let mut parts = Vec::new();
        let mut rest = std::mem::replace(body, SetExpr::Values(no_rows()));
        for _ in 1..alike {
            let SetExpr::SetOperation { left, right, .. } = rest else {
                break;
            };
            parts.push(*right);
            rest = *left;
        }
        parts.push(rest);
        parts.reverse();
        *body = grouped_queries(parts, op, quantifier);
        return ControlFlow::Continue(true);
    }
    ControlFlow::Continue(false)
}

fn no_rows() -> Values {
    Values {
        explicit_row: false,
        value_keyword: false,
        rows: Vec::new(),
    }
}

/// The operator of a chain that may be grouped at will.
fn as_union(body: &SetExpr) -> Option<(SetOperator, SetQuantifier)> {
    match body {
        SetExpr::SetOperation {
            op: op @ SetOperator::Union,
            set_quantifier:
                quantifier @ (SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None),
            ..
        } => Some((*op, *quantifier)),
        _ => None,
    }
}

fn grouped_queries(mut parts: Vec<SetExpr>, op: SetOperator, quantifier: SetQuantifier) -> SetExpr {
    let join = |parts: Vec<SetExpr>| {
        let chain = parts
            .into_iter()
            .reduce(|left, right| SetExpr::SetOperation {
                op,
                set_quantifier: quantifier,
                left: Box::new(left),
                right: Box::new(right),
            });
        chain.unwrap_or_else(|| SetExpr::Values(no_rows()))
    };
    while parts.len() > GROUP {
        let groups = in_groups(parts).into_iter();
        parts = groups
            .map(|group| SetExpr::Query(Box::new(query(join(group)))))
            .collect();
    }
    join(parts)
}

/// A query that is no more than its body.
fn query(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

fn take_queries_apart(body: &mut SetExpr) {
    let mut rest = std::mem::replace(body, SetExpr::Values(no_rows()));
    while let SetExpr::SetOperation { left, .. } = rest {
        rest = *left;
    }
}
