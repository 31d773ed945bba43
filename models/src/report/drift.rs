//! What the page about drift shows.

use serde::Serialize;

use crate::drift::{ColumnDrift, DriftReport};
use crate::error::Result;
use crate::report::charts::distributions;
use crate::report::numbers::{count, percent, score};

/// Columns whose distributions are drawn; the page stays small with any number of columns.
const PICTURES: usize = 40;
/// Columns that are listed.
const LISTED: usize = 500;

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
    /// Both distributions, as SVG.
    pub svg: Option<String>,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftPage {
    /// Its title.
    pub title: String,
    /// The verdict in one sentence.
    pub verdict: String,
    /// Whether anything has drifted.
    pub drift: bool,
    /// Whether the data have.
    pub data_drift: bool,
    /// Whether the predictions have.
    pub prediction_drift: bool,
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
    pub drift_share: String,
    /// What a model has added.
    pub predictions: Vec<DriftColumn>,
    /// The columns, drifted ones first.
    pub columns: Vec<DriftColumn>,
    /// Columns that are not listed.
    pub not_listed: usize,
    /// Columns that only one of the two tables has.
    pub only_in_one: Vec<String>,
}

impl DriftPage {
    /// The page about what was found.
    pub fn new(title: &str, report: &DriftReport) -> Result<Self> {
        let mut pictures = PICTURES;
        let mut rows = |columns: &[ColumnDrift]| {
            columns
                .iter()
                .take(LISTED)
                .map(|column| {
                    let draw = pictures > 0;
                    pictures = pictures.saturating_sub(1);
                    row(column, draw)
                })
                .collect::<Result<Vec<_>>>()
        };
        let predictions = rows(&report.predictions)?;
        let columns = rows(&report.columns)?;
        Ok(Self {
            title: title.to_owned(),
            verdict: sentence(&report.verdict()),
            drift: report.data_drift || report.prediction_drift,
            data_drift: report.data_drift,
            prediction_drift: report.prediction_drift,
            reference_rows: count(report.reference_rows),
            current_rows: count(report.current_rows),
            drifted: report.drifted(),
            compared: report.columns.len(),
            drifted_share: percent(report.drifted_share),
            drift_share: percent(report.drift_share),
            predictions,
            not_listed: report.columns.len() - columns.len(),
            columns,
            only_in_one: report.only_in_one.clone(),
        })
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).chain(['.']).collect()
    })
}

fn row(column: &ColumnDrift, draw: bool) -> Result<DriftColumn> {
    let rule = match (column.test, column.threshold) {
        (Some(test), Some(threshold)) if test.is_p_value() => format!("drift below {threshold}"),
        (Some(_), Some(threshold)) => format!("drift from {threshold}"),
        _ => "values on one side only".to_owned(),
    };
    Ok(DriftColumn {
        name: column.name.clone(),
        kind: column.kind.name(),
        drifted: column.drifted,
        test: column.test.map_or("–", crate::drift::Test::title),
        score: column.score.map_or_else(|| "–".to_owned(), score),
        rule,
        missing: format!(
            "{} → {}",
            percent(column.missing[0]),
            percent(column.missing[1])
        ),
        means: column.means.map_or_else(String::new, |[one, other]| {
            format!(
                "{} → {}",
                crate::drift::short(one),
                crate::drift::short(other)
            )
        }),
        svg: if draw {
            Some(distributions(&column.picture)?)
        } else {
            None
        },
    })
}

#[cfg(test)]
mod tests {
    use polars::prelude::{Column, DataFrame, NamedFrom, Series};

    use super::DriftPage;
    use crate::drift::{DriftSettings, drift};

    #[test]
    fn a_hundred_columns_make_a_small_page() {
        let table = |shift: usize| {
            let columns: Vec<Column> = (0..100)
                .map(|column| {
                    let values: Vec<f64> = (0..500)
                        .map(|row| (row * (7 + column) % 101 + shift) as f64)
                        .collect();
                    Series::new(format!("column {column}").into(), values).into()
                })
                .collect();
            DataFrame::new(500, columns).unwrap()
        };
        let report = drift(&table(0), &table(30), &DriftSettings::default()).unwrap();
        let page = DriftPage::new("drift", &report).unwrap();
        let size = serde_json::to_string(&page).unwrap().len();
        assert!(size < 300_000, "{size} bytes");
        assert!(page.drift && page.compared == 100);
    }
}
