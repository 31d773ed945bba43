//! The functions that a query calls.

use std::{collections::BTreeSet, ops::ControlFlow};

use polars::sql::{keywords::all_functions, sql_expr};
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Visit, visit_expressions,
};

use super::{
    explain::{LISTED, at},
    parse::Flaw,
};
use crate::support::text::did_you_mean;

/// How many arguments a function may have that has few.
const FEW: usize = 5;

/// Looks for a function that there is not, or that takes another number of arguments.
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
        let given = match &function.args {
            FunctionArguments::List(list) => list.args.len(),
            _ => 0,
        };
        if !seen.insert((name.to_lowercase(), given)) {
            return ControlFlow::Continue(());
        }
        if !is_known(name) {
            return ControlFlow::Break(unknown(name, sql, offset));
        }
        match miscounted(name, given, sql, offset) {
            Some(flaw) => ControlFlow::Break(flaw),
            None => ControlFlow::Continue(()),
        }
    });
    match found {
        ControlFlow::Break(flaw) => Err(flaw),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Functions that only numbers have, and of which polars makes nothing where it finds text.
const OF_NUMBERS: [&str; 24] = [
    "avg",
    "cbrt",
    "corr",
    "covar",
    "covar_pop",
    "covar_samp",
    "exp",
    "ln",
    "log",
    "log10",
    "log1p",
    "log2",
    "median",
    "pow",
    "quantile_cont",
    "quantile_disc",
    "sqrt",
    "stddev",
    "stddev_samp",
    "stdev",
    "stdev_samp",
    "var",
    "var_samp",
    "variance",
];

/// Which functions of numbers are called with which columns.
pub(super) fn of_numbers(tree: &impl Visit) -> Vec<(String, String)> {
    let mut calls = Vec::new();
    let _end: ControlFlow<()> = visit_expressions(tree, |expression| {
        if let Expr::Function(function) = expression
            && let [name] = function.name.0.as_slice()
            && let Some(name) = name.as_ident().map(|name| name.value.to_lowercase())
            && OF_NUMBERS.contains(&name.as_str())
            && let FunctionArguments::List(list) = &function.args
        {
            let columns = list.args.iter().filter_map(column);
            calls.extend(columns.map(|column| (name.clone(), column)));
        }
        ControlFlow::Continue(())
    });
    calls
}

/// The column that an argument is, when it is nothing else.
fn column(argument: &FunctionArg) -> Option<String> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = argument else {
        return None;
    };
    match expression {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()),
        _ => None,
    }
}

/// Whether polars finds fault with the number of arguments, whatever they are.
fn has_wrong_count(name: &str, number: usize) -> bool {
    ["null", "1", "'x'"].iter().all(|argument| {
        let arguments = vec![*argument; number].join(", ");
        sql_expr(format!("{name}({arguments})")).is_err_and(|error| {
            let text = error.to_string();
            let counts = text.contains(" expects ") && text.contains(" argument");
            counts || text.contains("no function matches the given name and arguments")
        })
    })
}

/// A call with too many or too few arguments.
fn miscounted(name: &str, given: usize, sql: &str, offset: u64) -> Option<Flaw> {
    let lower = name.to_lowercase();
    if given > FEW || !is_plain(&lower) || !has_wrong_count(&lower, given) {
        return None;
    }
    let taken = (0..=FEW).filter(|number| !has_wrong_count(&lower, *number));
    let taken: Vec<String> = taken.map(|number| number.to_string()).collect();
    let (last, others) = taken.split_last()?;
    let takes = match others {
        [] => last.clone(),
        others => format!("{} or {last}", others.join(", ")),
    };
    let noun = if takes == "1" {
        "argument"
    } else {
        "arguments"
    };
    let place = at(sql, name, offset);
    Some(Flaw::new(format!(
        "{place}`{name}` takes {takes} {noun}, not {given}"
    )))
}

fn is_plain(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.chars().all(plain)
}

/// polars' list has not all names that it knows, and some that it does not: it is asked itself.
fn is_known(name: &str) -> bool {
    let lower = name.to_lowercase();
    if !is_plain(name) {
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
            "round(v)",
            "substr(w, 2)",
            "concat(w, w, w, w, w, w, w)",
            "coalesce(v, 1)",
            "lag(v, 1) over (order by v)",
            "row_number() over (order by v)",
            "date_part('month', at)",
            "quantile_cont(v, 0.5)",
            "string_agg(w, ',')",
            "count(distinct w)",
            "pi()",
            "if(v > 1, 'a', 'b')",
            "regexp_like(w, 'a', 'i')",
            "strptime(w, '%d.%m.%Y')",
            "array_to_string(l, ',')",
            "greatest(v, 1, 2)",
            "log(v, 10)",
            "left(w, 2)",
            "lpad(w, 5, '0')",
            "ltrim(w, 'x')",
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
                Some("did you mean `upper`? `pipectl docs sql` lists what is understood")
            )
        );
        for (wrong, said) in [
            (
                "split_part(w, '-')",
                "`split_part` takes 3 arguments, not 2",
            ),
            ("Upper(w, w)", "`Upper` takes 1 argument, not 2"),
            ("round(v, 1, 2)", "`round` takes 1 or 2 arguments, not 3"),
            ("nullif(v)", "`nullif` takes 2 arguments, not 1"),
            ("replace(w, 'a')", "`replace` takes 3 arguments, not 2"),
        ] {
            let flaw = check_query(&format!("select {wrong} as x from t"), None).unwrap_err();
            let said = format!("line 1, column 8 of the query: {said}");
            assert_eq!(flaw.message, said, "{wrong}");
        }
        let flaw = parse_expression("v > 1 and nofunc(v)").unwrap_err();
        assert!(
            flaw.message.ends_with("there is no function `nofunc`"),
            "{flaw:?}"
        );
    }
}
