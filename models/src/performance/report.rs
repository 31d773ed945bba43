//! Every metric in every period, and whether the newest one is worse than the reference.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::onnx::Metadata;
use crate::performance::judge::PerformanceSettings;
use crate::performance::measure::{Measure, Value};
use crate::performance::pairs::{Kind, Pairs, Source};
use crate::performance::read::{Read, of_model};

/// The joined rows of the periods.
#[derive(Debug, Clone, Default)]
pub struct PeriodRows {
    /// The periods' names, from the oldest to the newest.
    pub names: Vec<String>,
    /// For every row of the source its period.
    pub of: Vec<usize>,
    /// For every period the predictions whose outcome has not come yet.
    pub waiting: Vec<usize>,
}

/// A period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// Its name: `2026-03`, `2026-W09` or `2026-03-01`.
    pub name: String,
    /// Predictions with an outcome, from which the metrics come.
    pub rows: usize,
    /// Predictions whose outcome has not come yet.
    pub waiting: usize,
    /// Predictions with an outcome that lack a value: a prediction or a probability.
    pub incomplete: usize,
    /// The metrics.
    pub metrics: IndexMap<String, Value>,
}

/// What periods are held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// What it is.
    pub name: String,
    /// Its rows.
    pub rows: usize,
    /// Its metrics.
    pub metrics: IndexMap<String, Value>,
}

/// A metric of the judged period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The metric.
    pub metric: String,
    /// Its value.
    pub value: Option<f64>,
    /// The reference's value.
    pub reference: Option<f64>,
    /// The value that it may just have.
    pub limit: Option<f64>,
    /// Whether it is beyond that; nothing when it was not judged.
    pub worse: Option<bool>,
    /// Why it was not judged.
    pub why: Option<String>,
}

/// What was found. This is what `performance.json` holds: its keys stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerformanceReport {
    /// What is predicted.
    pub kind: Kind,
    /// The classes; of two, the second is the positive one.
    pub classes: Vec<String>,
    /// Whether any metric of the judged period is beyond its limit.
    pub worse: bool,
    /// The period that was judged: the newest with enough outcomes.
    pub judged: Option<String>,
    /// What it came to.
    pub findings: Vec<Finding>,
    /// What it was held against.
    pub reference: Option<Reference>,
    /// All periods, from the oldest to the newest.
    pub periods: Vec<Period>,
    /// What became of predictions and outcomes when they were joined.
    pub counts: IndexMap<String, usize>,
}

impl PerformanceReport {
    /// The period that was judged.
    pub fn judged(&self) -> Option<&Period> {
        let name = self.judged.as_ref()?;
        self.periods.iter().find(|period| period.name == *name)
    }

    /// The verdict in one sentence.
    pub fn verdict(&self) -> String {
        let Some(period) = self.judged() else {
            return "no period has enough outcomes yet to be judged".to_owned();
        };
        let (name, rows) = (&period.name, period.rows);
        let judged = self
            .findings
            .iter()
            .filter(|finding| finding.worse.is_some());
        let judged = judged.count();
        let worse = self
            .findings
            .iter()
            .filter(|finding| finding.worse == Some(true));
        let worse: Vec<&str> = worse.map(|finding| finding.metric.as_str()).collect();
        let against = self
            .reference
            .as_ref()
            .map_or("its limits", |reference| reference.name.as_str());
        match (judged, worse.as_slice()) {
            (0, _) => format!("{name} ({rows} outcomes): there is nothing to hold it against yet"),
            (_, []) => format!("{name} ({rows} outcomes) is no worse than {against}"),
            (_, worse) => format!(
                "{name} ({rows} outcomes) is worse than {against}: {}",
                worse.join(", ")
            ),
        }
    }
}

/// Measures every period and judges the newest that has enough outcomes.
pub fn performance(
    source: &Source,
    periods: &PeriodRows,
    reference: Option<&Source>,
    model: Option<(&str, &Metadata)>,
    settings: &PerformanceSettings,
) -> Result<PerformanceReport> {
    let kind = settings.kind(source, model.map(|(_, model)| of_model(model)));
    settings.check(kind)?;
    let read = Read::of(
        kind,
        [Some(source), reference],
        model.map(|(_, model)| model),
        settings,
    )?;
    let [Some((pairs, complete)), reference] = read.pairs else {
        return Err(ModelError::internal("the joined rows were not read"));
    };
    let measures = settings.measured(kind, &pairs);
    let metrics = |pairs: &Pairs| -> IndexMap<String, Value> {
        let values = measures
            .iter()
            .map(|measure| (measure.name().to_owned(), measure.of(pairs)));
        values.collect()
    };
    let periods = each_period(&pairs, &complete, periods, &metrics);
    let reference = match (reference, model) {
        (Some((pairs, _)), _) => Some(Reference {
            name: "the reference".to_owned(),
            rows: pairs.len(),
            metrics: metrics(&pairs),
        }),
        (None, Some((name, model))) => Some(held_out(name, model, &measures)),
        (None, None) => first(&periods, settings.least),
    };
    let judged = periods
        .iter()
        .rev()
        .find(|period| period.rows >= settings.least);
    let judged = judged.filter(|period| {
        reference
            .as_ref()
            .is_none_or(|reference| reference.name != period.name)
    });
    let findings = judged.map_or_else(Vec::new, |period| {
        let findings = measures
            .iter()
            .map(|measure| settings.finding(*measure, kind, period, reference.as_ref()));
        findings.collect()
    });
    Ok(PerformanceReport {
        kind,
        classes: read.classes,
        worse: findings.iter().any(|finding| finding.worse == Some(true)),
        judged: judged.map(|period| period.name.clone()),
        findings,
        reference,
        periods,
        counts: IndexMap::new(),
    })
}

