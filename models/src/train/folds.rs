//! Stratified folds: every class is spread evenly over them.

use crate::data::Target;
use crate::error::{ModelError, Result};
use crate::random::Random;

/// One division of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fold {
    /// Rows to learn from, ascending.
    pub(crate) train: Vec<u32>,
    /// Rows held out, ascending.
    pub(crate) test: Vec<u32>,
}

/// Deals the shuffled rows of every class to the folds in turn.
pub(crate) fn stratified(target: &Target, folds: usize, seed: u64) -> Result<Vec<Fold>> {
    let counts = target.counts();
    for (name, count) in target.classes.names().iter().zip(&counts) {
        if *count < folds {
            return Err(ModelError::data(format!(
                "class `{name}` of `{}` has {count} rows, fewer than the {folds} folds: take fewer folds or more data",
                target.name
            )));
        }
    }
    let mut fold_of = vec![0usize; target.codes.len()];
    let mut next = 0;
    for class in (0u32..).take(counts.len()) {
        let mut rows: Vec<usize> = (0..target.codes.len())
            .filter(|row| target.codes[*row] == class)
            .collect();
        Random::new(seed, u64::from(class)).shuffle(&mut rows);
        for row in rows {
            fold_of[row] = next % folds;
            next += 1;
        }
    }
    Ok((0..folds)
        .map(|fold| {
            let (test, train) = (0u32..)
                .take(fold_of.len())
                .partition(|row| fold_of[*row as usize] == fold);
            Fold { train, test }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::stratified;
    use crate::data::{Classes, Target};

    fn target(codes: Vec<u32>) -> Target {
        let classes = Classes::Boolean(vec![false, true]);
        Target {
            name: "y".into(),
            classes,
            codes,
        }
    }

    #[test]
    fn every_row_is_held_out_once_and_classes_are_even() {
        let target = target((0..103).map(|row| u32::from(row % 10 == 0)).collect());
        let folds = stratified(&target, 5, 1).unwrap();
        let mut seen: Vec<u32> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..103).collect::<Vec<_>>());
        for fold in &folds {
            let positives = fold
                .test
                .iter()
                .filter(|row| target.codes[**row as usize] == 1)
                .count();
            assert!((2..=3).contains(&positives));
            assert_eq!(fold.train.len() + fold.test.len(), 103);
        }
        assert_ne!(folds, stratified(&target, 5, 2).unwrap());
    }

    #[test]
    fn a_class_that_is_too_small_is_named() {
        let error = stratified(&target(vec![0, 0, 0, 1]), 3, 0)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "class `true` of `y` has 1 rows, fewer than the 3 folds: take fewer folds or more data"
        );
    }
}
