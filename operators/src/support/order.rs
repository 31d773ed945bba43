//! Plans whose rows come in an order that does not depend on threads.
//!
//! polars' SQL groups, joins and merges without keeping any order. Two runs on equal data shall give equal bytes, so
//! each of these steps is told to keep the order of what it reads.

use std::sync::Arc;

use polars::prelude::{LazyFrame, MaintainOrderJoin};
use polars_plan::dsl::DslPlan;

/// The same plan, keeping order in every step that can.
pub(crate) fn kept(frame: LazyFrame) -> LazyFrame {
    LazyFrame::from(ordered(frame.logical_plan))
}

fn inner(plan: Arc<DslPlan>) -> Arc<DslPlan> {
    Arc::new(ordered(Arc::unwrap_or_clone(plan)))
}

fn ordered(plan: DslPlan) -> DslPlan {
    use DslPlan as P;
    match plan {
        // What was planned already is planned anew.
        P::IR { dsl, .. } => ordered(Arc::unwrap_or_clone(dsl)),
        P::GroupBy {
            input,
            keys,
            predicates,
            aggs,
            options,
            apply,
            ..
        } => P::GroupBy {
            input: inner(input),
            keys,
            predicates,
            aggs,
            maintain_order: true,
            options,
            apply,
        },
        P::Distinct { input, mut options } => {
            options.maintain_order = true;
            P::Distinct {
                input: inner(input),
                options,
            }
        }
        P::Join {
            input_left,
            input_right,
            left_on,
            right_on,
            predicates,
            mut options,
        } => {
            let join = Arc::make_mut(&mut options);
            if join.args.maintain_order == MaintainOrderJoin::None {
                join.args.maintain_order = MaintainOrderJoin::LeftRight;
            }
            let (input_left, input_right) = (inner(input_left), inner(input_right));
            P::Join {
                input_left,
                input_right,
                left_on,
                right_on,
                predicates,
                options,
            }
        }
        P::Sort {
            input,
            by_column,
            slice,
            mut sort_options,
        } => {
            sort_options.maintain_order = true;
            P::Sort {
                input: inner(input),
                by_column,
                slice,
                sort_options,
            }
        }
        P::Union { inputs, mut args } => {
            args.maintain_order = true;
            P::Union {
                inputs: inputs.into_iter().map(ordered).collect(),
                args,
            }
        }
        other => below(other),
    }
}

/// Steps that keep the order of what they read by themselves.
fn below(plan: DslPlan) -> DslPlan {
    use DslPlan as P;
    match plan {
        P::HConcat { inputs, options } => P::HConcat {
            inputs: inputs.into_iter().map(ordered).collect(),
            options,
        },
        P::ExtContext { input, contexts } => P::ExtContext {
            input: inner(input),
            contexts: contexts.into_iter().map(ordered).collect(),
        },
        P::Filter { input, predicate } => P::Filter {
            input: inner(input),
            predicate,
        },
        P::Cache { input, id } => P::Cache {
            input: inner(input),
            id,
        },
        P::Select {
            expr,
            input,
            options,
        } => P::Select {
            expr,
            input: inner(input),
            options,
        },
        P::HStack {
            input,
            exprs,
            options,
        } => P::HStack {
            input: inner(input),
            exprs,
            options,
        },
        P::Slice { input, offset, len } => P::Slice {
            input: inner(input),
            offset,
            len,
        },
        P::MapFunction { input, function } => P::MapFunction {
            input: inner(input),
            function,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use polars::{prelude::*, sql::SQLContext};

    use super::*;

    fn rows(sql: &str) -> Vec<DataFrame> {
        let keys: Vec<i64> = (0..20_000).map(|row| (row * 7_919) % 5_003).collect();
        let values: Vec<i64> = (0..20_000).collect();
        let frame = df!["k" => keys, "v" => values].unwrap();
        let run = || {
            let mut context = SQLContext::new();
            context.register("t", frame.clone().lazy());
            kept(context.execute(sql).unwrap()).collect().unwrap()
        };
        (0..4).map(|_| run()).collect()
    }

    #[test]
    fn equal_data_gives_equal_order() {
        for sql in [
            "select k, count(*) as n, sum(v) as s from t group by k",
            "select distinct k from t",
            "select a.k, b.v from t a join t b on a.v = b.k",
            "select a.k, b.v from t a full join t b on a.v = b.k",
            "select k from t union select v from t",
            "with g as (select k, max(v) as m from t group by k) select g.m, t.v from g left join t on g.k = t.k",
            "select * from t order by k % 10",
        ] {
            let results = rows(sql);
            for other in results.iter().skip(1) {
                assert!(results[0].equals_missing(other), "{sql}");
            }
        }
        assert_eq!(
            rows("select k, count(*) as n from t group by k")[0]
                .column("k")
                .unwrap()
                .get(1)
                .unwrap(),
            AnyValue::Int64(2_916)
        );
    }
}
