//! Effects of random trees, against the definition of Shapley values.

use proptest::prelude::*;

use super::trees::Forest;
use crate::estimators::ensemble::{Combine, Ensemble, Node, View};
use crate::random::Random;

const FEATURES: usize = 4;

/// A tree of random branches and leaves, and rows through its nodes that add up; some have none.
fn grown(
    random: &mut Random,
    nodes: &mut Vec<Node>,
    cover: &mut [f64; 64],
    place: usize,
    depth: usize,
) {
    if depth == 0 || random.below(5) == 0 {
        nodes[place] = Node::single(0, random.share() * 4.0 - 2.0);
        return;
    }
    let left = nodes.len();
    nodes.extend([Node::single(0, 0.0); 2]);
    let feature = u32::try_from(random.below(FEATURES)).unwrap();
    nodes[place] = Node::branch(
        feature,
        random.share(),
        random.below(2) == 0,
        u32::try_from(left).unwrap(),
    );
    cover[left] = (cover[place] * (random.share() * 1.4 - 0.2).clamp(0.0, 1.0)).round();
    cover[left + 1] = cover[place] - cover[left];
    for child in [left, left + 1] {
        grown(random, nodes, cover, child, depth - 1);
    }
}

/// The mean answer of the rows that agree with `row` in the features of `known`, a branch at a time.
fn expected(nodes: &Ensemble, cover: &[f64], row: &[f64], known: usize, place: usize) -> f64 {
    match nodes.tree(0).nth(place).unwrap() {
        View::Single { weight, .. } => weight,
        View::Dense { .. } => unreachable!(),
        View::Branch(branch) => {
            let (feature, left) = (branch.feature as usize, branch.left as usize);
            let child = |place| expected(nodes, cover, row, known, place);
            if known & (1 << feature) != 0 {
                return child(branch.child(row[feature]) as usize);
            }
            let all = cover[left] + cover[left + 1];
            let share = if all > 0.0 { cover[left] / all } else { 0.5 };
            share * child(left) + (1.0 - share) * child(left + 1)
        }
    }
}

proptest! {
    /// Against the definition: the mean over all orders in which features become known.
    #[test]
    fn effects_are_shapley_values_and_add_up(seed in any::<u64>()) {
        let mut random = Random::new(seed, 0);
        let mut nodes = vec![Node::single(0, 0.0)];
        let mut cover = [0.0; 64];
        cover[0] = 40.0;
        grown(&mut random, &mut nodes, &mut cover, 0, 5);
        let mut ensemble = Ensemble::new(1, FEATURES, vec![0.5], false);
        ensemble.push(&nodes, &[]).unwrap();
        let cover = &cover[..nodes.len()];
        let forest = Forest::new(&ensemble, Combine::Sum, cover).unwrap();
        let row: Vec<f64> = (0..FEATURES)
            .map(|_| if random.below(4) == 0 { f64::NAN } else { random.share() })
            .collect();
        let found = forest.effects(&row, FEATURES, &[0]);
        let factorial = |n: usize| (1..=n).product::<usize>() as f64;
        for (feature, found) in found.iter().enumerate() {
            let others = (0..1usize << FEATURES).filter(|known| known & (1 << feature) == 0);
            let wanted: f64 = others
                .map(|known| {
                    let size = known.count_ones() as usize;
                    let weight = factorial(size) * factorial(FEATURES - size - 1) / factorial(FEATURES);
                    let value = |known| expected(&ensemble, cover, &row, known, 0);
                    weight * (value(known | (1 << feature)) - value(known))
                })
                .sum();
            prop_assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
        }
        let margin = ensemble.scores(&row, Combine::Sum)[0];
        prop_assert!((forest.base(0) + found.iter().sum::<f64>() - margin).abs() < 1e-9);
    }
}
