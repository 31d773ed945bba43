//! One tree of gradient boosting, grown leaf by leaf on histograms.

use crate::estimators::bins::Binned;
use crate::estimators::boosting_cells::Cells;
use crate::estimators::boosting_split::{Bounds, FREE, Nature, Rule, Split};
use crate::estimators::boosting_sums::{Cell, Growth, Judge, Sums, add, row};
use crate::estimators::category_sets::CategorySets;
use crate::estimators::ensemble::Node;

/// Gradients are scaled to at most 2³⁰.
const GRADIENT_SCALE: f64 = 1_073_741_824.0;

/// A leaf that may still be split.
struct Leaf {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
    sums: Sums,
    bounds: Bounds,
    histogram: Vec<Cell>,
    best: Option<Split>,
}

/// A grown tree.
pub(crate) struct Tree {
    /// The nodes by bins, for rows of the training matrix.
    steps: Vec<Step>,
}

#[derive(Clone, Copy)]
enum Step {
    Leaf(f64),
    Branch { split: Split, left: usize },
}

impl Tree {
    /// The value of a row of the binned matrix.
    pub(crate) fn value_at(&self, binned: &Binned, row: usize) -> f64 {
        let mut node = 0;
        loop {
            match self.steps[node] {
                Step::Leaf(value) => return value,
                Step::Branch { split, left } => {
                    let here = binned.column(split.feature)[row];
                    node = left + usize::from(!split.goes_left(here));
                }
            }
        }
    }

    /// The nodes by values; a set of categories becomes one of `sets`.
    pub(crate) fn nodes(&self, binned: &Binned, target: u32, sets: &mut CategorySets) -> Vec<Node> {
        self.steps
            .iter()
            .map(|step| match *step {
                Step::Leaf(value) => Node::single(target, value),
                #[allow(clippy::cast_possible_truncation, reason = "checked when it is added")]
                Step::Branch { split, left } => match split.rule {
                    Rule::UpTo(bin) => Node::branch(
                        split.feature as u32,
                        binned.threshold(split.feature, bin),
                        split.missing_left,
                        left as u32,
                    ),
                    Rule::Among(_) => {
                        let feature = sets.feature_of(binned, &split);
                        Node::branch(feature as u32, 0.5, false, left as u32)
                    }
                },
            })
            .collect()
    }
}