fn each_period(
    pairs: &Pairs,
    complete: &[usize],
    periods: &PeriodRows,
    metrics: &dyn Fn(&Pairs) -> IndexMap<String, Value>,
) -> Vec<Period> {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); periods.names.len()];
    let mut all = vec![0; periods.names.len()];
    for period in &periods.of {
        all[*period] += 1;
    }
    for (place, row) in complete.iter().enumerate() {
        rows[periods.of[*row]].push(place);
    }
    let each = periods.names.iter().zip(rows).zip(all).enumerate();
    each.map(|(index, ((name, rows), all))| Period {
        name: name.clone(),
        rows: rows.len(),
        waiting: periods.waiting.get(index).copied().unwrap_or(0),
        incomplete: all - rows.len(),
        metrics: metrics(&pairs.take(&rows)),
    })
    .collect()
}

/// What a model's held-out rows have shown in training.
fn held_out(name: &str, model: &Metadata, measures: &[Measure]) -> Reference {
    let value = |measure: &Measure| {
        let known = model
            .metrics
            .iter()
            .find(|entry| entry.metric.name() == measure.name());
        match known.and_then(|entry| entry.value) {
            Some(value) => Value {
                value: Some(value),
                why: None,
            },
            None => Value::none("the model does not say"),
        }
    };
    Reference {
        name: format!("the held-out rows of `{name}`"),
        rows: model.rows,
        metrics: measures
            .iter()
            .map(|measure| (measure.name().to_owned(), value(measure)))
            .collect(),
    }
}

