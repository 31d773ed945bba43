//! Whole numbers of 64 bits, as people expect them.
//!
//! polars counts in unsigned 32 bits, gives parts of dates in 8, adds up in the type of the column, and wraps round what does
//! not fit, without a word. So narrow columns come in as 64 bits, and what makes narrow numbers is cast.

use std::ops::ControlFlow;

use polars::prelude::{DataType, LazyFrame, Schema, col};
use sqlparser::ast::{
    CastKind, DataType as SqlType, Expr, SelectItem, SetExpr, Statement, visit_expressions_mut,
};

use super::parse::{Flaw, parse};

/// What gives narrow whole numbers.
const NARROW: [&str; 13] = [
    "array_length",
    "bit_length",
    "char_length",
    "character_length",
    "count",
    "date_part",
    "dense_rank",
    "length",
    "octet_length",
    "rank",
    "row_number",
    "sign",
    "strpos",
];

/// The table with its narrow whole numbers in 64 bits.
pub(super) fn columns(frame: LazyFrame, schema: &Schema) -> LazyFrame {
    let is_narrow = |of: &DataType| {
        matches!(
            of,
            DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::UInt8
                | DataType::UInt16
                | DataType::UInt32
        )
    };
    let narrow: Vec<_> = schema
        .iter()
        .filter(|(_, of)| is_narrow(of))
        .map(|(name, _)| col(name.clone()).cast(DataType::Int64))
        .collect();
    if narrow.is_empty() {
        frame
    } else {
        frame.with_columns(narrow)
    }
}

/// The query with what makes narrow numbers cast; a cast that `select` itself ends with stays as it is.
///
/// # Errors
/// When the query cannot be read.
pub(super) fn calls(sql: &str) -> Result<String, Flaw> {
    let mut statement = parse(sql)?;
    let mut changed = false;
    let _done: ControlFlow<()> = visit_expressions_mut(&mut statement, |expression| {
        if is_narrow(expression) {
            changed = true;
            let inner = std::mem::replace(expression, Expr::value(sqlparser::ast::Value::Null));
            *expression = Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(inner),
                data_type: SqlType::BigInt(None),
                array: false,
                format: None,
            };
        }
        ControlFlow::Continue(())
    });
    if !changed {
        return Ok(sql.to_owned());
    }
    if let Statement::Query(query) = &mut statement
        && let SetExpr::Select(select) = &mut *query.body
    {
        select.projection.iter_mut().for_each(as_written);
    }
    Ok(statement.to_string())
}

/// Takes back our cast round a cast of the user's.
fn as_written(item: &mut SelectItem) {
    let (SelectItem::UnnamedExpr(expression)
    | SelectItem::ExprWithAlias {
        expr: expression, ..
    }) = item
    else {
        return;
    };
    if let Expr::Cast { expr: inner, .. } = expression
        && matches!(**inner, Expr::Cast { .. })
        && is_narrow(inner)
    {
        let inner = std::mem::replace(&mut **inner, Expr::value(sqlparser::ast::Value::Null));
        *expression = inner;
    }
}

fn is_narrow(expression: &Expr) -> bool {
    match expression {
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            NARROW.contains(&name.as_str())
        }
        Expr::Extract { .. } | Expr::Position { .. } => true,
        Expr::Cast { data_type, .. } => matches!(
            data_type,
            SqlType::TinyInt(_)
                | SqlType::SmallInt(_)
                | SqlType::MediumInt(_)
                | SqlType::Int(_)
                | SqlType::Integer(_)
                | SqlType::Int2(_)
                | SqlType::Int4(_)
                | SqlType::Int16
                | SqlType::Int32
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::SqlText;
    use polars::prelude::*;

    use crate::support::polars_sql::plan;

    fn only(query: &str) -> (DataType, i64) {
        let t = df![
            "c" => [2_000_000_000_i32, 2_000_000_000, 2_000_000_000],
            "s" => [30_000_i16, 30_000, 30_000],
            "v" => [100_i64, 200, 300],
            "w" => ["abc", "abc", "abc"],
        ]
        .unwrap()
        .lazy()
        .with_column(
            lit("2026-11-21T10:30:00")
                .str()
                .to_datetime(None, None, StrptimeOptions::default(), lit("raise"))
                .alias("at"),
        );
        let text = SqlText {
            sql: query.to_owned(),
            values: Vec::new(),
        };
        let frame = plan(&text, vec![("t".to_owned(), t)])
            .unwrap_or_else(|error| panic!("{query}: {error}"))
            .collect()
            .unwrap();
        let column = &frame.columns()[0];
        let value = column.cast(&DataType::Int64).unwrap();
        (column.dtype().clone(), value.i64().unwrap().get(0).unwrap())
    }

    #[test]
    fn whole_numbers_do_not_wrap_round() {
        for (query, expected) in [
            ("select sum(c) as x from t", 6_000_000_000),
            ("select sum(c) over () as x from t", 6_000_000_000),
            ("select c * 2 as x from t", 4_000_000_000),
            ("select s + s + s as x from t", 90_000),
            ("select max(s) * 2 as x from t", 60_000),
            ("select count(*) - 5 as x from t", -2),
            ("select count(1) - 5 as x from t", -2),
            ("select abs(count(*) - 5) as x from t", 2),
            ("select count(*) * 3000000000 as x from t", 9_000_000_000),
            ("select count(distinct v) - 5 as x from t", -2),
            (
                "select row_number() over (order by v) - 2 as x from t order by x",
                -1,
            ),
            (
                "select rank() over (order by v) - 5 as x from t order by x",
                -4,
            ),
            ("select length(w) - 5 as x from t", -2),
            ("select strpos(w, 'c') - 5 as x from t", -2),
            (
                "select date_part('hour', at) * 60 + date_part('minute', at) as x from t",
                630,
            ),
            (
                "select extract(year from at) * 10000 as x from t",
                20_260_000,
            ),
            ("select cast(v as smallint) * 1000 as x from t", 100_000),
            ("select v::int * 100000000 as x from t", 10_000_000_000),
            (
                "select x from (select v, count(*) - 7 as x from t group by v having count(*) > 0) y",
                -6,
            ),
            (
                "with n as (select count(*) as n from t) select n - 4 as x from n",
                -1,
            ),
        ] {
            assert_eq!(only(query), (DataType::Int64, expected), "{query}");
        }
    }

    #[test]
    fn a_cast_at_the_end_is_what_was_asked_for() {
        assert_eq!(
            only("select cast(v as int) as x from t"),
            (DataType::Int32, 100)
        );
        assert_eq!(
            only("select cast(count(*) as smallint) as x from t"),
            (DataType::Int16, 3)
        );
    }
}
