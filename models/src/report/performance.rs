//! What the page about performance over time shows.

use serde::Serialize;

use crate::drift::short;
use crate::performance::{Finding, Kind, PerformanceReport, Period, Value};
use crate::report::drift::sentence;
use crate::report::numbers::{count, metric};
use crate::report::small::Line;

/// Periods that the table lists: the newest ones.
const LISTED: usize = 120;
/// Periods that lines are drawn of.
const DRAWN: usize = 400;

/// A metric over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerformanceLine {
    /// The metric.
    pub name: String,
    /// Its value in the judged period.
    pub value: String,
    /// The reference's value.
    pub reference: String,
    /// The value that it may just have.
    pub limit: String,
    /// Whether it is beyond that.
    pub worse: bool,
    /// Whether it was judged.
    pub judged: bool,
    /// Why not.
    pub note: String,
    /// The chart.
    pub svg: String,
}

/// A metric in a period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeriodCell {
    /// Its value.
    pub value: String,
    /// Why there is none.
    pub why: String,
}

/// A period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeriodRow {
    /// Its name.
    pub name: String,
    /// Predictions with an outcome.
    pub rows: String,
    /// Predictions without one yet.
    pub waiting: String,
    /// Whether it is the one that was judged.
    pub judged: bool,
    /// Its metrics.
    pub metrics: Vec<PeriodCell>,
}

/// What became of some rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerformanceCount {
    /// What they are.
    pub what: String,
    /// How many.
    pub rows: String,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerformancePage {
    /// Its title.
    pub title: String,
    /// The verdict in one sentence.
    pub verdict: String,
    /// Whether it is a bad one.
    pub worse: bool,
    /// What is predicted, in words.
    pub about: String,
    /// What periods are held against.
    pub reference: String,
    /// The metrics over time.
    pub lines: Vec<PerformanceLine>,
    /// Their names, for the table's head.
    pub names: Vec<String>,
    /// The periods, the newest first.
    pub periods: Vec<PeriodRow>,
    /// Periods that are not listed.
    pub not_listed: usize,
    /// What became of predictions and outcomes.
    pub counts: Vec<PerformanceCount>,
}

impl PerformancePage {
    /// The page about what was found.
    pub fn new(title: &str, report: &PerformanceReport) -> Self {
        let names: Vec<String> = report
            .periods
            .first()
            .map(|period| period.metrics.keys().cloned().collect())
            .unwrap_or_default();
        let listed = report.periods.iter().rev().take(LISTED);
        Self {
            title: title.to_owned(),
            verdict: sentence(&report.verdict()),
            worse: report.worse,
            about: about(report),
            reference: report.reference.as_ref().map_or_else(
                || "nothing yet".to_owned(),
                |reference| format!("{} ({} rows)", reference.name, count(reference.rows)),
            ),
            lines: names.iter().map(|name| line(name, report)).collect(),
            periods: listed.map(|period| row(period, report)).collect(),
            not_listed: report.periods.len().saturating_sub(LISTED),
            names,
            counts: report
                .counts
                .iter()
                .map(|(what, rows)| PerformanceCount {
                    what: what.replace('_', " "),
                    rows: count(*rows),
                })
                .collect(),
        }
    }
}

fn about(report: &PerformanceReport) -> String {
    match (report.kind, report.classes.as_slice()) {
        (Kind::Regressor, _) => "predicted numbers".to_owned(),
        (Kind::Classifier, [negative, positive]) => {
            format!("predicted classes: {negative}, and {positive} as the positive one")
        }
        (Kind::Classifier, classes) => {
            let shown: Vec<&str> = classes.iter().take(20).map(String::as_str).collect();
            format!("predicted classes: {}", shown.join(", "))
        }
    }
}

fn number(value: Option<f64>, kind: Kind) -> String {
    match kind {
        Kind::Classifier => metric(value),
        Kind::Regressor => value.map_or_else(|| "–".to_owned(), short),
    }
}

fn line(name: &str, report: &PerformanceReport) -> PerformanceLine {
    let known = |value: Option<&Value>| value.and_then(|value| value.value);
    let skipped = report.periods.len().saturating_sub(DRAWN);
    let drawn = report.periods.get(skipped..).unwrap_or_default();
    let end =
        |period: Option<&Period>| period.map_or_else(String::new, |period| period.name.clone());
    let reference = report.reference.as_ref();
    let reference = known(reference.and_then(|reference| reference.metrics.get(name)));
    let finding: Option<&Finding> = report
        .findings
        .iter()
        .find(|finding| finding.metric == name);
    let chart = Line {
        values: drawn
            .iter()
            .map(|period| known(period.metrics.get(name)))
            .collect(),
        level: reference,
        ends: [end(drawn.first()), end(drawn.last())],
        from_zero: false,
    };
    PerformanceLine {
        name: name.to_owned(),
        value: number(finding.and_then(|finding| finding.value), report.kind),
        reference: number(reference, report.kind),
        limit: number(finding.and_then(|finding| finding.limit), report.kind),
        worse: finding.is_some_and(|finding| finding.worse == Some(true)),
        judged: finding.is_some_and(|finding| finding.worse.is_some()),
        note: finding
            .and_then(|finding| finding.why.clone())
            .unwrap_or_default(),
        svg: chart.svg(),
    }
}

fn row(period: &Period, report: &PerformanceReport) -> PeriodRow {
    let cell = |value: &Value| PeriodCell {
        value: number(value.value, report.kind),
        why: value.why.clone().unwrap_or_default(),
    };
    PeriodRow {
        name: period.name.clone(),
        rows: count(period.rows),
        waiting: count(period.waiting),
        judged: report.judged.as_deref() == Some(period.name.as_str()),
        metrics: period.metrics.values().map(cell).collect(),
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;

    use super::PerformancePage;
    use crate::performance::{PerformanceSettings, PeriodRows, Source, performance};

    #[test]
    fn ten_years_of_days_make_a_small_page() {
        let days = 3_650;
        let truths: Vec<&str> = (0..days).map(|row| ["No", "Yes"][row % 2]).collect();
        let source = Source {
            actual: Series::new("left".into(), &truths),
            prediction: Series::new("prediction".into(), &truths),
            probabilities: vec![Series::new(
                "probability".into(),
                (0..days).map(|row| (row % 2) as f64).collect::<Vec<_>>(),
            )],
        };
        let rows = PeriodRows {
            names: (0..days).map(|day| format!("day {day}")).collect(),
            of: (0..days).collect(),
            waiting: vec![0; days],
        };
        let settings = PerformanceSettings {
            least: 1,
            ..PerformanceSettings::default()
        };
        let report = performance(&source, &rows, None, None, &settings).unwrap();
        let page = PerformancePage::new("a", &report);
        assert_eq!((page.periods.len(), page.not_listed), (120, days - 120));
        assert_eq!(page.periods[0].name, "day 3649");
        let size = serde_json::to_string(&page).unwrap().len();
        assert!(size < 350_000, "{size} bytes");
        assert!(
            page.periods[0]
                .metrics
                .iter()
                .any(|cell| cell.why == "every outcome is `Yes`")
        );
    }
}
