//! The tests and distances by which columns are compared, and which one Evidently takes when none is named.

use serde::{Deserialize, Serialize};

use crate::drift::sample::Sample;

/// A reference up to this many rows is tested for significance, a larger one by distance.
const SMALL: usize = 1_000;
/// A p-value below this is drift.
const SIGNIFICANT: f64 = 0.05;
/// A distance from this on is drift.
const FAR: f64 = 0.1;
/// Numbers with at most this many different values are treated as categories.
const FEW: usize = 5;

/// A test or distance between two samples. Written as Evidently names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// Two-sample Kolmogorov–Smirnov, by p-value.
    #[serde(rename = "ks")]
    KolmogorovSmirnov,
    /// Wasserstein distance over the reference's standard deviation.
    #[serde(rename = "wasserstein")]
    Wasserstein,
    /// Pearson's chi-square, by p-value.
    #[serde(rename = "chisquare")]
    ChiSquare,
    /// Two proportions, by p-value.
    #[serde(rename = "z")]
    Z,
    /// Jensen–Shannon distance.
    #[serde(rename = "jensenshannon")]
    JensenShannon,
    /// Population stability index.
    #[serde(rename = "psi")]
    Psi,
    /// Kullback–Leibler divergence.
    #[serde(rename = "kl_div")]
    KullbackLeibler,
}

impl Test {
    /// Its name in settings, in measures and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::KolmogorovSmirnov => "ks",
            Self::Wasserstein => "wasserstein",
            Self::ChiSquare => "chisquare",
            Self::Z => "z",
            Self::JensenShannon => "jensenshannon",
            Self::Psi => "psi",
            Self::KullbackLeibler => "kl_div",
        }
    }

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

    /// Evidently's choice: by the size of the reference and the number of different values in both.
    pub(crate) fn of(one: &Sample, other: &Sample) -> Self {
        let small = one.count() <= SMALL;
        let distinct = one.distinct(other, FEW);
        if one.is_numeric() && distinct > FEW {
            return if small {
                Self::KolmogorovSmirnov
            } else {
                Self::Wasserstein
            };
        }
        match distinct {
            _ if !small => Self::JensenShannon,
            0..=2 => Self::Z,
            _ => Self::ChiSquare,
        }
    }

    /// Why two samples cannot be compared by it, if they cannot.
    pub(crate) fn unfit(self, one: &Sample, other: &Sample) -> Option<&'static str> {
        match self {
            Self::KolmogorovSmirnov | Self::Wasserstein if !one.is_numeric() => {
                Some("compares numbers, and these are categories")
            }
            Self::Z if one.distinct(other, 2) > 2 => {
                Some("compares columns of two values, and there are more")
            }
            _ => None,
        }
    }
}
