//! Reads the flat lists of ONNX's tree operators into compact trees.

use std::collections::HashMap;

use crate::error::{ModelError, Result};
use crate::estimators::ensemble::{Combine, Ensemble, Node};
use crate::scorer::kernel::Attributes;
use crate::scorer::predict::combine;

/// Trees with how they are added up.
pub(crate) struct Trees {
    pub(crate) ensemble: Ensemble,
    pub(crate) combine: Combine,
    /// No weight is negative.
    pub(crate) all_positive: bool,
}

/// The lists, one entry a node.
struct Lists<'a> {
    modes: Vec<&'a str>,
    features: &'a [i64],
    thresholds: Vec<f64>,
    yes: &'a [i64],
    no: &'a [i64],
    missing_yes: &'a [i64],
    /// For every tree and node number its place in the lists.
    places: HashMap<(i64, i64), usize>,
    /// For every place the targets and weights of the leaf.
    leaves: Vec<Vec<(u32, f64)>>,
    single: bool,
    targets: usize,
}

/// Reads the attributes; `prefix` is `target` of a regressor and `class` of a classifier.
pub(crate) fn read(attributes: &Attributes<'_>, prefix: &str) -> Result<Trees> {
    read_trees(attributes, prefix).map(|(trees, _)| trees)
}

/// Reads them with the rows that came through every node, tree after tree, when they are told.
pub(crate) fn read_trees(
    attributes: &Attributes<'_>,
    prefix: &str,
) -> Result<(Trees, Option<Vec<f64>>)> {
    let lists = Lists::read(attributes, prefix)?;
    let mut base = attributes.doubles("base_values")?;
    base.resize(lists.targets, 0.0);
    let features = lists.features.iter().zip(&lists.modes);
    let width = features
        .filter(|(_, mode)| **mode != "LEAF")
        .map(|(feature, _)| {
            usize::try_from(*feature)
                .unwrap_or(usize::MAX)
                .saturating_add(1)
        })
        .max()
        .unwrap_or(0);
    if width > 1 << 24 {
        return Err(ModelError::format(
            "trees with an impossible feature number",
        ));
    }
    let mut ensemble = Ensemble::new(lists.targets, width, base, !lists.single);
    let trees = attributes.ints("nodes_treeids");
    let numbers = attributes.ints("nodes_nodeids");
    let mut known = Vec::new();
    let mut places = Vec::with_capacity(trees.len());
    for (tree, number) in trees.iter().zip(numbers) {
        // The first node of a tree is its root.
        if known.last() != Some(tree) && !known.contains(tree) {
            known.push(*tree);
            let (nodes, weights) = lists.tree(*tree, *number, &mut places)?;
            ensemble.push(&nodes, &weights)?;
        }
    }
    let cover = lists.cover(&attributes.doubles("nodes_hitrates")?, &places);
    let all_positive = lists
        .leaves
        .iter()
        .flatten()
        .all(|(_, weight)| *weight >= 0.0);
    let combine = combine(attributes.text("aggregate_function", "SUM")?)?;
    let trees = Trees {
        ensemble,
        combine,
        all_positive,
    };
    Ok((trees, cover))
}

impl<'a> Lists<'a> {
    fn read(attributes: &Attributes<'a>, prefix: &str) -> Result<Self> {
        let trees = attributes.ints("nodes_treeids");
        let numbers = attributes.ints("nodes_nodeids");
        let mut lists = Self {
            modes: attributes.texts("nodes_modes")?,
            features: attributes.ints("nodes_featureids"),
            thresholds: attributes.doubles("nodes_values")?,
            yes: attributes.ints("nodes_truenodeids"),
            no: attributes.ints("nodes_falsenodeids"),
            missing_yes: attributes.ints("nodes_missing_value_tracks_true"),
            places: HashMap::with_capacity(trees.len()),
            leaves: vec![Vec::new(); trees.len()],
            single: true,
            targets: 1,
        };
        let lengths = [
            numbers.len(),
            lists.modes.len(),
            lists.features.len(),
            lists.thresholds.len(),
            lists.yes.len(),
            lists.no.len(),
        ];
        if trees.is_empty() || lengths.iter().any(|length| *length != trees.len()) {
            return Err(ModelError::format("tree lists of different lengths"));
        }
        for (place, key) in trees.iter().zip(numbers).enumerate() {
            lists.places.insert((*key.0, *key.1), place);
        }
        lists.read_leaves(attributes, prefix)?;
        Ok(lists)
    }

