//! ONNX Runtime, from the library of a Python environment or of the system.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session as OrtSession, SessionInputValue};
use ort::value::{DynValue, Tensor as OrtTensor, TensorElementType};

use super::ModelFile;
use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::scorer::{Elements, Port, Session, Tensor};

/// A process loads one library, and keeps it.
static LOADED: OnceLock<(PathBuf, Environment)> = OnceLock::new();

/// How many cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether the library loads.
pub(super) fn loads(library: &Path) -> bool {
    environment(library).is_ok()
}

/// Loads the library, unless one is loaded; its version, as far as its name tells it.
///
/// # Errors
/// When it is not there, no library of ONNX Runtime, or too old.
pub fn loaded(library: &Path) -> Result<Option<String>> {
    environment(library)?;
    let name = library.file_name().unwrap_or_default().to_string_lossy();
    let version = name.trim_matches(|letter: char| !letter.is_ascii_digit());
    Ok(Some(version.to_owned()).filter(|version| !version.is_empty()))
}

fn environment(library: &Path) -> Result<&'static Environment> {
    if let Some((_, environment)) = LOADED.get() {
        return Ok(environment);
    }
    let failed = |why: String| {
        ModelError::settings(format!(
            "cannot load ONNX Runtime from {}: {why}",
            library.display()
        ))
    };
    if !library.is_file() {
        return Err(failed("there is no such file".to_owned()));
    }
    let environment = ort::init_from(library)
        .map_err(|error| failed(error.to_string()))?
        .with_name("pipectl")
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    environment.set_log_level(LogLevel::Error);
    // Of two threads that come here at once, one loses what it has made.
    Ok(&LOADED.get_or_init(|| (library.to_owned(), environment)).1)
}

/// A graph in ONNX Runtime. It runs one batch at a time, on all cores.
pub(super) struct Runtime {
    session: Mutex<OrtSession>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    kinds: Vec<TensorElementType>,
}

impl Runtime {
    pub(super) fn open(library: &Path, file: &ModelFile) -> Result<Self> {
        let environment = environment(library)?;
        let session = session(environment, file)
            .map_err(|error| ModelError::format(one_line(&error.to_string())))?;
        let kinds = session
            .inputs()
            .iter()
            .map(|input| {
                input.dtype().tensor_type().ok_or_else(|| {
                    ModelError::format(format!("its input `{}` is no tensor", input.name()))
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            session: Mutex::new(session),
            inputs: file.inputs().to_vec(),
            outputs: file.outputs().to_vec(),
            kinds,
        })
    }
}

fn session(environment: &Environment, file: &ModelFile) -> ort::Result<OrtSession> {
    let mut builder = OrtSession::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(cores())?
        .with_log_level(LogLevel::Error)?;
    match file.path_of_weights() {
        Some(path) => builder.commit_from_file(path),
        None => builder.commit_from_memory(file.bytes()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Session for Runtime {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        if inputs.len() != self.kinds.len() {
            return Err(ModelError::internal("a graph is given too few inputs"));
        }
        let values = inputs
            .into_iter()
            .zip(&self.kinds)
            .map(|(tensor, kind)| Ok(SessionInputValue::from(into_value(tensor, *kind)?)))
            .collect::<Result<Vec<_>>>()?;
        // A graph that has failed can be asked again.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: ort::Error| ModelError::format(one_line(&error.to_string()));
        let answers = session.run(values.as_slice()).map_err(failed)?;
        answers
            .values()
            .zip(&self.outputs)
            .map(|(value, port)| from_value(&value, port))
            .collect()
    }
}

fn into_value(tensor: Tensor, kind: TensorElementType) -> Result<DynValue> {
    let shape = tensor.shape;
    let value = match (tensor.elements, kind) {
        (Elements::Float(values), TensorElementType::Float32) => {
            OrtTensor::from_array((shape, values)).map(OrtTensor::into_dyn)
        }
        (Elements::Double(values), TensorElementType::Float64) => {
            OrtTensor::from_array((shape, values)).map(OrtTensor::into_dyn)
        }
        (Elements::Integer(values), TensorElementType::Int64) => {
            OrtTensor::from_array((shape, values)).map(OrtTensor::into_dyn)
        }
        (Elements::Integer(values), TensorElementType::Int32) => {
            let values = values
                .into_iter()
                .map(i32::try_from)
                .collect::<std::result::Result<Vec<_>, _>>()
                .map_err(|_| ModelError::data("a number is too large for the model"))?;
            OrtTensor::from_array((shape, values)).map(OrtTensor::into_dyn)
        }
        (Elements::Boolean(values), TensorElementType::Bool) => {
            OrtTensor::from_array((shape, values)).map(OrtTensor::into_dyn)
        }
        (Elements::Text(column), TensorElementType::String) => {
            let texts: Vec<String> = (0..column.codes.len())
                .map(|row| column.get(row).to_owned())
                .collect();
            OrtTensor::from_string_array((shape, texts.as_slice())).map(OrtTensor::into_dyn)
        }
        (_, kind) => {
            return Err(ModelError::format(format!(
                "an input of the kind {kind} is given another"
            )));
        }
    };
    value.map_err(|error| ModelError::data(one_line(&error.to_string())))
}

fn from_value(value: &DynValue, port: &Port) -> Result<Tensor> {
    fn read<T: ort::value::PrimitiveTensorElementType>(
        value: &DynValue,
    ) -> ort::Result<(Vec<i64>, &[T])> {
        let (shape, values) = value.try_extract_tensor::<T>()?;
        Ok((shape.to_vec(), values))
    }
    let kind = value.dtype().tensor_type();
    let read =
        match kind {
            Some(TensorElementType::Float32) => {
                read::<f32>(value).map(|(shape, values)| (shape, Elements::Float(values.to_vec())))
            }
            Some(TensorElementType::Float64) => {
                read::<f64>(value).map(|(shape, values)| (shape, Elements::Double(values.to_vec())))
            }
            Some(TensorElementType::Int64) => read::<i64>(value)
                .map(|(shape, values)| (shape, Elements::Integer(values.to_vec()))),
            Some(TensorElementType::Int32) => read::<i32>(value).map(|(shape, values)| {
                let values = values.iter().map(|value| i64::from(*value)).collect();
                (shape, Elements::Integer(values))
            }),
            Some(TensorElementType::Bool) => read::<bool>(value)
                .map(|(shape, values)| (shape, Elements::Boolean(values.to_vec()))),
            Some(TensorElementType::String) => value.try_extract_strings().map(|(shape, texts)| {
                let texts = TextColumn::new(texts.iter().map(|text| Some(text.as_str())));
                (shape.to_vec(), Elements::Text(texts))
            }),
            _ => {
                return Err(ModelError::format(format!(
                    "its output `{}` is of a kind that is not read",
                    port.name
                )));
            }
        };
    let (shape, elements) = read.map_err(|error| ModelError::format(error.to_string()))?;
    let shape = shape
        .into_iter()
        .map(|size| usize::try_from(size).unwrap_or_default())
        .collect();
    Ok(Tensor { shape, elements })
}
