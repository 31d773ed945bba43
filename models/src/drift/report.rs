//! The drift of a whole table.

use std::collections::BTreeMap;

use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use crate::data::{Column, ColumnKind, Table};
use crate::drift::column::{ColumnDrift, Test, compare};
use crate::error::{ModelError, Result};

/// Columns that a model adds.
const PREDICTIONS: [&str; 2] = ["prediction", "probability"];

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftSettings {
    /// Columns that are not compared.
    pub exclude: Vec<String>,
    /// The table has drifted when at least this share of its columns has.
    pub drift_share: f64,
    /// Tests for single columns, instead of the default one.
    pub tests: BTreeMap<String, Test>,
}

impl Default for DriftSettings {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            drift_share: 0.5,
            tests: BTreeMap::new(),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftReport {
    /// Rows of the reference.
    pub reference_rows: usize,
    /// Rows of today.
    pub current_rows: usize,
    /// The columns that both have, the drifted ones first, predictions apart.
    pub columns: Vec<ColumnDrift>,
    /// What a model has added: `prediction` and `probability…`.
    pub predictions: Vec<ColumnDrift>,
    /// The share of columns that has drifted.
    pub drifted_share: f64,
    /// The share from which the table has drifted.
    pub drift_share: f64,
    /// Whether the table has drifted.
    pub data_drift: bool,
    /// Whether the predictions have drifted.
    pub prediction_drift: bool,
    /// Columns that only one of the two has.
    pub only_in_one: Vec<String>,
}

impl DriftReport {
    /// How many columns have drifted.
    pub fn drifted(&self) -> usize {
        self.columns.iter().filter(|column| column.drifted).count()
    }

