//! When a new version of a model becomes champion, as `train` operators say it.

use pipectl_engine::{
    operator::{Complaints, Promote, PromotionText},
    spec::{PromotionRule, suggest},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// When a new version becomes champion. The first version always does.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Promotion<M> {
    /// When it is better by this metric than the champion.
    Best(M),
    /// When this expression over its metrics and `champion.<metric>` is true: `f1 > champion.f1 + 0.01`.
    If(PromotionText),
}

impl<M: Copy> Promotion<M> {
    /// The rule for the registry: `this`, or the best by `usual`. `of` says a metric's name, and whether more is better.
    pub(crate) fn rule(
        this: Option<Self>,
        usual: M,
        of: impl Fn(M) -> (&'static str, bool),
    ) -> Promote {
        let metric = match this {
            Some(Self::If(rule)) => return Promote::If(rule.0),
            Some(Self::Best(metric)) => metric,
            None => usual,
        };
        let (name, greater_is_better) = of(metric);
        Promote::Best {
            metric: name.to_owned(),
            greater_is_better,
        }
    }

    /// Looks for names in the expression that are no metrics.
    pub(crate) fn check(this: Option<&Self>, metrics: &[&str], found: &mut Complaints) {
        let Some(Self::If(text)) = this else {
            return;
        };
        let wrong = match PromotionRule::compile(&text.0) {
            Err(message) => Some((message, None)),
            Ok(rule) => match rule.measures() {
                Err(message) => Some((message, None)),
                Ok(read) => read
                    .into_iter()
                    .find(|name| !metrics.contains(name))
                    .map(|name| {
                        let hint = suggest::hint(name, metrics.iter().copied());
                        (format!("there is no metric `{name}`"), Some(hint))
                    }),
            },
        };
        if let Some((message, hint)) = wrong {
            let usual = "it reads the new version's metrics and the champion's, as in `f1 > champion.f1 + 0.01`";
            found
                .error(&["promote", "if"], message)
                .hint(hint.unwrap_or_else(|| usual.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: &str) -> Vec<String> {
        let mut found = Complaints::default();
        let promotion: Promotion<u8> = Promotion::If(PromotionText(rule.to_owned()));
        Promotion::check(Some(&promotion), &["f1", "recall", "log_loss"], &mut found);
        let found = found.into_vec().into_iter();
        found
            .map(|one| {
                format!(
                    "{}: {} ({})",
                    one.path.join("."),
                    one.message,
                    one.hint.unwrap()
                )
            })
            .collect()
    }

    #[test]
    fn names_are_metrics() {
        assert!(found("f1 > champion.f1 and log_loss < champion.log_loss | round(2)").is_empty());
        for (rule, complaint) in [
            (
                "f1 > champion.recal",
                "promote.if: there is no metric `recal` (did you mean `recall`?)",
            ),
            (
                "f1 > params.least",
                "promote.if: unknown name `params.least` (it reads the new version's metrics and the champion's, as in `f1 > champion.f1 + 0.01`)",
            ),
        ] {
            assert_eq!(found(rule), [complaint]);
        }
    }

    #[test]
    fn a_metric_is_a_rule_of_its_own() {
        let of = |metric: u8| {
            if metric == 1 {
                ("f1", true)
            } else {
                ("loss", false)
            }
        };
        let best = |name: &str, greater_is_better| Promote::Best {
            metric: name.to_owned(),
            greater_is_better,
        };
        assert_eq!(Promotion::rule(None, 1, of), best("f1", true));
        assert_eq!(
            Promotion::rule(Some(Promotion::Best(2)), 1, of),
            best("loss", false)
        );
        let rule = PromotionText("f1 > 0.5".to_owned());
        assert_eq!(
            Promotion::rule(Some(Promotion::If(rule)), 1, of),
            Promote::If("f1 > 0.5".to_owned())
        );
    }
}
