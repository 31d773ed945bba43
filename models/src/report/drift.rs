//! What the page about drift shows.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::drift::{ColumnDrift, DriftReport, Test, short};
use crate::report::numbers::{count, percent, score};
use crate::report::small::{Line, distributions};

/// Columns whose distributions are drawn; the page stays small with any number of columns.
const PICTURES: usize = 150;
/// Columns that are listed.
const LISTED: usize = 500;
/// Columns whose scores are drawn over runs.
const WORST: usize = 6;

/// An earlier comparison, from the task's history.
#[derive(Debug, Clone, PartialEq)]
pub struct PastDrift {
    /// When it was.
    pub label: String,
    /// Its measures.
    pub metrics: BTreeMap<String, f64>,
}

/// The measure that holds a column's score: the test is part of its name, so that scores of two tests are not taken
/// for each other.
pub fn score_metric(test: Test, column: &str) -> String {
    format!("score.{}.{column}", test.name())
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftColumn {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it has drifted.
    pub drifted: bool,
    /// The test.
    pub test: &'static str,
    /// Its score.
    pub score: String,
    /// When that is drift.
    pub rule: String,
    /// Shares of missing values: reference and now.
    pub missing: String,
    /// Means: reference and now.
    pub means: String,
    /// What is to be known about the verdict.
    pub note: String,
    /// Both distributions, as SVG.
    pub svg: Option<String>,
}

/// A line over runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftLine {
    /// What it shows.
    pub title: String,
    /// What the dashed line is.
    pub note: String,
    /// The chart.
    pub svg: String,
}

/// A column that was left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOut {
    /// The column.
    pub name: String,
    /// Why.
    pub why: String,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "what a template asks for is a field"
)]
pub struct DriftPage {
    /// Its title.
    pub title: String,
    /// The verdict in one sentence.
    pub verdict: String,
    /// Whether anything has drifted that is to be told.
    pub drift: bool,
    /// Whether the data have.
    pub data_drift: bool,
    /// Whether the predictions have.
    pub prediction_drift: bool,
    /// Whether the target has.
    pub target_drift: bool,
    /// Rows of the reference.
    pub reference_rows: String,
    /// Rows of today.
    pub current_rows: String,
    /// Drifted columns.
    pub drifted: usize,
    /// Compared columns.
    pub compared: usize,
    /// The share of columns that has drifted.
    pub drifted_share: String,
    /// The share from which the table has drifted.
    pub share: String,
    /// What a model has added.
    pub predictions: Vec<DriftColumn>,
    /// The truth.
    pub target: Vec<DriftColumn>,
    /// The columns, drifted ones first.
    pub columns: Vec<DriftColumn>,
    /// Columns that are not listed.
    pub not_listed: usize,
    /// Columns that were left out.
    pub not_compared: Vec<LeftOut>,
    /// The share of drifted columns and the worst columns over runs.
    pub history: Vec<DriftLine>,
}

impl DriftPage {
    /// The page about what was found; `past` goes from the oldest to the newest.
    pub fn new(
        title: &str,
        verdict: &str,
        alarm: bool,
        report: &DriftReport,
        past: &[PastDrift],
    ) -> Self {
        let mut pictures = PICTURES;
        let mut rows = |columns: &[ColumnDrift]| -> Vec<DriftColumn> {
            let listed = columns.iter().take(LISTED);
            listed
                .map(|column| {
                    let draw = pictures > 0;
                    pictures = pictures.saturating_sub(1);
                    row(column, draw)
                })
                .collect()
        };
        let predictions = rows(&report.predictions);
        let target = rows(report.target.as_slice());
        let columns = rows(&report.columns);
        let left_out = report.not_compared.iter().take(LISTED);
        Self {
            title: title.to_owned(),
            verdict: sentence(verdict),
            drift: alarm,
            data_drift: report.data_drift,
            prediction_drift: report.prediction_drift == Some(true),
            target_drift: report.target_drift == Some(true),
            reference_rows: count(report.reference_rows),
            current_rows: count(report.current_rows),
            drifted: report.drifted_columns,
            compared: report.columns.len(),
            drifted_share: percent(report.drifted_share),
            share: percent(report.share),
            predictions,
            target,
            not_listed: report.columns.len() - columns.len(),
            columns,
            not_compared: left_out
                .map(|column| LeftOut {
                    name: column.name.clone(),
                    why: column.why.clone(),
                })
                .collect(),
            history: history(report, past),
        }
    }
}

/// With a capital letter and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).chain(['.']).collect()
    })
}

