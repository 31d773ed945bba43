//! What a boosted tree knows of its leaves: sums of gradients, and how much a split would gain.
//!
//! A cell of a histogram is two integers: the gradient in fixed point, and the hessian in fixed point above a row
//! count. Integer sums don't depend on their order, so a histogram by subtraction and one built by any number of
//! threads are the same to the bit.

use crate::estimators::boosting_cells::Cells;
use crate::estimators::boosting_split::{Bounds, Nature, Rule, Split};

/// The row count in a cell has 24 bits.
pub(crate) const MOST_ROWS: usize = 1 << COUNT_BITS;
const COUNT_BITS: u32 = 24;
const COUNT_MASK: i64 = (1 << COUNT_BITS) - 1;
/// The smallest sum of hessians in a leaf (scikit-learn's and `LightGBM`'s).
const MIN_HESSIAN: f64 = 1e-3;
/// Rows of a category that may go left (scikit-learn's `MIN_CAT_SUPPORT`).
const CATEGORY_ROWS: i64 = 10;
/// What is added to the hessian of a category before it is ordered (scikit-learn's and `LightGBM`'s `cat_smooth`).
const CATEGORY_HESSIAN: f64 = 10.0;

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

/// The cell of a single row with this gradient and hessian.
pub(crate) fn row(gradient: i32, hessian: u32) -> Cell {
    [i64::from(gradient), i64::from(hessian) << COUNT_BITS | 1]
}

/// Adds a row to a cell.
pub(crate) fn add(cell: &mut Cell, row: Cell) {
    cell[0] += row[0];
    cell[1] += row[1];
}

/// Judges leaves and splits; sums are in units that change with every tree.
pub(crate) struct Judge<'a> {
    nature: &'a Nature,
    pub(crate) growth: &'a Growth,
    pub(crate) gradient_unit: f64,
    pub(crate) hessian_unit: f64,
}

/// A leaf that is to be split.
#[derive(Clone, Copy)]
struct Subject {
    sums: Sums,
    bounds: Bounds,
    /// Rows and hessian that a side needs.
    least: (i64, i64),
}

impl<'a> Judge<'a> {
    pub(crate) fn new(nature: &'a Nature, growth: &'a Growth) -> Self {
        Self {
            nature,
            growth,
            gradient_unit: 1.0,
            hessian_unit: 1.0,
        }
    }

    /// Gradient, and hessian with its penalty.
    #[allow(
        clippy::cast_precision_loss,
        reason = "fixed point back to floating point"
    )]
    fn pair(&self, sums: Sums) -> (f64, f64) {
        let gradient = sums.gradient as f64 * self.gradient_unit;
        let hessian = sums.hessian as f64 * self.hessian_unit;
        (
            gradient,
            (hessian + self.growth.l2_regularization).max(1e-30),
        )
    }

    /// The Newton step of a leaf, as far as its bounds allow.
    pub(crate) fn value(&self, sums: Sums, bounds: Bounds) -> f64 {
        let (gradient, hessian) = self.pair(sums);
        (-gradient / hessian).clamp(bounds.0, bounds.1)
    }

    fn strength(&self, sums: Sums, bounds: Bounds) -> f64 {
        -self.pair(sums).0 * self.value(sums, bounds)
    }

    pub(crate) fn monotone(&self, feature: usize) -> i8 {
        self.nature.monotone.get(feature).copied().unwrap_or(0)
    }

    /// What two sides gain together; nothing when they change the score in a direction that is not allowed.
    fn gain(&self, feature: usize, left: Sums, right: Sums, bounds: Bounds) -> f64 {
        if self.nature.monotone.is_empty() {
            let ((a, b), (c, d)) = (self.pair(left), self.pair(right));
            return (a * a * d + c * c * b) / (b * d);
        }
        let change = self.value(right, bounds) - self.value(left, bounds);
        if change * f64::from(self.monotone(feature)) < 0.0 {
            return f64::NEG_INFINITY;
        }
        self.strength(left, bounds) + self.strength(right, bounds)
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "a threshold in fixed point"
    )]
    pub(crate) fn best(
        &self,
        sums: Sums,
        bounds: Bounds,
        cells: &Cells,
        histogram: &[Cell],
        depth: usize,
    ) -> Option<Split> {
        let min_rows = i64::try_from(self.growth.min_samples_leaf).unwrap_or(i64::MAX);
        if sums.rows < min_rows.saturating_mul(2) || depth >= self.growth.max_depth {
            return None;
        }
        let subject = Subject {
            sums,
            bounds,
            least: (min_rows, (MIN_HESSIAN / self.hessian_unit) as i64),
        };
        let own = self.strength(sums, bounds);
        let mut best = Split {
            gain: own + 1e-12,
            feature: 0,
            rule: Rule::UpTo(0),
            missing_left: false,
            left: Sums::default(),
        };
        for (feature, cells) in cells.features(histogram).enumerate() {
            if self.nature.categories.get(feature).is_some_and(|is| *is) {
                self.scan_categories(feature, cells, subject, &mut best);
            } else {
                self.scan(feature, cells, subject, &mut best);
            }
        }
        best.gain -= own;
        (best.left.rows > 0).then_some(best)
    }

    fn scan(&self, feature: usize, cells: &[Cell], subject: Subject, best: &mut Split) {
        let Some((missing, cells)) = cells.split_last() else {
            return;
        };
        let missing = Sums::of(*missing);
        for missing_left in [false, true] {
            if missing_left && missing.rows == 0 {
                break;
            }
            let mut left = if missing_left {
                missing
            } else {
                Sums::default()
            };
            for (bin, cell) in (0u8..=254).zip(cells) {
                if cell[1] & COUNT_MASK == 0 {
                    continue;
                }
                left = left.plus(Sums::of(*cell));
                match self.compare(feature, left, subject, best.gain) {
                    Side::Small => (),
                    Side::Large => break,
                    Side::Gain(gain) => {
                        *best = Split {
                            gain,
                            feature,
                            rule: Rule::UpTo(bin),
                            missing_left,
                            left,
                        };
                    }
                }
            }
        }
    }

    /// Categories in the order of what they ask for, those with few rows always on the right; Fisher: On grouping for
    /// maximum homogeneity (1958). From both ends, so that either side may be the one with the rare ones.
    fn scan_categories(&self, feature: usize, cells: &[Cell], subject: Subject, best: &mut Split) {
        let last = cells.len() - 1;
        let mut order: Vec<(f64, usize)> = (0..cells.len())
            .filter(|bin| Sums::of(cells[*bin]).rows >= CATEGORY_ROWS)
            .map(|bin| {
                let (gradient, hessian) = self.pair(Sums::of(cells[bin]));
                (gradient / (hessian + CATEGORY_HESSIAN), bin)
            })
            .collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for _ in 0..2 {
            let (mut left, mut set, mut missing_left) = (Sums::default(), [0u64; 4], false);
            for &(_, bin) in &order {
                left = left.plus(Sums::of(cells[bin]));
                if bin == last {
                    missing_left = true;
                } else {
                    set[bin >> 6] |= 1 << (bin & 63);
                }
                match self.compare(feature, left, subject, best.gain) {
                    Side::Small => (),
                    Side::Large => break,
                    Side::Gain(gain) => {
                        // What is new later goes where most rows go, when none was missing while learning.
                        let seen = cells[last][1] & COUNT_MASK > 0;
                        *best = Split {
                            gain,
                            feature,
                            rule: Rule::Among(set),
                            missing_left: if seen {
                                missing_left
                            } else {
                                left.rows * 2 > subject.sums.rows
                            },
                            left,
                        };
                    }
                }
            }
            order.reverse();
        }
    }

    fn compare(&self, feature: usize, left: Sums, subject: Subject, best: f64) -> Side {
        if left.rows < subject.least.0 || left.hessian < subject.least.1 {
            return Side::Small;
        }
        let right = subject.sums.minus(left);
        if right.rows < subject.least.0 || right.hessian < subject.least.1 {
            return Side::Large;
        }
        let gain = self.gain(feature, left, right, subject.bounds);
        if gain > best {
            Side::Gain(gain)
        } else {
            Side::Small
        }
    }
}

