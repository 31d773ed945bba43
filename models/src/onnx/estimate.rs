//! What an estimator has learned, as nodes.

use crate::estimators::ensemble::{Ensemble, View};
use crate::estimators::{
    CategorySet, CategorySets, Centres, Fitted, Gaussian, Linear, Link, NEAREST, Neighbours,
    Scaling,
};
use crate::onnx::builder::{
    Builder, Value, doubles, floats, int, integers, ints, string, strings, tensor_attribute,
};
use crate::onnx::export::{Parts, size};
use crate::onnx::proto::element;
use crate::train::{Calibration, EDGE};

/// The answer of the estimator to a matrix of features, `[n, width]`.
pub(super) fn estimate(builder: &mut Builder, parts: &Parts<'_>, matrix: &str) -> Value {
    match parts.fitted {
        Fitted::Constant(values) => {
            // A column of the matrix makes the right number of rows.
            let first = builder.constant(integers(&[1], &[0]));
            let column = builder.node_with("Gather", &[matrix, &first], vec![int("axis", 1)]);
            let zero = builder.number(0.0);
            let zeros = builder.node("Mul", &[&column, &zero]);
            let values = builder.constant(doubles(&[1, size(values.len())], values));
            builder.node("Add", &[&zeros, &values])
        }
        Fitted::Linear { linear, link } => {
            let scores = linear_scores(builder, linear, matrix);
            apply(builder, *link, scores, linear.outputs)
        }
        Fitted::Trees { ensemble, link } => {
            let scores = trees(builder, ensemble, parts.cover, matrix);
            apply(builder, *link, scores, ensemble.targets)
        }
        Fitted::Categories { sets, inner } => {
            let wide = category_sets(builder, sets, matrix);
            let inner = Parts {
                fitted: inner,
                ..*parts
            };
            estimate(builder, &inner, &wide)
        }
        Fitted::Gaussian(gaussian) => gaussian_scores(builder, gaussian, matrix),
        Fitted::Neighbours(neighbours) => near(builder, neighbours, matrix),
        Fitted::Centres(centres) => distances(builder, centres, matrix),
    }
}

/// The matrix with a column for every set of categories, looked up by the category's number; a missing one is the last.
fn category_sets(builder: &mut Builder, sets: &CategorySets, matrix: &str) -> Value {
    let mut blocks = vec![matrix.to_owned()];
    let mut order: Vec<i64> = (0..size(sets.width)).collect();
    let mut places = vec![0; sets.sets.len()];
    let mut next = size(sets.width);
    let mut features: Vec<usize> = sets.sets.iter().map(|set| set.feature).collect();
    features.sort_unstable();
    features.dedup();
    for feature in features {
        let of_feature = sets.sets.iter().enumerate();
        let own: Vec<(usize, &CategorySet)> = of_feature
            .filter(|(_, set)| set.feature == feature)
            .collect();
        let rows = own.first().map_or(0, |(_, set)| set.right.len());
        let cells = (0..rows).flat_map(|row| own.iter().map(move |(_, set)| set.right[row]));
        let table: Vec<f64> = cells.map(|right| f64::from(u8::from(right))).collect();
        let table = builder.constant(doubles(&[size(rows), size(own.len())], &table));
        let place = builder.constant(integers(&[], &[size(feature)]));
        let number = builder.node_with("Gather", &[matrix, &place], vec![int("axis", 1)]);
        let missing = builder.node("IsNaN", &[&number]);
        let last = builder.constant(doubles(
            &[1],
            &[f64::from(u32::try_from(rows).unwrap_or(1)) - 1.0],
        ));
        let number = builder.node("Where", &[&missing, &last, &number]);
        let number = builder.cast(&number, element::INT64);
        blocks.push(builder.node_with("Gather", &[&table, &number], vec![int("axis", 0)]));
        for (place, _) in own {
            places[place] = next;
            next += 1;
        }
    }
    let wide = builder.concat(&blocks);
    order.extend(places);
    let order = builder.constant(integers(&[size(order.len())], &order));
    builder.node_with("Gather", &[&wide, &order], vec![int("axis", 1)])
}

