//! One column's drift: the test that Evidently would choose, its score, a picture.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::{Column, ColumnKind, Values};
use crate::drift::bins::{counts, distinct, edges, histogram, key, of_levels, of_numbers};
use crate::drift::tests_of_samples::{
    chi_square, jensen_shannon, kolmogorov_smirnov, kullback_leibler, levels, proportions,
    stability_index, wasserstein,
};
use crate::prepare::DAY;

/// A reference up to this many rows is tested for significance, a larger one by distance.
const SMALL: usize = 1_000;
/// A p-value below this is drift.
const SIGNIFICANT: f64 = 0.05;
/// A distance from this on is drift.
const FAR: f64 = 0.1;
/// Numbers with at most this many different values are treated as categories.
const FEW: usize = 5;
/// Bars of a picture.
const BARS: usize = 20;
/// Levels of a picture.
const SHOWN: usize = 12;

/// A test or distance between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Two-sample Kolmogorov–Smirnov, by p-value.
    KolmogorovSmirnov,
    /// Wasserstein distance over the reference's standard deviation.
    Wasserstein,
    /// Pearson's chi-square, by p-value.
    ChiSquare,
    /// Two proportions, by p-value.
    Z,
    /// Jensen–Shannon distance.
    JensenShannon,
    /// Population stability index.
    Psi,
    /// Kullback–Leibler divergence.
    KullbackLeibler,
}

impl Test {
    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::KolmogorovSmirnov => "Kolmogorov–Smirnov p-value",
            Self::Wasserstein => "Wasserstein distance (normed)",
            Self::ChiSquare => "chi-square p-value",
            Self::Z => "Z-test p-value",
            Self::JensenShannon => "Jensen–Shannon distance",
            Self::Psi => "population stability index",
            Self::KullbackLeibler => "Kullback–Leibler divergence",
        }
    }

    /// From where on it is drift, when nothing else is said.
    pub fn threshold(self) -> f64 {
        if self.is_p_value() { SIGNIFICANT } else { FAR }
    }

    /// Whether less means more drift.
    pub fn is_p_value(self) -> bool {
        matches!(self, Self::KolmogorovSmirnov | Self::ChiSquare | Self::Z)
    }

    /// The verdict on a score.
    pub fn drifted(self, score: f64, threshold: f64) -> bool {
        match self {
            Self::KolmogorovSmirnov => score <= threshold,
            Self::ChiSquare | Self::Z => score < threshold,
            _ => score >= threshold,
        }
    }
}

/// The shares of both samples, for a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// What every bar stands for: a level, or the middle of a range.
    pub labels: Vec<String>,
    /// Whether bars are ranges of numbers.
    pub numeric: bool,
    /// Shares of the reference rows.
    pub reference: Vec<f64>,
    /// Shares of the current rows.
    pub current: Vec<f64>,
}

/// What was found about a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    /// The column.
    pub name: String,
    /// Its kind.
    pub kind: ColumnKind,
    /// The test; none when a sample has no value.
    pub test: Option<Test>,
    /// Its score.
    pub score: Option<f64>,
    /// From where on it is drift.
    pub threshold: Option<f64>,
    /// The verdict.
    pub drifted: bool,
    /// Share of missing values in the reference and in the current rows.
    pub missing: [f64; 2],
    /// Means of numbers.
    pub means: Option<[f64; 2]>,
    /// Both distributions.
    pub picture: Picture,
}

/// The values of a column that are there.
enum Sample {
    Numbers(Vec<f64>),
    Levels(Vec<String>),
}

impl Sample {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Levels(values) => values.len(),
        }
    }
}

/// Booleans are categories; dates are numbers of days.
#[allow(clippy::cast_precision_loss, reason = "a date to the microsecond fits")]
fn sample(column: &Column) -> Sample {
    match &column.values {
        Values::Number(values) if column.kind == ColumnKind::Boolean => Sample::Levels(
            values
                .iter()
                .filter(|value| !value.is_nan())
                .map(|value| (*value != 0.0).to_string())
                .collect(),
        ),
        Values::Number(values) => Sample::Numbers(
            values
                .iter()
                .copied()
                .filter(|value| value.is_finite())
                .collect(),
        ),
        Values::Date(values) => Sample::Numbers(
            values
                .iter()
                .filter(|value| **value != i64::MIN)
                .map(|value| *value as f64 / DAY)
                .collect(),
        ),
        Values::Text(text) => Sample::Levels(
            (0..text.codes.len())
                .map(|row| text.get(row))
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .collect(),
        ),
    }
}

