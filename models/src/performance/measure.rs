//! What is measured, and when it cannot be.

use serde::{Deserialize, Serialize};

use crate::metrics::Metric;
use crate::performance::pairs::{Kind, Pairs};

/// A metric of classes or of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Of classes.
    Class(Metric),
    /// Of numbers.
    Number(Metric),
}

/// A metric's value, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// The value.
    pub value: Option<f64>,
    /// Why there is none.
    pub why: Option<String>,
}

impl Value {
    pub(crate) fn none(why: impl Into<String>) -> Self {
        Self {
            value: None,
            why: Some(why.into()),
        }
    }
}

impl Measure {
    /// The measure of a name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = Self::all(Kind::Classifier).into_iter();
        all.chain(Self::all(Kind::Regressor))
            .find(|measure| measure.name() == name)
    }

    /// All measures of a kind, in the order in which they are shown.
    pub fn all(kind: Kind) -> Vec<Self> {
        match kind {
            Kind::Classifier => Metric::CLASSES.into_iter().map(Self::Class).collect(),
            Kind::Regressor => Metric::QUANTITY.into_iter().map(Self::Number).collect(),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Class(metric) | Self::Number(metric) => metric.name(),
        }
    }

    /// What it is of.
    pub fn kind(self) -> Kind {
        match self {
            Self::Class(_) => Kind::Classifier,
            Self::Number(_) => Kind::Regressor,
        }
    }

    /// Whether more is better.
    pub fn higher_is_better(self) -> bool {
        match self {
            Self::Class(metric) | Self::Number(metric) => metric.higher_is_better(),
        }
    }

    /// Whether it needs probabilities.
    pub fn needs_probability(self) -> bool {
        matches!(self, Self::Class(metric) if !metric.depends_on_threshold())
    }

    /// Its value over some rows.
    pub fn of(self, pairs: &Pairs) -> Value {
        if pairs.is_empty() {
            return Value::none("no outcome yet");
        }
        if let Some(why) = self.undefined(pairs) {
            return Value::none(why);
        }
        let value = match (self, pairs) {
            (
                Self::Class(metric),
                Pairs::Classes {
                    names,
                    actual,
                    predicted,
                    probabilities,
                },
            ) => {
                let probabilities = probabilities.as_deref().unwrap_or_default();
                metric.of_classes(actual, predicted, probabilities, names.len())
            }
            (Self::Number(metric), Pairs::Numbers { actual, predicted }) => {
                metric.of_numbers(actual, predicted)
            }
            _ => f64::NAN,
        };
        if value.is_finite() {
            Value {
                value: Some(value),
                why: None,
            }
        } else {
            Value::none("it cannot be calculated")
        }
    }

    /// Why it says nothing about these rows, where scikit-learn would give 0, a warning or a huge number.
    fn undefined(self, pairs: &Pairs) -> Option<String> {
        match (self, pairs) {
            (Self::Class(metric), Pairs::Classes { .. }) => undefined_class(metric, pairs),
            (Self::Number(Metric::R2), Pairs::Numbers { actual, .. }) => {
                let first = actual.first()?;
                let same = actual.iter().all(|value| value.total_cmp(first).is_eq());
                same.then(|| format!("every outcome is {first}"))
            }
            (Self::Number(Metric::Mape), Pairs::Numbers { actual, .. }) => {
                let zero = actual.contains(&0.0);
                zero.then(|| "an outcome is 0".to_owned())
            }
            _ => None,
        }
    }
}

fn undefined_class(metric: Metric, pairs: &Pairs) -> Option<String> {
    let Pairs::Classes {
        names,
        actual,
        predicted,
        probabilities,
    } = pairs
    else {
        return None;
    };
    if !metric.depends_on_threshold() && probabilities.is_none() {
        return Some("there are no probabilities".to_owned());
    }
    let lacks = |codes: &[u32], class: usize| codes.iter().all(|code| *code as usize != class);
    let absent: Vec<usize> = (0..names.len())
        .filter(|class| lacks(actual, *class))
        .collect();
    let only = || {
        let first = actual.first().and_then(|code| names.get(*code as usize));
        format!("every outcome is `{}`", first.map_or("", String::as_str))
    };
    let one_class = absent.len() + 1 >= names.len();
    let no_positive = names.len() == 2 && absent.contains(&1);
    match metric {
        Metric::RocAuc | Metric::BalancedAccuracy | Metric::Mcc if one_class => Some(only()),
        Metric::RocAuc | Metric::AveragePrecision if names.len() > 2 && !absent.is_empty() => {
            let absent = absent.first().and_then(|class| names.get(*class));
            Some(format!(
                "no outcome is `{}`",
                absent.map_or("", String::as_str)
            ))
        }
        Metric::Recall | Metric::F1 | Metric::F1Macro | Metric::AveragePrecision if no_positive => {
            Some(only())
        }
        Metric::Precision if names.len() == 2 && lacks(predicted, 1) => {
            let positive = names.last().map_or("", String::as_str);
            Some(format!("no row was predicted `{positive}`"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Measure;
    use crate::metrics::Metric;
    use crate::performance::Pairs;

    fn classes(actual: &[u32], predicted: &[u32]) -> Pairs {
        Pairs::Classes {
            names: vec!["No".into(), "Yes".into()],
            actual: actual.to_vec(),
            predicted: predicted.to_vec(),
            probabilities: Some(
                predicted
                    .iter()
                    .flat_map(|code| [1.0 - f64::from(*code), f64::from(*code)])
                    .collect(),
            ),
        }
    }

    #[test]
    fn what_one_class_cannot_say_is_not_said() {
        let told = |metric, pairs: &Pairs| {
            let value = Measure::Class(metric).of(pairs);
            value
                .why
                .unwrap_or_else(|| format!("{:.2}", value.value.unwrap()))
        };
        let one = classes(&[0, 0, 0], &[0, 0, 1]);
        for metric in [
            Metric::RocAuc,
            Metric::Mcc,
            Metric::Recall,
            Metric::F1,
            Metric::AveragePrecision,
            Metric::BalancedAccuracy,
        ] {
            assert_eq!(told(metric, &one), "every outcome is `No`", "{metric}");
        }
        assert_eq!(told(Metric::Accuracy, &one), "0.67");
        assert_eq!(told(Metric::Precision, &one), "0.00");
        let none = classes(&[0, 1, 0], &[0, 0, 0]);
        assert_eq!(told(Metric::Precision, &none), "no row was predicted `Yes`");
        assert_eq!(told(Metric::Recall, &none), "0.00");
        assert_eq!(told(Metric::F1, &classes(&[], &[])), "no outcome yet");
    }

    #[test]
    fn numbers_without_spread_or_with_zero_are_no_ground() {
        let numbers = |actual: &[f64]| Pairs::Numbers {
            actual: actual.to_vec(),
            predicted: vec![1.0; actual.len()],
        };
        let why = |metric, actual: &[f64]| Measure::Number(metric).of(&numbers(actual)).why;
        assert_eq!(
            why(Metric::R2, &[2.0, 2.0]).as_deref(),
            Some("every outcome is 2")
        );
        assert_eq!(
            why(Metric::Mape, &[2.0, 0.0]).as_deref(),
            Some("an outcome is 0")
        );
        assert_eq!(why(Metric::Mae, &[2.0, 0.0]), None);
    }

    #[test]
    fn measures_are_known_by_their_names() {
        assert_eq!(Measure::parse("f1"), Some(Measure::Class(Metric::F1)));
        assert_eq!(Measure::parse("rmse"), Some(Measure::Number(Metric::Rmse)));
        assert_eq!(Measure::parse("f2"), None);
    }
}
