//! A loaded graph: nodes compiled to kernels, values in numbered slots.

use std::collections::HashMap;

use prost::Message;

use crate::error::{ModelError, Result};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto, element};
use crate::scorer::kernel::{Attributes, Kernel, Outputs};
use crate::scorer::tensor::{Elements, Tensor};
use crate::scorer::{elementwise, encode, predict, reduce, shapes, words};

/// What an input or output of a graph holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// Whole numbers.
    Integer,
    /// True and false.
    Boolean,
    /// Text.
    Text,
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// What it holds; unknown of a sequence or map.
    pub kind: Option<ElementKind>,
    /// Columns, when it is a matrix of a fixed width.
    pub width: Option<usize>,
}

/// Something that runs graphs: this crate's own scorer; other runtimes can stand beside it.
pub trait Session: Send + Sync {
    /// What the graph wants.
    fn inputs(&self) -> &[Port];
    /// What the graph answers.
    fn outputs(&self) -> &[Port];
    /// Runs the graph on its inputs, in their order.
    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>>;
}

struct Step {
    kernel: Kernel,
    name: String,
    inputs: Vec<Option<usize>>,
    outputs: Vec<usize>,
}

/// A graph of tabular operators.
pub struct Graph {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    constants: Vec<Option<Tensor>>,
    steps: Vec<Step>,
    /// Where the inputs go.
    questions: Vec<usize>,
    /// Where the outputs are.
    answers: Vec<usize>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Graph")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

/// Reads the bytes of a model file, or says what they are instead.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(ModelError::format("the file is empty"));
    }
    if is_pickle(bytes) {
        return Err(ModelError::format(
            "this is a Python pickle, which can run any program when it is opened; convert it where it was made, \
             e.g. `skl2onnx.to_onnx(model, X[:1]).SerializeToString()`, and use that `.onnx` file",
        ));
    }
    let model = ModelProto::decode(bytes).map_err(|error| {
        ModelError::format(format!("this is no ONNX file, or a damaged one ({error})"))
    })?;
    if model
        .graph
        .as_ref()
        .is_none_or(|graph| graph.node.is_empty() || graph.output.is_empty())
    {
        return Err(ModelError::format(
            "this is no ONNX file, or a damaged one (it has no graph)",
        ));
    }
    Ok(model)
}

/// A pickle starts with its protocol; joblib and torch put theirs in a ZIP or compress it.
pub(crate) fn is_pickle(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0x80, 2..=5, ..] | [b'P', b'K', 3, 4, ..] | [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]
    )
}

impl Graph {
    /// Compiles a graph; an operator that is not known is an error that names it.
    pub(crate) fn load(model: &ModelProto) -> Result<Self> {
        let graph = model
            .graph
            .as_ref()
            .ok_or_else(|| ModelError::format("it has no graph"))?;
        Loader::default().load(graph)
    }
}

#[derive(Default)]
struct Loader {
    slots: HashMap<String, usize>,
    constants: Vec<Option<Tensor>>,
    steps: Vec<Step>,
}

impl Loader {
    fn load(mut self, graph: &GraphProto) -> Result<Graph> {
        for stored in &graph.initializer {
            let tensor = Tensor::read(stored)?;
            let slot = self.define(&stored.name)?;
            self.constants[slot] = Some(tensor);
        }
        let mut inputs = Vec::new();
        for value in &graph.input {
            // Old files list their weights among the inputs.
            if !self.slots.contains_key(&value.name) {
                inputs.push((self.define(&value.name)?, port(value)));
            }
        }
        for node in &graph.node {
            self.node(node)?;
        }
        let answers = graph
            .output
            .iter()
            .map(|value| {
                self.slots.get(&value.name).copied().ok_or_else(|| {
                    ModelError::format(format!("its output `{}` is never computed", value.name))
                })
            })
            .collect::<Result<_>>()?;
        let (questions, inputs) = inputs.into_iter().unzip();
        Ok(Graph {
            inputs,
            outputs: graph.output.iter().map(port).collect(),
            constants: self.constants,
            steps: self.steps,
            questions,
            answers,
        })
    }

    fn define(&mut self, name: &str) -> Result<usize> {
        let slot = self.constants.len();
        if self.slots.insert(name.to_owned(), slot).is_some() {
            return Err(ModelError::format(format!(
                "the value `{name}` is computed twice"
            )));
        }
        self.constants.push(None);
        Ok(slot)
    }

    fn node(&mut self, node: &NodeProto) -> Result<()> {
        if node.op_type == "Constant" {
            let tensor = constant(node)?;
            let name = node.output.first().map_or("", String::as_str);
            let slot = self.define(name)?;
            self.constants[slot] = Some(tensor);
            return Ok(());
        }
        let inputs = node
            .input
            .iter()
            .map(|name| match name.as_str() {
                "" => Ok(None),
                name => self.slots.get(name).copied().map(Some).ok_or_else(|| {
                    ModelError::format(format!(
                        "the operator {} uses `{name}` before it is computed",
                        node.op_type
                    ))
                }),
            })
            .collect::<Result<_>>()?;
        let kernel = compile(node)?;
        let outputs = node
            .output
            .iter()
            .map(|name| self.define(name))
            .collect::<Result<Vec<_>>>()?;
        if outputs.is_empty() {
            return Err(ModelError::format(format!(
                "the operator {} has no output",
                node.op_type
            )));
        }
        self.steps.push(Step {
            kernel,
            name: node.op_type.clone(),
            inputs,
            outputs,
        });
        Ok(())
    }
}