    fn read_leaves(&mut self, attributes: &Attributes<'a>, prefix: &str) -> Result<()> {
        let list = |name: &str| attributes.ints(&format!("{prefix}_{name}"));
        let (trees, numbers, targets) = (list("treeids"), list("nodeids"), list("ids"));
        let weights = attributes.doubles(&format!("{prefix}_weights"))?;
        if [numbers.len(), targets.len(), weights.len()]
            .iter()
            .any(|size| *size != trees.len())
        {
            return Err(ModelError::format("leaf lists of different lengths"));
        }
        for (index, weight) in weights.into_iter().enumerate() {
            let place = self.places.get(&(trees[index], numbers[index])).copied();
            let target = u32::try_from(targets[index])
                .ok()
                .filter(|target| *target < 1 << 16);
            let (Some(place), Some(target)) = (place, target) else {
                return Err(ModelError::format("a leaf that belongs to no tree"));
            };
            self.targets = self.targets.max(target as usize + 1);
            self.leaves[place].push((target, weight));
        }
        let declared = usize::try_from(attributes.int("n_targets", 1)).unwrap_or(1);
        self.targets = self.targets.max(declared.min(1 << 16));
        self.single = self.leaves.iter().all(|leaf| leaf.len() <= 1);
        // A classifier of two classes may give weights only for its second one: that is one score.
        if prefix == "class" && self.targets == 2 && self.single && self.only_target(1) {
            self.leaves.iter_mut().flatten().for_each(|leaf| leaf.0 = 0);
            self.targets = 1;
        }
        Ok(())
    }

    fn only_target(&self, target: u32) -> bool {
        self.leaves.iter().flatten().all(|leaf| leaf.0 == target)
    }

    /// What `nodes_hitrates` tells of every node, when the rows of a branch are those of its children: converters that do
    /// not know it write the same number everywhere.
    fn cover(&self, rates: &[f64], order: &[usize]) -> Option<Vec<f64>> {
        let trees = self.places.iter();
        let adds_up = rates.len() == self.modes.len()
            && trees.into_iter().all(|((tree, _), place)| {
                let rate = |number: i64| {
                    let place = self.places.get(&(*tree, number));
                    place.map_or(f64::NAN, |place| rates[*place])
                };
                let rows = rates[*place];
                self.modes[*place] == "LEAF"
                    || (rate(self.yes[*place]) + rate(self.no[*place]) - rows).abs() <= rows * 1e-3
            });
        adds_up.then(|| order.iter().map(|place| rates[*place]).collect())
    }

    /// One tree, its children side by side. Every node may be reached once. `order` learns where its nodes stand.
    fn tree(&self, tree: i64, root: i64, order: &mut Vec<usize>) -> Result<(Vec<Node>, Vec<f64>)> {
        let start = order.len();
        let broken = || ModelError::format("a tree with a broken or circular branch");
        let mut nodes = vec![Node::single(0, 0.0)];
        let mut weights = Vec::new();
        let mut open = vec![(self.place(tree, root)?, 0)];
        let mut reached = 0;
        order.push(0);
        while let Some((place, at)) = open.pop() {
            order[start + at] = place;
            reached += 1;
            if reached > self.modes.len() {
                return Err(broken());
            }
            if self.modes[place] == "LEAF" {
                nodes[at] = self.leaf(place, &mut weights)?;
                continue;
            }
            let left = nodes.len();
            nodes.extend([Node::single(0, 0.0); 2]);
            order.extend([0; 2]);
            let (threshold, swapped) = self.threshold(place)?;
            let feature = u32::try_from(self.features[place]).map_err(|_| broken())?;
            let missing_yes = self.missing_yes.get(place).is_some_and(|flag| *flag != 0);
            nodes[at] = Node::branch(
                feature,
                threshold,
                missing_yes != swapped,
                u32::try_from(left).map_err(|_| broken())?,
            );
            let yes = self.place(tree, self.yes[place])?;
            let no = self.place(tree, self.no[place])?;
            let (first, second) = if swapped { (no, yes) } else { (yes, no) };
            open.push((second, left + 1));
            open.push((first, left));
        }
        Ok((nodes, weights))
    }

    fn place(&self, tree: i64, number: i64) -> Result<usize> {
        self.places
            .get(&(tree, number))
            .copied()
            .ok_or_else(|| ModelError::format("a tree whose branch leads nowhere"))
    }

    /// Every comparison as `value <= threshold`, with yes and no swapped or not.
    fn threshold(&self, place: usize) -> Result<(f64, bool)> {
        let value = self.thresholds[place];
        match self.modes[place] {
            "BRANCH_LEQ" => Ok((value, false)),
            "BRANCH_LT" => Ok((value.next_down(), false)),
            "BRANCH_GT" => Ok((value, true)),
            "BRANCH_GTE" => Ok((value.next_down(), true)),
            other => Err(ModelError::format(format!("trees that branch by {other}"))),
        }
    }

    fn leaf(&self, place: usize, weights: &mut Vec<f64>) -> Result<Node> {
        let leaf = &self.leaves[place];
        if self.single {
            let (target, weight) = leaf.first().copied().unwrap_or((0, 0.0));
            return Ok(Node::single(target, weight));
        }
        let offset = weights.len();
        weights.resize(offset + self.targets, 0.0);
        for (target, weight) in leaf {
            weights[offset + *target as usize] += weight;
        }
        u32::try_from(offset)
            .map(Node::dense)
            .map_err(|_| ModelError::format("more leaves than can be held"))
    }
}
