//! Writes a trained model as one graph: derived features, preparation, estimator, label.

use indexmap::IndexMap;

use crate::data::{Classes, ColumnKind, ColumnSpec, Goal};
use crate::error::{ModelError, Result};
use crate::estimators::Fitted;
use crate::features::Feature;
use crate::onnx::builder::{
    Builder, Value, booleans, doubles, int, integers, ints, strings, texts,
};
use crate::onnx::dates::date_parts;
use crate::onnx::estimate::{calibrate, estimate};
use crate::onnx::proto::{ModelProto, element};
use crate::onnx::words::words;
use crate::prepare::{DAY, Encoding, Preparation, Prepared, Projection};
use crate::train::Calibration;

/// The parts of a model.
pub(crate) struct Parts<'a> {
    /// The raw columns.
    pub(crate) columns: &'a [ColumnSpec],
    pub(crate) features: &'a [Feature],
    pub(crate) preparation: &'a Preparation,
    /// What makes principal components of what is prepared, when the estimator reads those.
    pub(crate) projection: Option<&'a Projection>,
    pub(crate) fitted: &'a Fitted,
    /// Of trees: the training rows that came through every node, tree after tree.
    pub(crate) cover: &'a [u32],
    pub(crate) calibration: Option<&'a Calibration>,
    pub(crate) goal: Goal,
    pub(crate) classes: &'a Classes,
    pub(crate) threshold: f64,
}

/// A graph, and the names of what is in it.
pub(crate) struct Exported {
    pub(crate) model: ModelProto,
    /// What columns have become.
    pub(crate) matrix: Value,
    /// The principal components that the estimator reads instead.
    pub(crate) projected: Option<Value>,
}

