//! What is too bad: limits of metrics, absolute or against a reference.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::error::{ModelError, Result};
use crate::performance::measure::{Measure, Value};
use crate::performance::pairs::{Kind, Pairs, Source};
use crate::performance::report::{Finding, Period, Reference};

/// What is measured, and what is too bad.
#[derive(Debug, Clone, PartialEq)]
pub struct PerformanceSettings {
    /// What is predicted; when nothing is said, numbers if the predictions are fractions, else classes.
    pub kind: Option<Kind>,
    /// The positive class of two; the last one in sort order when nothing is said.
    pub positive: Option<String>,
    /// What the column with probabilities is called; those of many classes have `_` and the class behind.
    pub probability: String,
    /// Whether it has to be there.
    pub probability_wanted: bool,
    /// What is measured; when it is empty, all that can be.
    pub measures: Vec<Measure>,
    /// The share of the reference's value by which a metric may be worse; when nothing is said, Evidently's: 0.2 for
    /// classes, 0.1 for numbers.
    pub worse_by: Option<f64>,
    /// Limits of single metrics.
    pub limits: BTreeMap<String, Limit>,
    /// A period with fewer outcomes is shown, but not judged.
    pub least: usize,
}

impl Default for PerformanceSettings {
    fn default() -> Self {
        Self {
            kind: None,
            positive: None,
            probability: "probability".to_owned(),
            probability_wanted: false,
            measures: Vec::new(),
            worse_by: None,
            limits: BTreeMap::new(),
            least: 30,
        }
    }
}

/// How bad a metric may become.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limit {
    /// By which share of the reference's value.
    pub worse_by: Option<f64>,
    /// Its least value.
    pub min: Option<f64>,
    /// Its greatest value.
    pub max: Option<f64>,
}

impl PerformanceSettings {
    /// What is predicted: as it is said, as the metrics are, or as the predictions look.
    pub(crate) fn kind(&self, source: &Source, model: Option<Kind>) -> Kind {
        let first = self.measures.first().map(|measure| measure.kind());
        let positive =
            (self.positive.is_some() || self.probability_wanted).then_some(Kind::Classifier);
        let looks = if source.prediction.dtype().is_float() && source.probabilities.is_empty() {
            Kind::Regressor
        } else {
            Kind::Classifier
        };
        self.kind.or(model).or(first).or(positive).unwrap_or(looks)
    }

    pub(crate) fn check(&self, kind: Kind) -> Result<()> {
        let limits = self.limits.keys().filter_map(|name| Measure::parse(name));
        let odd = self
            .measures
            .iter()
            .copied()
            .chain(limits)
            .find(|measure| measure.kind() != kind);
        let what = match kind {
            Kind::Classifier => "classes",
            Kind::Regressor => "numbers",
        };
        odd.map_or(Ok(()), |odd| {
            Err(ModelError::settings(format!(
                "`{odd}` is no metric of {what}",
                odd = odd.name()
            )))
        })
    }

    /// What can be measured of these rows, or what was asked for.
    pub(crate) fn measured(&self, kind: Kind, pairs: &Pairs) -> Vec<Measure> {
        if !self.measures.is_empty() {
            return self.measures.clone();
        }
        let known = !matches!(
            pairs,
            Pairs::Classes {
                probabilities: None,
                ..
            }
        );
        let all = Measure::all(kind).into_iter();
        all.filter(|measure| known || !measure.needs_probability())
            .collect()
    }

    pub(crate) fn finding(
        &self,
        measure: Measure,
        kind: Kind,
        period: &Period,
        reference: Option<&Reference>,
    ) -> Finding {
        let name = measure.name();
        let known =
            |metrics: &IndexMap<String, Value>| metrics.get(name).and_then(|value| value.value);
        let (value, before) = (
            known(&period.metrics),
            reference.and_then(|reference| known(&reference.metrics)),
        );
        let own = self.limits.get(name).copied().unwrap_or_default();
        let usual = match kind {
            Kind::Classifier => 0.2,
            Kind::Regressor => 0.1,
        };
        let share = own.worse_by.or(self.worse_by).unwrap_or(usual);
        let up = measure.higher_is_better();
        let relative = before.map(|before| {
            if up {
                before - share * before.abs()
            } else {
                before + share * before.abs()
            }
        });
        // With a limit of its own a metric is held to that, and to the reference only when that is said too.
        let absolute = if up { own.min } else { own.max };
        let relative = relative.filter(|_| absolute.is_none() || own.worse_by.is_some());
        let limit = match (relative, absolute) {
            (Some(one), Some(other)) => Some(if up { one.max(other) } else { one.min(other) }),
            (one, other) => one.or(other),
        };
        let why = match (value, limit) {
            (None, _) => period.metrics.get(name).and_then(|value| value.why.clone()),
            (Some(_), None) => Some("the reference has no value of it".to_owned()),
            _ => None,
        };
        let worse = value
            .zip(limit)
            .map(|(value, limit)| if up { value < limit } else { value > limit });
        Finding {
            metric: name.to_owned(),
            value,
            reference: before,
            limit,
            worse,
            why,
        }
    }
}
