//! What a node becomes when a graph is loaded: a function from tensors to tensors.

use crate::error::{ModelError, Result};
use crate::onnx::proto::{AttributeProto, NodeProto, TensorProto};
use crate::scorer::tensor::Tensor;

/// The inputs of a node; an optional one may be missing.
pub(crate) type Inputs<'a> = [Option<&'a Tensor>];

/// A compiled node.
pub(crate) type Kernel = Box<dyn Fn(&Inputs<'_>) -> Result<Outputs> + Send + Sync>;

/// What a node answers.
pub(crate) enum Outputs {
    One(Tensor),
    Two(Tensor, Tensor),
}

/// The input at a place.
pub(crate) fn input<'a>(inputs: &Inputs<'a>, place: usize) -> Result<&'a Tensor> {
    inputs
        .get(place)
        .copied()
        .flatten()
        .ok_or_else(|| ModelError::format(format!("an operator lacks its input {place}")))
}

/// An optional input.
pub(crate) fn optional<'a>(inputs: &Inputs<'a>, place: usize) -> Option<&'a Tensor> {
    inputs.get(place).copied().flatten()
}

/// A kernel of one input.
pub(crate) fn unary(
    function: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Kernel {
    Box::new(move |inputs| function(input(inputs, 0)?).map(Outputs::One))
}

/// A kernel of two inputs.
pub(crate) fn binary(
    function: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Kernel {
    Box::new(move |inputs| function(input(inputs, 0)?, input(inputs, 1)?).map(Outputs::One))
}

/// The attributes of a node.
pub(crate) struct Attributes<'a>(pub(crate) &'a NodeProto);

impl<'a> Attributes<'a> {
    fn get(&self, name: &str) -> Option<&'a AttributeProto> {
        self.0
            .attribute
            .iter()
            .find(|attribute| attribute.name == name)
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.get(name).map_or(default, |attribute| attribute.i)
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.get(name).map_or(default, |attribute| attribute.f)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn text(&self, name: &str, default: &'a str) -> Result<&'a str> {
        match self.get(name) {
            None => Ok(default),
            Some(attribute) => utf8(&attribute.s),
        }
    }

    pub(crate) fn ints(&self, name: &str) -> &'a [i64] {
        self.get(name).map_or(&[], |attribute| &attribute.ints)
    }

    pub(crate) fn floats(&self, name: &str) -> &'a [f32] {
        self.get(name).map_or(&[], |attribute| &attribute.floats)
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'a str>> {
        self.get(name).map_or(Ok(Vec::new()), |attribute| {
            attribute.strings.iter().map(|s| utf8(s)).collect()
        })
    }

    pub(crate) fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.get(name).and_then(|attribute| attribute.t.as_ref())
    }

    /// Numbers given as floats, or exactly as a tensor of doubles under `<name>_as_tensor`.
    pub(crate) fn doubles(&self, name: &str) -> Result<Vec<f64>> {
        match self.tensor(&format!("{name}_as_tensor")) {
            Some(stored) => Tensor::read(stored)?.to_doubles(),
            None => Ok(self
                .floats(name)
                .iter()
                .map(|value| f64::from(*value))
                .collect()),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| ModelError::format("text that is not UTF-8"))
}

/// The dimension that an axis, counted from the end when negative, names.
pub(crate) fn axis(axis: i64, dimensions: usize) -> Result<usize> {
    let place = if axis < 0 {
        dimensions.checked_sub(usize::try_from(axis.unsigned_abs()).unwrap_or(usize::MAX))
    } else {
        usize::try_from(axis).ok()
    };
    place
        .filter(|place| *place < dimensions)
        .ok_or_else(|| ModelError::format(format!("axis {axis} of {dimensions} dimensions")))
}
