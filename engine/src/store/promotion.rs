//! Decides whether a new version of a model becomes champion.
//!
//! Pure: the stores read the measures and write the alias, both in the transaction that registers the version.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{model::another_question, operator::Promote, spec::PromotionRule};

/// What becomes of a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It becomes champion, and why.
    Champion(String),
    /// The champion stays.
    Stays,
    /// The champion stays because the rule has no answer, and why.
    Undecided(String),
}

impl Verdict {
    /// What a person has to mend, a rule without an answer: it is remembered beside the alias's moves.
    pub fn note(&self, version: u32) -> Option<String> {
        let Self::Undecided(why) = self else {
            return None;
        };
        Some(format!(
            "stays: version {version} cannot be compared with it: {why}"
        ))
    }
}

/// What is known of a version when it is decided who is champion.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'a> {
    /// Its measures.
    pub metrics: &'a BTreeMap<String, f64>,
    /// What its file says of itself.
    pub card: &'a Value,
}

/// Whether the new version becomes champion.
///
/// `champion` is the present champion, `None` when the model has none.
pub fn promotion(
    promote: &Promote,
    new: Contender<'_>,
    champion: Option<Contender<'_>>,
) -> Verdict {
    let Some(champion) = champion else {
        return Verdict::Champion("there was no champion".to_owned());
    };
    if !matches!(promote, Promote::Never)
        && let Some(why) = another_question(new.card, champion.card, "the champion")
    {
        return Verdict::Undecided(why);
    }
    let (new, champion) = (new.metrics, champion.metrics);
    match promote {
        Promote::Never => Verdict::Stays,
        Promote::Best {
            metric,
            greater_is_better,
        } => best(metric, *greater_is_better, new, champion)
            .map_or(Verdict::Stays, Verdict::Champion),
        Promote::If(rule) => by_rule(rule, new, champion),
    }
}

fn best(
    metric: &str,
    greater_is_better: bool,
    new: &BTreeMap<String, f64>,
    champion: &BTreeMap<String, f64>,
) -> Option<String> {
    let new = *new.get(metric).filter(|value| !value.is_nan())?;
    match champion
        .get(metric)
        .copied()
        .filter(|value| !value.is_nan())
    {
        None => Some(format!("{metric} {new}, which the champion does not have")),
        Some(old) if (new > old && greater_is_better) || (new < old && !greater_is_better) => {
            Some(format!("{metric} {new} instead of {old}"))
        }
        Some(_) => None,
    }
}

fn by_rule(rule: &str, new: &BTreeMap<String, f64>, champion: &BTreeMap<String, f64>) -> Verdict {
    let undecided = |why: String| Verdict::Undecided(format!("`{rule}`: {why}"));
    let rule = match PromotionRule::compile(rule) {
        Ok(rule) => rule,
        Err(why) => return undecided(why),
    };
    let (new, champion) = (numbers(new), numbers(champion));
    match rule.is_true(&new, &champion) {
        Ok(true) => Verdict::Champion(format!(
            "{}: {}",
            rule.source(),
            rule.shown(&new, &champion)
        )),
        Ok(false) => Verdict::Stays,
        Err(why) => undecided(why),
    }
}

