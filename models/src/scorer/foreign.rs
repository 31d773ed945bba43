//! ONNX files that others have written: what they read, and what their answer means.

use crate::data::{Classes, Column, ColumnKind, ColumnSpec, Goal, Values};
use crate::error::{ModelError, Result};
use crate::onnx::Metadata;
use crate::onnx::proto::{ModelProto, NodeProto, element};
use crate::rooms::ModelFile;
use crate::scorer::graph::{ElementKind, Port};
use crate::scorer::kernel::Attributes;
use crate::scorer::questions::{Question, Questions};
use crate::scorer::tensor::{Elements, Tensor};

/// What probabilities may be beside 0 and 1, in single precision.
const EDGE: f64 = 1e-4;

/// What is known of a file.
pub(crate) struct Foreign {
    pub(crate) metadata: Metadata,
    pub(crate) questions: Questions,
    pub(crate) output: usize,
}

/// Reads from a graph what it asks and what its answer means.
pub(crate) fn describe(
    stored: &ModelProto,
    file: &ModelFile,
    columns: &[String],
) -> Result<Foreign> {
    let (specs, questions) = questions(file.inputs(), columns)?;
    let labels = labels(file.nodes())?;
    let output = answer(file.outputs(), labels.is_some())?;
    let port = &file.outputs()[output];
    let names_classes = file
        .outputs()
        .iter()
        .enumerate()
        .find(|(place, other)| {
            *place != output && matches!(other.kind, Some(ElementKind::Integer | ElementKind::Text))
        })
        .and_then(|(_, other)| other.kind);
    let classes = match (labels, names_classes, port.width) {
        (Some(labels), _, _) => Some(labels),
        (None, Some(kind), Some(width)) if width > 1 => Some(stored_labels(stored, kind, width)?),
        (None, None, Some(width)) if width > 1 => Some(numbered(width)),
        (None, Some(_), _) => {
            return Err(ModelError::format(
                "it names classes, but its probabilities are not a matrix of a known width: convert it without a ZipMap",
            ));
        }
        _ => None,
    };
    let goal = match classes {
        Some(_) => Goal::Classes,
        None => Goal::Quantity,
    };
    let metadata = Metadata {
        estimator: stored.producer_name.clone(),
        ..Metadata::unmeasured(goal, specs, classes.unwrap_or_else(Classes::none))
    };
    Ok(Foreign {
        metadata,
        questions,
        output,
    })
}

/// The columns that the inputs read, side by side.
fn questions(inputs: &[Port], columns: &[String]) -> Result<(Vec<ColumnSpec>, Questions)> {
    if let Some(text) = inputs.iter().find(|port| port.name == "input_ids") {
        return Err(ModelError::settings(format!(
            "it reads `{}`, so it is a network for texts: use `predict: text`",
            text.name
        )));
    }
    if let Some(other) = inputs.iter().find(|port| port.kind.is_none()) {
        return Err(ModelError::format(format!(
            "its input `{}` is no tensor of numbers or texts",
            other.name
        )));
    }
    let open = inputs.iter().filter(|port| port.width.is_none()).count();
    let known: usize = inputs.iter().filter_map(|port| port.width).sum();
    let single = inputs.iter().all(|port| port.width == Some(1));
    if single && !columns.is_empty() {
        return Err(ModelError::settings(
            "the model knows the names of its columns: leave `columns` out",
        ));
    }
    let fits = match open {
        0 => columns.len() == known,
        1 => columns.len() > known,
        _ => {
            return Err(ModelError::format(
                "it has several inputs of which it does not say how many columns they read",
            ));
        }
    };
    if !single && !fits {
        let inputs: Vec<String> = inputs
            .iter()
            .map(|port| match port.width {
                Some(width) => format!("`{}` of {width}", port.name),
                None => format!("`{}`", port.name),
            })
            .collect();
        return Err(ModelError::settings(format!(
            "the model reads columns without names ({}), and `columns` names {}: name those that it has learned from, in \
             their order",
            inputs.join(", "),
            columns.len()
        )));
    }
    let mut names = columns.iter();
    let (mut specs, mut asked) = (Vec::new(), Vec::new());
    for port in inputs {
        let width = port.width.unwrap_or(columns.len().saturating_sub(known));
        let kind = match port.kind {
            Some(ElementKind::Text) => ColumnKind::Text,
            Some(ElementKind::Boolean) => ColumnKind::Boolean,
            _ => ColumnKind::Number,
        };
        for _ in 0..width {
            let name = if single {
                port.name.clone()
            } else {
                names.next().cloned().unwrap_or_default()
            };
            specs.push(ColumnSpec { name, kind });
        }
        asked.push(Question {
            width,
            kind: port.kind,
        });
    }
    Ok((specs, Questions(asked)))
}

