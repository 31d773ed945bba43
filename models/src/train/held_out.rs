//! What a candidate answers to rows that it has not seen.

use crate::train::folds::Fold;

/// The chosen candidate's answers to rows that it had not seen.
pub(crate) struct HeldOut {
    /// The rows, ascending; without those that were never held out.
    pub(crate) rows: Vec<u32>,
    /// For every one the fold that held it out first.
    pub(crate) folds: Vec<u32>,
    /// The answers, row after row.
    pub(crate) values: Vec<f64>,
    /// Numbers of an answer.
    pub(crate) width: usize,
}

impl HeldOut {
    /// The answers of all folds, each row's first one.
    pub(crate) fn new(folds: &[Fold], values: &[Vec<f64>], width: usize) -> Self {
        let rows = folds
            .iter()
            .flat_map(|fold| fold.train.iter().chain(&fold.test))
            .max()
            .map_or(0, |last| *last as usize + 1);
        let mut place: Vec<Option<(usize, usize)>> = vec![None; rows];
        for (number, fold) in folds.iter().enumerate() {
            for (index, row) in fold.test.iter().enumerate() {
                place[*row as usize].get_or_insert((number, index));
            }
        }
        let mut held_out = Self {
            rows: Vec::new(),
            folds: Vec::new(),
            values: Vec::new(),
            width,
        };
        for (row, place) in (0u32..).zip(place) {
            if let Some((fold, index)) = place {
                held_out.rows.push(row);
                held_out.folds.push(u32::try_from(fold).unwrap_or(u32::MAX));
                held_out
                    .values
                    .extend_from_slice(&values[fold][index * width..(index + 1) * width]);
            }
        }
        held_out
    }
}
