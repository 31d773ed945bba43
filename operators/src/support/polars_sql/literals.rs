//! Intervals and types that polars does not understand: it would panic.

use polars::prelude::Duration;
use sqlparser::ast::{DataType, ExactNumberInfo, Expr, Interval, Value};

use super::{parse::Flaw, refused::place};

/// The most digits of a decimal.
const DIGITS: u64 = 38;

/// Looks at an expression by itself.
pub(super) fn refused(expression: &Expr) -> Option<Flaw> {
    match expression {
        Expr::Interval(interval) => of_interval(expression, interval),
        Expr::Cast { data_type, .. } => of_type(expression, data_type),
        _ => None,
    }
}

fn of_interval(expression: &Expr, interval: &Interval) -> Option<Flaw> {
    let Expr::Value(value) = &*interval.value else {
        return None;
    };
    let Value::SingleQuotedString(text) = &value.value else {
        return None;
    };
    // With the unit behind the quotes it is read otherwise.
    if interval.leading_field.is_some() || Duration::try_parse_interval(text).is_ok() {
        return None;
    }
    let message = format!("{}`interval '{text}'` is not understood", place(expression));
    Some(Flaw::new(message).hint(
        "write numbers with their units, as in `interval '1 day'` or `interval '2 hours 30 minutes'`: \
         `year`, `quarter`, `month`, `week`, `day`, `hour`, `minute`, `second`, `millisecond`, `microsecond`, `nanosecond`",
    ))
}

fn of_type(expression: &Expr, of: &DataType) -> Option<Flaw> {
    let (DataType::Decimal(info) | DataType::BigDecimal(info) | DataType::Numeric(info)) = of
    else {
        return None;
    };
    let (digits, places) = match *info {
        ExactNumberInfo::PrecisionAndScale(digits, places) => (digits, places),
        ExactNumberInfo::Precision(digits) => (digits, 0),
        ExactNumberInfo::None => return None,
    };
    let fits = u64::try_from(places).is_ok_and(|places| places <= digits);
    if fits && (1..=DIGITS).contains(&digits) {
        return None;
    }
    let message = format!("{}there is no type `{of}`", place(expression));
    Some(Flaw::new(message).hint(format!(
        "a decimal has 1 to {DIGITS} digits, of which some may stand behind the point: `decimal(18, 2)`; `double` holds larger numbers"
    )))
}

#[cfg(test)]
mod tests {
    use crate::support::polars_sql::{check_condition, parse};
    use pipectl_engine::operator::SqlText;

    #[test]
    fn what_polars_would_panic_at_is_refused() {
        for (good, bad, message) in [
            (
                "d + interval '1 day'",
                "d + interval '1 foo'",
                "line 1, column 21 of the query: `interval '1 foo'` is not understood",
            ),
            (
                "interval '2 hours 30 minutes'",
                "interval 'x'",
                "line 1, column 17 of the query: `interval 'x'` is not understood",
            ),
            (
                "v::decimal(38, 2)",
                "v::decimal(50,2)",
                "line 1, column 8 of the query: there is no type `DECIMAL(50,2)`",
            ),
            (
                "cast(v as numeric)",
                "cast(v as numeric(10, 20))",
                "line 1, column 13 of the query: there is no type `NUMERIC(10,20)`",
            ),
        ] {
            assert_eq!(
                parse(&format!("select {good} as x from t")).err(),
                None,
                "{good}"
            );
            let flaw = parse(&format!("select {bad} as x from t")).unwrap_err();
            assert_eq!(flaw.message, message);
            assert!(flaw.hint.is_some(), "{bad}");
            let condition = SqlText {
                sql: format!("{bad} is null"),
                values: Vec::new(),
            };
            assert!(check_condition(&condition).is_err(), "{bad}");
        }
    }
}
