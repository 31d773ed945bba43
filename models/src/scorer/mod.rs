//! The built-in scorer: runs ONNX graphs of tabular operators.

mod answer;
mod broadcast;
mod cast;
mod elementwise;
mod encode;
mod foreign;
mod graph;
mod kernel;
mod label_encoder;
mod model;
mod predict;
mod questions;
mod ranking;
mod reduce;
mod shapes;
mod tensor;
mod trees;
mod unseen;
mod words;

pub(crate) use answer::added_columns;
pub use answer::{Answer, Prediction};
pub(crate) use graph::decode;
pub use graph::{ElementKind, Graph, Port, Session};
pub(crate) use graph::{is_pickle, port, unknown_operators};
pub(crate) use kernel::Attributes;
pub use model::{Cell, Model, Score};
pub(crate) use questions::Questions;
pub use tensor::{Elements, Tensor};
pub(crate) use trees::{Trees, read_trees};
pub use unseen::Unseen;