fn apply(builder: &mut Builder, link: Link, scores: Value, outputs: usize) -> Value {
    match link {
        Link::Identity(0.0) => scores,
        Link::Identity(start) => {
            let start = builder.number(start);
            builder.node("Add", &[&scores, &start])
        }
        Link::Share => both(builder, &scores),
        Link::LogOdds | Link::OneAgainstRest if outputs == 1 => {
            let share = builder.node("Sigmoid", &[&scores]);
            both(builder, &share)
        }
        Link::LogOdds => builder.node_with("Softmax", &[&scores], vec![int("axis", 1)]),
        Link::OneAgainstRest => {
            let shares = builder.node("Sigmoid", &[&scores]);
            let total = sum(builder, &shares, 1, true);
            builder.node("Div", &[&shares, &total])
        }
        Link::Isolation => {
            let factor = builder.number(-std::f64::consts::LN_2);
            let scores = builder.node("Mul", &[&scores, &factor]);
            builder.node("Exp", &[&scores])
        }
    }
}

/// The probabilities of two classes, calibrated.
pub(super) fn calibrate(
    builder: &mut Builder,
    calibration: &Calibration,
    probabilities: &str,
) -> Value {
    let second = builder.constant(integers(&[1], &[1]));
    let share = builder.node_with("Gather", &[probabilities, &second], vec![int("axis", 1)]);
    let share = match calibration {
        Calibration::Sigmoid { slope, offset } => {
            let (low, high) = (builder.number(EDGE), builder.number(1.0 - EDGE));
            let share = builder.node("Max", &[&share, &low]);
            let share = builder.node("Min", &[&share, &high]);
            let one = builder.number(1.0);
            let rest = builder.node("Sub", &[&one, &share]);
            let odds = builder.node("Div", &[&share, &rest]);
            let odds = builder.node("Log", &[&odds]);
            let slope = builder.number(*slope);
            let scaled = builder.node("Mul", &[&odds, &slope]);
            let offset = builder.number(*offset);
            let score = builder.node("Add", &[&scaled, &offset]);
            builder.node("Sigmoid", &[&score])
        }
        Calibration::Isotonic { x, y } => {
            let stretches = size(x.len() - 1);
            let lengths: Vec<f64> = x.windows(2).map(|x| x[1] - x[0]).collect();
            let rises = y.windows(2).zip(&lengths);
            let slopes: Vec<f64> = rises.map(|(y, length)| (y[1] - y[0]) / length).collect();
            let starts = builder.constant(doubles(&[1, stretches], &x[..x.len() - 1]));
            let along = builder.node("Sub", &[&share, &starts]);
            let zero = builder.number(0.0);
            let along = builder.node("Max", &[&along, &zero]);
            let lengths = builder.constant(doubles(&[1, stretches], &lengths));
            let along = builder.node("Min", &[&along, &lengths]);
            let slopes = builder.constant(doubles(&[stretches, 1], &slopes));
            let risen = builder.node("MatMul", &[&along, &slopes]);
            let start = builder.number(y[0]);
            builder.node("Add", &[&risen, &start])
        }
    };
    both(builder, &share)
}

/// The sum along an axis.
fn sum(builder: &mut Builder, value: &str, axis: i64, keep: bool) -> Value {
    let axes = builder.constant(integers(&[1], &[axis]));
    builder.node_with(
        "ReduceSum",
        &[value, &axes],
        vec![int("keepdims", i64::from(keep))],
    )
}

fn scaled(builder: &mut Builder, scaling: &Scaling, matrix: &str) -> Value {
    let width = size(scaling.means.len());
    let means = builder.constant(doubles(&[1, width], &scaling.means));
    let scales = builder.constant(doubles(&[1, width], &scaling.scales));
    let centred = builder.node("Sub", &[matrix, &means]);
    builder.node("Div", &[&centred, &scales])
}

