//! What polars would take and answer otherwise than SQL does: it is refused.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, OrderByKind, Query,
    SetExpr, Spanned as _, TableFactor, TableWithJoins, Visit, Visitor, visit_expressions,
};

use super::{explain::GROUPED, grouping, literals, parse::Flaw};

/// What makes one value of the rows of a group.
pub(super) const AGGREGATES: [&str; 16] = [
    "avg",
    "corr",
    "count",
    "covar",
    "first",
    "last",
    "max",
    "median",
    "min",
    "quantile_cont",
    "quantile_disc",
    "stddev",
    "sum",
    "total",
    "var",
    "variance",
];

/// Looks for what is refused.
///
/// # Errors
/// When there is some.
pub(super) fn refuse(statement: &impl Visit) -> Result<(), Flaw> {
    match statement.visit(&mut Refused) {
        ControlFlow::Break(flaw) => Err(flaw),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Refused;

impl Visitor for Refused {
    type Break = Flaw;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Flaw> {
        joins_of(&query.body)?;
        grouping::refuse(query)?;
        order_of_groups(query)
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Flaw> {
        let what = match expression {
            Expr::Exists { .. } => "`exists (…)`",
            Expr::InSubquery { expr, .. } if matches!(**expr, Expr::Tuple(_)) => {
                "`(a, b) in (select …)`"
            }
            other => {
                return match literals::refused(other) {
                    Some(flaw) => ControlFlow::Break(flaw),
                    None => ControlFlow::Continue(()),
                };
            }
        };
        ControlFlow::Break(
            Flaw::new(format!(
                "the query has {what}, which is not understood here"
            ))
            .hint("a join says most such things; `pipectl docs sql` lists what is understood"),
        )
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Flaw> {
        match factor {
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            } if name.to_string().starts_with("read_") => ControlFlow::Break(
                Flaw::new(format!(
                    "`{name}(…)` reads a file behind the pipeline's back"
                ))
                .hint("read it in a task of its own with `extract:` and name that task in `from:`"),
            ),
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => joins(table_with_joins),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// polars sorts groups by the columns that they have, and by no aggregate of the rows behind them.
fn order_of_groups(query: &Query) -> ControlFlow<Flaw> {
    let SetExpr::Select(select) = &*query.body else {
        return ControlFlow::Continue(());
    };
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    let order = query.order_by.as_ref().map(|order| &order.kind);
    let Some(OrderByKind::Expressions(order)) = order.filter(|_| grouped) else {
        return ControlFlow::Continue(());
    };
    let is_aggregate = |expression: &Expr| match expression {
        Expr::Function(function) => {
            AGGREGATES.contains(&&*function.name.to_string().to_lowercase())
        }
        _ => false,
    };
    let found = visit_expressions(order, |expression| {
        if is_aggregate(expression) {
            ControlFlow::Break(expression.clone())
        } else {
            ControlFlow::Continue(())
        }
    });
    let ControlFlow::Break(aggregate) = found else {
        return ControlFlow::Continue(());
    };
    ControlFlow::Break(
        Flaw::new(format!(
            "{}`order by` behind a `group by` knows only what `select` names, and `{aggregate}` is something else",
            place(&aggregate)
        ))
        .hint(GROUPED),
    )
}

/// Where an expression stands, as the beginning of a message.
pub(super) fn place(expression: &Expr) -> String {
    let place = expression.span().start;
    match place.line {
        0 => String::new(),
        line => format!("line {line}, column {} of the query: ", place.column),
    }
}

/// The joins of a query's own level; what stands in parentheses is visited on its own.
fn joins_of(body: &SetExpr) -> ControlFlow<Flaw> {
    match body {
        SetExpr::Select(select) => select.from.iter().try_for_each(joins),
        SetExpr::SetOperation { left, right, .. } => {
            joins_of(left)?;
            joins_of(right)
        }
        _ => ControlFlow::Continue(()),
    }
}

fn joins(tables: &TableWithJoins) -> ControlFlow<Flaw> {
    tables.joins.iter().try_for_each(equal_only)
}

/// polars filters the joined rows by what is no equality of columns: of an outer join it would drop the rows that have no
/// partner.
fn equal_only(join: &Join) -> ControlFlow<Flaw> {
    let (kind, constraint) = match &join.join_operator {
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => ("left join", on),
        JoinOperator::Right(on) | JoinOperator::RightOuter(on) => ("right join", on),
        JoinOperator::FullOuter(on) => ("full join", on),
        JoinOperator::Semi(on) | JoinOperator::LeftSemi(on) | JoinOperator::RightSemi(on) => {
            ("semi join", on)
        }
        JoinOperator::Anti(on) | JoinOperator::LeftAnti(on) | JoinOperator::RightAnti(on) => {
            ("anti join", on)
        }
        _ => return ControlFlow::Continue(()),
    };
    let JoinConstraint::On(condition) = constraint else {
        return ControlFlow::Continue(());
    };
    let Some(other) = other_than_equality(condition) else {
        return ControlFlow::Continue(());
    };
    let place = place(other);
    ControlFlow::Break(
        Flaw::new(format!(
            "{place}a `{kind}` compares columns for equality only, and `{other}` is something else"
        ))
        .hint("filter a table before it is joined: `left join (select * from b where …) b on a.id = b.id`"),
    )
}

/// The first condition that is not `column = column`.
fn other_than_equality(condition: &Expr) -> Option<&Expr> {
    match condition {
        Expr::Nested(inner) => other_than_equality(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => other_than_equality(left).or_else(|| other_than_equality(right)),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } if !is_value(left) && !is_value(right) => None,
        other => Some(other),
    }
}

fn is_value(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::Value(_) | Expr::UnaryOp { .. } | Expr::TypedString(_)
    )
}

#[cfg(test)]
mod tests {
    use crate::support::polars_sql::parse;

    #[test]
    fn outer_joins_are_joined_by_equality() {
        let on = |join: &str, condition: &str| {
            parse(&format!("select * from t a {join} t b on {condition}"))
        };
        for join in [
            "left join",
            "right outer join",
            "full join",
            "semi join",
            "anti join",
        ] {
            for good in ["a.g = b.g", "a.g = b.g and (a.h = b.h)", "lower(a.g) = b.g"] {
                assert_eq!(on(join, good).err(), None, "{join} {good}");
            }
            for bad in [
                "a.g = b.g and b.v > 5",
                "a.g = b.g and a.id <> b.id",
                "a.id < b.id",
                "a.g = b.g and b.v = 5",
                "a.g = b.g or a.h = b.h",
            ] {
                let flaw = on(join, bad).unwrap_err();
                assert!(flaw.message.contains("compares columns for equality only"));
            }
        }
        assert_eq!(on("join", "a.g = b.g and b.v > 5").err(), None);
        let flaw = parse(
            "with x as (select 1 as a) select * from x\nwhere a in (select a.id from t a\n left join t b on a.g = b.g and b.v > 5)",
        )
        .unwrap_err();
        assert_eq!(
            flaw.message,
            "line 3, column 33 of the query: a `left join` compares columns for equality only, and `b.v > 5` is something else"
        );
    }
}
