//! Writes a trained model as one graph: derived features, preparation, estimator, label.

use indexmap::IndexMap;

use crate::data::{Classes, ColumnKind, ColumnSpec};
use crate::error::{ModelError, Result};
use crate::estimators::ensemble::{Ensemble, View};
use crate::estimators::{Fitted, Gaussian, Linear, Link};
use crate::features::Feature;
use crate::onnx::builder::{
    Builder, Value, booleans, doubles, int, integers, ints, string, strings, tensor_attribute,
    texts,
};
use crate::onnx::proto::{ModelProto, element};
use crate::prepare::{DAY, Encoding, Preparation, Prepared};

/// The parts of a model.
pub(crate) struct Parts<'a> {
    /// The raw columns.
    pub(crate) columns: &'a [ColumnSpec],
    pub(crate) features: &'a [Feature],
    pub(crate) preparation: &'a Preparation,
    /// Whether the estimator reads missing numbers.
    pub(crate) keep_missing: bool,
    pub(crate) fitted: &'a Fitted,
    pub(crate) classes: &'a Classes,
    pub(crate) threshold: f64,
}

/// The graph with inputs per raw column and the outputs `label` and `probabilities`.
pub(crate) fn export(parts: &Parts<'_>) -> Result<ModelProto> {
    for reserved in ["label", "probabilities"] {
        if parts.columns.iter().any(|column| column.name == reserved) {
            return Err(ModelError::data(format!(
                "a column must not be called `{reserved}`, which is an output of every model: rename or exclude it"
            )));
        }
    }
    let mut builder = Builder::new("model", parts.columns);
    let mut values: IndexMap<String, Value> = parts
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.name.clone()))
        .collect();
    for feature in parts.features {
        let value = feature.emit(&mut builder);
        values.insert(feature.name.clone(), value);
    }
    let matrix = prepare(&mut builder, parts, &values)?;
    let probabilities = estimate(&mut builder, parts.fitted, &matrix);
    let index = decide(&mut builder, &probabilities, parts);
    let (labels, kind) = label_constant(parts.classes);
    let labels = builder.constant(labels);
    let label = builder.node_with("Gather", &[&labels, &index], vec![int("axis", 0)]);
    let width = size(parts.classes.len());
    builder.output(&label, "label", kind, &[None]);
    builder.output(
        &probabilities,
        "probabilities",
        element::DOUBLE,
        &[None, Some(width)],
    );
    Ok(builder.finish())
}

fn size(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The features in the order of the preparation's columns: numbers and levels are computed side by side, then put in
/// order.
fn prepare(
    builder: &mut Builder,
    parts: &Parts<'_>,
    values: &IndexMap<String, Value>,
) -> Result<Value> {
    let columns = &parts.preparation.columns;
    let value = |column: &Prepared| {
        values
            .get(&column.name)
            .cloned()
            .ok_or_else(|| ModelError::internal(format!("no value for `{}`", column.name)))
    };
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for column in columns {
        match &column.encoding {
            Encoding::Number {
                fill, missing_seen, ..
            } => {
                let fill = if parts.keep_missing && *missing_seen {
                    f64::NAN
                } else {
                    *fill
                };
                let value = value(column)?;
                let value = if column.kind == ColumnKind::Date {
                    days(builder, &value)
                } else {
                    value
                };
                numbers.push((value, fill));
            }
            Encoding::OneHot { levels, fill } => texts.push((value(column)?, levels, *fill)),
        }
    }
    let mut blocks = Vec::new();
    if !numbers.is_empty() {
        blocks.push(impute(builder, &numbers));
    }
    if !texts.is_empty() {
        blocks.push(one_hot(builder, &texts));
    }
    let matrix = builder.concat(&blocks);
    let order = feature_order(columns, numbers.len());
    if order.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(matrix);
    }
    let order = builder.constant(integers(&[size(order.len())], &order));
    Ok(builder.node_with("Gather", &[&matrix, &order], vec![int("axis", 1)]))
}

/// For every feature its place in the matrix of numbers and then levels.
fn feature_order(columns: &[Prepared], numbers: usize) -> Vec<i64> {
    let (mut number, mut level) = (0, size(numbers));
    let mut order = Vec::new();
    for column in columns {
        match &column.encoding {
            Encoding::Number { .. } => {
                order.push(number);
                number += 1;
            }
            Encoding::OneHot { levels, .. } => {
                order.extend(level..level + size(levels.len()));
                level += size(levels.len());
            }
        }
    }
    order
}

/// Microseconds to days; the null of dates to NaN.
fn days(builder: &mut Builder, value: &str) -> Value {
    let null = builder.constant(integers(&[1, 1], &[i64::MIN]));
    let is_null = builder.node("Equal", &[value, &null]);
    let number = builder.cast(value, element::DOUBLE);
    let day = builder.number(DAY);
    let days = builder.node("Div", &[&number, &day]);
    let missing = builder.number(f64::NAN);
    builder.node("Where", &[&is_null, &missing, &days])
}

/// Missing and infinite values become the fills: `x - x` is 0 for every other number.
fn impute(builder: &mut Builder, numbers: &[(Value, f64)]) -> Value {
    let values: Vec<Value> = numbers.iter().map(|(value, _)| value.clone()).collect();
    let fills: Vec<f64> = numbers.iter().map(|(_, fill)| *fill).collect();
    let joined = builder.concat(&values);
    let zero = builder.node("Sub", &[&joined, &joined]);
    let missing = builder.node("IsNaN", &[&zero]);
    let fills = builder.constant(doubles(&[1, size(fills.len())], &fills));
    builder.node("Where", &[&missing, &fills, &joined])
}

