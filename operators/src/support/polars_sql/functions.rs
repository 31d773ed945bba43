//! The functions that a query calls.

use std::{collections::BTreeSet, ops::ControlFlow};

use polars::sql::{keywords::all_functions, sql_expr};
use sqlparser::ast::{Expr, Visit, visit_expressions};

use super::{
    explain::{LISTED, at},
    parse::Flaw,
};
use crate::support::text::did_you_mean;

/// Looks for a function that there is not.
///
/// # Errors
/// Names the first one, with its place; the first `offset` characters are ours and not the user's.
pub(super) fn known(tree: &impl Visit, sql: &str, offset: u64) -> Result<(), Flaw> {
    let mut seen = BTreeSet::new();
    let found = visit_expressions(tree, |expression| {
        let Expr::Function(function) = expression else {
            return ControlFlow::Continue(());
        };
        let [name] = function.name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let Some(name) = name.as_ident().map(|name| &name.value) else {
            return ControlFlow::Continue(());
        };
        if seen.insert(name.to_lowercase()) && !is_known(name) {
            return ControlFlow::Break(name.clone());
        }
        ControlFlow::Continue(())
    });
    match found {
        ControlFlow::Break(name) => Err(unknown(&name, sql, offset)),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// polars' list has not all names that it knows, and some that it does not: it is asked itself.
fn is_known(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let lower = name.to_lowercase();
    if !name.chars().all(is_plain) {
        return true;
    }
    let refused = sql_expr(format!("{lower}(null)")).err();
    refused.is_none_or(|error| !error.to_string().contains("unsupported function"))
}

/// What is said of a function that there is not.
pub(super) fn unknown(function: &str, sql: &str, offset: u64) -> Flaw {
    let others = all_functions().into_iter().filter(|name| *name != function);
    let similar = did_you_mean(function, others)
        .map_or_else(String::new, |name| format!("did you mean `{name}`? "));
    let place = at(sql, function, offset);
    Flaw::new(format!("{place}there is no function `{function}`"))
        .hint(format!("{similar}{LISTED}"))
}

#[cfg(test)]
mod tests {
    use crate::support::polars_sql::{check_query, parse_expression};

    #[test]
    fn functions_are_known_before_a_query_runs() {
        for good in [
            "upper(w)",
            "LENGTH(w)",
            "count(*)",
            "div(7, 2)",
            "sum(v) over ()",
            "round(v, 1)",
        ] {
            assert_eq!(
                check_query(&format!("select {good} as x from t"), None),
                Ok(()),
                "{good}"
            );
        }
        let flaw = check_query("select v,\n  uper(w) as x from t", None).unwrap_err();
        assert_eq!(
            (flaw.message.as_str(), flaw.hint.as_deref()),
            (
                "line 2, column 3 of the query: there is no function `uper`",
                Some("did you mean `upper`? docs/sql.md lists what is understood")
            )
        );
        let flaw = parse_expression("v > 1 and nofunc(v)").unwrap_err();
        assert!(
            flaw.message.ends_with("there is no function `nofunc`"),
            "{flaw:?}"
        );
    }
}
