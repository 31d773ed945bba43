//! One column's drift: the test that Evidently would choose, its score, a picture.

use serde::{Deserialize, Serialize};

use crate::data::ColumnKind;
use crate::drift::bins::{Shares, counts};
use crate::drift::picture::Picture;
use crate::drift::sample::Sample;
use crate::drift::test::Test;
use crate::drift::tests_of_samples::{
    chi_square, jensen_shannon, kolmogorov_smirnov, kullback_leibler, proportions, stability_index,
    wasserstein,
};
use crate::error::{ModelError, Result};

/// As many different texts in the reference, and almost as many as it has rows, are names of things rather than levels.
const NAMES: usize = 50;

/// What is said about a single column, instead of what is chosen for it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Choice {
    /// The test.
    pub test: Option<Test>,
    /// From which score on it has drifted: a distance from which, or a p-value below which.
    pub threshold: Option<f64>,
}

/// What was found about a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    /// The column.
    pub name: String,
    /// Its kind in the reference.
    pub kind: ColumnKind,
    /// The test; none when the two columns cannot be compared by one.
    pub test: Option<Test>,
    /// Its score.
    pub score: Option<f64>,
    /// From where on it is drift.
    pub threshold: Option<f64>,
    /// The verdict.
    pub drifted: bool,
    /// Share of missing values in the reference and in the current rows.
    pub missing: [f64; 2],
    /// Means of numbers; dates are days since 1970.
    pub means: Option<[f64; 2]>,
    /// What is to be known about the verdict.
    pub note: Option<String>,
    /// Both distributions.
    pub picture: Picture,
}

impl ColumnDrift {
    /// A column whose values are of another kind now, which no test compares.
    pub(crate) fn of_other_kind(name: &str, kind: ColumnKind, now: ColumnKind) -> Self {
        let note = format!("it was {} and is {} now", article(kind), article(now));
        Self {
            name: name.to_owned(),
            kind,
            test: None,
            score: None,
            threshold: None,
            drifted: true,
            missing: [0.0; 2],
            means: None,
            note: Some(note),
            picture: Picture::default(),
        }
    }

    /// How far it is over its threshold, to put the worst first: from 1 on it has drifted. p-values count by their
    /// order of magnitude.
    pub fn strength(&self) -> f64 {
        match (self.test, self.score, self.threshold) {
            (Some(test), Some(score), Some(threshold)) if test.is_p_value() => {
                score.max(1e-300).ln() / threshold.clamp(1e-300, 0.999).ln()
            }
            (Some(_), Some(score), Some(threshold)) => score / threshold.max(1e-12),
            _ if self.drifted => f64::INFINITY,
            _ => 0.0,
        }
    }
}

fn article(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Number => "a number",
        ColumnKind::Boolean => "a boolean",
        ColumnKind::Text => "text",
        ColumnKind::Date => "a date",
    }
}

/// A column's sample, with what it lacks.
pub(crate) struct Side {
    /// What is there.
    pub(crate) sample: Sample,
    /// Rows of its table.
    pub(crate) rows: usize,
    /// Values that are infinite or as good as that, and left out.
    pub(crate) infinite: usize,
}

impl Side {
    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.sample.count() == 0 && self.infinite == 0
    }

    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    fn missing(&self) -> f64 {
        let missing = self.rows - self.sample.count() - self.infinite;
        missing as f64 / self.rows.max(1) as f64
    }
}

/// Compares a column of the reference with the same column of today.
pub(crate) fn compare(
    name: &str,
    kind: ColumnKind,
    [reference, current]: [&Side; 2],
    choice: Choice,
) -> Result<ColumnDrift> {
    let (one, other) = (&reference.sample, &current.sample);
    let mut found = ColumnDrift {
        name: name.to_owned(),
        kind,
        test: None,
        score: None,
        threshold: None,
        drifted: false,
        missing: [reference.missing(), current.missing()],
        means: None,
        note: note([reference, current]),
        picture: Picture::of(one, other),
    };
    if one.count() == 0 || other.count() == 0 {
        // Nothing on one side only: all values came or went.
        found.drifted = one.count() != other.count();
        return Ok(found);
    }
    if let (Sample::Numbers(one), Sample::Numbers(other)) = (one, other) {
        found.means = Some([mean(one), mean(other)]);
    }
    let test = choice.test.unwrap_or_else(|| Test::of(one, other));
    if let Some(why) = test.unfit(one, other) {
        return Err(ModelError::settings(format!(
            "the test `{}` {why} in column `{name}`",
            test.name()
        )));
    }
    let threshold = choice.threshold.unwrap_or_else(|| test.threshold());
    let score = score(test, one, other);
    found.test = Some(test);
    found.threshold = Some(threshold);
    found.score = Some(score);
    found.drifted = test.drifted(score, threshold);
    Ok(found)
}

fn note([reference, current]: [&Side; 2]) -> Option<String> {
    match (reference.sample.count(), current.sample.count()) {
        (0, 0) => return Some("there is no value, neither then nor now".to_owned()),
        (0, _) => return Some("the reference has no value of it".to_owned()),
        (_, 0) => return Some("there is no value of it any more".to_owned()),
        _ => {}
    }
    let infinite = reference.infinite + current.infinite;
    if infinite > 0 {
        let values = if infinite == 1 {
            "value that is"
        } else {
            "values that are"
        };
        return Some(format!(
            "without {infinite} {values} infinite or beyond 1e150"
        ));
    }
    match &reference.sample {
        Sample::Levels(levels)
            if levels.len() >= NAMES && levels.len() * 10 >= reference.rows * 9 =>
        {
            Some("almost every row has a value of its own: exclude it if it is a key".to_owned())
        }
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn score(test: Test, one: &Sample, other: &Sample) -> f64 {
    match (test, one, other) {
        (Test::KolmogorovSmirnov, Sample::Numbers(one), Sample::Numbers(other)) => {
            kolmogorov_smirnov(one, other)
        }
        (Test::Wasserstein, Sample::Numbers(one), Sample::Numbers(other)) => {
            wasserstein(one, other)
        }
        (Test::ChiSquare, ..) => chi_square(&counts(one, other)),
        (Test::Z, ..) => proportions(&counts(one, other)),
        (Test::JensenShannon, ..) => jensen_shannon(&Shares::of(one, other)),
        (Test::Psi, ..) => stability_index(&Shares::of(one, other)),
        (Test::KullbackLeibler, ..) => kullback_leibler(&Shares::of(one, other)),
        // It was asked before whether the test fits.
        _ => f64::NAN,
    }
}