/// The measures that are numbers.
fn numbers(measures: &BTreeMap<String, f64>) -> Map<String, Value> {
    let finite = measures.iter().filter(|(_, value)| value.is_finite());
    finite
        .map(|(name, value)| (name.clone(), (*value).into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decide(
        promote: &Promote,
        new: &BTreeMap<String, f64>,
        champion: Option<&BTreeMap<String, f64>>,
    ) -> Verdict {
        let of = |metrics| Contender {
            metrics,
            card: &Value::Null,
        };
        promotion(promote, of(new), champion.map(of))
    }

    fn measures(value: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([("f1".to_owned(), value)])
    }

    fn best(greater_is_better: bool) -> Promote {
        Promote::Best {
            metric: "f1".to_owned(),
            greater_is_better,
        }
    }

    #[test]
    fn the_first_version_always_is_champion() {
        for promote in [Promote::Never, best(true), rule("f1 > champion.f1")] {
            let verdict = decide(&promote, &BTreeMap::new(), None);
            assert_eq!(
                verdict,
                Verdict::Champion("there was no champion".to_owned())
            );
        }
    }

    #[test]
    fn a_better_one_takes_over() {
        for (promote, new, champion, takes_over) in [
            (best(true), 0.9, 0.8, true),
            (best(true), 0.8, 0.8, false),
            (best(true), 0.7, 0.8, false),
            (best(false), 0.7, 0.8, true),
            (best(false), 0.9, 0.8, false),
            (best(true), f64::NAN, 0.8, false),
            (best(true), 0.1, f64::NAN, true),
            (Promote::Never, 0.9, 0.8, false),
        ] {
            let verdict = decide(&promote, &measures(new), Some(&measures(champion)));
            assert_eq!(
                matches!(verdict, Verdict::Champion(_)),
                takes_over,
                "{promote:?} {new} against {champion}"
            );
        }
    }

    #[test]
    fn a_measure_that_is_missing_never_wins() {
        let none = BTreeMap::new();
        assert_eq!(
            decide(&best(true), &none, Some(&measures(0.1))),
            Verdict::Stays
        );
        let verdict = decide(&best(true), &measures(0.1), Some(&none));
        assert!(matches!(verdict, Verdict::Champion(_)), "{verdict:?}");
    }

    fn rule(text: &str) -> Promote {
        Promote::If(text.to_owned())
    }

    #[test]
    fn a_rule_compares_with_the_champion() {
        for (text, new, champion, takes_over) in [
            ("f1 > champion.f1 + 0.01", 0.82, 0.8, true),
            ("f1 > champion.f1 + 0.01", 0.805, 0.8, false),
            ("f1 >= 0.7 and f1 >= champion.f1", 0.8, 0.8, true),
            ("f1 >= 0.9", 0.8, 0.1, false),
            ("f1 > champion.log_loss | default(0.5)", 0.8, 0.9, true),
            ("f1 > champion.log_loss | default(0.5)", 0.4, 0.1, false),
            ("champion.log_loss is undefined", 0.1, 0.9, true),
        ] {
            let verdict = decide(&rule(text), &measures(new), Some(&measures(champion)));
            assert_eq!(
                matches!(verdict, Verdict::Champion(_)),
                takes_over,
                "{text} {new} against {champion}: {verdict:?}"
            );
        }
        let verdict = decide(
            &rule("f1 > champion.f1 + 0.01"),
            &measures(0.75),
            Some(&measures(0.5)),
        );
        let note = "f1 > champion.f1 + 0.01: f1 0.75, champion.f1 0.5";
        assert_eq!(verdict, Verdict::Champion(note.to_owned()));
    }

    #[test]
    fn a_rule_without_an_answer_promotes_nobody() {
        for (text, why) in [
            (
                "f1 > champion.recall",
                "`f1 > champion.recall`: the champion has no measure `recall`",
            ),
            (
                "recall > 0.5",
                "`recall > 0.5`: the new version has no measure `recall`",
            ),
            (
                "f1 >",
                "`f1 >`: unexpected end of input, expected expression",
            ),
        ] {
            let verdict = decide(&rule(text), &measures(0.9), Some(&measures(0.1)));
            assert_eq!(verdict, Verdict::Undecided(why.to_owned()));
        }
        let verdict = decide(
            &rule("f1 > champion.f1"),
            &measures(f64::NAN),
            Some(&measures(0.1)),
        );
        let why = "`f1 > champion.f1`: the new version has no measure `f1`";
        assert_eq!(verdict, Verdict::Undecided(why.to_owned()));
    }

    #[test]
    fn who_answers_another_question_is_not_compared() {
        let card = |goal: &str, target: &str, classes: &[&str]| json!({"goal": goal, "target": target, "classes": {"type": "text", "values": classes}});
        let usual = card("classes", "churn", &["no", "yes"]);
        let verdict = |promote: &Promote, new: &Value, champion: &Value| {
            let (better, worse) = (measures(0.9), measures(0.1));
            let new = Contender {
                metrics: &better,
                card: new,
            };
            let champion = Contender {
                metrics: &worse,
                card: champion,
            };
            promotion(promote, new, Some(champion))
        };
        let flipped = "its positive class is `no`, that of the champion is `yes`";
        for (new, why) in [
            (card("classes", "churn", &["yes", "no"]), flipped),
            (
                card("classes", "left", &["no", "yes"]),
                "its target is `left`, that of the champion is `churn`",
            ),
            (
                card("quantity", "churn", &[]),
                "its goal is `quantity`, that of the champion is `classes`",
            ),
            (
                card("classes", "churn", &["no", "perhaps", "yes"]),
                "its classes are `no`, `perhaps`, `yes`, those of the champion are `no`, `yes`",
            ),
        ] {
            for promote in [best(true), rule("f1 > champion.f1")] {
                let undecided = Verdict::Undecided(why.to_owned());
                assert_eq!(verdict(&promote, &new, &usual), undecided);
            }
            assert_eq!(verdict(&Promote::Never, &new, &usual), Verdict::Stays);
        }
        let three = card("classes", "kind", &["a", "b", "c"]);
        let four = card("classes", "kind", &["a", "b", "c", "d"]);
        let numbers = json!({"classes": {"type": "integer", "values": [0, 1]}});
        for (new, champion) in [
            (&usual, &usual),
            (&four, &three),
            (&usual, &Value::Null),
            (&json!({"estimator": "elsewhere"}), &usual),
            (&numbers, &numbers),
            (&usual, &card("classes", "", &["no", "yes"])),
        ] {
            let verdict = verdict(&best(true), new, champion);
            assert!(matches!(verdict, Verdict::Champion(_)), "{verdict:?}");
        }
    }
}
