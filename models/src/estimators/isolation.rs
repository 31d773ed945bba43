//! Isolation forest: rows that few random cuts set apart are unlike the others.
//!
//! Liu, Ting, Zhou: Isolation forest (2008). The score of a row is `2^(−h / c)`, `h` the mean depth at which it is alone
//! and `c` that of an average row: near 1 is odd, below 0.5 is usual.

use rayon::prelude::*;

use crate::error::Result;
use crate::estimators::Cancel;
use crate::estimators::ensemble::{Ensemble, Node};
use crate::matrix::Matrix;
use crate::random::Random;

/// How it learns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IsolationSettings {
    pub(crate) trees: usize,
    /// Rows that a tree sees.
    pub(crate) max_samples: usize,
    /// The share of odd rows; when not said, a score above 0.5 is odd.
    pub(crate) contamination: Option<f64>,
}

/// Grows the trees; they tell the depth of a row as a share of the average one.
pub(crate) fn fit(
    matrix: &Matrix,
    settings: &IsolationSettings,
    seed: u64,
    cancel: &Cancel<'_>,
) -> Result<Ensemble> {
    let samples = settings.max_samples.min(matrix.rows);
    let unit = 1.0 / (average_depth(samples) * count(settings.trees));
    let trees: Vec<Vec<Node>> = (0..settings.trees)
        .into_par_iter()
        .map(|tree| {
            cancel.check()?;
            let mut grower = Grower {
                matrix,
                random: Random::new(seed, tree as u64),
                most_depth: samples.next_power_of_two().trailing_zeros() as usize,
                unit,
                nodes: vec![Node::single(0, 0.0)],
            };
            let mut rows = grower.sample(samples);
            grower.grow(0, &mut rows, 0);
            Ok(grower.nodes)
        })
        .collect::<Result<_>>()?;
    let mut ensemble = Ensemble::new(1, matrix.width, vec![0.0], false);
    for tree in &trees {
        ensemble.push(tree, &[])?;
    }
    Ok(ensemble)
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows or trees")]
fn count(number: usize) -> f64 {
    number as f64
}

/// The mean depth of an unsuccessful search in a binary tree of so many rows.
fn average_depth(rows: usize) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match rows {
        0..=2 => 1.0,
        rows => {
            let others = count(rows - 1);
            2.0 * (others.ln() + EULER) - 2.0 * others / count(rows)
        }
    }
}

struct Grower<'a> {
    matrix: &'a Matrix,
    random: Random,
    most_depth: usize,
    unit: f64,
    nodes: Vec<Node>,
}

impl Grower<'_> {
    /// Rows, drawn without putting back.
    fn sample(&mut self, samples: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.matrix.rows).collect();
        for place in 0..samples {
            let other = place + self.random.below(rows.len() - place);
            rows.swap(place, other);
        }
        rows.truncate(samples);
        rows
    }

    fn grow(&mut self, node: usize, rows: &mut [usize], depth: usize) {
        let cut = if rows.len() > 1 && depth < self.most_depth {
            self.cut(rows)
        } else {
            None
        };
        let Some((feature, threshold)) = cut else {
            let rest = if rows.len() > 1 {
                average_depth(rows.len())
            } else {
                0.0
            };
            self.nodes[node] = Node::single(0, (count(depth) + rest) * self.unit);
            return;
        };
        let mut middle = 0;
        for index in 0..rows.len() {
            if self.matrix.row(rows[index])[feature] <= threshold {
                rows.swap(index, middle);
                middle += 1;
            }
        }
        let left = self.nodes.len();
        self.nodes.extend([Node::single(0, 0.0); 2]);
        #[allow(
            clippy::cast_possible_truncation,
            reason = "checked when the tree is added"
        )]
        {
            self.nodes[node] = Node::branch(feature as u32, threshold, false, left as u32);
        }
        let (low, high) = rows.split_at_mut(middle);
        self.grow(left, low, depth + 1);
        self.grow(left + 1, high, depth + 1);
    }

    /// A random place in a random feature that is not constant here.
    fn cut(&mut self, rows: &[usize]) -> Option<(usize, f64)> {
        let mut features: Vec<usize> = (0..self.matrix.width).collect();
        for next in 0..features.len() {
            let other = next + self.random.below(features.len() - next);
            features.swap(next, other);
            let feature = features[next];
            let values = rows.iter().map(|row| self.matrix.row(*row)[feature]);
            let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |range, value| {
                (range.0.min(value), range.1.max(value))
            });
            if low < high {
                let threshold = low + (high - low) * self.random.share();
                return Some((feature, if threshold < high { threshold } else { low }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{IsolationSettings, average_depth, fit};
    use crate::estimators::ensemble::Combine;
    use crate::estimators::testing::{cancel_never, three_classes};

    #[test]
    fn the_average_depth_is_the_papers() {
        assert!((average_depth(256) - 10.244_770_920_119_917).abs() < 1e-9);
    }

    #[test]
    fn a_row_far_away_is_odd() {
        let (mut matrix, _) = three_classes(600);
        matrix.row_mut(0).copy_from_slice(&[50.0, -50.0]);
        let settings = IsolationSettings {
            trees: 100,
            max_samples: 256,
            contamination: None,
        };
        let trees = fit(&matrix, &settings, 1, &cancel_never()).unwrap();
        let depths = trees.scores(&matrix.values, Combine::Sum);
        let scores: Vec<f64> = depths.iter().map(|depth| (-depth).exp2()).collect();
        assert!(scores[0] > 0.75, "{}", scores[0]);
        assert!(scores[1..].iter().all(|score| *score < 0.65));
    }
}
