//! The drift of a whole table.

use std::collections::BTreeMap;

use polars::prelude::{Column as FrameColumn, DataFrame};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{Column, ColumnKind, Values, spell_alike};
use crate::drift::column::{Choice, ColumnDrift, Side, compare};
use crate::drift::sample::Sample;
use crate::error::{ModelError, Result};

/// Columns that a model adds.
const PREDICTIONS: [&str; 2] = ["prediction", "probability"];
/// How the columns begin that a model of many classes adds.
const PROBABILITY_OF: &str = "probability_";

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftSettings {
    /// Columns that are not compared.
    pub exclude: Vec<String>,
    /// The columns with predictions; when there is none, `prediction`, `probability` and those of every class.
    pub prediction: Vec<String>,
    /// The column with the truth.
    pub target: Option<String>,
    /// The table has drifted when at least this share of its columns has.
    pub share: f64,
    /// Whether small and capital letters of text are the same.
    pub ignore_case: bool,
    /// Tests and thresholds of single columns, instead of the default ones.
    pub columns: BTreeMap<String, Choice>,
}

impl Default for DriftSettings {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            prediction: Vec::new(),
            target: None,
            share: 0.5,
            ignore_case: false,
            columns: BTreeMap::new(),
        }
    }
}

/// A column that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCompared {
    /// The column.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What was found. This is what `drift.json` holds: its keys stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftReport {
    /// Rows of the reference.
    pub reference_rows: usize,
    /// Rows of today.
    pub current_rows: usize,
    /// How many of the data's columns have drifted.
    pub drifted_columns: usize,
    /// The share of the data's columns that has drifted.
    pub drifted_share: f64,
    /// The share from which the table has drifted.
    pub share: f64,
    /// Whether the data have drifted.
    pub data_drift: bool,
    /// Whether the predictions have drifted; nothing when there is none to compare.
    pub prediction_drift: Option<bool>,
    /// Whether the target has drifted; nothing when it was not compared.
    pub target_drift: Option<bool>,
    /// The data's columns, the drifted ones first.
    pub columns: Vec<ColumnDrift>,
    /// The columns with predictions.
    pub predictions: Vec<ColumnDrift>,
    /// The column with the truth.
    pub target: Option<ColumnDrift>,
    /// Columns that were left out without being asked to.
    pub not_compared: Vec<NotCompared>,
}

impl DriftReport {
    /// Every column that was compared: data, predictions, target.
    pub fn all(&self) -> impl Iterator<Item = &ColumnDrift> {
        let first = self.columns.iter().chain(&self.predictions);
        first.chain(&self.target)
    }

    /// Whether the data, the predictions or the target have drifted.
    pub fn drift(&self) -> bool {
        self.data_drift || self.prediction_drift == Some(true) || self.target_drift == Some(true)
    }

    /// The verdict in one sentence.
    pub fn verdict(&self) -> String {
        let columns = format!(
            "{} of {} columns differ",
            self.drifted_columns,
            self.columns.len()
        );
        let others = match (self.prediction_drift, self.target_drift) {
            (Some(true), Some(true)) => "the predictions and the target",
            (Some(true), _) => "the predictions",
            (_, Some(true)) => "the target",
            _ if self.data_drift => return format!("the data have drifted ({columns})"),
            _ => return format!("no drift ({columns})"),
        };
        let verb = if others == "the target" {
            "has"
        } else {
            "have"
        };
        if self.data_drift {
            format!("the data have drifted ({columns}), and so {verb} {others}")
        } else {
            format!("{others} {verb} drifted ({columns})")
        }
    }
}

/// What part a column plays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Data,
    Prediction,
    Target,
}

impl DriftSettings {
    fn role(&self, name: &str) -> Role {
        let default = || PREDICTIONS.contains(&name) || name.starts_with(PROBABILITY_OF);
        if self.target.as_deref() == Some(name) {
            Role::Target
        } else if self.prediction.iter().any(|other| other == name)
            || (self.prediction.is_empty() && default())
        {
            Role::Prediction
        } else {
            Role::Data
        }
    }

