//! The rounds of a search: in halving all candidates learn from few rows, then the better ones from more.
//!
//! Jamieson, Talwalkar: Non-stochastic best arm identification (2016); scikit-learn's `HalvingGridSearchCV`.

use crate::train::folds::Fold;
use crate::train::{Problem, Search};

/// Rows that a round of halving learns from at least.
const FEWEST_ROWS: usize = 200;

/// One round of the search: all candidates on all rows, or in halving some on some.
pub(crate) struct Round {
    pub(crate) candidates: usize,
    /// Rows of a fold that are learned from; all when not said.
    pub(crate) rows: Option<usize>,
}

/// The rounds: one, or in halving as many as it takes until few candidates are left.
pub(crate) fn rounds(problem: &Problem<'_>, candidates: usize, folds: &[Fold]) -> Vec<Round> {
    let mut counts = vec![candidates];
    if let Search::Halving(factor) = problem.settings.search {
        let mut left = candidates;
        while left > factor {
            left = left.div_ceil(factor);
            counts.push(left);
        }
    }
    let rows = folds.iter().map(|fold| fold.train.len()).min().unwrap_or(0);
    let least = FEWEST_ROWS.max(20 * problem.classes.len());
    let mut rounds: Vec<Round> = Vec::with_capacity(counts.len());
    let mut learned = None;
    for candidates in counts.into_iter().rev() {
        rounds.push(Round {
            candidates,
            rows: learned,
        });
        if let Search::Halving(factor) = problem.settings.search {
            learned = Some((learned.unwrap_or(rows) / factor).max(least).min(rows));
        }
    }
    rounds.reverse();
    rounds
}
