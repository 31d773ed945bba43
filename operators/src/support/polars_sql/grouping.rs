//! Aggregates that polars would answer otherwise than SQL does.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, GroupByExpr, Query, Select, SelectItem, SetExpr, Visit, Visitor,
};

use super::{
    parse::Flaw,
    refused::{AGGREGATES, place},
};

/// Looks at the levels of a query that stand beside each other; what stands in parentheses is visited on its own.
pub(super) fn refuse(query: &Query) -> ControlFlow<Flaw> {
    levels(&query.body)
}

fn levels(body: &SetExpr) -> ControlFlow<Flaw> {
    match body {
        SetExpr::Select(select) => {
            sums_of_constants(select)?;
            beside_columns(select)
        }
        SetExpr::SetOperation { left, right, .. } => {
            levels(left)?;
            levels(right)
        }
        _ => ControlFlow::Continue(()),
    }
}

/// polars takes a constant for one row.
fn sums_of_constants(select: &Select) -> ControlFlow<Flaw> {
    for expression in select.projection.iter().filter_map(expression) {
        let seen = Seen::of(expression);
        if let Some(sum) = seen.constant_sum {
            return ControlFlow::Break(
                Flaw::new(format!("{}`{sum}` adds up no column", place(expression)))
                    .hint("`count(*)` counts the rows"),
            );
        }
    }
    ControlFlow::Continue(())
}

/// Without `group by`, polars would repeat the aggregate beside each row.
fn beside_columns(select: &Select) -> ControlFlow<Flaw> {
    let is_grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    if is_grouped {
        return ControlFlow::Continue(());
    }
    let seen: Vec<Seen> = select
        .projection
        .iter()
        .filter_map(expression)
        .map(Seen::of)
        .collect();
    let Some(aggregate) = seen.iter().find_map(|seen| seen.aggregate.as_ref()) else {
        return ControlFlow::Continue(());
    };
    let column = seen.iter().find_map(|seen| seen.column.as_ref());
    let wildcard = select.projection.iter().find(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    });
    let Some(beside) = column
        .map(ToString::to_string)
        .or_else(|| wildcard.map(ToString::to_string))
    else {
        return ControlFlow::Continue(());
    };
    let at = column.map(place).unwrap_or_default();
    ControlFlow::Break(
        Flaw::new(format!(
            "{at}`{beside}` stands beside `{aggregate}`, and the query has no `group by`"
        ))
        .hint(format!(
            "`group by {beside}`; or `{aggregate} over ()` for the whole table's beside each row"
        )),
    )
}

fn expression(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expression)
        | SelectItem::ExprWithAlias {
            expr: expression, ..
        } => Some(expression),
        _ => None,
    }
}

/// What stands in an expression of `select`.
#[derive(Default)]
struct Seen {
    /// The first aggregate of rows.
    aggregate: Option<Expr>,
    /// The first column that is in no aggregate and no window.
    column: Option<Expr>,
    /// The first sum of what is no column.
    constant_sum: Option<Expr>,
    /// In how many aggregates and windows we are.
    within: u32,
    /// In how many subqueries.
    below: u32,
}

impl Seen {
    fn of(expression: &Expr) -> Self {
        let mut seen = Self::default();
        let _done = expression.visit(&mut seen);
        seen
    }
}

impl Visitor for Seen {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.below += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.below -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if self.below > 0 {
            return ControlFlow::Continue(());
        }
        match expression {
            Expr::Function(function) => {
                let is_aggregate = is_aggregate(function);
                if is_aggregate && is_sum(function) && !has_column(function) {
                    self.constant_sum.get_or_insert_with(|| expression.clone());
                }
                if is_aggregate && function.over.is_none() && self.within == 0 {
                    self.aggregate.get_or_insert_with(|| expression.clone());
                }
                if is_aggregate || function.over.is_some() {
                    self.within += 1;
                }
            }
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) if self.within == 0 => {
                self.column.get_or_insert_with(|| expression.clone());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if self.below == 0
            && let Expr::Function(function) = expression
            && (is_aggregate(function) || function.over.is_some())
        {
            self.within -= 1;
        }
        ControlFlow::Continue(())
    }
}

fn is_aggregate(function: &Function) -> bool {
    AGGREGATES.contains(&&*function.name.to_string().to_lowercase())
}

fn is_sum(function: &Function) -> bool {
    ["sum", "total"].contains(&&*function.name.to_string().to_lowercase())
}

fn has_column(function: &Function) -> bool {
    struct Column;
    impl Visitor for Column {
        type Break = ();
        fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
            match expression {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    function.args.visit(&mut Column).is_break()
}

#[cfg(test)]
mod tests {
    use crate::support::polars_sql::parse;

    #[test]
    fn a_column_beside_an_aggregate_wants_its_group() {
        for good in [
            "select sum(v), max(v) - min(v) as spread, count(*) from t",
            "select v, sum(v) over () as s, row_number() over (order by v) as n from t",
            "select v, sum(v) from t group by v",
            "select sum(v) / (select max(w) from u) from t",
            "select 1 as one, sum(case when a > 1 then v else 0 end) as s from t",
            "select x.v from (select max(v) as v from t) x",
        ] {
            assert_eq!(parse(good).err(), None, "{good}");
        }
        for (bad, message) in [
            (
                "select v, sum(v) as s from t",
                "line 1, column 8 of the query: `v` stands beside `sum(v)`, and the query has no `group by`",
            ),
            (
                "select *, count(*) as n from t",
                "`*` stands beside `count(*)`, and the query has no `group by`",
            ),
            (
                "select v - avg(v) as d from t",
                "line 1, column 8 of the query: `v` stands beside `avg(v)`, and the query has no `group by`",
            ),
            (
                "select a from t union select sum(1) from t",
                "line 1, column 30 of the query: `sum(1)` adds up no column",
            ),
        ] {
            assert_eq!(parse(bad).unwrap_err().message, message, "{bad}");
        }
    }
}
