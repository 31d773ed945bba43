//! A model's file, and what can be told of it without its weights.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::error::{ModelError, Result};
use crate::onnx::proto::{NodeProto, ValueInfoProto};
use crate::scorer::{Port, is_pickle, port};

/// A model without its weights: decoding skips what is not declared here.
#[derive(Clone, PartialEq, Message)]
struct ModelOutline {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphOutline>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphOutline {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<WeightOutline>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct WeightOutline {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

/// An `.onnx` file.
pub struct ModelFile {
    bytes: Cow<'static, [u8]>,
    path: Option<PathBuf>,
    graph: GraphOutline,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl std::fmt::Debug for ModelFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ModelFile")
            .field("path", &self.path)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl ModelFile {
    /// Reads a file; weights that it keeps in a second file are looked for beside it.
    ///
    /// # Errors
    /// When it cannot be read, or is no ONNX file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            ModelError::data(format!("cannot read {}: {error}", path.display()))
        })?;
        Self::new(Cow::Owned(bytes), Some(path.to_owned()))
    }

    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// When they are no ONNX file, or the weights are in a second one.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self> {
        Self::new(bytes.into(), None)
    }

    fn new(bytes: Cow<'static, [u8]>, path: Option<PathBuf>) -> Result<Self> {
        if bytes.is_empty() {
            return Err(ModelError::format("the file is empty"));
        }
        if is_pickle(&bytes) {
            return Err(ModelError::format(
                "this is a Python pickle, which can run any program when it is opened; export it to ONNX where it was \
                 made",
            ));
        }
        let damaged = |why: String| {
            ModelError::format(format!("this is no ONNX file, or a damaged one ({why})"))
        };
        let outline =
            ModelOutline::decode(bytes.as_ref()).map_err(|error| damaged(error.to_string()))?;
        let graph = outline
            .graph
            .filter(|graph| !graph.node.is_empty() && !graph.output.is_empty())
            .ok_or_else(|| damaged("it has no graph".to_owned()))?;
        let file = Self {
            inputs: graph
                .input
                .iter()
                // Old files list their weights among the inputs.
                .filter(|input| {
                    !graph
                        .initializer
                        .iter()
                        .any(|weight| weight.name == input.name)
                })
                .map(port)
                .collect(),
            outputs: graph.output.iter().map(port).collect(),
            graph,
            bytes,
            path,
        };
        if file.path.is_none() && file.weights_are_outside() {
            return Err(ModelError::format(
                "it keeps its weights in a second file; save it as one file",
            ));
        }
        Ok(file)
    }

    /// What the graph wants.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What the graph answers.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// How many rows the table has in which an input is looked up: the vocabulary of an embedding.
    pub fn rows_looked_up(&self, input: &str) -> Option<usize> {
        let mut names = vec![input];
        for node in &self.graph.node {
            let reads = |place: usize| node.input.get(place).map(String::as_str);
            match node.op_type.as_str() {
                "Cast" | "Identity" if reads(0).is_some_and(|name| names.contains(&name)) => {
                    names.extend(node.output.first().map(String::as_str));
                }
                "Gather" if reads(1).is_some_and(|name| names.contains(&name)) => {
                    let table = reads(0)?;
                    let weight = self
                        .graph
                        .initializer
                        .iter()
                        .find(|weight| weight.name == table);
                    return weight.and_then(|weight| usize::try_from(*weight.dims.first()?).ok());
                }
                _ => {}
            }
        }
        None
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The path, when the runtime has to look for weights beside it.
    pub(super) fn path_of_weights(&self) -> Option<&Path> {
        self.path.as_deref().filter(|_| self.weights_are_outside())
    }

    pub(crate) fn nodes(&self) -> &[NodeProto] {
        &self.graph.node
    }

    fn weights_are_outside(&self) -> bool {
        self.graph
            .initializer
            .iter()
            .any(|weight| weight.data_location != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{GraphProto, ModelProto, TensorProto, element};

    fn lookup(location: i32) -> Vec<u8> {
        let named = |name: &str| ValueInfoProto {
            name: name.to_owned(),
            ..ValueInfoProto::default()
        };
        let node = |operator: &str, input: &[&str], output: &str| NodeProto {
            op_type: operator.to_owned(),
            input: input.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![
                node("Cast", &["ids"], "whole"),
                node("Gather", &["table", "whole"], "rows"),
            ],
            initializer: vec![TensorProto {
                name: "table".into(),
                dims: vec![3, 1],
                data_type: element::FLOAT,
                float_data: vec![1.0, 2.0, 3.0],
                data_location: location,
                ..TensorProto::default()
            }],
            input: vec![named("table"), named("ids")],
            output: vec![named("rows")],
            ..GraphProto::default()
        };
        ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn a_file_tells_its_ports_and_the_size_of_its_vocabulary() {
        let file = ModelFile::from_bytes(lookup(0)).unwrap();
        let names: Vec<&str> = file
            .inputs()
            .iter()
            .map(|port| port.name.as_str())
            .collect();
        assert_eq!(names, ["ids"]);
        assert_eq!(file.outputs()[0].name, "rows");
        assert_eq!(file.rows_looked_up("ids"), Some(3));
        assert_eq!(file.rows_looked_up("mask"), None);
    }

    #[test]
    fn what_is_no_model_says_what_it_is() {
        let message = |bytes: Vec<u8>| ModelFile::from_bytes(bytes).unwrap_err().to_string();
        assert_eq!(message(vec![]), "not a usable model: the file is empty");
        assert!(message(vec![0x80, 4, 0x95]).contains("Python pickle"));
        assert!(message(b"hello".to_vec()).contains("no ONNX file"));
        assert!(message(lookup(1)).contains("second file"));
        let missing = ModelFile::read(Path::new("/nowhere/model.onnx")).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot read /nowhere/model.onnx")
        );
    }
}