/// Level numbers column by column, compared at once with the level of every feature.
fn one_hot(builder: &mut Builder, columns: &[(Value, &Vec<String>, usize)]) -> Value {
    let (mut codes, mut sources, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (value, levels, fill)) in columns.iter().enumerate() {
        let keys = levels.iter().map(String::as_str).chain([""]);
        let numbers = (0..size(levels.len())).chain([size(*fill)]).collect();
        codes.push(builder.ml_node(
            "LabelEncoder",
            &[value],
            vec![
                int("default_int64", -1),
                strings("keys_strings", keys),
                ints("values_int64s", numbers),
            ],
        ));
        sources.extend(levels.iter().map(|_| size(index)));
        wanted.extend(0..size(levels.len()));
    }
    let codes = builder.concat(&codes);
    let sources = builder.constant(integers(&[size(sources.len())], &sources));
    let spread = builder.node_with("Gather", &[&codes, &sources], vec![int("axis", 1)]);
    let wanted = builder.constant(integers(&[1, size(wanted.len())], &wanted));
    let flags = builder.node("Equal", &[&spread, &wanted]);
    builder.cast(&flags, element::DOUBLE)
}

/// Class probabilities, `[n, classes]`.
fn estimate(builder: &mut Builder, fitted: &Fitted, matrix: &str) -> Value {
    match fitted {
        Fitted::Constant(shares) => {
            // A column of the matrix makes the right number of rows.
            let first = builder.constant(integers(&[1], &[0]));
            let column = builder.node_with("Gather", &[matrix, &first], vec![int("axis", 1)]);
            let zero = builder.number(0.0);
            let zeros = builder.node("Mul", &[&column, &zero]);
            let shares = builder.constant(doubles(&[1, size(shares.len())], shares));
            builder.node("Add", &[&zeros, &shares])
        }
        Fitted::Linear(linear) => {
            let scores = linear_scores(builder, linear, matrix);
            log_odds(builder, &scores, linear.outputs)
        }
        Fitted::Trees { ensemble, link } => {
            let scores = trees(builder, ensemble, matrix);
            match (link, ensemble.targets) {
                (Link::Identity, 1) => both(builder, &scores),
                (Link::Identity, _) => scores,
                (Link::LogOdds, outputs) => log_odds(builder, &scores, outputs),
            }
        }
        Fitted::Gaussian(gaussian) => gaussian_scores(builder, gaussian, matrix),
    }
}

fn linear_scores(builder: &mut Builder, linear: &Linear, matrix: &str) -> Value {
    let outputs = size(linear.outputs);
    let features = size(linear.weights.len() / linear.outputs);
    let weights = builder.constant(doubles(&[features, outputs], &linear.weights));
    let product = builder.node("MatMul", &[matrix, &weights]);
    let intercepts = builder.constant(doubles(&[1, outputs], &linear.intercepts));
    builder.node("Add", &[&product, &intercepts])
}

fn log_odds(builder: &mut Builder, scores: &str, outputs: usize) -> Value {
    if outputs == 1 {
        let share = builder.node("Sigmoid", &[scores]);
        both(builder, &share)
    } else {
        builder.node_with("Softmax", &[scores], vec![int("axis", 1)])
    }
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
            View::Branch {
                feature,
                threshold,
                missing_left,
                left,
            } => {
                let left = i64::from(left);
                (
                    i64::from(feature),
                    "BRANCH_LEQ",
                    threshold,
                    left,
                    left + 1,
                    i64::from(missing_left),
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
            View::Branch { .. } => (),
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

fn trees(builder: &mut Builder, ensemble: &Ensemble, matrix: &str) -> Value {
    let mut lists = TreeLists::default();
    for tree in 0..ensemble.len() {
        for (node, view) in ensemble.tree(tree).enumerate() {
            lists.add(size(tree), size(node), view);
        }
    }
    let exact =
        |name: &str, values: &[f64]| tensor_attribute(name, doubles(&[size(values.len())], values));
    let scores = builder.ml_node(
        "TreeEnsembleRegressor",
        &[matrix],
        vec![
            string("aggregate_function", "SUM"),
            exact("base_values_as_tensor", &ensemble.base),
            int("n_targets", size(ensemble.targets)),
            ints("nodes_falsenodeids", lists.no),
            ints("nodes_featureids", lists.features),
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

/// The index of the predicted class: by threshold of two classes, else the most probable one.
fn decide(builder: &mut Builder, probabilities: &str, parts: &Parts<'_>) -> Value {
    if parts.classes.len() != 2 {
        return builder.node_with(
            "ArgMax",
            &[probabilities],
            vec![int("axis", 1), int("keepdims", 0)],
        );
    }
    let second = builder.constant(integers(&[], &[1]));
    let positive = builder.node_with("Gather", &[probabilities, &second], vec![int("axis", 1)]);
    let threshold = builder.constant(doubles(&[1], &[parts.threshold]));
    let above = builder.node("GreaterOrEqual", &[&positive, &threshold]);
    builder.cast(&above, element::INT64)
}

fn label_constant(classes: &Classes) -> (crate::onnx::proto::TensorProto, i32) {
    let dims = [size(classes.len())];
    match classes {
        Classes::Text(labels) => {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            (texts(&dims, &labels), element::STRING)
        }
        Classes::Integer(labels) => (integers(&dims, labels), element::INT64),
        Classes::Boolean(labels) => (booleans(&dims, labels), element::BOOL),
    }
}
