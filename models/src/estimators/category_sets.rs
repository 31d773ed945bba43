//! Sets of categories that trees ask for, as features of their own: 0 where a row's category goes left, else 1.
//!
//! A tree of ONNX compares a number with a threshold. So a split by a set of categories is one more column, looked up in a
//! table by the category's number, and the tree asks whether it is below one half.

use std::collections::HashMap;

use crate::estimators::bins::Binned;
use crate::estimators::boosting_split::Split;
use crate::matrix::Matrix;

/// Rows that are looked up together.
pub(crate) const BLOCK: usize = 4096;

/// One set: the feature that has the categories, what every number becomes, and last what a missing one becomes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CategorySet {
    pub(crate) feature: usize,
    pub(crate) right: Vec<bool>,
}

/// The sets of an ensemble.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct CategorySets {
    /// Features before the sets.
    pub(crate) width: usize,
    pub(crate) sets: Vec<CategorySet>,
    places: HashMap<CategorySet, usize>,
}

impl CategorySets {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// The place of a split's set among the features; equal sets have one.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a category's number"
    )]
    pub(crate) fn feature_of(&mut self, binned: &Binned, split: &Split) -> usize {
        let cuts = &binned.cuts[split.feature];
        let count = cuts.last().map_or(1, |cut| cut.ceil() as u32 + 1);
        let mut right: Vec<bool> = (0..count)
            .map(|category| {
                let bin = cuts.partition_point(|cut| *cut < f64::from(category));
                !split.goes_left(bin as u8)
            })
            .collect();
        right.push(!split.missing_left);
        let set = CategorySet {
            feature: split.feature,
            right,
        };
        let next = self.width + self.sets.len();
        *self.places.entry(set).or_insert_with_key(|set| {
            self.sets.push(set.clone());
            next
        })
    }

    /// Some rows with a column for every set.
    pub(crate) fn extend(&self, matrix: &Matrix, from: usize, to: usize) -> Matrix {
        let mut wide = Matrix::zeros(to - from, self.width + self.sets.len());
        for row in from..to {
            let values = matrix.row(row);
            let (known, sets) = wide.row_mut(row - from).split_at_mut(self.width);
            known.copy_from_slice(values);
            for (value, set) in sets.iter_mut().zip(&self.sets) {
                *value = f64::from(u8::from(set.takes_right(values[set.feature])));
            }
        }
        wide
    }
}

impl CategorySet {
    /// The share of rows that do not go left.
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    pub(crate) fn share(&self, rows: &Matrix) -> f64 {
        let values = rows.column(self.feature);
        values.filter(|value| self.takes_right(*value)).count() as f64 / rows.rows.max(1) as f64
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a category's number"
    )]
    fn takes_right(&self, value: f64) -> bool {
        let missing = self.right.len() - 1;
        let place = if value.is_nan() {
            missing
        } else {
            (value as usize).min(missing)
        };
        self.right[place]
    }
}
