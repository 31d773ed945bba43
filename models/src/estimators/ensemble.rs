//! Trees in their compact form, as they are applied: 16 bytes a node.

use rayon::prelude::*;

use crate::error::{ModelError, Result};

/// Marks a leaf.
const LEAF: u32 = u32::MAX;
/// In a branch's feature: missing values go left.
const MISSING_LEFT: u32 = 1 << 31;
/// Rows that walk through one tree before the next tree is taken.
const BLOCK: usize = 256;

/// A node: a branch, whose right child follows its left one, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Node {
    /// Up to where values go left; a leaf's weight when it has only one.
    threshold: f64,
    feature: u32,
    /// The left child; in a leaf the target, or the offset of its weights.
    left: u32,
}

/// What a node is, for those who write it out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum View<'a> {
    /// A question, and two nodes behind it.
    Branch(Branch),
    /// One weight for one target.
    Single { target: u32, weight: f64 },
    /// A weight for every target.
    Dense { weights: &'a [f64] },
}

/// `value <= threshold` goes to `left`, all else to `left + 1`; a missing value where `missing_left` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Branch {
    pub(crate) feature: u32,
    pub(crate) threshold: f64,
    pub(crate) missing_left: bool,
    pub(crate) left: u32,
}

impl Branch {
    /// The node to which a row with this value goes.
    pub(crate) fn child(&self, value: f64) -> u32 {
        let left = value <= self.threshold || (value.is_nan() && self.missing_left);
        self.left + u32::from(!left)
    }
}

impl Node {
    pub(crate) fn branch(feature: u32, threshold: f64, missing_left: bool, left: u32) -> Self {
        Self {
            threshold,
            feature: if missing_left {
                feature | MISSING_LEFT
            } else {
                feature
            },
            left,
        }
    }

    pub(crate) fn single(target: u32, weight: f64) -> Self {
        Self {
            threshold: weight,
            feature: LEAF,
            left: target,
        }
    }

    /// A leaf whose weights stand at `offset` in the ensemble.
    pub(crate) fn dense(offset: u32) -> Self {
        Self {
            threshold: 0.0,
            feature: LEAF,
            left: offset,
        }
    }

    fn next(self, row: &[f64]) -> u32 {
        let value = row[(self.feature & !MISSING_LEFT) as usize];
        let left = value <= self.threshold || (value.is_nan() && self.feature & MISSING_LEFT != 0);
        self.left + u32::from(!left)
    }
}

/// How the scores of trees become an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combine {
    /// Weights are added.
    Sum,
    /// Weights are added and divided by the number of trees.
    Average,
    /// The smallest weight.
    Minimum,
    /// The largest weight.
    Maximum,
}

/// Trees that add up to `targets` scores.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ensemble {
    /// Scores for a row.
    pub(crate) targets: usize,
    /// Features in a row; no node asks for another.
    pub(crate) width: usize,
    /// Where every score starts.
    pub(crate) base: Vec<f64>,
    nodes: Vec<Node>,
    /// The first node of every tree.
    roots: Vec<u32>,
    /// Weights of leaves that have one for every target.
    weights: Vec<f64>,
    dense: bool,
}

impl Ensemble {
    /// An ensemble without trees; `dense` leaves have a weight for every target.
    pub(crate) fn new(targets: usize, width: usize, base: Vec<f64>, dense: bool) -> Self {
        Self {
            targets,
            width,
            base,
            nodes: Vec::new(),
            roots: Vec::new(),
            weights: Vec::new(),
            dense,
        }
    }

    /// Adds a tree whose nodes count from 0 and whose dense leaves index `weights`.
    pub(crate) fn push(&mut self, tree: &[Node], weights: &[f64]) -> Result<()> {
        let start = index(self.nodes.len())?;
        let offset = index(self.weights.len())?;
        index(self.nodes.len() + tree.len())?;
        index(self.weights.len() + weights.len())?;
        self.roots.push(start);
        self.nodes.extend(tree.iter().map(|node| Node {
            left: if node.feature != LEAF {
                node.left + start
            } else if self.dense {
                node.left + offset
            } else {
                node.left
            },
            ..*node
        }));
        self.weights.extend_from_slice(weights);
        Ok(())
    }