/// Compares a column of the reference with the same column of today.
pub(crate) fn compare(reference: &Column, current: &Column, wanted: Option<Test>) -> ColumnDrift {
    let (one, other) = (sample(reference), sample(current));
    let missing = [
        share_missing(reference, &one),
        share_missing(current, &other),
    ];
    let mut found = ColumnDrift {
        name: reference.name.clone(),
        kind: reference.kind,
        test: None,
        score: None,
        threshold: None,
        drifted: false,
        missing,
        means: None,
        picture: picture(&one, &other),
    };
    if one.len() == 0 || other.len() == 0 {
        // Nothing on one side only: all values came or went.
        found.drifted = one.len() != other.len();
        return found;
    }
    if let (Sample::Numbers(one), Sample::Numbers(other)) = (&one, &other) {
        found.means = Some([mean(one), mean(other)]);
    }
    let test = wanted
        .filter(|test| suits(*test, &one))
        .unwrap_or_else(|| choose(&one, &other));
    let score = score(test, &one, &other);
    found.test = Some(test);
    found.score = Some(score);
    found.threshold = Some(test.threshold());
    found.drifted = test.drifted(score, test.threshold());
    found
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn share_missing(column: &Column, sample: &Sample) -> f64 {
    let rows = column.values.len();
    if rows == 0 {
        0.0
    } else {
        (rows - sample.len()) as f64 / rows as f64
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Whether a test can be asked of such a column.
fn suits(test: Test, sample: &Sample) -> bool {
    let numeric = matches!(test, Test::KolmogorovSmirnov | Test::Wasserstein);
    !numeric || matches!(sample, Sample::Numbers(_))
}

/// Evidently's choice: by the size of the reference and the number of different values in both.
fn choose(one: &Sample, other: &Sample) -> Test {
    let small = one.len() <= SMALL;
    match (one, other) {
        (Sample::Numbers(a), Sample::Numbers(b)) => match distinct(a.iter().chain(b)) {
            count if count > FEW => {
                if small {
                    Test::KolmogorovSmirnov
                } else {
                    Test::Wasserstein
                }
            }
            _ if !small => Test::JensenShannon,
            0..=2 => Test::Z,
            _ => Test::ChiSquare,
        },
        _ if !small => Test::JensenShannon,
        (Sample::Levels(a), Sample::Levels(b)) if counts(a, b).len() <= 2 => Test::Z,
        _ => Test::ChiSquare,
    }
}

fn score(test: Test, one: &Sample, other: &Sample) -> f64 {
    match (one, other) {
        (Sample::Numbers(a), Sample::Numbers(b)) => match test {
            Test::KolmogorovSmirnov => kolmogorov_smirnov(a, b),
            Test::Wasserstein => wasserstein(a, b),
            Test::ChiSquare => chi_square(&levels(a), &levels(b)),
            Test::Z => proportions(&levels(a), &levels(b)),
            Test::JensenShannon => jensen_shannon(&of_numbers(a, b)),
            Test::Psi => stability_index(&of_numbers(a, b)),
            Test::KullbackLeibler => kullback_leibler(&of_numbers(a, b)),
        },
        (Sample::Levels(a), Sample::Levels(b)) => match test {
            Test::ChiSquare => chi_square(a, b),
            Test::Z => proportions(a, b),
            Test::Psi => stability_index(&of_levels(a, b)),
            Test::KullbackLeibler => kullback_leibler(&of_levels(a, b)),
            _ => jensen_shannon(&of_levels(a, b)),
        },
        // The columns were read as the same kind.
        _ => f64::NAN,
    }
}

fn picture(one: &Sample, other: &Sample) -> Picture {
    match (one, other) {
        (Sample::Numbers(a), Sample::Numbers(b)) if distinct(a.iter().chain(b)) > SHOWN => {
            ranges(a, b)
        }
        (Sample::Numbers(a), Sample::Numbers(b)) => {
            let mut values: Vec<f64> = a.iter().chain(b).copied().collect();
            values.sort_unstable_by(f64::total_cmp);
            values.dedup();
            let shares = of_numbers_exact(a, b, &values);
            let labels = values.iter().map(|value| short(*value)).collect();
            Picture {
                labels,
                numeric: false,
                reference: shares.0,
                current: shares.1,
            }
        }
        (Sample::Levels(a), Sample::Levels(b)) => bars(a, b),
        _ => Picture {
            labels: vec![],
            numeric: false,
            reference: vec![],
            current: vec![],
        },
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn of_numbers_exact(one: &[f64], other: &[f64], values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let shares = |sample: &[f64]| {
        values
            .iter()
            .map(|value| {
                let count = sample
                    .iter()
                    .filter(|other| key(**other) == key(*value))
                    .count();
                count as f64 / sample.len().max(1) as f64
            })
            .collect()
    };
    (shares(one), shares(other))
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn ranges(one: &[f64], other: &[f64]) -> Picture {
    let all = || one.iter().chain(other).copied();
    let low = all().fold(f64::INFINITY, f64::min);
    let high = all().fold(f64::NEG_INFINITY, f64::max);
    let edges = edges(low, high, BARS);
    let shares = |sample: &[f64]| {
        let counts = histogram(sample, &edges);
        counts
            .iter()
            .map(|count| *count as f64 / sample.len().max(1) as f64)
            .collect()
    };
    Picture {
        labels: edges
            .windows(2)
            .map(|pair| short(f64::midpoint(pair[0], pair[1])))
            .collect(),
        numeric: true,
        reference: shares(one),
        current: shares(other),
    }
}

/// The most frequent levels of both, the rest as one.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn bars(one: &[String], other: &[String]) -> Picture {
    let counts: BTreeMap<&String, (usize, usize)> = counts(one, other);
    let mut levels: Vec<(&str, usize, usize)> = counts
        .iter()
        .map(|(level, count)| (level.as_str(), count.0, count.1))
        .collect();
    levels.sort_by(|a, b| (b.1 + b.2).cmp(&(a.1 + a.2)).then(a.0.cmp(b.0)));
    if levels.len() > SHOWN {
        let rest = levels.split_off(SHOWN - 1);
        let sum = |pick: fn(&(&str, usize, usize)) -> usize| rest.iter().map(pick).sum();
        levels.push(("(others)", sum(|level| level.1), sum(|level| level.2)));
    }
    let share = |count: usize, rows: usize| count as f64 / rows.max(1) as f64;
    Picture {
        labels: levels.iter().map(|level| level.0.to_owned()).collect(),
        numeric: false,
        reference: levels
            .iter()
            .map(|level| share(level.1, one.len()))
            .collect(),
        current: levels
            .iter()
            .map(|level| share(level.2, other.len()))
            .collect(),
    }
}

/// A number in few characters.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}
