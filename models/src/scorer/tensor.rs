//! Tensors as they flow through a graph.

use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::onnx::proto::{TensorProto, element};

/// The elements of a tensor. Integers of every width are held in 64 bits.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// Single precision.
    Float(Vec<f32>),
    /// Double precision.
    Double(Vec<f64>),
    /// Whole numbers.
    Integer(Vec<i64>),
    /// True and false.
    Boolean(Vec<bool>),
    /// Text, by dictionary.
    Text(TextColumn),
}

/// A dense tensor, the last dimension fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Sizes.
    pub shape: Vec<usize>,
    /// Elements; as many as the product of the sizes.
    pub elements: Elements,
}

impl Tensor {
    pub(crate) fn new(shape: Vec<usize>, elements: Elements) -> Self {
        Self { shape, elements }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.elements {
            Elements::Float(values) => values.len(),
            Elements::Double(values) => values.len(),
            Elements::Integer(values) => values.len(),
            Elements::Boolean(values) => values.len(),
            Elements::Text(values) => values.codes.len(),
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows and columns, of a tensor with at most two dimensions; the rest is flattened into columns.
    pub(crate) fn matrix_shape(&self) -> (usize, usize) {
        match self.shape.as_slice() {
            [] => (1, 1),
            [columns] => (1, *columns),
            [rows, rest @ ..] => (*rows, rest.iter().product()),
        }
    }

    /// The elements as doubles; an error for text.
    #[allow(clippy::cast_precision_loss, reason = "ONNX' own cast")]
    pub(crate) fn to_doubles(&self) -> Result<Vec<f64>> {
        Ok(match &self.elements {
            Elements::Float(values) => values.iter().map(|value| f64::from(*value)).collect(),
            Elements::Double(values) => values.clone(),
            Elements::Integer(values) => values.iter().map(|value| *value as f64).collect(),
            Elements::Boolean(values) => values
                .iter()
                .map(|value| f64::from(u8::from(*value)))
                .collect(),
            Elements::Text(_) => return Err(ModelError::format("text where numbers are wanted")),
        })
    }

    /// The elements as integers; an error for anything else.
    pub(crate) fn to_integers(&self) -> Result<&[i64]> {
        match &self.elements {
            Elements::Integer(values) => Ok(values),
            _ => Err(ModelError::format("a tensor of whole numbers is wanted")),
        }
    }

    /// Reads a stored tensor, with its size checked against its content.
    pub(crate) fn read(stored: &TensorProto) -> Result<Self> {
        if stored.data_location != 0 {
            return Err(ModelError::format(
                "it keeps its weights in a second file; save it as one file",
            ));
        }
        let shape = stored
            .dims
            .iter()
            .map(|size| usize::try_from(*size))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|_| ModelError::format("a tensor with a negative size"))?;
        let tensor = Self::new(shape, elements(stored)?);
        let wanted = tensor
            .shape
            .iter()
            .try_fold(1usize, |product, size| product.checked_mul(*size));
        if wanted != Some(tensor.len()) {
            return Err(ModelError::format(format!(
                "tensor `{}` has {} elements for the shape {:?}",
                stored.name,
                tensor.len(),
                tensor.shape
            )));
        }
        Ok(tensor)
    }
}

fn elements(stored: &TensorProto) -> Result<Elements> {
    let raw = &stored.raw_data;
    let small = |values: &[i32]| values.iter().map(|value| i64::from(*value)).collect();
    Ok(match stored.data_type {
        element::FLOAT if raw.is_empty() => Elements::Float(stored.float_data.clone()),
        element::FLOAT => Elements::Float(fixed(raw, f32::from_le_bytes)?),
        element::DOUBLE if raw.is_empty() => Elements::Double(stored.double_data.clone()),
        element::DOUBLE => Elements::Double(fixed(raw, f64::from_le_bytes)?),
        element::INT64 if raw.is_empty() => Elements::Integer(stored.int64_data.clone()),
        element::INT64 => Elements::Integer(fixed(raw, i64::from_le_bytes)?),
        element::INT32 | element::INT16 | element::UINT16 | element::INT8 | element::UINT8
            if raw.is_empty() =>
        {
            Elements::Integer(small(&stored.int32_data))
        }
        element::INT32 => Elements::Integer(fixed(raw, |b| i64::from(i32::from_le_bytes(b)))?),
        element::UINT32 => Elements::Integer(fixed(raw, |b| i64::from(u32::from_le_bytes(b)))?),
        element::INT16 => Elements::Integer(fixed(raw, |b| i64::from(i16::from_le_bytes(b)))?),
        element::UINT16 => Elements::Integer(fixed(raw, |b| i64::from(u16::from_le_bytes(b)))?),
        element::INT8 => Elements::Integer(fixed(raw, |b| i64::from(i8::from_le_bytes(b)))?),
        element::UINT8 => Elements::Integer(raw.iter().map(|byte| i64::from(*byte)).collect()),
        element::BOOL if raw.is_empty() => {
            Elements::Boolean(stored.int32_data.iter().map(|value| *value != 0).collect())
        }
        element::BOOL => Elements::Boolean(raw.iter().map(|byte| *byte != 0).collect()),
        element::STRING => {
            let texts = stored
                .string_data
                .iter()
                .map(|bytes| std::str::from_utf8(bytes).map(Some))
                .collect::<std::result::Result<Vec<_>, _>>()
                .map_err(|_| ModelError::format("text that is not UTF-8"))?;
            Elements::Text(TextColumn::new(texts))
        }
        other => {
            return Err(ModelError::format(format!(
                "tensors of element type {other}"
            )));
        }
    })
}

fn fixed<const SIZE: usize, T>(raw: &[u8], read: impl Fn([u8; SIZE]) -> T) -> Result<Vec<T>> {
    let (values, rest) = raw.as_chunks::<SIZE>();
    if !rest.is_empty() {
        return Err(ModelError::format("a tensor with half an element"));
    }
    Ok(values.iter().map(|bytes| read(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::{Elements, Tensor};
    use crate::onnx::proto::{TensorProto, element};

    #[test]
    fn a_tensor_must_be_as_large_as_it_says() {
        let good = TensorProto {
            dims: vec![2],
            data_type: element::FLOAT,
            raw_data: [1.5f32.to_le_bytes(), 2.5f32.to_le_bytes()].concat(),
            ..TensorProto::default()
        };
        assert_eq!(
            Tensor::read(&good).unwrap().elements,
            Elements::Float(vec![1.5, 2.5])
        );
        let bad = [
            TensorProto {
                dims: vec![3],
                ..good.clone()
            },
            TensorProto {
                dims: vec![-1],
                ..good.clone()
            },
            TensorProto {
                dims: vec![i64::MAX, i64::MAX],
                ..good.clone()
            },
            TensorProto {
                raw_data: vec![0; 7],
                ..good.clone()
            },
            TensorProto {
                data_type: 99,
                ..good.clone()
            },
            TensorProto {
                data_location: 1,
                ..good
            },
        ];
        for tensor in bad {
            assert!(Tensor::read(&tensor).is_err(), "{tensor:?}");
        }
    }
}
