//! Exact Shapley values of trees, by the rows that came through their nodes.
//!
//! Lundberg, Erion, Lee: Consistent individualized feature attribution for tree ensembles (2018), algorithm 2. What a
//! feature that is left out would have been is told by the shares of rows that went either way (the nodes' cover).

use rayon::prelude::*;

use crate::error::{ModelError, Result};
use crate::estimators::ensemble::{Branch, Combine, Ensemble, View};

/// Branches below one another; the work grows with the square of it.
const DEEPEST: usize = 512;
/// The feature of the first element of a way, which is none.
const NONE: usize = usize::MAX;
/// Rows that one thread takes at a time.
const BLOCK: usize = 16;

/// Trees with the rows that came through their nodes.
pub(super) struct Forest {
    trees: Vec<Tree>,
    /// What every score is when nothing is known of a row.
    base: Vec<f64>,
    /// What every weight is multiplied by.
    scale: f64,
}

struct Tree {
    nodes: Vec<Node>,
    weights: Vec<f64>,
    /// The branches of its longest way.
    depth: usize,
}

#[derive(Clone, Copy)]
enum Node {
    Branch {
        branch: Branch,
        /// The share of the node's rows that went left.
        share: f64,
    },
    /// A weight for one target.
    Single { target: usize, weight: f64 },
    /// A weight for every target, from this place on.
    Dense(usize),
}

impl Forest {
    /// The trees of an ensemble whose nodes, tree after tree, `cover` rows came through.
    #[allow(clippy::cast_precision_loss, reason = "few trees")]
    pub(super) fn new(ensemble: &Ensemble, combine: Combine, cover: &[f64]) -> Result<Self> {
        let scale = match combine {
            Combine::Sum => 1.0,
            Combine::Average => 1.0 / ensemble.len().max(1) as f64,
            Combine::Minimum | Combine::Maximum => {
                return Err(ModelError::settings(
                    "there are no reasons for trees of which the least or the largest answer is taken",
                ));
            }
        };
        let mut forest = Self {
            trees: Vec::with_capacity(ensemble.len()),
            base: ensemble.base.clone(),
            scale,
        };
        let mut rest = cover;
        for tree in 0..ensemble.len() {
            let views: Vec<View<'_>> = ensemble.tree(tree).collect();
            let (cover, after) = rest
                .split_at_checked(views.len())
                .ok_or_else(|| ModelError::internal("trees with too little cover"))?;
            rest = after;
            let tree = Tree::new(&views, cover)?;
            for (base, expected) in forest.base.iter_mut().zip(tree.expected(ensemble.targets)) {
                *base += scale * expected;
            }
            forest.trees.push(tree);
        }
        Ok(forest)
    }

    /// What a score is when nothing is known of a row.
    pub(super) fn base(&self, target: usize) -> f64 {
        self.base[target]
    }

    /// About how many steps it takes to explain a row: every leaf, and for it every pair of branches above.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn steps(&self) -> f64 {
        let trees = self.trees.iter();
        trees
            .map(|tree| tree.nodes.len() as f64 / 2.0 * ((tree.depth + 1) as f64).powi(2))
            .sum()
    }

    /// How far every feature moves a row's score of its target, row after row.
    pub(super) fn effects(&self, rows: &[f64], width: usize, targets: &[usize]) -> Vec<f64> {
        let mut effects = vec![0.0; rows.len()];
        let longest = self.trees.iter().map(|tree| tree.depth).max().unwrap_or(0) + 2;
        effects
            .par_chunks_mut(BLOCK * width)
            .zip(rows.par_chunks(BLOCK * width))
            .zip(targets.par_chunks(BLOCK))
            .for_each(|((effects, rows), targets)| {
                let mut room = vec![Step::default(); longest * (longest + 1) / 2];
                let each = effects
                    .chunks_exact_mut(width)
                    .zip(rows.chunks_exact(width));
                for ((effects, row), target) in each.zip(targets) {
                    for tree in &self.trees {
                        let mut walk = Walk {
                            tree,
                            row,
                            target: *target,
                            effects,
                        };
                        let first = Step {
                            feature: NONE,
                            zero: 1.0,
                            one: 1.0,
                            weight: 0.0,
                        };
                        walk.node(0, &[], &mut room, first);
                    }
                    effects.iter_mut().for_each(|effect| *effect *= self.scale);
                }
            });
        effects
    }
}

