//! `Cast`: between numbers, flags and texts.

use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::onnx::proto::element;
use crate::scorer::tensor::{Elements, Tensor};

/// A tensor with elements of another type.
#[allow(clippy::cast_possible_truncation, reason = "a cast truncates")]
pub(super) fn cast(tensor: &Tensor, to: i32) -> Result<Tensor> {
    let elements = match (to, &tensor.elements) {
        (element::STRING, elements) => Elements::Text(written(elements)),
        (_, Elements::Text(text)) => parsed(text, to)?,
        (element::DOUBLE, _) => Elements::Double(tensor.to_doubles()?),
        (element::FLOAT, _) => Elements::Float(
            tensor
                .to_doubles()?
                .into_iter()
                .map(|value| value as f32)
                .collect(),
        ),
        (element::BOOL, _) => Elements::Boolean(
            tensor
                .to_doubles()?
                .into_iter()
                .map(|value| value != 0.0)
                .collect(),
        ),
        (element::INT64 | element::INT32, Elements::Integer(values)) => {
            Elements::Integer(values.clone())
        }
        (element::INT64 | element::INT32, _) => Elements::Integer(
            tensor
                .to_doubles()?
                .into_iter()
                .map(|value| value as i64)
                .collect(),
        ),
        _ => return Err(ModelError::format(format!("a cast to element type {to}"))),
    };
    Ok(Tensor::new(tensor.shape.clone(), elements))
}

fn written(elements: &Elements) -> TextColumn {
    let texts: Vec<String> = match elements {
        Elements::Float(values) => values.iter().map(ToString::to_string).collect(),
        Elements::Double(values) => values.iter().map(ToString::to_string).collect(),
        Elements::Integer(values) => values.iter().map(ToString::to_string).collect(),
        Elements::Boolean(values) => values.iter().map(ToString::to_string).collect(),
        Elements::Text(text) => return text.clone(),
    };
    TextColumn::new(texts.iter().map(|text| Some(text.as_str())))
}

#[allow(clippy::cast_possible_truncation, reason = "a cast truncates")]
fn parsed(text: &TextColumn, to: i32) -> Result<Elements> {
    let numbers = (0..text.codes.len())
        .map(|row| {
            text.get(row).parse::<f64>().map_err(|_| {
                ModelError::data(format!("the text \"{}\" is not a number", text.get(row)))
            })
        })
        .collect::<Result<Vec<f64>>>()?;
    Ok(match to {
        element::DOUBLE => Elements::Double(numbers),
        element::FLOAT => Elements::Float(numbers.into_iter().map(|value| value as f32).collect()),
        _ => Elements::Integer(numbers.into_iter().map(|value| value as i64).collect()),
    })
}