/// What may be said of a left side.
enum Side {
    /// It has to grow, or to become better.
    Small,
    /// It leaves too little on the right.
    Large,
    /// It is the best so far.
    Gain(f64),
}

#[cfg(test)]
mod tests {
    use super::{Growth, Judge, Nature, Rule, Split, Sums, add, row};
    use crate::estimators::bins::Binned;
    use crate::estimators::boosting_cells::Cells;
    use crate::estimators::boosting_split::FREE;
    use crate::matrix::Matrix;

    fn best(gradients: &[i32], nature: &Nature, rows: usize) -> Option<Split> {
        let values: Vec<f64> = (0..gradients.len()).map(|bin| bin as f64).collect();
        let binned = Binned::fit(&Matrix {
            width: 1,
            rows: values.len(),
            values,
        });
        let growth = Growth {
            max_leaf_nodes: 2,
            max_depth: 1,
            min_samples_leaf: 1,
            l2_regularization: 0.0,
        };
        let cells = Cells::new(&binned);
        let mut histogram = vec![[0; 2]; cells.len()];
        let mut all = [0; 2];
        for (bin, gradient) in gradients.iter().enumerate() {
            for _ in 0..rows {
                add(&mut histogram[bin], row(*gradient, 50));
                add(&mut all, row(*gradient, 50));
            }
        }
        Judge::new(nature, &growth).best(Sums::of(all), FREE, &cells, &histogram, 0)
    }

    #[test]
    fn the_split_between_two_signs_gains_most() {
        let split = best(&[-100, -90, 100, 90], &Nature::default(), 1).unwrap();
        assert_eq!((split.rule, split.left.rows), (Rule::UpTo(1), 2));
        assert_eq!(split.left.gradient, -190);
    }

    #[test]
    fn categories_that_ask_for_the_same_go_together() {
        let nature = Nature {
            categories: vec![true],
            ..Nature::default()
        };
        let split = best(&[-100, 100, -90, 90], &nature, 20).unwrap();
        assert!(
            [0, 2].map(|bin| split.goes_left(bin)) == [true; 2]
                || [1, 3].map(|bin| split.goes_left(bin)) == [true; 2]
        );
        assert_eq!(split.left.rows, 40);
        // Of categories with fewer than ten rows none may go left.
        assert!(best(&[-100, 100, -90, 90], &nature, 9).is_none());
    }

    #[test]
    fn a_split_against_the_direction_is_none() {
        let falling = Nature {
            monotone: vec![-1],
            ..Nature::default()
        };
        // Gradients grow, so scores fall: that is allowed, the opposite is not.
        assert!(best(&[-100, -90, 100, 90], &falling, 1).is_some());
        assert!(best(&[100, 90, -100, -90], &falling, 1).is_none());
    }
}