/// The first period with enough outcomes, when there is no other reference.
fn first(periods: &[Period], least: usize) -> Option<Reference> {
    let period = periods.iter().find(|period| period.rows >= least)?;
    Some(Reference {
        name: period.name.clone(),
        rows: period.rows,
        metrics: period.metrics.clone(),
    })
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;

    use super::{PerformanceReport, PeriodRows, performance};
    use crate::metrics::Metric;
    use crate::performance::{Kind, Limit, Measure, PerformanceSettings, Source};

    /// 100 rows in each of the months; in month `m` every `wrong[m]`-th prediction is wrong.
    fn months(wrong: &[usize]) -> (Source, PeriodRows) {
        let (mut actual, mut predicted, mut shares, mut of) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (month, every) in wrong.iter().enumerate() {
            for row in 0..100 {
                let truth = row % 3 == 0;
                let guess = truth != (row % every == 0);
                actual.push(if truth { "Yes" } else { "No" });
                predicted.push(if guess { "Yes" } else { "No" });
                shares.push(if guess { 0.8 } else { 0.2 });
                of.push(month);
            }
        }
        let source = Source {
            actual: Series::new("left".into(), actual),
            prediction: Series::new("prediction".into(), predicted),
            probabilities: vec![Series::new("probability".into(), shares)],
        };
        let rows = PeriodRows {
            names: (1..=wrong.len())
                .map(|month| format!("2026-{month:02}"))
                .collect(),
            of,
            waiting: vec![0; wrong.len()],
        };
        (source, rows)
    }

    fn found(wrong: &[usize], settings: &PerformanceSettings) -> PerformanceReport {
        let (source, rows) = months(wrong);
        performance(&source, &rows, None, None, settings).unwrap()
    }

    #[test]
    fn the_newest_month_is_held_against_the_first() {
        let settings = PerformanceSettings::default();
        let good = found(&[10, 10, 10], &settings);
        assert!(!good.worse, "{:?}", good.findings);
        assert_eq!(
            good.verdict(),
            "2026-03 (100 outcomes) is no worse than 2026-01"
        );
        assert_eq!(good.findings.len(), 12);
        let bad = found(&[10, 10, 2], &settings);
        assert!(bad.worse);
        assert!(
            bad.verdict()
                .starts_with("2026-03 (100 outcomes) is worse than 2026-01: accuracy, ")
        );
        let accuracy = &bad.findings[0];
        assert_eq!((accuracy.value, accuracy.reference), (Some(0.5), Some(0.9)));
        assert!((accuracy.limit.unwrap() - 0.72).abs() < 1e-12);
        // Lower is better: the limit is above the reference.
        let loss = bad
            .findings
            .iter()
            .find(|finding| finding.metric == "log_loss")
            .unwrap();
        assert!(loss.limit > loss.reference && loss.worse == Some(true));
        let alone = found(&[10], &settings);
        assert_eq!((alone.judged.as_deref(), alone.worse), (None, false));
    }

    #[test]
    fn limits_of_single_metrics_take_precedence() {
        let limit = |limit| PerformanceSettings {
            measures: vec![Measure::Class(Metric::Accuracy)],
            limits: [("accuracy".to_owned(), limit)].into(),
            ..PerformanceSettings::default()
        };
        let worse = |settings: &PerformanceSettings| found(&[10, 5], settings).worse;
        assert!(!worse(&limit(Limit {
            worse_by: Some(0.15),
            ..Limit::default()
        })));
        assert!(worse(&limit(Limit {
            worse_by: Some(0.05),
            ..Limit::default()
        })));
        assert!(worse(&limit(Limit {
            min: Some(0.85),
            ..Limit::default()
        })));
        assert!(!worse(&limit(Limit {
            min: Some(0.75),
            ..Limit::default()
        })));
    }

    #[test]
    fn a_month_with_few_outcomes_is_shown_and_not_judged() {
        let (mut source, mut rows) = months(&[10, 10]);
        for part in [
            &mut source.actual,
            &mut source.prediction,
            &mut source.probabilities[0],
        ] {
            *part = part.head(Some(110));
        }
        rows.of.truncate(110);
        rows.waiting[1] = 90;
        let found =
            performance(&source, &rows, None, None, &PerformanceSettings::default()).unwrap();
        assert_eq!((found.periods[1].rows, found.periods[1].waiting), (10, 90));
        assert_eq!(found.judged, None);
        assert_eq!(
            found.verdict(),
            "no period has enough outcomes yet to be judged"
        );
    }

    #[test]
    fn a_period_of_one_class_says_so() {
        let (mut source, rows) = months(&[10, 10]);
        let mut truths: Vec<&str> = vec!["No"; 200];
        truths[..100]
            .iter_mut()
            .step_by(2)
            .for_each(|truth| *truth = "Yes");
        source.actual = Series::new("left".into(), truths);
        let found =
            performance(&source, &rows, None, None, &PerformanceSettings::default()).unwrap();
        let area = found
            .findings
            .iter()
            .find(|finding| finding.metric == "roc_auc")
            .unwrap();
        assert_eq!((area.value, area.worse), (None, None));
        assert_eq!(area.why.as_deref(), Some("every outcome is `No`"));
        // What is defined is judged all the same.
        assert!(found.findings[0].worse.is_some());
    }

    #[test]
    fn a_reference_of_its_own_is_no_period() {
        let (source, rows) = months(&[2]);
        let (reference, _) = months(&[10]);
        let settings = PerformanceSettings::default();
        let found = performance(&source, &rows, Some(&reference), None, &settings).unwrap();
        assert!(found.worse);
        assert_eq!(found.reference.unwrap().rows, 100);
    }

    #[test]
    fn numbers_are_told_from_classes() {
        let numbers = |name: &str, shift: f64| {
            let values: Vec<f64> = (0..80)
                .map(|row| f64::from(row) + if row < 40 { 0.5 } else { shift })
                .collect();
            Series::new(name.into(), values)
        };
        let source = Source {
            actual: numbers("y", 0.0),
            prediction: numbers("prediction", 9.0),
            probabilities: Vec::new(),
        };
        let rows = PeriodRows {
            names: vec!["2026-01".into(), "2026-02".into()],
            of: (0..80).map(|row| row / 40).collect(),
            waiting: vec![0, 3],
        };
        let settings = PerformanceSettings::default();
        let found = performance(&source, &rows, None, None, &settings).unwrap();
        assert_eq!((found.kind, found.worse), (Kind::Regressor, true));
        assert_eq!(found.periods[1].metrics["mae"].value, Some(9.0));
        let settings = PerformanceSettings {
            measures: vec![Measure::Class(Metric::F1)],
            kind: Some(Kind::Regressor),
            ..PerformanceSettings::default()
        };
        let error = performance(&source, &rows, None, None, &settings).unwrap_err();
        assert_eq!(error.to_string(), "`f1` is no metric of numbers");
    }

    #[test]
    fn labels_of_two_languages_are_an_error() {
        let (mut source, rows) = months(&[10]);
        let truths: Vec<i64> = (0..100).map(|row| i64::from(row % 3 == 0)).collect();
        source.actual = Series::new("left".into(), truths);
        let settings = PerformanceSettings::default();
        let error = performance(&source, &rows, None, None, &settings).unwrap_err();
        assert_eq!(
            error.to_string(),
            "outcomes are 0, 1 and predictions are No, Yes: no label is the same"
        );
    }
}
