//! rten: neural networks without anything installed.

use std::sync::{Arc, OnceLock};

use rten::{ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;

use super::ModelFile;
use crate::error::{ModelError, Result};
use crate::scorer::{ElementKind, Elements, Port, Session, Tensor};

/// A graph in rten.
pub(super) struct Embedded {
    model: rten::Model,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    questions: Vec<NodeId>,
    answers: Vec<NodeId>,
}

impl Embedded {
    pub(super) fn open(file: &ModelFile) -> Result<Self> {
        let foreign = file.inputs().iter().find(|port| {
            matches!(
                port.kind,
                Some(ElementKind::Text | ElementKind::Double) | None
            )
        });
        if let Some(port) = foreign {
            return Err(ModelError::format(format!(
                "its input `{}` is of a kind that rten does not know",
                port.name
            )));
        }
        let mut options = ModelOptions::with_all_ops();
        options.prepack_weights(true);
        let model = match file.path_of_weights() {
            Some(path) => options.load_file(path),
            None => options.load(file.bytes().to_vec()),
        };
        let model = model.map_err(|error| ModelError::format(error.to_string()))?;
        let places = |ports: &[Port]| -> Result<Vec<NodeId>> {
            let found = ports.iter().map(|port| model.node_id(&port.name));
            found
                .collect::<std::result::Result<_, _>>()
                .map_err(|error| ModelError::format(error.to_string()))
        };
        let (questions, answers) = (places(file.inputs())?, places(file.outputs())?);
        Ok(Self {
            model,
            inputs: file.inputs().to_vec(),
            outputs: file.outputs().to_vec(),
            questions,
            answers,
        })
    }
}

/// As many threads as this process may use, for all graphs together.
fn threads() -> Arc<ThreadPool> {
    static POOL: OnceLock<Arc<ThreadPool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| Arc::new(ThreadPool::with_num_threads(super::runtime::cores())));
    Arc::clone(pool)
}

impl Session for Embedded {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        if inputs.len() != self.questions.len() {
            return Err(ModelError::internal("a graph is given too few inputs"));
        }
        let values = self
            .questions
            .iter()
            .zip(inputs)
            .map(|(id, tensor)| Ok((*id, ValueOrView::Value(into_value(tensor)?))))
            .collect::<Result<_>>()?;
        let options = RunOptions::default().with_thread_pool(Some(threads()));
        let answers = self
            .model
            .run(values, &self.answers, Some(options))
            .map_err(|error| ModelError::format(error.to_string()))?;
        answers
            .into_iter()
            .zip(&self.outputs)
            .map(|(value, port)| from_value(value, port))
            .collect()
    }
}

/// rten holds whole numbers in 32 bits.
fn into_value(tensor: Tensor) -> Result<Value> {
    let shape = tensor.shape;
    let value = match tensor.elements {
        Elements::Float(values) => Value::from_shape(shape, values).map_err(wrong_shape)?,
        Elements::Integer(values) => {
            let values = values
                .into_iter()
                .map(i32::try_from)
                .collect::<std::result::Result<Vec<_>, _>>()
                .map_err(|_| ModelError::data("a number is too large for rten"))?;
            Value::from_shape(shape, values).map_err(wrong_shape)?
        }
        Elements::Boolean(values) => {
            let values: Vec<i32> = values.into_iter().map(i32::from).collect();
            Value::from_shape(shape, values).map_err(wrong_shape)?
        }
        Elements::Double(_) | Elements::Text(_) => {
            return Err(ModelError::format(
                "rten knows neither double precision nor text",
            ));
        }
    };
    Ok(value)
}

fn wrong_shape(error: impl std::error::Error) -> ModelError {
    ModelError::internal(error.to_string())
}

fn from_value(value: Value, port: &Port) -> Result<Tensor> {
    let (shape, elements) = match value {
        Value::FloatTensor(tensor) => {
            (tensor.shape().to_vec(), Elements::Float(tensor.into_data()))
        }
        Value::Int32Tensor(tensor) => {
            let shape = tensor.shape().to_vec();
            let values = tensor.into_data();
            let elements = if port.kind == Some(ElementKind::Boolean) {
                Elements::Boolean(values.into_iter().map(|value| value != 0).collect())
            } else {
                Elements::Integer(values.into_iter().map(i64::from).collect())
            };
            (shape, elements)
        }
        _ => {
            return Err(ModelError::format(format!(
                "its output `{}` is of a kind that is not read",
                port.name
            )));
        }
    };
    Ok(Tensor { shape, elements })
}