/// Squared distances of rows to points, `[n, points]`: `|x|² − 2·x·p + |p|²`, at least 0.
fn squares(builder: &mut Builder, rows: &str, points: &[f64], lengths: &[f64]) -> Value {
    let count = lengths.len();
    let width = points.len() / count.max(1);
    let turned: Vec<f64> = (0..width)
        .flat_map(|feature| points.iter().skip(feature).step_by(width))
        .copied()
        .collect();
    let turned = builder.constant(doubles(&[size(width), size(count)], &turned));
    let products = builder.node("MatMul", &[rows, &turned]);
    let minus_two = builder.number(-2.0);
    let products = builder.node("Mul", &[&products, &minus_two]);
    let own = builder.node("Mul", &[rows, rows]);
    let own = sum(builder, &own, 1, true);
    let squares = builder.node("Add", &[&products, &own]);
    let lengths = builder.constant(doubles(&[1, size(count)], lengths));
    let squares = builder.node("Add", &[&squares, &lengths]);
    let zero = builder.number(0.0);
    builder.node("Max", &[&squares, &zero])
}

fn distances(builder: &mut Builder, centres: &Centres, matrix: &str) -> Value {
    let rows = scaled(builder, &centres.scaling, matrix);
    let squares = squares(builder, &rows, &centres.points, &centres.lengths());
    builder.node("Sqrt", &[&squares])
}

fn near(builder: &mut Builder, neighbours: &Neighbours, matrix: &str) -> Value {
    let rows = scaled(builder, &neighbours.scaling, matrix);
    let lengths = neighbours.lengths();
    let squares = squares(builder, &rows, &neighbours.points, &lengths);
    let wanted = size(neighbours.settings.neighbours);
    let wanted = builder.constant(integers(&[1], &[wanted]));
    let (squares, places) = builder.two(
        "TopK",
        &[&squares, &wanted],
        vec![int("axis", 1), int("largest", 0), int("sorted", 1)],
    );
    let shape = [size(lengths.len()), size(neighbours.outputs)];
    let known = builder.constant(doubles(&shape, &neighbours.answers));
    let known = builder.node_with("Gather", &[&known, &places], vec![int("axis", 0)]);
    let weights = if neighbours.settings.by_distance {
        let distances = builder.node("Sqrt", &[&squares]);
        let nearest = builder.number(NEAREST);
        let distances = builder.node("Max", &[&distances, &nearest]);
        builder.node("Reciprocal", &[&distances])
    } else {
        let zero = builder.number(0.0);
        let zeros = builder.node("Mul", &[&squares, &zero]);
        let one = builder.number(1.0);
        builder.node("Add", &[&zeros, &one])
    };
    let last = builder.constant(integers(&[1], &[2]));
    let spread = builder.node("Unsqueeze", &[&weights, &last]);
    let weighted = builder.node("Mul", &[&known, &spread]);
    let sums = sum(builder, &weighted, 1, false);
    let total = sum(builder, &weights, 1, true);
    builder.node("Div", &[&sums, &total])
}

fn linear_scores(builder: &mut Builder, linear: &Linear, matrix: &str) -> Value {
    let outputs = size(linear.outputs);
    let features = size(linear.weights.len() / linear.outputs);
    let weights = builder.constant(doubles(&[features, outputs], &linear.weights));
    let product = builder.node("MatMul", &[matrix, &weights]);
    let intercepts = builder.constant(doubles(&[1, outputs], &linear.intercepts));
    builder.node("Add", &[&product, &intercepts])
}

/// `[1 − p, p]`.
fn both(builder: &mut Builder, share: &str) -> Value {
    let one = builder.number(1.0);
    let rest = builder.node("Sub", &[&one, share]);
    builder.concat(&[rest, share.to_owned()])
}