/// The class labels that an operator knows.
fn labels(nodes: &[NodeProto]) -> Result<Option<Classes>> {
    for node in nodes.iter().filter(|node| node.domain == "ai.onnx.ml") {
        let attributes = Attributes(node);
        let texts = attributes.texts("classlabels_strings")?;
        if !texts.is_empty() {
            let texts = texts.into_iter().map(str::to_owned).collect();
            return Ok(Some(Classes::Text(texts)));
        }
        let numbers = ["classlabels_int64s", "classlabels_ints"].map(|name| attributes.ints(name));
        if let Some(numbers) = numbers.into_iter().find(|numbers| !numbers.is_empty()) {
            return Ok(Some(Classes::Integer(numbers.to_vec())));
        }
    }
    Ok(None)
}

/// The output that holds the numbers behind an answer.
fn answer(outputs: &[Port], classes: bool) -> Result<usize> {
    let numbers = |port: &Port| match port.kind {
        Some(ElementKind::Float | ElementKind::Double) => true,
        // A list of maps from class to probability, which the own scorer keeps as a matrix.
        None => classes,
        _ => false,
    };
    let mut found = outputs.iter().enumerate().filter(|(_, port)| numbers(port));
    let first = found.next();
    let named = first
        .into_iter()
        .chain(found)
        .find(|(_, port)| port.name.contains("prob"));
    named.or(first).map(|(place, _)| place).ok_or_else(|| {
        let names: Vec<&str> = outputs.iter().map(|port| port.name.as_str()).collect();
        ModelError::format(format!(
            "none of its outputs ({}) holds probabilities or a number",
            names.join(", ")
        ))
    })
}

/// The labels that a graph picks from a constant.
fn stored_labels(stored: &ModelProto, kind: ElementKind, width: usize) -> Result<Classes> {
    let wanted = match kind {
        ElementKind::Text => element::STRING,
        _ => element::INT64,
    };
    let constants = stored.graph.iter().flat_map(|graph| &graph.initializer);
    for constant in constants.filter(|constant| constant.data_type == wanted) {
        let tensor = Tensor::read(constant)?;
        match tensor.elements {
            Elements::Text(text) if text.codes.len() == width => {
                let labels = (0..width).map(|place| text.get(place).to_owned());
                return Ok(Classes::Text(labels.collect()));
            }
            Elements::Integer(labels)
                if labels.len() == width && constant.name.contains("classes") =>
            {
                return Ok(Classes::Integer(labels));
            }
            _ => (),
        }
    }
    match kind {
        ElementKind::Text => Err(ModelError::format(
            "it does not say what its classes are called",
        )),
        _ => Ok(numbered(width)),
    }
}

fn numbered(width: usize) -> Classes {
    Classes::Integer((0..i64::try_from(width).unwrap_or(i64::MAX)).collect())
}

/// Whether the answers are what they were taken for.
pub(crate) fn check(metadata: &Metadata, values: &[f64], rows: usize) -> Result<()> {
    let width = metadata.classes.len().max(1);
    if values.len() != rows * width {
        return Err(ModelError::format(format!(
            "its answer is {} numbers a row, and not {width}",
            values.len() / rows.max(1)
        )));
    }
    let odd = |value: &&f64| !(-EDGE..=1.0 + EDGE).contains(*value);
    match values.iter().find(odd) {
        Some(value) if metadata.goal == Goal::Classes => Err(ModelError::format(format!(
            "its answer {value} is no probability: let it end in a sigmoid or soft-max"
        ))),
        _ => Ok(()),
    }
}

/// The cells of one row as columns.
pub(crate) fn columns(specs: &[ColumnSpec], cells: Vec<Tensor>) -> Vec<Column> {
    specs
        .iter()
        .zip(cells)
        .map(|(spec, cell)| Column {
            name: spec.name.clone(),
            kind: spec.kind,
            values: match cell.elements {
                Elements::Text(text) => Values::Text(text),
                Elements::Integer(dates) => Values::Date(dates),
                Elements::Double(numbers) => Values::Number(numbers),
                Elements::Float(_) | Elements::Boolean(_) => Values::nulls(spec.kind, 1),
            },
        })
        .collect()
}
