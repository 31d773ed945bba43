//! Settings of `check: expectations` that no table can keep.

use pipectl_engine::operator::Complaints;
use serde_json::Value;

use super::expectations::{ColumnRules, RowCount};
use crate::support::text::thousands;

const HINT: &str = "write the smaller bound as the lower one";

/// Complains of a column's lower bounds that are above its upper ones.
pub(super) fn check_column(name: &str, rules: &ColumnRules, found: &mut Complaints) {
    check_bounds(name, rules, found);
    if let Some(length) = rules.length
        && let (Some(low), Some(high)) = (length.min, length.max)
        && low > high
    {
        let message = format!("`min` {low} is greater than `max` {high}");
        found
            .error(&["columns", name, "length"], message)
            .hint(HINT);
    }
}

/// Complains of bounds of the number of rows that no number keeps.
pub(super) fn check_rows(rows: RowCount, found: &mut Complaints) {
    let [least, most] = rows
        .between
        .map_or([None, None], |[least, most]| [Some(least), Some(most)]);
    let lower = [(rows.min, "`min` "), (least, "")];
    let upper = [(rows.max, "`max` "), (most, "")];
    for (low, lower) in lower {
        for (high, upper) in upper {
            if let (Some(low), Some(high)) = (low, high)
                && low > high
            {
                let message = format!(
                    "{lower}{} is greater than {upper}{}",
                    thousands(low),
                    thousands(high)
                );
                let field = if lower.is_empty() && upper.is_empty() {
                    "between"
                } else if lower.is_empty() {
                    "max"
                } else {
                    "min"
                };
                found.error(&["rows", field], message).hint(HINT);
            }
        }
    }
}

fn check_bounds(name: &str, rules: &ColumnRules, found: &mut Complaints) {
    let [least, most] = rules
        .between
        .as_ref()
        .map_or([None, None], |[least, most]| [Some(least), Some(most)]);
    for (low, lower) in [(rules.min.as_ref(), "min"), (least, "between")] {
        for (high, upper) in [(rules.max.as_ref(), "max"), (most, "between")] {
            if let (Some(low), Some(high)) = (low, high)
                && is_greater(low, high)
            {
                let named = |field: &str| match field {
                    "between" => String::new(),
                    field => format!("`{field}` "),
                };
                let (low, high) = (plain(low), plain(high));
                let message = format!(
                    "{}{low} is greater than {}{high}",
                    named(lower),
                    named(upper)
                );
                let field = if lower == "between" { upper } else { lower };
                let hint = if (lower, upper) == ("between", "between") {
                    "write the smaller bound first"
                } else {
                    HINT
                };
                found.error(&["columns", name, field], message).hint(hint);
            }
        }
    }
}

/// Whether one bound is above another: numbers, or dates and times that are written alike.
fn is_greater(low: &Value, high: &Value) -> bool {
    match (low, high) {
        (Value::String(low), Value::String(high)) => {
            let is_date = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
            low.len() == high.len()
                && is_date(low)
                && is_date(high)
                && low.contains('-')
                && low > high
        }
        (low, high) => {
            matches!((low.as_f64(), high.as_f64()), (Some(low), Some(high)) if low > high)
        }
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::complaints;
    use serde_json::{Value, json};

    use crate::check::expectations::Expectations;

    #[test]
    fn bounds_that_cross_are_complained_of() {
        let column = |rules: Value| json!({"columns": {"v": rules}});
        for (settings, complaint) in [
            (
                json!({"rows": {"min": 5, "max": 1}}),
                "rows.min: `min` 5 is greater than `max` 1",
            ),
            (
                json!({"rows": {"between": [5000, 1]}}),
                "rows.between: 5,000 is greater than 1",
            ),
            (
                json!({"rows": {"between": [5, 9], "max": 4}}),
                "rows.max: 5 is greater than `max` 4",
            ),
            (
                column(json!({"min": 2, "max": 1.5})),
                "columns.v.min: `min` 2 is greater than `max` 1.5",
            ),
            (
                column(json!({"between": [3, 1]})),
                "columns.v.between: 3 is greater than 1",
            ),
            (
                column(json!({"between": ["2026-03-01", "2026-02-01"]})),
                "columns.v.between: 2026-03-01 is greater than 2026-02-01",
            ),
            (
                column(json!({"between": [1, 3], "min": 4})),
                "columns.v.min: `min` 4 is greater than 3",
            ),
            (
                column(json!({"length": {"min": 3, "max": 2}})),
                "columns.v.length: `min` 3 is greater than `max` 2",
            ),
        ] {
            assert_eq!(complaints::<Expectations>(settings), [complaint]);
        }
        for settings in [
            json!({"rows": {"min": 1, "max": 1}}),
            column(json!({"min": "a", "max": "B"})),
            column(json!({"min": "9", "max": "10"})),
            column(json!({"min": 1, "max": 1, "length": {"min": 1}})),
        ] {
            assert!(complaints::<Expectations>(settings).is_empty());
        }
    }
}