    /// Number of trees.
    pub(crate) fn len(&self) -> usize {
        self.roots.len()
    }

    /// The nodes of a tree, with children counted from its root.
    pub(crate) fn tree(&self, tree: usize) -> impl Iterator<Item = View<'_>> + '_ {
        let start = self.roots[tree];
        let end = self
            .roots
            .get(tree + 1)
            .map_or(self.nodes.len(), |root| *root as usize);
        self.nodes[start as usize..end].iter().map(move |node| {
            if node.feature != LEAF {
                View::Branch(Branch {
                    feature: node.feature & !MISSING_LEFT,
                    threshold: node.threshold,
                    missing_left: node.feature & MISSING_LEFT != 0,
                    left: node.left - start,
                })
            } else if self.dense {
                let offset = node.left as usize;
                View::Dense {
                    weights: &self.weights[offset..offset + self.targets],
                }
            } else {
                View::Single {
                    target: node.left,
                    weight: node.threshold,
                }
            }
        })
    }

    /// How many of the rows come through every node, tree after tree.
    pub(crate) fn cover(&self, rows: &[f64]) -> Vec<u32> {
        let trees: Vec<Vec<u32>> = (0..self.len())
            .into_par_iter()
            .map(|tree| {
                let root = self.roots[tree];
                let end = self.roots.get(tree + 1).copied();
                let end = end.map_or(self.nodes.len(), |end| end as usize);
                let mut cover = vec![0; end - root as usize];
                for row in rows.chunks_exact(self.width.max(1)) {
                    let mut place = root;
                    cover[0] += 1;
                    while self.nodes[place as usize].feature != LEAF {
                        place = self.nodes[place as usize].next(row);
                        cover[(place - root) as usize] += 1;
                    }
                }
                cover
            })
            .collect();
        trees.concat()
    }

    /// The scores of rows, one after the other.
    pub(crate) fn scores(&self, rows: &[f64], combine: Combine) -> Vec<f64> {
        let count = rows.len() / self.width.max(1);
        let mut scores = vec![0.0; count * self.targets];
        if count == 1 {
            self.block(rows, &mut scores, combine);
        } else {
            scores
                .par_chunks_mut(BLOCK * self.targets)
                .zip(rows.par_chunks(BLOCK * self.width))
                .for_each(|(scores, rows)| self.block(rows, scores, combine));
        }
        scores
    }

    fn block(&self, rows: &[f64], scores: &mut [f64], combine: Combine) {
        match combine {
            Combine::Sum | Combine::Average => self.add(rows, scores),
            Combine::Minimum => self.extreme(rows, scores, f64::INFINITY, f64::min),
            Combine::Maximum => self.extreme(rows, scores, f64::NEG_INFINITY, f64::max),
        }
        #[allow(clippy::cast_precision_loss, reason = "few trees")]
        let scale = if combine == Combine::Average {
            1.0 / self.roots.len().max(1) as f64
        } else {
            1.0
        };
        for scores in scores.chunks_exact_mut(self.targets) {
            for (score, base) in scores.iter_mut().zip(&self.base) {
                *score = *score * scale + base;
            }
        }
    }

    fn add(&self, rows: &[f64], scores: &mut [f64]) {
        for &root in &self.roots {
            for (row, scores) in rows
                .chunks_exact(self.width)
                .zip(scores.chunks_exact_mut(self.targets))
            {
                let leaf = self.leaf(root, row);
                if self.dense {
                    let offset = leaf.left as usize;
                    let weights = &self.weights[offset..offset + self.targets];
                    for (score, weight) in scores.iter_mut().zip(weights) {
                        *score += weight;
                    }
                } else {
                    scores[leaf.left as usize] += leaf.threshold;
                }
            }
        }
    }