fn compile(node: &NodeProto) -> Result<Kernel> {
    known(node)?.ok_or_else(|| unknown(node))
}

/// The kernel of an operator, when there is one.
fn known(node: &NodeProto) -> Result<Option<Kernel>> {
    let attributes = Attributes(node);
    let operator = node.op_type.as_str();
    match (node.domain.as_str(), operator) {
        ("com.microsoft", "Tokenizer") => return words::tokenizer(&attributes),
        ("" | "ai.onnx", "TfIdfVectorizer") => return words::vectorizer(&attributes).map(Some),
        ("" | "ai.onnx" | "ai.onnx.ml", _) => {}
        _ => return Ok(None),
    }
    if let Some(kernel) = elementwise::compile(operator, &attributes) {
        return Ok(Some(kernel));
    }
    if let Some(kernel) = shapes::compile(operator, &attributes) {
        return Ok(Some(kernel));
    }
    if let Some(kernel) = reduce::compile(operator, &attributes) {
        return Ok(Some(kernel));
    }
    if let Some(kernel) = encode::compile(operator, &attributes)? {
        return Ok(Some(kernel));
    }
    predict::compile(operator, &attributes)
}

/// The operators among `nodes` that this scorer does not know, each once, in order.
pub(crate) fn unknown_operators(nodes: &[NodeProto]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for node in nodes {
        if node.op_type != "Constant" && matches!(known(node), Ok(None)) {
            let name = full_name(node);
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
}

fn unknown(node: &NodeProto) -> ModelError {
    ModelError::format(format!(
        "it uses the operator {}, which the built-in scorer does not know",
        full_name(node)
    ))
}

fn full_name(node: &NodeProto) -> String {
    let domain = if node.domain.is_empty() {
        "ai.onnx"
    } else {
        &node.domain
    };
    format!("{domain}.{}", node.op_type)
}

fn constant(node: &NodeProto) -> Result<Tensor> {
    let attributes = Attributes(node);
    if let Some(stored) = attributes.tensor("value") {
        return Tensor::read(stored);
    }
    let (shape, elements) = if attributes.has("value_float") {
        (
            vec![],
            Elements::Float(vec![attributes.float("value_float", 0.0)]),
        )
    } else if attributes.has("value_int") {
        (
            vec![],
            Elements::Integer(vec![attributes.int("value_int", 0)]),
        )
    } else if attributes.has("value_floats") {
        let values = attributes.floats("value_floats").to_vec();
        (vec![values.len()], Elements::Float(values))
    } else if attributes.has("value_ints") {
        let values = attributes.ints("value_ints").to_vec();
        (vec![values.len()], Elements::Integer(values))
    } else {
        return Err(ModelError::format("a constant of a kind that is not known"));
    };
    Ok(Tensor::new(shape, elements))
}

pub(crate) fn port(value: &ValueInfoProto) -> Port {
    let tensor = value
        .r#type
        .as_ref()
        .and_then(|kind| kind.tensor_type.as_ref());
    let width = tensor
        .and_then(|tensor| tensor.shape.as_ref())
        .and_then(|shape| shape.dim.get(1))
        .and_then(|size| usize::try_from(size.dim_value?).ok());
    let kind = tensor.and_then(|tensor| match tensor.elem_type {
        element::FLOAT => Some(ElementKind::Float),
        element::DOUBLE => Some(ElementKind::Double),
        element::INT64 | element::INT32 => Some(ElementKind::Integer),
        element::BOOL => Some(ElementKind::Boolean),
        element::STRING => Some(ElementKind::Text),
        _ => None,
    });
    Port {
        name: value.name.clone(),
        kind,
        width,
    }
}

impl Session for Graph {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let mut slots: Vec<Option<Tensor>> = vec![None; self.constants.len()];
        if inputs.len() != self.questions.len() {
            return Err(ModelError::internal("a graph is given too few inputs"));
        }
        for (slot, tensor) in self.questions.iter().zip(inputs) {
            slots[*slot] = Some(tensor);
        }
        for step in &self.steps {
            let outputs = {
                let given: Vec<Option<&Tensor>> = step
                    .inputs
                    .iter()
                    .map(|slot| slot.and_then(|slot| self.value(&slots, slot)))
                    .collect();
                (step.kernel)(&given).map_err(|error| within(&step.name, error))?
            };
            match outputs {
                Outputs::One(tensor) => slots[step.outputs[0]] = Some(tensor),
                Outputs::Two(one, two) => {
                    slots[step.outputs[0]] = Some(one);
                    if let Some(second) = step.outputs.get(1) {
                        slots[*second] = Some(two);
                    }
                }
            }
        }
        self.answers
            .iter()
            .map(|&slot| {
                self.value(&slots, slot)
                    .cloned()
                    .ok_or_else(|| ModelError::format("an output is never computed"))
            })
            .collect()
    }
}

impl Graph {
    fn value<'a>(&'a self, slots: &'a [Option<Tensor>], slot: usize) -> Option<&'a Tensor> {
        slots[slot].as_ref().or(self.constants[slot].as_ref())
    }
}

fn within(operator: &str, error: ModelError) -> ModelError {
    match error {
        ModelError::Format(message) => ModelError::Format(format!("{message} (in {operator})")),
        other => other,
    }
}
