//! Which raw columns a number that the estimator reads is made of, in a graph that others have written.

use std::collections::HashMap;

use crate::error::{ModelError, Result};
use crate::explain::read::{constant, part};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto};
use crate::scorer::{Attributes, Graph, Session, Tensor};

/// Of every column of a value the raw columns, by number and in order, that it is made of.
type Origins = Vec<Vec<usize>>;

/// Operators that work column by column.
const BY_COLUMN: [&str; 33] = [
    "Abs",
    "Add",
    "And",
    "Binarizer",
    "Cast",
    "Clip",
    "Div",
    "Dropout",
    "Equal",
    "Exp",
    "Flatten",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "Imputer",
    "IsNaN",
    "LabelEncoder",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reshape",
    "Scaler",
    "Sqrt",
    "StringNormalizer",
    "Sub",
];

/// Follows the raw columns, of which every input of the graph has so many as `widths` says, to the matrix. `sample` is a
/// row, to see how wide the values are.
pub(super) fn origins(
    model: &ModelProto,
    matrix: &str,
    widths: &[usize],
    sample: Vec<Tensor>,
) -> Result<Origins> {
    let needed = part(model, &[matrix]);
    let graph = needed
        .graph
        .as_ref()
        .ok_or_else(|| ModelError::format("it has no graph"))?;
    let names: Vec<&str> = graph
        .node
        .iter()
        .filter(|node| node.op_type != "Constant")
        .filter_map(|node| node.output.first())
        .map(String::as_str)
        .collect();
    let seen = Graph::load(&part(model, &names))?;
    let mut known: HashMap<&str, Origins> = HashMap::new();
    let mut first = 0;
    for (port, width) in seen.inputs().iter().zip(widths) {
        let columns = (first..first + width).map(|column| vec![column]).collect();
        first += width;
        if let Some(input) = graph.input.iter().find(|input| input.name == port.name) {
            known.insert(&input.name, columns);
        }
    }
    let values = seen.run(sample)?;
    let nodes = graph.node.iter().filter(|node| node.op_type != "Constant");
    for (node, value) in nodes.zip(&values) {
        let origins = of_node(graph, node, &known, value.matrix_shape().1);
        if let Some(name) = node.output.first() {
            known.insert(name, origins);
        }
    }
    known
        .remove(matrix)
        .ok_or_else(|| ModelError::format("what its estimator reads is never computed"))
}

fn of_node(
    graph: &GraphProto,
    node: &NodeProto,
    known: &HashMap<&str, Origins>,
    width: usize,
) -> Origins {
    let inputs: Vec<&Origins> = node
        .input
        .iter()
        .filter_map(|name| known.get(name.as_str()))
        .collect();
    let mixed = || {
        let mut all: Vec<usize> = inputs
            .iter()
            .copied()
            .flatten()
            .flatten()
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        vec![all; width]
    };
    let found: Origins = match (node.op_type.as_str(), inputs.as_slice()) {
        ("Concat" | "FeatureVectorizer", _) => inputs.iter().copied().flatten().cloned().collect(),
        ("OneHotEncoder", [one]) => {
            let levels = width / one.len().max(1);
            one.iter()
                .flat_map(|origin| std::iter::repeat_n(origin.clone(), levels))
                .collect()
        }
        ("Gather" | "ArrayFeatureExtractor", [one]) => picked(graph, node, one).unwrap_or_default(),
        (operator, inputs)
            if BY_COLUMN.contains(&operator)
                && inputs
                    .iter()
                    .all(|one| one.len() == width || one.len() == 1) =>
        {
            (0..width)
                .map(|column| {
                    let parts = inputs
                        .iter()
                        .flat_map(|one| &one[column.min(one.len() - 1)]);
                    let mut origin: Vec<usize> = parts.copied().collect();
                    origin.sort_unstable();
                    origin.dedup();
                    origin
                })
                .collect()
        }
        _ => mixed(),
    };
    if found.len() == width { found } else { mixed() }
}

/// The columns that constant numbers name.
fn picked(graph: &GraphProto, node: &NodeProto, one: &Origins) -> Option<Origins> {
    if node.op_type == "Gather" && Attributes(node).int("axis", 0) != 1 {
        return None;
    }
    let places = constant(graph, node.input.get(1)).ok()?;
    let places = places.to_integers().ok()?;
    places
        .iter()
        .map(|place| one.get(usize::try_from(*place).ok()?).cloned())
        .collect()
}
