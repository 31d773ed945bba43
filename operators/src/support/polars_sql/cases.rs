//! Long `case` expressions.
//!
//! polars makes one `if` within the other of the branches, and each keeps a copy of all that follow it: a thousand
//! branches are half a million. Branches are put into groups, and a group is only entered when one of its conditions
//! holds, so that the tree is flat.

use sqlparser::ast::{BinaryOperator, CaseWhen, Expr, helpers::attached_token::AttachedToken};

use super::{
    parse::Flaw,
    size::{GROUP, LONG, MOST, in_groups, nothing},
};
use crate::support::text::thousands;

/// Groups the branches anew; says whether there were many.
///
/// # Errors
/// When there are too many.
pub(super) fn settle(expression: &mut Expr) -> Result<bool, Flaw> {
    let Expr::Case {
        operand,
        conditions,
        ..
    } = expression
    else {
        return Ok(false);
    };
    if conditions.len() > MOST {
        return Err(Flaw::new(format!(
            "the query has a `case` of {} branches, and at most {} are understood",
            thousands(conditions.len() as u64),
            thousands(MOST as u64)
        ))
        .hint("put the values into a dataset of their own, and join it"));
    }
    if conditions.len() <= LONG {
        return Ok(false);
    }
    let mut branches = std::mem::take(conditions);
    if let Some(operand) = operand.take() {
        for branch in &mut branches {
            let value = std::mem::replace(&mut branch.condition, nothing());
            branch.condition = Expr::BinaryOp {
                left: Box::new(Expr::Nested(operand.clone())),
                op: BinaryOperator::Eq,
                right: Box::new(Expr::Nested(Box::new(value))),
            };
        }
    }
    while branches.len() > GROUP {
        branches = in_groups(branches).into_iter().map(grouped).collect();
    }
    *conditions = branches;
    Ok(true)
}

/// Some branches as one, whose condition holds when one of theirs does.
fn grouped(branches: Vec<CaseWhen>) -> CaseWhen {
    let any = branches
        .iter()
        .map(|branch| Expr::Nested(Box::new(branch.condition.clone())))
        .reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: BinaryOperator::Or,
            right: Box::new(right),
        });
    CaseWhen {
        condition: any.unwrap_or_else(nothing),
        result: Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: branches,
            else_result: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::SqlText;
    use polars::prelude::{DataFrame, IntoLazy, df};

    use crate::support::polars_sql::{check_query, plan};

    fn run(sql: &str) -> DataFrame {
        let t =
            df!["v" => [Some(0_i64), Some(700), Some(9_999), None], "w" => ["a", "b", "c", "d"]];
        let text = SqlText {
            sql: sql.to_owned(),
            values: Vec::new(),
        };
        let plan = plan(&text, vec![("t".to_owned(), t.unwrap().lazy())]);
        plan.unwrap().collect().unwrap()
    }

    #[test]
    fn many_branches_mean_the_same_and_cost_little() {
        let branches = |count: usize, start: &str| -> String {
            let branch = |number: usize| {
                let result = match number {
                    700 => "2.5".to_owned(),
                    _ => (number * 10).to_string(),
                };
                format!("when {start}{number} then {result} ")
            };
            // The first that holds counts.
            (0..count)
                .map(branch)
                .chain([format!("when {start}0 then -1 ")])
                .collect()
        };
        let searched = branches(2_000, "v = ");
        let simple = branches(2_000, "");
        let frame = run(&format!(
            "select case {searched} end as a, case v {simple} else 7 end as b, case when w = 'a' then 'x''y' end as c from t"
        ));
        let expected = df![
            "a" => [Some(0.0), Some(2.5), None, None],
            "b" => [0.0, 2.5, 7.0, 7.0],
            "c" => [Some("x'y"), None, None, None],
        ];
        assert!(frame.equals_missing(&expected.unwrap()), "{frame:?}");
        let summed = run(&format!(
            "select sum(case {searched} else 1 end) as s from t"
        ));
        let sum = summed.column("s").unwrap().f64().unwrap().get(0);
        assert_eq!(sum, Some(4.5));
    }

    #[test]
    fn too_many_branches_are_refused() {
        let branches = "when v = 1 then 2 ".repeat(20_000);
        let flaw =
            check_query(&format!("select case {branches} end as x from t"), None).unwrap_err();
        assert_eq!(
            flaw.message,
            "the query has a `case` of 20,000 branches, and at most 10,000 are understood"
        );
    }
}