impl Tree {
    fn new(views: &[View<'_>], cover: &[f64]) -> Result<Self> {
        let mut tree = Self {
            nodes: Vec::with_capacity(views.len()),
            weights: Vec::new(),
            depth: 0,
        };
        let mut depths = vec![0; views.len()];
        for (place, view) in views.iter().enumerate() {
            tree.nodes.push(match *view {
                View::Branch(branch) => {
                    let left = branch.left as usize;
                    depths[left] = depths[place] + 1;
                    depths[left + 1] = depths[place] + 1;
                    Node::Branch {
                        branch,
                        share: share(cover[left], cover[left + 1]),
                    }
                }
                View::Single { target, weight } => Node::Single {
                    target: target as usize,
                    weight,
                },
                View::Dense { weights } => {
                    tree.weights.extend_from_slice(weights);
                    Node::Dense(tree.weights.len() - weights.len())
                }
            });
        }
        tree.depth = depths.into_iter().max().unwrap_or(0);
        if tree.depth > DEEPEST {
            return Err(ModelError::settings(format!(
                "there are no reasons for a tree with {} branches below one another: give `max_depth`",
                tree.depth
            )));
        }
        Ok(tree)
    }

    /// The mean weight of the rows, for every target.
    fn expected(&self, targets: usize) -> Vec<f64> {
        let mut expected = vec![0.0; targets];
        let mut open = vec![(0, 1.0)];
        while let Some((node, part)) = open.pop() {
            match self.nodes[node] {
                Node::Branch { branch, share } => {
                    let left = branch.left as usize;
                    open.push((left, part * share));
                    open.push((left + 1, part * (1.0 - share)));
                }
                Node::Single { target, weight } => expected[target] += part * weight,
                Node::Dense(offset) => {
                    for (expected, weight) in expected.iter_mut().zip(&self.weights[offset..]) {
                        *expected += part * weight;
                    }
                }
            }
        }
        expected
    }
}

/// The share of rows that went left; a half where no row came.
fn share(left: f64, right: f64) -> f64 {
    let all = left + right;
    if all > 0.0 { left / all } else { 0.5 }
}

/// A feature on the way to a node.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    feature: usize,
    /// The share of ways that go on here when the feature is not known.
    zero: f64,
    /// Whether the way goes on here when it is known: 0 or 1.
    one: f64,
    /// The weight of all sets with so many known features as this step's place.
    weight: f64,
}

struct Walk<'a> {
    tree: &'a Tree,
    row: &'a [f64],
    target: usize,
    effects: &'a mut [f64],
}

impl Walk<'_> {
    /// Visits a node that is reached over `way` and then `step`; `room` is for the ways below.
    fn node(&mut self, node: usize, way: &[Step], room: &mut [Step], step: Step) {
        let mut length = way.len() + 1;
        let (here, room) = room.split_at_mut(length);
        here[..way.len()].copy_from_slice(way);
        extend(here, step);
        match self.tree.nodes[node] {
            Node::Single { target, weight } => {
                if target == self.target {
                    self.leaf(here, weight);
                }
            }
            Node::Dense(offset) => self.leaf(here, self.tree.weights[offset + self.target]),
            Node::Branch { branch, share } => {
                let (feature, left) = (branch.feature as usize, branch.left);
                let goes_left = branch.child(self.row[feature]) == left;
                let (mut zero, mut one) = (1.0, 1.0);
                if let Some(place) = here.iter().position(|step| step.feature == feature) {
                    (zero, one) = (here[place].zero, here[place].one);
                    unwind(here, place);
                    length -= 1;
                }
                for (child, share, follows) in [
                    (left, share, goes_left),
                    (left + 1, 1.0 - share, !goes_left),
                ] {
                    let step = Step {
                        feature,
                        zero: zero * share,
                        one: if follows { one } else { 0.0 },
                        weight: 0.0,
                    };
                    // Nobody comes there, whatever is known.
                    if step.zero > 0.0 || step.one > 0.0 {
                        self.node(child as usize, &here[..length], room, step);
                    }
                }
            }
        }
    }

    fn leaf(&mut self, way: &[Step], weight: f64) {
        for place in 1..way.len() {
            let step = way[place];
            self.effects[step.feature] += unwound(way, place) * (step.one - step.zero) * weight;
        }
    }
}

/// Adds a step, whose place is the last one, to a way.
#[allow(clippy::cast_precision_loss, reason = "a depth")]
fn extend(way: &mut [Step], step: Step) {
    let last = way.len() - 1;
    let length = way.len() as f64;
    way[last] = Step {
        weight: if last == 0 { 1.0 } else { 0.0 },
        ..step
    };
    for place in (0..last).rev() {
        let weight = way[place].weight;
        way[place + 1].weight += step.one * weight * (place + 1) as f64 / length;
        way[place].weight = step.zero * weight * (last - place) as f64 / length;
    }
}

/// Takes a step out of a way, which becomes shorter by its last place.
#[allow(clippy::cast_precision_loss, reason = "a depth")]
fn unwind(way: &mut [Step], out: usize) {
    let last = way.len() - 1;
    let length = way.len() as f64;
    let Step { zero, one, .. } = way[out];
    let mut next = way[last].weight;
    for place in (0..last).rev() {
        let weight = way[place].weight;
        if one == 0.0 {
            way[place].weight = weight * length / (zero * (last - place) as f64);
        } else {
            way[place].weight = next * length / ((place + 1) as f64 * one);
            next = weight - way[place].weight * zero * (last - place) as f64 / length;
        }
    }
    for place in out..last {
        let Step {
            feature, zero, one, ..
        } = way[place + 1];
        way[place] = Step {
            feature,
            zero,
            one,
            weight: way[place].weight,
        };
    }
}

/// The sum of the weights of a way without a step.
#[allow(clippy::cast_precision_loss, reason = "a depth")]
fn unwound(way: &[Step], out: usize) -> f64 {
    let last = way.len() - 1;
    let length = way.len() as f64;
    let Step { zero, one, .. } = way[out];
    let mut next = way[last].weight;
    let mut total = 0.0;
    for place in (0..last).rev() {
        let weight = way[place].weight;
        if one == 0.0 {
            total += weight * length / (zero * (last - place) as f64);
        } else {
            let unwound = next * length / ((place + 1) as f64 * one);
            total += unwound;
            next = weight - unwound * zero * (last - place) as f64 / length;
        }
    }
    total
}
