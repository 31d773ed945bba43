//! One tree of gradient boosting, grown leaf by leaf on histograms.

use rayon::prelude::*;

use crate::estimators::bins::{Binned, MISSING};
use crate::estimators::boosting_sums::{CELLS, Cell, Growth, Judge, Split, Sums, add};
use crate::estimators::ensemble::Node;

/// Gradients are scaled to at most 2³⁰.
const GRADIENT_SCALE: f64 = 1_073_741_824.0;
/// Rows × features from which a histogram is built by several threads.
const PARALLEL: usize = 400_000;

/// A leaf that may still be split.
struct Leaf {
    node: usize,
    from: usize,
    to: usize,
    depth: usize,
    sums: Sums,
    histogram: Vec<Cell>,
    best: Option<Split>,
}

/// A grown tree.
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// The same nodes by bins, for rows of the training matrix.
    steps: Vec<Step>,
}

#[derive(Clone, Copy)]
enum Step {
    Leaf(f64),
    Branch {
        feature: usize,
        bin: u8,
        missing_left: bool,
        left: usize,
    },
}

impl Tree {
    /// The value of a row of the binned matrix.
    pub(crate) fn value_at(&self, binned: &Binned, row: usize) -> f64 {
        let mut node = 0;
        loop {
            match self.steps[node] {
                Step::Leaf(value) => return value,
                Step::Branch {
                    feature,
                    bin,
                    missing_left,
                    left,
                } => {
                    let here = binned.column(feature)[row];
                    let goes_left = if here == MISSING {
                        missing_left
                    } else {
                        here <= bin
                    };
                    node = left + usize::from(!goes_left);
                }
            }
        }
    }
}

/// Grows trees on one binned matrix, keeping its buffers.
pub(crate) struct Grower<'a> {
    binned: &'a Binned,
    judge: Judge<'a>,
    /// Gradient and hessian of every row in fixed point.
    derivatives: Vec<(i32, u32)>,
    rows: Vec<u32>,
    right: Vec<u32>,
    gathered: Vec<(i32, u32)>,
    pool: Vec<Vec<Cell>>,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(binned: &'a Binned, growth: &'a Growth) -> Self {
        Self {
            binned,
            judge: Judge::new(binned, growth),
            derivatives: vec![(0, 0); binned.rows],
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
            let column = values.iter().skip(output).step_by(outputs);
            column.fold(1e-30, |largest: f64, value| largest.max(value.abs()))
        };
        let bits = (38 - (usize::BITS - self.binned.rows.leading_zeros()).min(38)).min(31);
        let gradient_scale = GRADIENT_SCALE / every(gradients);
        let hessian_scale = f64::from(1u32 << bits) / every(hessians);
        for (row, derivative) in self.derivatives.iter_mut().enumerate() {
            let index = row * outputs + output;
            *derivative = (
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
        target: u32,
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
            steps[parent.node] = Step::Branch {
                feature: split.feature,
                bin: split.bin,
                missing_left: split.missing_left,
                left,
            };
            steps.extend([Step::Leaf(0.0); 2]);
            let full = leaves.len() + 2 >= self.judge.growth.max_leaf_nodes;
            leaves.extend(self.divide(parent, split, left, full));
        }
        for leaf in leaves {
            let value = self.judge.value(leaf.sums) * rate;
            steps[leaf.node] = Step::Leaf(value);
            for &row in &self.rows[leaf.from..leaf.to] {
                score(row, value);
            }
            self.recycle(leaf.histogram);
        }
        Tree {
            nodes: self.nodes(&steps, target),
            steps,
        }
    }

    fn nodes(&self, steps: &[Step], target: u32) -> Vec<Node> {
        steps
            .iter()
            .map(|step| match *step {
                Step::Leaf(value) => Node::single(target, value),
                #[allow(clippy::cast_possible_truncation, reason = "checked when it is added")]
                Step::Branch {
                    feature,
                    bin,
                    missing_left,
                    left,
                } => Node::branch(
                    feature as u32,
                    self.binned.threshold(feature, bin),
                    missing_left,
                    left as u32,
                ),
            })
            .collect()
    }

    fn root(&mut self) -> Leaf {
        let mut cell = [0i64; 2];
        for &row in &self.rows {
            add(&mut cell, self.derivatives[row as usize]);
        }
        let mut histogram = self.buffer();
        self.fill(0, self.rows.len(), &mut histogram);
        let sums = Sums::of(cell);
        let best = self.judge.best(sums, &histogram, 0);
        Leaf {
            node: 0,
            from: 0,
            to: self.rows.len(),
            depth: 0,
            sums,
            histogram,
            best,
        }
    }

    /// Moves the rows of a split leaf and makes its two children; a `full` tree needs no more histograms.
    fn divide(&mut self, parent: Leaf, split: Split, left_node: usize, full: bool) -> [Leaf; 2] {
        let middle = self.partition(&parent, split);
        let depth = parent.depth + 1;
        let child = |node, from, to, sums| Leaf {
            node,
            from,
            to,
            depth,
            sums,
            histogram: Vec::new(),
            best: None,
        };
        let mut left = child(left_node, parent.from, middle, split.left);
        let mut right = child(
            left_node + 1,
            middle,
            parent.to,
            parent.sums.minus(split.left),
        );
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
            leaf.best = self.judge.best(leaf.sums, &leaf.histogram, depth);
        }
        [left, right]
    }

    fn partition(&mut self, leaf: &Leaf, split: Split) -> usize {
        let bins = self.binned.column(split.feature);
        self.right.clear();
        let mut middle = leaf.from;
        for index in leaf.from..leaf.to {
            let row = self.rows[index];
            let bin = bins[row as usize];
            if if bin == MISSING {
                split.missing_left
            } else {
                bin <= split.bin
            } {
                self.rows[middle] = row;
                middle += 1;
            } else {
                self.right.push(row);
            }
        }
        self.rows[middle..leaf.to].copy_from_slice(&self.right);
        middle
    }

    fn buffer(&mut self) -> Vec<Cell> {
        self.pool
            .pop()
            .unwrap_or_else(|| vec![[0; 2]; CELLS * self.binned.width])
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
        let gathered = &self.gathered;
        let one = |(feature, cells): (usize, &mut [Cell])| {
            cells.fill([0; 2]);
            let bins = self.binned.column(feature);
            for (&row, &derivative) in rows.iter().zip(gathered) {
                add(&mut cells[bins[row as usize] as usize], derivative);
            }
        };
        if rows.len() * self.binned.width > PARALLEL {
            histogram.par_chunks_mut(CELLS).enumerate().for_each(one);
        } else {
            histogram.chunks_mut(CELLS).enumerate().for_each(one);
        }
    }
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