    /// Every name has to be that of a column, and predictions have to be on both sides.
    fn check(&self, reference: &DataFrame, current: &DataFrame) -> Result<()> {
        let named = self.exclude.iter().chain(self.columns.keys());
        for name in named.chain(&self.target) {
            if reference.column(name).is_err() && current.column(name).is_err() {
                return Err(ModelError::settings(format!("`{name}` is no column")));
            }
        }
        for name in &self.prediction {
            for (frame, which) in [(reference, "reference"), (current, "current rows")] {
                if frame.column(name).is_err() {
                    return Err(ModelError::settings(format!(
                        "the prediction `{name}` is no column of the {which}"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Compares two tables, column by column.
pub fn drift(
    reference: &DataFrame,
    current: &DataFrame,
    settings: &DriftSettings,
) -> Result<DriftReport> {
    for (frame, which) in [(reference, "reference"), (current, "current")] {
        if frame.height() == 0 {
            return Err(ModelError::data(format!(
                "the {which} rows are none: there is nothing to compare"
            )));
        }
    }
    settings.check(reference, current)?;
    let wanted = |column: &&FrameColumn| {
        let name = column.name().as_str();
        !settings.exclude.iter().any(|excluded| excluded == name)
    };
    let columns: Vec<&FrameColumn> = reference.columns().iter().filter(wanted).collect();
    let found = columns
        .par_iter()
        .map(|column| of_column(column, current, settings))
        .collect::<Result<Vec<_>>>()?;
    let mut not_compared = Vec::new();
    let mut compared = Vec::new();
    for column in found {
        match column {
            Ok(column) => compared.push(column),
            Err(left_out) => not_compared.push(left_out),
        }
    }
    let new = current.columns().iter().filter(wanted);
    let new = new.filter(|column| reference.column(column.name()).is_err());
    not_compared.extend(new.map(|column| NotCompared {
        name: column.name().to_string(),
        why: "only the current rows have it".to_owned(),
    }));
    if compared.is_empty() {
        return Err(ModelError::data(
            "the two tables have no column in common that can be compared",
        ));
    }
    let mut report = verdict(compared, settings);
    report.reference_rows = reference.height();
    report.current_rows = current.height();
    report.not_compared = not_compared;
    Ok(report)
}

/// Compares a column of the reference with that of its name in the current rows.
fn of_column(
    column: &FrameColumn,
    current: &DataFrame,
    settings: &DriftSettings,
) -> Result<std::result::Result<ColumnDrift, NotCompared>> {
    let name = column.name().as_str();
    let left_out = |why: String| {
        Ok(Err(NotCompared {
            name: name.to_owned(),
            why,
        }))
    };
    let Ok(now) = current.column(name) else {
        return left_out("only the reference has it".to_owned());
    };
    let kinds = (ColumnKind::of(column.dtype()), ColumnKind::of(now.dtype()));
    let (Some(kind), Some(kind_now)) = kinds else {
        let odd = if kinds.0.is_none() { column } else { now };
        return left_out(format!("it holds {}, which is not compared", odd.dtype()));
    };
    let choice = settings.columns.get(name).copied().unwrap_or_default();
    let mut one = Column::read(column.as_materialized_series(), kind)?;
    let empty = side(&one).is_empty();
    let mut other = if empty {
        Column::read(now.as_materialized_series(), kind_now)?
    } else {
        match read_as(now, kind, kind_now) {
            Some(other) => other,
            None => return Ok(Ok(ColumnDrift::of_other_kind(name, kind, kind_now))),
        }
    };
    if let (true, Values::Text(one), Values::Text(other)) =
        (settings.ignore_case, &mut one.values, &mut other.values)
    {
        spell_alike(&mut [one, other]);
    }
    compare(name, kind, [&side(&one), &side(&other)], choice).map(Ok)
}

fn side(column: &Column) -> Side {
    let (sample, infinite) = Sample::of(column);
    Side {
        sample,
        rows: column.values.len(),
        infinite,
    }
}

/// The column as the reference's kind, if its values can be read so: a file may say other types every day.
fn read_as(column: &FrameColumn, kind: ColumnKind, own: ColumnKind) -> Option<Column> {
    if column.null_count() == column.len() {
        return Some(Column {
            name: column.name().to_string(),
            kind,
            values: Values::nulls(kind, column.len()),
        });
    }
    let read = Column::read(column.as_materialized_series(), kind).ok()?;
    // Numbers other than 0 and 1 are no booleans.
    match (&read.values, kind == own) {
        (Values::Number(values), false) if kind == ColumnKind::Boolean => values
            .iter()
            .all(|value| value.is_nan() || *value == 0.0 || (value - 1.0).abs() < f64::EPSILON)
            .then_some(read),
        _ => Some(read),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number of columns")]
fn verdict(compared: Vec<ColumnDrift>, settings: &DriftSettings) -> DriftReport {
    let (mut columns, mut predictions, mut target) = (Vec::new(), Vec::new(), None);
    for column in compared {
        match settings.role(&column.name) {
            Role::Data => columns.push(column),
            Role::Prediction => predictions.push(column),
            Role::Target => target = Some(column),
        }
    }
    // Drifted ones first, else in the table's order.
    columns.sort_by_key(|column| !column.drifted);
    let drifted_columns = columns.iter().filter(|column| column.drifted).count();
    let drifted_share = drifted_columns as f64 / columns.len().max(1) as f64;
    let any = |columns: &[ColumnDrift]| columns.iter().any(|column| column.drifted);
    DriftReport {
        reference_rows: 0,
        current_rows: 0,
        drifted_columns,
        drifted_share,
        share: settings.share,
        data_drift: !columns.is_empty() && drifted_share >= settings.share,
        prediction_drift: (!predictions.is_empty()).then(|| any(&predictions)),
        target_drift: target.as_ref().map(|target| target.drifted),
        columns,
        predictions,
        target,
        not_compared: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;

    use super::{DriftSettings, drift};
    use crate::drift::{Choice, Test};

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
        assert!(
            !same.drift() && same.prediction_drift == Some(false),
            "{same:?}"
        );
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
    fn predictions_and_target_are_told_apart_from_the_data() {
        let settings = DriftSettings {
            prediction: vec!["n".into()],
            target: Some("t".into()),
            ..DriftSettings::default()
        };
        let found = drift(&table(300, 0.0, "a"), &table(300, 90.0, "c"), &settings).unwrap();
        assert_eq!(found.columns.len(), 1);
        assert_eq!(
            (found.data_drift, found.prediction_drift, found.target_drift),
            (false, Some(true), Some(true))
        );
        assert_eq!(
            found.verdict(),
            "the predictions and the target have drifted (0 of 1 columns differ)"
        );
        // The truth is not there yet: it is not compared, and that is no drift.
        let settings = DriftSettings {
            target: Some("t".into()),
            ..DriftSettings::default()
        };
        let now = table(300, 0.0, "a").drop("t").unwrap();
        let found = drift(&table(300, 0.0, "a"), &now, &settings).unwrap();
        assert_eq!((found.target_drift, found.drift()), (None, false));
        assert_eq!(found.not_compared[0].why, "only the reference has it");
    }

    #[test]
    fn a_column_has_its_own_test_and_threshold() {
        let choice = |test, threshold| DriftSettings {
            columns: [("n".to_owned(), Choice { test, threshold })].into(),
            ..DriftSettings::default()
        };
        let (then, now) = (table(3000, 0.0, "a"), table(1500, 2.0, "a"));
        let found = |settings: &DriftSettings| {
            let found = drift(&then, &now, settings).unwrap();
            let column = found.columns.iter().find(|column| column.name == "n");
            let column = column.unwrap().clone();
            (column.test.unwrap().name(), column.drifted)
        };
        assert_eq!(found(&DriftSettings::default()), ("wasserstein", false));
        assert_eq!(found(&choice(None, Some(0.05))), ("wasserstein", true));
        let ks = Some(Test::KolmogorovSmirnov);
        assert_eq!(found(&choice(ks, None)), ("ks", false));
        assert_eq!(found(&choice(ks, Some(0.95))), ("ks", true));
        let error = drift(&then, &now, &choice(Some(Test::Z), None)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the test `z` compares columns of two values, and there are more in column `n`"
        );
    }

    #[test]
    fn tables_that_cannot_be_compared_say_why() {
        let settings = DriftSettings::default();
        let one = df!["a" => [1.0, 2.0]].unwrap();
        let other = df!["b" => [1.0]].unwrap();
        let error = drift(&one, &other, &settings).unwrap_err().to_string();
        assert_eq!(
            error,
            "the two tables have no column in common that can be compared"
        );
        let empty = one.head(Some(0));
        let error = drift(&one, &empty, &settings).unwrap_err().to_string();
        assert_eq!(
            error,
            "the current rows are none: there is nothing to compare"
        );
        let settings = DriftSettings {
            prediction: vec!["a".into()],
            ..DriftSettings::default()
        };
        let error = drift(&one, &other, &settings).unwrap_err().to_string();
        assert_eq!(error, "the prediction `a` is no column of the current rows");
    }

    /// Every odd column has a verdict that says why.
    #[test]
    fn odd_columns_have_a_clear_verdict() {
        let words: Vec<String> = (0..60).map(|row| format!("customer {row}")).collect();
        let empty = Series::new_null("gone".into(), 60);
        let mut then = df![
            "constant" => [7i64; 60],
            "other_constant" => [7i64; 60],
            "infinite" => (0..60).map(|row| if row == 0 { f64::INFINITY } else { f64::from(row) }).collect::<Vec<_>>(),
            "retyped" => (0..60).collect::<Vec<i32>>(),
            "as_text" => (0..60).collect::<Vec<i32>>(),
            "came" => vec![None::<&str>; 60],
            "key" => &words,
            "huge" => (0..60).map(|row| f64::from(row) * 1e300).collect::<Vec<_>>(),
            "old" => [1i64; 60],
        ]
        .unwrap();
        let mut now = df![
            "constant" => [7i64; 60],
            "other_constant" => [8i64; 60],
            "infinite" => (0..60).map(f64::from).collect::<Vec<f64>>(),
            "retyped" => &words,
            "as_text" => (0..60).map(|row| format!(" {row}")).collect::<Vec<_>>(),
            "came" => &words,
            "key" => &words,
            "huge" => (0..60).map(|row| f64::from(row) * -1.7e306).collect::<Vec<_>>(),
            "new" => [1i64; 60],
        ]
        .unwrap();
        for frame in [&mut then, &mut now] {
            frame.with_column(empty.clone().into()).unwrap();
        }
        let found = drift(&then, &now, &DriftSettings::default()).unwrap();
        let told = |name: &str| {
            let column = found.columns.iter().find(|column| column.name == name);
            let column = column.unwrap();
            (column.drifted, column.note.as_deref().unwrap_or(""))
        };
        assert_eq!(told("constant"), (false, ""));
        assert_eq!(told("other_constant"), (true, ""));
        assert_eq!(
            told("infinite"),
            (false, "without 1 value that is infinite or beyond 1e150")
        );
        assert_eq!(told("retyped"), (true, "it was a number and is text now"));
        assert_eq!(told("as_text"), (false, ""));
        assert_eq!(told("came"), (true, "the reference has no value of it"));
        assert_eq!(
            told("key"),
            (
                false,
                "almost every row has a value of its own: exclude it if it is a key"
            )
        );
        assert_eq!(
            told("huge"),
            (
                false,
                "without 118 values that are infinite or beyond 1e150"
            )
        );
        assert_eq!(
            told("gone"),
            (false, "there is no value, neither then nor now")
        );
        let left_out: Vec<_> = found
            .not_compared
            .iter()
            .map(|column| (column.name.as_str(), column.why.as_str()))
            .collect();
        assert_eq!(
            left_out,
            [
                ("old", "only the reference has it"),
                ("new", "only the current rows have it")
            ]
        );
    }

    #[test]
    fn lists_are_left_out_and_said_so() {
        let list = Series::new("parts".into(), [Series::new("".into(), [1i64])]);
        let mut frame = df!["a" => [1.0]].unwrap();
        frame.with_column(list.into()).unwrap();
        let found = drift(&frame, &frame, &DriftSettings::default()).unwrap();
        assert_eq!(found.not_compared.len(), 1);
        assert!(found.not_compared[0].why.contains("which is not compared"));
    }

    #[test]
    fn values_that_are_gone_are_drift() {
        let one = df!["a" => [Some(1.0), Some(2.0)], "b" => [1.0, 2.0]].unwrap();
        let other = df!["a" => [None::<f64>, None], "b" => [1.0, 2.0]].unwrap();
        let found = drift(&one, &other, &DriftSettings::default()).unwrap();
        assert!(found.columns[0].name == "a" && found.columns[0].drifted);
        assert_eq!(found.columns[0].missing, [0.0, 1.0]);
    }
}
