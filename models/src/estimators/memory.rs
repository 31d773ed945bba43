//! How much memory learning takes, roughly: what a search needs to know to try candidates side by side.

use crate::estimators::Estimator;
use crate::estimators::bins::MOST_BINS;
use crate::estimators::ensemble::Node;
use crate::estimators::histogram::Sample;

/// A cell of a histogram of boosting.
const CELL: usize = 16;

/// The rows that are learned from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// Numbers that are learned for every row: one, or one a class of more than two.
    pub(crate) outputs: usize,
    pub(crate) threads: usize,
}

impl Estimator {
    /// Bytes that it takes beside its rows while it learns, with what it has learned.
    pub(crate) fn memory(&self, size: Size) -> usize {
        let Size {
            rows,
            width,
            outputs,
            threads,
        } = size;
        let number = size_of::<f64>();
        let copy = rows * (width + 1) * number;
        match self {
            Self::Dummy | Self::Bayes { .. } => 0,
            Self::Logistic { .. } | Self::Svm { .. } => copy + 3 * rows * outputs * number,
            Self::Linear(_) => copy + width * width * number,
            Self::Neighbours(_) | Self::KMeans(_) | Self::Dbscan(_) => copy,
            Self::Forest { settings, .. } => {
                let samples = 2 * rows * size_of::<Sample>();
                let leaves =
                    most_leaves(rows / settings.min_samples_leaf.max(1), settings.max_depth);
                let weights = if outputs > 1 {
                    leaves * outputs * number
                } else {
                    0
                };
                // Trees are joined when all have grown.
                2 * settings.trees * (2 * leaves * size_of::<Node>() + weights)
                    + threads.min(settings.trees) * samples
            }
            Self::Boosting { settings, .. } => {
                let growth = &settings.growth;
                let leaves = most_leaves(rows / growth.min_samples_leaf.max(1), growth.max_depth)
                    .min(growth.max_leaf_nodes);
                let histograms = leaves * width * (MOST_BINS + 1) * CELL;
                let trees = settings.max_iter * outputs * 2 * leaves * size_of::<Node>();
                histograms + trees + rows * (4 * outputs * number + 4 * size_of::<u32>())
            }
            Self::Isolation(_) => rows * number,
        }
    }
}

/// Leaves of a tree of so many groups of rows, so deep.
fn most_leaves(groups: usize, depth: usize) -> usize {
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    groups
        .max(1)
        .min(1usize.checked_shl(depth).unwrap_or(usize::MAX))
}

/// Divides things that take so much into parts that are dealt with one after the other, such that as many of a part as
/// there are threads never take more than `limit`; what takes more alone is alone.
pub(crate) fn parts(takes: &[usize], limit: usize, threads: usize) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let (mut first, mut largest) = (0, Vec::new());
    for (place, take) in takes.iter().enumerate() {
        let mut more: Vec<usize> = largest.clone();
        more.push(*take);
        more.sort_unstable_by(|a, b| b.cmp(a));
        more.truncate(threads.max(1));
        if place > first && more.iter().sum::<usize>() > limit {
            parts.push(first..place);
            (first, more) = (place, vec![*take]);
        }
        largest = more;
    }
    if first < takes.len() {
        parts.push(first..takes.len());
    }
    parts
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::json;

    use super::{Size, parts};
    use crate::data::Goal;
    use crate::estimators::Estimator;

    #[test]
    fn only_what_fits_is_side_by_side() {
        let ends = |takes: &[usize], limit, threads| -> Vec<usize> {
            let parts = parts(takes, limit, threads).into_iter();
            parts.map(|part| part.end).collect()
        };
        assert!(ends(&[], 10, 2).is_empty());
        assert_eq!(ends(&[3, 3, 3, 3], 10, 2), [4]);
        assert_eq!(ends(&[6, 3, 6, 6, 1], 10, 2), [2, 3, 5]);
        assert_eq!(ends(&[6, 3, 6], 10, 1), [3]);
        assert_eq!(ends(&[1, 50, 1], 10, 4), [1, 2, 3]);
    }

    #[test]
    fn more_trees_and_more_rows_take_more() {
        let takes = |name: &str, parameters: serde_json::Value, rows| {
            let parameters: IndexMap<_, _> = serde_json::from_value(parameters).unwrap();
            let estimator = Estimator::parse(Goal::Classes, name, &parameters).unwrap();
            let size = Size {
                rows,
                width: 20,
                outputs: 1,
                threads: 2,
            };
            estimator.memory(size)
        };
        let forest = |trees, rows| takes("random_forest", json!({"n_estimators": trees}), rows);
        assert!(forest(200, 10_000) > forest(100, 10_000) * 3 / 2);
        assert!(forest(100, 20_000) > forest(100, 10_000) * 3 / 2);
        // A hundred full trees of ten thousand rows: 100 × 20,000 nodes × 16 bytes, twice while they are joined.
        assert!((60_000_000..80_000_000).contains(&forest(100, 10_000)));
        let boosting = |rows| takes("gradient_boosting", json!({}), rows);
        assert!((2_000_000..20_000_000).contains(&boosting(10_000)));
        assert!(takes("logistic_regression", json!({}), 10_000) > 10_000 * 20 * 8);
        assert_eq!(takes("gaussian_naive_bayes", json!({}), 10_000), 0);
    }
}