/// The graph: an input for every raw column, and outputs by what the model is for. Classes: `label` and `probabilities`;
/// a quantity: `prediction`; clusters: `label` and `distances`; anomalies: `label` and `score`. Beside it the name of what
/// the estimator reads.
pub(crate) fn export(parts: &Parts<'_>) -> Result<Exported> {
    for reserved in ["label", parts.goal.output()] {
        if parts.columns.iter().any(|column| column.name == reserved) {
            return Err(ModelError::data(format!(
                "a column must not be called `{reserved}`, which is an output of the model: rename or exclude it"
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
    let projected = parts
        .projection
        .map(|projection| project(&mut builder, projection, &matrix));
    let read = projected.as_ref().unwrap_or(&matrix);
    let mut answer = estimate(&mut builder, parts, read);
    if let Some(calibration) = parts.calibration {
        answer = calibrate(&mut builder, calibration, &answer);
    }
    if let Some((label, kind)) = label(&mut builder, parts, &answer) {
        builder.output(&label, "label", kind, &[None]);
    }
    let width = size(parts.fitted.width());
    builder.output(
        &answer,
        parts.goal.output(),
        element::DOUBLE,
        &[None, Some(width)],
    );
    Ok(Exported {
        model: builder.finish(),
        matrix,
        projected,
    })
}

/// Principal components of features.
fn project(builder: &mut Builder, projection: &Projection, matrix: &str) -> Value {
    let features = size(projection.scaling.means.len());
    let means = builder.constant(doubles(&[1, features], &projection.scaling.means));
    let centred = builder.node("Sub", &[matrix, &means]);
    let scales = builder.constant(doubles(&[1, features], &projection.scaling.scales));
    let scaled = builder.node("Div", &[&centred, &scales]);
    let shape = [features, size(projection.width)];
    let weights = builder.constant(doubles(&shape, &projection.weights));
    builder.node("MatMul", &[&scaled, &weights])
}

/// What the answer means in a word: the class, the group, whether the row is odd.
fn label(builder: &mut Builder, parts: &Parts<'_>, answer: &str) -> Option<(Value, i32)> {
    let along = || vec![int("axis", 1), int("keepdims", 0)];
    match parts.goal {
        Goal::Classes => {
            let index = decide(builder, answer, parts);
            let (labels, kind) = label_constant(parts.classes);
            let labels = builder.constant(labels);
            let label = builder.node_with("Gather", &[&labels, &index], vec![int("axis", 0)]);
            Some((label, kind))
        }
        Goal::Quantity => None,
        Goal::Clusters => {
            let nearest = builder.node_with("ArgMin", &[answer], along());
            Some((nearest, element::INT64))
        }
        Goal::Anomalies => {
            let first = builder.constant(integers(&[], &[0]));
            let score = builder.node_with("Gather", &[answer, &first], vec![int("axis", 1)]);
            let threshold = builder.constant(doubles(&[1], &[parts.threshold]));
            let odd = builder.node("GreaterOrEqual", &[&score, &threshold]);
            Some((odd, element::BOOL))
        }
    }
}

pub(super) fn size(length: usize) -> i64 {
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
    let mut values = values.clone();
    if parts.preparation.ignore_case {
        for column in columns
            .iter()
            .filter(|column| column.kind == ColumnKind::Text)
        {
            if let Some(value) = values.get_mut(&column.name) {
                let list = builder.change_case(value, "LOWER");
                *value = builder.column(&list);
            }
        }
    }
    let value = |column: &Prepared| {
        values
            .get(&column.name)
            .cloned()
            .ok_or_else(|| ModelError::internal(format!("no value for `{}`", column.name)))
    };
    let (mut numbers, mut numbered, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for column in columns {
        match &column.encoding {
            Encoding::Number {
                fill, shift, unit, ..
            } => {
                let value = value(column)?;
                let value = if column.kind == ColumnKind::Date {
                    days(builder, &value)
                } else {
                    value
                };
                numbers.push(Filled {
                    value,
                    fill: *fill,
                    shift: *shift,
                    unit: *unit,
                });
            }
            Encoding::OneHot { levels, fill } => texts.push((value(column)?, levels, *fill)),
            Encoding::Levels { .. } => numbered.push(level(builder, column, &value(column)?)),
            Encoding::Parts { parts, fill } => {
                numbered.append(&mut date_parts(builder, &value(column)?, *fill, parts));
            }
            Encoding::Words(vocabulary) => {
                numbered.push(words(builder, &value(column)?, vocabulary));
            }
        }
    }
    let mut blocks = Vec::new();
    if !numbers.is_empty() {
        blocks.push(impute(builder, &numbers));
    }
    let widths = columns.iter().filter_map(|column| match &column.encoding {
        Encoding::OneHot { .. } => None,
        encoding => Some(encoding.width()),
    });
    let singles = widths.sum();
    blocks.append(&mut numbered);
    if !texts.is_empty() {
        blocks.push(one_hot(builder, &texts));
    }
    let matrix = builder.concat(&blocks);
    let order = feature_order(columns, numbers.len(), singles);
    if order.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(matrix);
    }
    let order = builder.constant(integers(&[size(order.len())], &order));
    Ok(builder.node_with("Gather", &[&matrix, &order], vec![int("axis", 1)]))
}

/// For every feature its place in the matrix of numbers, numbered levels, and flags of levels.
fn feature_order(columns: &[Prepared], numbers: usize, singles: usize) -> Vec<i64> {
    let (mut number, mut numbered, mut level) = (0, size(numbers), size(singles));
    let mut order = Vec::new();
    for column in columns {
        match &column.encoding {
            Encoding::Number { .. } => {
                order.push(number);
                number += 1;
            }
            Encoding::Levels { .. } | Encoding::Parts { .. } | Encoding::Words(_) => {
                let width = size(column.encoding.width());
                order.extend(numbered..numbered + width);
                numbered += width;
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

/// A number of the graph, and how it is filled and scaled.
struct Filled {
    value: Value,
    fill: f64,
    shift: f64,
    unit: f64,
}

impl Filled {
    /// Whether it is not scaled.
    fn is_plain(&self) -> bool {
        self.shift.abs() <= 0.0 && self.unit.to_bits() == 1f64.to_bits()
    }
}

/// Missing and infinite values become the fills: `x - x` is 0 for every other number.
fn impute(builder: &mut Builder, numbers: &[Filled]) -> Value {
    let values: Vec<Value> = numbers.iter().map(|number| number.value.clone()).collect();
    let fills: Vec<f64> = numbers.iter().map(|number| number.fill).collect();
    let joined = builder.concat(&values);
    let zero = builder.node("Sub", &[&joined, &joined]);
    let missing = builder.node("IsNaN", &[&zero]);
    let fills = builder.constant(doubles(&[1, size(fills.len())], &fills));
    let filled = builder.node("Where", &[&missing, &fills, &joined]);
    let row = |of: fn(&Filled) -> f64| {
        let values: Vec<f64> = numbers.iter().map(of).collect();
        doubles(&[1, size(values.len())], &values)
    };
    if numbers.iter().all(Filled::is_plain) {
        return filled;
    }
    let shifts = builder.constant(row(|number| number.shift));
    let units = builder.constant(row(|number| number.unit));
    let shifted = builder.node("Sub", &[&filled, &shifts]);
    builder.node("Div", &[&shifted, &units])
}

/// The numbers of a text's level: its place, then a look into the list of numbers.
fn level(builder: &mut Builder, column: &Prepared, value: &str) -> Value {
    let Encoding::Levels {
        levels,
        values,
        unknown,
        missing,
        ..
    } = &column.encoding
    else {
        return value.to_owned();
    };
    let count = size(levels.len());
    let keys = levels.iter().map(String::as_str).chain([""]);
    let place = builder.ml_node(
        "LabelEncoder",
        &[value],
        vec![
            int("default_int64", count),
            strings("keys_strings", keys),
            ints("values_int64s", (0..count).chain([count + 1]).collect()),
        ],
    );
    let width = size(unknown.len());
    let known = [&**values, unknown, missing].concat();
    let known = builder.constant(doubles(&[count + 2, width], &known));
    let numbers = builder.node_with("Gather", &[&known, &place], vec![int("axis", 0)]);
    let rows = builder.constant(integers(&[2], &[-1, width]));
    builder.node("Reshape", &[&numbers, &rows])
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
