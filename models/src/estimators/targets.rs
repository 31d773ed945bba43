//! What an estimator learns of a row: its class, or its number.

use indexmap::IndexMap;

use crate::data::{Classes, Truth};
use crate::error::{ModelError, Result};

/// scikit-learn's `class_weight`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum ClassWeight {
    /// Every row counts the same.
    #[default]
    None,
    /// Every class counts the same.
    Balanced,
    /// By class; one that is not named counts 1.
    Given(IndexMap<String, f64>),
}

/// Class codes and weights of the training rows.
#[derive(Debug, Clone)]
pub(crate) struct Targets<'a> {
    pub(crate) codes: &'a [u32],
    pub(crate) classes: usize,
    /// The weight of every class; 1 when there are none.
    pub(crate) class_weights: Option<Vec<f32>>,
}

impl<'a> Targets<'a> {
    /// The classes of the truth, weighted; of balanced classes by scikit-learn's formula
    /// `rows / (classes · rows of the class)`.
    pub(crate) fn new(truth: &'a Truth, weight: &ClassWeight) -> Result<Self> {
        let Truth::Classes { classes, codes } = truth else {
            return Err(ModelError::internal("a classifier without classes"));
        };
        Ok(Self {
            codes,
            classes: classes.len(),
            class_weights: match weight {
                ClassWeight::None => None,
                ClassWeight::Balanced => Some(balanced(codes, classes.len())),
                ClassWeight::Given(weights) => Some(given(weights, classes)?),
            },
        })
    }

    pub(crate) fn weight(&self, row: usize) -> f32 {
        match &self.class_weights {
            None => 1.0,
            Some(weights) => weights[self.codes[row] as usize],
        }
    }

    /// Scores for a row: two classes need one.
    pub(crate) fn outputs(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes }
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a ratio of row counts"
)]
fn balanced(codes: &[u32], classes: usize) -> Vec<f32> {
    let mut counts = vec![0usize; classes];
    for &code in codes {
        counts[code as usize] += 1;
    }
    counts
        .iter()
        .map(|&count| (codes.len() as f64 / (classes * count.max(1)) as f64) as f32)
        .collect()
}

#[allow(clippy::cast_possible_truncation, reason = "a weight")]
fn given(weights: &IndexMap<String, f64>, classes: &Classes) -> Result<Vec<f32>> {
    let names = classes.names();
    if let Some(wrong) = weights.keys().find(|name| !names.contains(name)) {
        return Err(ModelError::settings(format!(
            "`class_weight` names `{wrong}`, which is no class: there are {}",
            names.join(", ")
        )));
    }
    Ok(names
        .iter()
        .map(|name| weights.get(name).map_or(1.0, |weight| *weight as f32))
        .collect())
}

/// What trees and boosting learn from.
pub(crate) enum Lesson<'a> {
    /// Classes.
    Classes(Targets<'a>),
    /// Numbers.
    Quantity(&'a [f64]),
}

impl<'a> Lesson<'a> {
    /// The lesson of the truth.
    pub(crate) fn new(truth: &'a Truth, weight: &ClassWeight) -> Result<Self> {
        match truth {
            Truth::Quantity(values) => Ok(Self::Quantity(values)),
            _ => Targets::new(truth, weight).map(Self::Classes),
        }
    }

    /// Scores for a row.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::Classes(targets) => targets.outputs(),
            Self::Quantity(_) => 1,
        }
    }

    pub(crate) fn weight(&self, row: usize) -> f32 {
        match self {
            Self::Classes(targets) => targets.weight(row),
            Self::Quantity(_) => 1.0,
        }
    }

    /// The mean of numbers; 0 of classes.
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    pub(crate) fn centre(&self) -> f64 {
        match self {
            Self::Classes(_) => 0.0,
            Self::Quantity(values) => values.iter().sum::<f64>() / values.len().max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClassWeight, Targets};
    use crate::estimators::testing::truth;

    #[test]
    fn balanced_weights_are_scikit_learns() {
        let truth = truth(&[0, 0, 0, 1], 2);
        let targets = Targets::new(&truth, &ClassWeight::Balanced).unwrap();
        assert_eq!(targets.class_weights, Some(vec![4.0 / 6.0, 2.0]));
    }

    #[test]
    fn given_weights_name_classes() {
        let truth = truth(&[0, 1], 2);
        let weights = |name: &str| ClassWeight::Given([(name.to_owned(), 3.0)].into());
        let targets = Targets::new(&truth, &weights("1")).unwrap();
        assert_eq!(targets.class_weights, Some(vec![1.0, 3.0]));
        assert_eq!(
            Targets::new(&truth, &weights("2")).unwrap_err().to_string(),
            "`class_weight` names `2`, which is no class: there are 0, 1"
        );
    }
}