/// Grows trees on one binned matrix, keeping its buffers.
pub(crate) struct Grower<'a> {
    binned: &'a Binned,
    cells: Cells,
    judge: Judge<'a>,
    /// Gradient and hessian of every row in fixed point.
    derivatives: Vec<Cell>,
    rows: Vec<u32>,
    right: Vec<u32>,
    gathered: Vec<Cell>,
    pool: Vec<Vec<Cell>>,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(binned: &'a Binned, nature: &'a Nature, growth: &'a Growth) -> Self {
        Self {
            binned,
            cells: Cells::new(binned),
            judge: Judge::new(nature, growth),
            derivatives: vec![[0; 2]; binned.rows],
            rows: Vec::new(),
            right: Vec::new(),
            gathered: Vec::new(),
            pool: Vec::new(),
        }
    }

    /// Takes gradients and hessians of one output in fixed point, as fine as the sums allow.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "scaled to the integers' range"
    )]
    pub(crate) fn quantise(
        &mut self,
        gradients: &[f64],
        hessians: &[f64],
        output: usize,
        outputs: usize,
    ) {
        let every = |values: &'_ [f64]| -> f64 {
            if outputs == 1 {
                return largest(values);
            }
            let column = values.iter().skip(output).step_by(outputs);
            column.fold(1e-30, |largest: f64, value| largest.max(value.abs()))
        };
        let bits = (38 - (usize::BITS - self.binned.rows.leading_zeros()).min(38)).min(31);
        let gradient_scale = GRADIENT_SCALE / every(gradients);
        let hessian_scale = f64::from(1u32 << bits) / every(hessians);
        for (place, derivative) in self.derivatives.iter_mut().enumerate() {
            let index = place * outputs + output;
            *derivative = row(
                (gradients[index] * gradient_scale).round_ties_even() as i32,
                (hessians[index] * hessian_scale + 0.5) as u32,
            );
        }
        self.judge.gradient_unit = 1.0 / gradient_scale;
        self.judge.hessian_unit = 1.0 / hessian_scale;
    }

    /// Grows a tree on the `train` rows; `score` learns the value of each of them.
    pub(crate) fn grow(
        &mut self,
        train: &[u32],
        rate: f64,
        mut score: impl FnMut(u32, f64),
    ) -> Tree {
        self.rows.clear();
        self.rows.extend_from_slice(train);
        let mut steps = vec![Step::Leaf(0.0)];
        let mut leaves = vec![self.root()];
        while leaves.len() < self.judge.growth.max_leaf_nodes {
            let Some((index, split)) = most_gain(&leaves) else {
                break;
            };
            let parent = leaves.swap_remove(index);
            let left = steps.len();
            steps[parent.node] = Step::Branch { split, left };
            steps.extend([Step::Leaf(0.0); 2]);
            let full = leaves.len() + 2 >= self.judge.growth.max_leaf_nodes;
            leaves.extend(self.divide(parent, split, left, full));
        }
        for leaf in leaves {
            let value = self.judge.value(leaf.sums, leaf.bounds) * rate;
            steps[leaf.node] = Step::Leaf(value);
            for &row in &self.rows[leaf.from..leaf.to] {
                score(row, value);
            }
            self.recycle(leaf.histogram);
        }
        Tree { steps }
    }

    fn root(&mut self) -> Leaf {
        let mut cell = [0i64; 2];
        for &row in &self.rows {
            add(&mut cell, self.derivatives[row as usize]);
        }
        let mut histogram = self.buffer();
        self.fill(0, self.rows.len(), &mut histogram);
        let sums = Sums::of(cell);
        let best = self.judge.best(sums, FREE, &self.cells, &histogram, 0);
        Leaf {
            node: 0,
            from: 0,
            to: self.rows.len(),
            depth: 0,
            sums,
            bounds: FREE,
            histogram,
            best,
        }
    }

    /// Moves the rows of a split leaf and makes its two children; a `full` tree needs no more histograms.
    fn divide(&mut self, parent: Leaf, split: Split, left_node: usize, full: bool) -> [Leaf; 2] {
        let middle = self.partition(&parent, split);
        let depth = parent.depth + 1;
        let right_sums = parent.sums.minus(split.left);
        let bounds = self.bounds(&parent, split, right_sums);
        let child = |node, from, to, sums, bounds| Leaf {
            node,
            from,
            to,
            depth,
            sums,
            bounds,
            histogram: Vec::new(),
            best: None,
        };
        let mut left = child(left_node, parent.from, middle, split.left, bounds[0]);
        let mut right = child(left_node + 1, middle, parent.to, right_sums, bounds[1]);
        if full {
            self.recycle(parent.histogram);
            return [left, right];
        }
        let (small, large) = if left.sums.rows <= right.sums.rows {
            (&mut left, &mut right)
        } else {
            (&mut right, &mut left)
        };
        small.histogram = self.buffer();
        self.fill(small.from, small.to, &mut small.histogram);
        large.histogram = parent.histogram;
        for (cell, other) in large.histogram.iter_mut().zip(&small.histogram) {
            cell[0] -= other[0];
            cell[1] -= other[1];
        }
        for leaf in [small, large] {
            let Leaf { sums, bounds, .. } = *leaf;
            leaf.best = self
                .judge
                .best(sums, bounds, &self.cells, &leaf.histogram, depth);
        }
        [left, right]
    }

    /// What the values of two children must be between: below a split of a feature with a direction they meet in the middle.
    fn bounds(&self, parent: &Leaf, split: Split, right: Sums) -> [Bounds; 2] {
        let (low, high) = parent.bounds;
        let direction = self.judge.monotone(split.feature);
        let left = self.judge.value(split.left, parent.bounds);
        let middle = f64::midpoint(left, self.judge.value(right, parent.bounds));
        match direction {
            0 => [parent.bounds; 2],
            1.. => [(low, middle), (middle, high)],
            _ => [(middle, high), (low, middle)],
        }
    }

    fn partition(&mut self, leaf: &Leaf, split: Split) -> usize {
        let bins = self.binned.column(split.feature);
        // Every row is written to both sides and counts on one: no branch to guess wrong.
        self.right.resize(leaf.to - leaf.from, 0);
        let (mut middle, mut others) = (leaf.from, 0);
        for index in leaf.from..leaf.to {
            let row = self.rows[index];
            let left = split.goes_left(bins[row as usize]);
            self.rows[middle] = row;
            self.right[others] = row;
            middle += usize::from(left);
            others += usize::from(!left);
        }
        self.rows[middle..leaf.to].copy_from_slice(&self.right[..others]);
        middle
    }

    fn buffer(&mut self) -> Vec<Cell> {
        self.pool
            .pop()
            .unwrap_or_else(|| vec![[0; 2]; self.cells.len()])
    }

    fn recycle(&mut self, histogram: Vec<Cell>) {
        if !histogram.is_empty() {
            self.pool.push(histogram);
        }
    }

    fn fill(&mut self, from: usize, to: usize, histogram: &mut [Cell]) {
        let rows = &self.rows[from..to];
        self.gathered.clear();
        self.gathered
            .extend(rows.iter().map(|&row| self.derivatives[row as usize]));
        self.cells.fill(rows, &self.gathered, histogram);
    }
}

/// The largest absolute value, of four at a time; a little when all are 0.
fn largest(values: &[f64]) -> f64 {
    let mut found = [1e-30; 4];
    let fours = values.chunks_exact(4);
    let rest = fours.remainder();
    for four in fours {
        for (found, value) in found.iter_mut().zip(four) {
            *found = if value.abs() > *found {
                value.abs()
            } else {
                *found
            };
        }
    }
    let all = found.iter().chain(rest);
    all.fold(1e-30, |largest: f64, value| largest.max(value.abs()))
}

fn most_gain(leaves: &[Leaf]) -> Option<(usize, Split)> {
    let mut best: Option<(usize, Split)> = None;
    for (index, leaf) in leaves.iter().enumerate() {
        if let Some(split) = leaf.best
            && best.is_none_or(|(_, best)| split.gain > best.gain)
        {
            best = Some((index, split));
        }
    }
    best
}