    fn extreme(&self, rows: &[f64], scores: &mut [f64], start: f64, pick: fn(f64, f64) -> f64) {
        scores.fill(start);
        for &root in &self.roots {
            for (row, scores) in rows
                .chunks_exact(self.width)
                .zip(scores.chunks_exact_mut(self.targets))
            {
                let leaf = self.leaf(root, row);
                if self.dense {
                    let offset = leaf.left as usize;
                    for (score, weight) in scores.iter_mut().zip(&self.weights[offset..]) {
                        *score = pick(*score, *weight);
                    }
                } else {
                    let score = &mut scores[leaf.left as usize];
                    *score = pick(*score, leaf.threshold);
                }
            }
        }
        for score in scores.iter_mut().filter(|score| score.is_infinite()) {
            *score = 0.0;
        }
    }

    fn leaf(&self, root: u32, row: &[f64]) -> Node {
        let mut node = self.nodes[root as usize];
        while node.feature != LEAF {
            node = self.nodes[node.next(row) as usize];
        }
        node
    }
}

fn index(length: usize) -> Result<u32> {
    u32::try_from(length)
        .ok()
        .filter(|length| *length < MISSING_LEFT)
        .ok_or_else(|| ModelError::settings("the trees have more than two thousand million nodes"))
}

#[cfg(test)]
mod tests {
    use super::{Branch, Combine, Ensemble, Node, View};

    fn stump(threshold: f64, missing_left: bool) -> Vec<Node> {
        vec![
            Node::branch(0, threshold, missing_left, 1),
            Node::single(0, 1.0),
            Node::single(0, 2.0),
        ]
    }

    #[test]
    fn edges_and_missing_values_go_where_the_tree_says() {
        let mut ensemble = Ensemble::new(1, 1, vec![0.5], false);
        ensemble.push(&stump(0.1, true), &[]).unwrap();
        ensemble.push(&stump(0.1, false), &[]).unwrap();
        let rows = [0.1, 0.1f64.next_up(), f64::NAN];
        assert_eq!(ensemble.scores(&rows, Combine::Sum), [2.5, 4.5, 3.5]);
        assert_eq!(ensemble.scores(&rows, Combine::Average), [1.5, 2.5, 2.0]);
        assert_eq!(ensemble.scores(&rows, Combine::Maximum), [1.5, 2.5, 2.5]);
    }

    #[test]
    fn rows_are_counted_at_every_node() {
        let mut ensemble = Ensemble::new(1, 1, vec![0.0], false);
        ensemble.push(&stump(0.1, true), &[]).unwrap();
        ensemble.push(&stump(0.5, false), &[]).unwrap();
        assert_eq!(ensemble.cover(&[0.1, 0.2, f64::NAN]), [3, 2, 1, 3, 2, 1]);
    }

    #[test]
    fn dense_leaves_add_a_weight_to_every_target() {
        let tree = [
            Node::branch(1, 0.0, false, 1),
            Node::dense(0),
            Node::dense(2),
        ];
        let mut ensemble = Ensemble::new(2, 2, vec![0.0, 0.0], true);
        ensemble.push(&tree, &[0.25, 0.75, 1.0, 0.0]).unwrap();
        ensemble.push(&tree, &[0.5, 0.5, 0.0, 1.0]).unwrap();
        assert_eq!(
            ensemble.scores(&[9.0, 0.0, 9.0, 1.0], Combine::Sum),
            [0.75, 1.25, 1.0, 1.0]
        );
        let second: Vec<View<'_>> = ensemble.tree(1).collect();
        assert_eq!(
            second[1],
            View::Dense {
                weights: &[0.5, 0.5]
            }
        );
        assert!(matches!(
            second[0],
            View::Branch(Branch {
                feature: 1,
                left: 1,
                ..
            })
        ));
    }
}
