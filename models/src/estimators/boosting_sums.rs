//! What a boosted tree knows of its leaves: sums of gradients, and how much a split would gain.
//!
//! A cell of a histogram is two integers: the gradient in fixed point, and the hessian in fixed point above a row
//! count. Integer sums don't depend on their order, so a histogram by subtraction and one built by any number of
//! threads are the same to the bit.

use crate::estimators::bins::{Binned, MISSING};

/// The row count in a cell has 24 bits.
pub(crate) const MOST_ROWS: usize = 1 << COUNT_BITS;
const COUNT_BITS: u32 = 24;
const COUNT_MASK: i64 = (1 << COUNT_BITS) - 1;
/// Cells of a feature.
pub(crate) const CELLS: usize = 256;
/// The smallest sum of hessians in a leaf (scikit-learn's and `LightGBM`'s).
const MIN_HESSIAN: f64 = 1e-3;

/// How a tree grows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Growth {
    pub(crate) max_leaf_nodes: usize,
    pub(crate) max_depth: usize,
    pub(crate) min_samples_leaf: usize,
    pub(crate) l2_regularization: f64,
}

/// Gradient, and hessian over row count.
pub(crate) type Cell = [i64; 2];

/// Sums over the rows of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) gradient: i64,
    pub(crate) hessian: i64,
    pub(crate) rows: i64,
}

impl Sums {
    pub(crate) fn of(cell: Cell) -> Self {
        Self {
            gradient: cell[0],
            hessian: cell[1] >> COUNT_BITS,
            rows: cell[1] & COUNT_MASK,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            hessian: self.hessian + other.hessian,
            rows: self.rows + other.rows,
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            hessian: self.hessian - other.hessian,
            rows: self.rows - other.rows,
        }
    }
}

/// A way to split a leaf.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Split {
    pub(crate) gain: f64,
    pub(crate) feature: usize,
    pub(crate) bin: u8,
    pub(crate) missing_left: bool,
    pub(crate) left: Sums,
}

/// Adds a row to a cell.
pub(crate) fn add(cell: &mut Cell, derivative: (i32, u32)) {
    cell[0] += i64::from(derivative.0);
    cell[1] += i64::from(derivative.1) << COUNT_BITS | 1;
}

/// Judges leaves and splits; sums are in units that change with every tree.
pub(crate) struct Judge<'a> {
    binned: &'a Binned,
    pub(crate) growth: &'a Growth,
    pub(crate) gradient_unit: f64,
    pub(crate) hessian_unit: f64,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(binned: &'a Binned, growth: &'a Growth) -> Self {
        Self {
            binned,
            growth,
            gradient_unit: 1.0,
            hessian_unit: 1.0,
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "fixed point back to floating point"
    )]
    fn strength(&self, sums: Sums) -> f64 {
        let gradient = sums.gradient as f64 * self.gradient_unit;
        let hessian = sums.hessian as f64 * self.hessian_unit;
        gradient * gradient / (hessian + self.growth.l2_regularization).max(1e-30)
    }

    /// The Newton step of a leaf.
    #[allow(
        clippy::cast_precision_loss,
        reason = "fixed point back to floating point"
    )]
    pub(crate) fn value(&self, sums: Sums) -> f64 {
        let gradient = sums.gradient as f64 * self.gradient_unit;
        let hessian = sums.hessian as f64 * self.hessian_unit;
        -gradient / (hessian + self.growth.l2_regularization).max(1e-30)
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "a threshold in fixed point"
    )]
    pub(crate) fn best(&self, sums: Sums, histogram: &[Cell], depth: usize) -> Option<Split> {
        let min_rows = i64::try_from(self.growth.min_samples_leaf).unwrap_or(i64::MAX);
        if sums.rows < min_rows.saturating_mul(2) || depth >= self.growth.max_depth {
            return None;
        }
        let limits = (min_rows, (MIN_HESSIAN / self.hessian_unit) as i64);
        let mut best = Split {
            gain: self.strength(sums) + 1e-12,
            feature: 0,
            bin: 0,
            missing_left: false,
            left: Sums::default(),
        };
        for (feature, cells) in histogram.chunks_exact(CELLS).enumerate() {
            self.scan(feature, cells, sums, limits, &mut best);
        }
        best.gain -= self.strength(sums);
        (best.left.rows > 0).then_some(best)
    }

    fn scan(
        &self,
        feature: usize,
        cells: &[Cell],
        all: Sums,
        limits: (i64, i64),
        best: &mut Split,
    ) {
        let missing = Sums::of(cells[MISSING as usize]);
        let bins = self.binned.cuts[feature].len() + 1;
        for missing_left in [false, true] {
            if missing_left && missing.rows == 0 {
                break;
            }
            let mut left = if missing_left {
                missing
            } else {
                Sums::default()
            };
            for (bin, cell) in (0u8..=254).zip(&cells[..bins]) {
                if cell[1] & COUNT_MASK == 0 {
                    continue;
                }
                left = left.plus(Sums::of(*cell));
                if left.rows < limits.0 || left.hessian < limits.1 {
                    continue;
                }
                let right = all.minus(left);
                if right.rows < limits.0 || right.hessian < limits.1 {
                    break;
                }
                let gain = self.strength(left) + self.strength(right);
                if gain > best.gain {
                    *best = Split {
                        gain,
                        feature,
                        bin,
                        missing_left,
                        left,
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CELLS, Growth, Judge, Sums, add};
    use crate::estimators::bins::Binned;
    use crate::matrix::Matrix;

    #[test]
    fn the_split_between_two_signs_gains_most() {
        let matrix = Matrix {
            width: 1,
            rows: 4,
            values: vec![1.0, 2.0, 3.0, 4.0],
        };
        let binned = Binned::fit(&matrix);
        let growth = Growth {
            max_leaf_nodes: 2,
            max_depth: 1,
            min_samples_leaf: 1,
            l2_regularization: 0.0,
        };
        let mut cells = vec![[0; 2]; CELLS];
        let mut all = [0; 2];
        for (bin, gradient) in [-100, -90, 100, 90].into_iter().enumerate() {
            add(&mut cells[bin], (gradient, 50));
            add(&mut all, (gradient, 50));
        }
        let split = Judge::new(&binned, &growth)
            .best(Sums::of(all), &cells, 0)
            .unwrap();
        assert_eq!((split.bin, split.left.rows), (1, 2));
        assert_eq!(split.left.gradient, -190);
    }
}