fn row(column: &ColumnDrift, draw: bool) -> DriftColumn {
    let rule = match (column.test, column.threshold) {
        (Some(test), Some(threshold)) if test.is_p_value() => format!("drift below {threshold}"),
        (Some(_), Some(threshold)) => format!("drift from {threshold}"),
        _ => String::new(),
    };
    DriftColumn {
        name: column.name.clone(),
        kind: column.kind.name(),
        drifted: column.drifted,
        test: column.test.map_or("–", Test::title),
        score: column.score.map_or_else(|| "–".to_owned(), score),
        rule,
        missing: format!(
            "{} → {}",
            percent(column.missing[0]),
            percent(column.missing[1])
        ),
        means: column.means.map_or_else(String::new, |[one, other]| {
            format!("{} → {}", short(one), short(other))
        }),
        note: column.note.clone().unwrap_or_default(),
        svg: draw.then(|| distributions(&column.picture)),
    }
}

/// The lines over the runs before and this one; none while there is nothing before.
fn history(report: &DriftReport, past: &[PastDrift]) -> Vec<DriftLine> {
    let Some(first) = past.first() else {
        return Vec::new();
    };
    let line = |name: &str, now: Option<f64>, level: Option<f64>, of: &dyn Fn(f64) -> f64| {
        let then = past.iter().map(|past| past.metrics.get(name).copied());
        Line {
            values: then.chain([now]).map(|value| value.map(of)).collect(),
            level: level.map(of),
            ends: [first.label.clone(), "now".to_owned()],
            from_zero: true,
        }
        .svg()
    };
    let share = line(
        "drifted_share",
        Some(report.drifted_share),
        Some(report.share),
        &|share| share,
    );
    let mut lines = vec![DriftLine {
        title: "Share of drifted columns".to_owned(),
        note: "dashed: from there on the data have drifted".to_owned(),
        svg: share,
    }];
    let mut worst: Vec<&ColumnDrift> = report.all().collect();
    worst.sort_by(|a, b| b.strength().total_cmp(&a.strength()));
    for column in worst.into_iter().take(WORST) {
        let Some(test) = column.test else { continue };
        let by_magnitude = |p: f64| -p.max(1e-12).log10();
        let of: &dyn Fn(f64) -> f64 = if test.is_p_value() {
            &by_magnitude
        } else {
            &|score| score
        };
        let unit = if test.is_p_value() {
            ", −log₁₀"
        } else {
            ""
        };
        lines.push(DriftLine {
            title: column.name.clone(),
            note: format!("{}{unit}; dashed: the threshold", test.title()),
            svg: line(
                &score_metric(test, &column.name),
                column.score,
                column.threshold,
                of,
            ),
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use polars::prelude::{Column, DataFrame, NamedFrom, Series};

    use super::{DriftPage, PastDrift};
    use crate::drift::{DriftReport, DriftSettings, drift};

    fn report(columns: usize) -> DriftReport {
        let table = |shift: usize| {
            let columns: Vec<Column> = (0..columns)
                .map(|column| {
                    let name = format!("column {column}").into();
                    if column % 2 == 0 {
                        let values: Vec<f64> = (0..500)
                            .map(|row| (row * (7 + column) % 101 + shift) as f64)
                            .collect();
                        return Series::new(name, values).into();
                    }
                    let values: Vec<String> = (0..500)
                        .map(|row| format!("a long level number {}", row % (shift + 3)))
                        .collect();
                    Series::new(name, values).into()
                })
                .collect();
            DataFrame::new(500, columns).unwrap()
        };
        drift(&table(0), &table(30), &DriftSettings::default()).unwrap()
    }

    #[test]
    fn any_number_of_columns_makes_a_small_page() {
        for (columns, limit) in [(100, 300_000), (3_000, 700_000)] {
            let report = report(columns);
            let page = DriftPage::new("drift", &report.verdict(), true, &report, &[]);
            let size = serde_json::to_string(&page).unwrap().len();
            assert!(size < limit, "{columns}: {size} bytes");
            assert!(page.drift && page.compared == columns);
            // Each of a hundred has its picture.
            let drawn = page.columns.iter().filter(|column| column.svg.is_some());
            assert_eq!(drawn.count(), columns.min(super::PICTURES));
        }
    }

    #[test]
    fn earlier_runs_are_drawn() {
        let report = report(4);
        let past = |day: usize| PastDrift {
            label: format!("2026-03-{day:02}"),
            metrics: [
                ("drifted_share".to_owned(), 0.25),
                ("score.ks.column 0".to_owned(), 0.01 * day as f64),
            ]
            .into(),
        };
        let page = DriftPage::new("drift", "", true, &report, &[past(1), past(2)]);
        assert_eq!(page.history[0].title, "Share of drifted columns");
        assert!(page.history[0].svg.contains("2026-03-01"));
        let line = page.history.iter().find(|line| line.title == "column 0");
        assert_eq!(line.unwrap().svg.matches("h0").count(), 3);
        assert!(
            DriftPage::new("drift", "", true, &report, &[])
                .history
                .is_empty()
        );
    }
}