    /// The verdict in one sentence.
    pub fn verdict(&self) -> String {
        let columns = format!(
            "{} of {} columns differ",
            self.drifted(),
            self.columns.len()
        );
        match (self.data_drift, self.prediction_drift) {
            (true, true) => {
                format!("the data have drifted ({columns}), and so have the predictions")
            }
            (true, false) => format!("the data have drifted ({columns})"),
            (false, true) => format!("the predictions have drifted ({columns})"),
            (false, false) => format!("no drift ({columns})"),
        }
    }
}

/// Compares two tables, column by column.
pub fn drift(
    reference: &DataFrame,
    current: &DataFrame,
    settings: &DriftSettings,
) -> Result<DriftReport> {
    if reference.height() == 0 || current.height() == 0 {
        let which = if reference.height() == 0 {
            "reference"
        } else {
            "current"
        };
        return Err(ModelError::data(format!(
            "the {which} rows are none: there is nothing to compare"
        )));
    }
    for name in settings.exclude.iter().chain(settings.tests.keys()) {
        if reference.column(name).is_err() && current.column(name).is_err() {
            return Err(ModelError::settings(format!("`{name}` is no column")));
        }
    }
    let skipped: Vec<&str> = settings.exclude.iter().map(String::as_str).collect();
    let one = readable(reference, &skipped)?;
    let other = readable(current, &skipped)?;
    let mut only_in_one: Vec<String> = Vec::new();
    let (mut columns, mut predictions) = (Vec::new(), Vec::new());
    for column in &one.columns {
        let Some(now) = other.column(&column.name) else {
            only_in_one.push(column.name.clone());
            continue;
        };
        let now = aligned(column, now, current)?;
        let found = compare(column, &now, settings.tests.get(&column.name).copied());
        if is_prediction(&column.name) {
            predictions.push(found);
        } else {
            columns.push(found);
        }
    }
    only_in_one.extend(
        other
            .columns
            .iter()
            .filter(|column| one.column(&column.name).is_none())
            .map(|column| column.name.clone()),
    );
    if columns.is_empty() && predictions.is_empty() {
        return Err(ModelError::data("the two tables have no column in common"));
    }
    // Drifted ones first, else in the table's order.
    columns.sort_by_key(|column| !column.drifted);
    Ok(verdict(
        reference,
        current,
        columns,
        predictions,
        only_in_one,
        settings.drift_share,
    ))
}

#[allow(clippy::cast_precision_loss, reason = "a number of columns")]
fn verdict(
    reference: &DataFrame,
    current: &DataFrame,
    columns: Vec<ColumnDrift>,
    predictions: Vec<ColumnDrift>,
    only_in_one: Vec<String>,
    drift_share: f64,
) -> DriftReport {
    let drifted = columns.iter().filter(|column| column.drifted).count();
    let drifted_share = drifted as f64 / columns.len().max(1) as f64;
    DriftReport {
        reference_rows: reference.height(),
        current_rows: current.height(),
        drifted_share,
        drift_share,
        data_drift: !columns.is_empty() && drifted_share >= drift_share,
        prediction_drift: predictions.iter().any(|column| column.drifted),
        columns,
        predictions,
        only_in_one,
    }
}

fn is_prediction(name: &str) -> bool {
    PREDICTIONS.contains(&name) || name.starts_with("probability_")
}

/// The columns that can be compared; nested ones are left out.
fn readable(frame: &DataFrame, skipped: &[&str]) -> Result<Table> {
    let mut skipped = skipped.to_vec();
    skipped.extend(
        frame
            .columns()
            .iter()
            .filter(|column| ColumnKind::of(column.dtype()).is_none())
            .map(|column| column.name().as_str()),
    );
    Table::from_frame(frame, &skipped)
}

/// The current column as the reference's kind: a column of today may have been read as another type.
fn aligned(reference: &Column, now: &Column, frame: &DataFrame) -> Result<Column> {
    if reference.kind == now.kind {
        return Ok(now.clone());
    }
    let series = frame.column(&now.name)?.as_materialized_series();
    Column::read(series, reference.kind).map_err(|_| {
        ModelError::data(format!(
            "column `{}` is a {} in the reference and a {} now",
            reference.name,
            reference.kind.name(),
            now.kind.name()
        ))
    })
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;

    use super::{DriftSettings, drift};
    use crate::drift::Test;

    fn table(rows: i64, shift: f64, level: &str) -> DataFrame {
        let numbers: Vec<f64> = (0..rows)
            .map(|row| (row * 7919 % 1009) as f64 / 10.0 + shift)
            .collect();
        let levels: Vec<&str> = (0..rows)
            .map(|row| if row % 3 == 0 { level } else { "b" })
            .collect();
        let scores: Vec<f64> = (0..rows).map(|row| (row * 31 % 97) as f64 / 97.0).collect();
        df!["n" => numbers, "t" => levels, "probability" => scores].unwrap()
    }

    #[test]
    fn equal_tables_do_not_drift_and_shifted_ones_do() {
        let settings = DriftSettings::default();
        let same = drift(&table(3000, 0.0, "a"), &table(1500, 0.0, "a"), &settings).unwrap();
        assert!(!same.data_drift && !same.prediction_drift, "{same:?}");
        assert_eq!(same.verdict(), "no drift (0 of 2 columns differ)");
        let shifted = drift(&table(3000, 0.0, "a"), &table(1500, 60.0, "a"), &settings).unwrap();
        assert!(shifted.data_drift);
        assert_eq!(shifted.columns[0].name, "n");
        assert_eq!(shifted.columns[0].test, Some(Test::Wasserstein));
        assert_eq!(
            shifted.verdict(),
            "the data have drifted (1 of 2 columns differ)"
        );
        let small = drift(&table(300, 0.0, "a"), &table(150, 0.0, "c"), &settings).unwrap();
        let text = small
            .columns
            .iter()
            .find(|column| column.name == "t")
            .unwrap();
        assert_eq!((text.test, text.drifted), (Some(Test::ChiSquare), true));
    }

    #[test]
    fn tables_that_cannot_be_compared_say_why() {
        let settings = DriftSettings::default();
        let one = df!["a" => [1.0, 2.0]].unwrap();
        let other = df!["b" => [1.0]].unwrap();
        let error = drift(&one, &other, &settings).unwrap_err().to_string();
        assert_eq!(error, "the two tables have no column in common");
        let empty = one.head(Some(0));
        let error = drift(&one, &empty, &settings).unwrap_err().to_string();
        assert_eq!(
            error,
            "the current rows are none: there is nothing to compare"
        );
    }

    #[test]
    fn values_that_are_gone_are_drift() {
        let one = df!["a" => [Some(1.0), Some(2.0)], "b" => [1.0, 2.0]].unwrap();
        let other = df!["a" => [None::<f64>, None], "b" => [1.0, 2.0]].unwrap();
        let found = drift(&one, &other, &DriftSettings::default()).unwrap();
        assert!(found.columns[0].name == "a" && found.columns[0].drifted);
    }
}