fn gaussian_scores(builder: &mut Builder, gaussian: &Gaussian, matrix: &str) -> Value {
    let scores: Vec<Value> = gaussian
        .classes
        .iter()
        .map(|class| {
            let width = size(class.means.len());
            let means = builder.constant(doubles(&[1, width], &class.means));
            let centred = builder.node("Sub", &[matrix, &means]);
            let squares = builder.node("Mul", &[&centred, &centred]);
            let factors: Vec<f64> = class
                .variances
                .iter()
                .map(|variance| -0.5 / variance)
                .collect();
            let factors = builder.constant(doubles(&[width, 1], &factors));
            let distance = builder.node("MatMul", &[&squares, &factors]);
            let constant = builder.number(class.constant);
            builder.node("Add", &[&distance, &constant])
        })
        .collect();
    let scores = builder.concat(&scores);
    builder.node_with("Softmax", &[&scores], vec![int("axis", 1)])
}

/// The lists of `TreeEnsembleRegressor`, with thresholds and weights as doubles.
#[derive(Default)]
struct TreeLists {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<&'static str>,
    thresholds: Vec<f64>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing: Vec<i64>,
    leaf_trees: Vec<i64>,
    leaf_nodes: Vec<i64>,
    leaf_targets: Vec<i64>,
    leaf_weights: Vec<f64>,
}

impl TreeLists {
    fn add(&mut self, tree: i64, node: i64, view: View<'_>) {
        self.trees.push(tree);
        self.nodes.push(node);
        let (feature, mode, threshold, yes, no, missing) = match view {
            View::Branch(branch) => {
                let left = i64::from(branch.left);
                (
                    i64::from(branch.feature),
                    "BRANCH_LEQ",
                    branch.threshold,
                    left,
                    left + 1,
                    i64::from(branch.missing_left),
                )
            }
            _ => (0, "LEAF", 0.0, 0, 0, 0),
        };
        self.features.push(feature);
        self.modes.push(mode);
        self.thresholds.push(threshold);
        self.yes.push(yes);
        self.no.push(no);
        self.missing.push(missing);
        match view {
            View::Branch(_) => (),
            View::Single { target, weight } => self.add_leaf(tree, node, i64::from(target), weight),
            View::Dense { weights } => {
                for (target, weight) in (0..).zip(weights) {
                    self.add_leaf(tree, node, target, *weight);
                }
            }
        }
    }

    fn add_leaf(&mut self, tree: i64, node: i64, target: i64, weight: f64) {
        self.leaf_trees.push(tree);
        self.leaf_nodes.push(node);
        self.leaf_targets.push(target);
        self.leaf_weights.push(weight);
    }
}

fn trees(builder: &mut Builder, ensemble: &Ensemble, cover: &[u32], matrix: &str) -> Value {
    let mut lists = TreeLists::default();
    for tree in 0..ensemble.len() {
        for (node, view) in ensemble.tree(tree).enumerate() {
            lists.add(size(tree), size(node), view);
        }
    }
    let exact =
        |name: &str, values: &[f64]| tensor_attribute(name, doubles(&[size(values.len())], values));
    #[allow(clippy::cast_precision_loss, reason = "the operator's own precision")]
    let hits = cover.iter().map(|rows| *rows as f32).collect();
    let scores = builder.ml_node(
        "TreeEnsembleRegressor",
        &[matrix],
        vec![
            string("aggregate_function", "SUM"),
            exact("base_values_as_tensor", &ensemble.base),
            int("n_targets", size(ensemble.targets)),
            ints("nodes_falsenodeids", lists.no),
            ints("nodes_featureids", lists.features),
            floats("nodes_hitrates", hits),
            ints("nodes_missing_value_tracks_true", lists.missing),
            strings("nodes_modes", lists.modes),
            ints("nodes_nodeids", lists.nodes),
            ints("nodes_treeids", lists.trees),
            ints("nodes_truenodeids", lists.yes),
            exact("nodes_values_as_tensor", &lists.thresholds),
            string("post_transform", "NONE"),
            ints("target_ids", lists.leaf_targets),
            ints("target_nodeids", lists.leaf_nodes),
            ints("target_treeids", lists.leaf_trees),
            exact("target_weights_as_tensor", &lists.leaf_weights),
        ],
    );
    builder.cast(&scores, element::DOUBLE)
}
