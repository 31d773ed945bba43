//! Preparation operators of the machine-learning domain: encoders, scalers, imputers; and `StringNormalizer`.

use std::sync::Arc;

use crate::data::{TextColumn, lower, upper};
use crate::error::{ModelError, Result};
use crate::scorer::kernel::{Attributes, Kernel, unary};
use crate::scorer::label_encoder::{label_encoder, places};
use crate::scorer::tensor::{Elements, Tensor};

/// The kernel of a preparation operator, if it is one.
pub(crate) fn compile(operator: &str, attributes: &Attributes<'_>) -> Result<Option<Kernel>> {
    Ok(Some(match operator {
        "LabelEncoder" => label_encoder(attributes)?,
        "OneHotEncoder" => one_hot(attributes)?,
        "Scaler" => scaler(attributes),
        "Imputer" => imputer(attributes),
        "Normalizer" => normalizer(attributes)?,
        "Binarizer" => {
            let threshold = attributes.float("threshold", 0.0);
            unary(move |tensor| {
                let values = tensor.to_doubles()?;
                let flags = values
                    .into_iter()
                    .map(|v| f32::from(u8::from(v > f64::from(threshold))));
                Ok(Tensor::new(
                    tensor.shape.clone(),
                    Elements::Float(flags.collect()),
                ))
            })
        }
        "StringNormalizer" => string_normalizer(attributes)?,
        _ => return Ok(None),
    }))
}

fn one_hot(attributes: &Attributes<'_>) -> Result<Kernel> {
    let texts = attributes.texts("cats_strings")?;
    let integers = attributes.ints("cats_int64s");
    let width = texts.len().max(integers.len());
    let zeros = attributes.int("zeros", 1) != 0;
    let text_places = places(texts.into_iter().map(str::to_owned));
    let integer_places = places(integers.iter().copied());
    Ok(unary(move |tensor| {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "categories given as floats are whole"
        )]
        let places: Vec<Option<usize>> = match &tensor.elements {
            Elements::Text(text) => (0..text.codes.len())
                .map(|row| text_places.get(text.get(row)).copied())
                .collect(),
            Elements::Integer(values) => values
                .iter()
                .map(|value| integer_places.get(value).copied())
                .collect(),
            _ => tensor
                .to_doubles()?
                .iter()
                .map(|value| integer_places.get(&(*value as i64)).copied())
                .collect(),
        };
        if !zeros && places.contains(&None) {
            return Err(ModelError::data("a category that the model does not know"));
        }
        let mut flags = vec![0.0f32; places.len() * width];
        for (row, place) in places.iter().enumerate() {
            if let Some(place) = place {
                flags[row * width + place] = 1.0;
            }
        }
        let mut shape = tensor.shape.clone();
        shape.push(width);
        Ok(Tensor::new(shape, Elements::Float(flags)))
    }))
}

/// A parameter for every column, or one for all.
fn of_column(values: &[f32], column: usize, default: f32) -> f32 {
    match values {
        [] => default,
        [one] => *one,
        many => many.get(column).copied().unwrap_or(default),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the operator answers in single precision"
)]
fn scaler(attributes: &Attributes<'_>) -> Kernel {
    let offsets = attributes.floats("offset").to_vec();
    let scales = attributes.floats("scale").to_vec();
    unary(move |tensor| {
        let (_, columns) = tensor.matrix_shape();
        let values = tensor
            .to_doubles()?
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                let column = index % columns.max(1);
                let offset = of_column(&offsets, column, 0.0);
                let scale = of_column(&scales, column, 1.0);
                if matches!(tensor.elements, Elements::Double(_)) {
                    ((value - f64::from(offset)) * f64::from(scale)) as f32
                } else {
                    (value as f32 - offset) * scale
                }
            });
        Ok(Tensor::new(
            tensor.shape.clone(),
            Elements::Float(values.collect()),
        ))
    })
}

fn imputer(attributes: &Attributes<'_>) -> Kernel {
    let fills = attributes.floats("imputed_value_floats").to_vec();
    let replaced = attributes.float("replaced_value_float", 0.0);
    let whole_fills = attributes.ints("imputed_value_int64s").to_vec();
    let whole_replaced = attributes.int("replaced_value_int64", 0);
    unary(move |tensor| {
        let columns = tensor.matrix_shape().1.max(1);
        #[allow(clippy::float_cmp, reason = "the operator is exact")]
        let missing = |value: f64| {
            if replaced.is_nan() {
                value.is_nan()
            } else {
                value == f64::from(replaced)
            }
        };
        let elements = match &tensor.elements {
            Elements::Float(values) => Elements::Float(
                values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| {
                        if missing(f64::from(*value)) {
                            of_column(&fills, index % columns, 0.0)
                        } else {
                            *value
                        }
                    })
                    .collect(),
            ),
            Elements::Double(values) => Elements::Double(
                values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| {
                        if missing(*value) {
                            f64::from(of_column(&fills, index % columns, 0.0))
                        } else {
                            *value
                        }
                    })
                    .collect(),
            ),
            Elements::Integer(values) => Elements::Integer(
                values
                    .iter()
                    .enumerate()
                    .map(|(index, value)| {
                        let place = if whole_fills.len() == 1 {
                            0
                        } else {
                            index % columns
                        };
                        if *value == whole_replaced {
                            whole_fills.get(place).copied().unwrap_or(*value)
                        } else {
                            *value
                        }
                    })
                    .collect(),
            ),
            _ => return Err(ModelError::format("an `Imputer` of text")),
        };
        Ok(Tensor::new(tensor.shape.clone(), elements))
    })
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the operator answers in single precision"
)]
fn normalizer(attributes: &Attributes<'_>) -> Result<Kernel> {
    let norm: fn(&[f64]) -> f64 = match attributes.text("norm", "MAX")? {
        "L1" => |row| row.iter().map(|value| value.abs()).sum(),
        "L2" => |row| row.iter().map(|value| value * value).sum::<f64>().sqrt(),
        "MAX" => |row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        other => return Err(ModelError::format(format!("a `Normalizer` by {other}"))),
    };
    Ok(unary(move |tensor| {
        let columns = tensor.matrix_shape().1.max(1);
        let mut values = tensor.to_doubles()?;
        for row in values.chunks_exact_mut(columns) {
            let size = norm(row);
            if size != 0.0 {
                row.iter_mut().for_each(|value| *value /= size);
            }
        }
        let values = values.into_iter().map(|value| value as f32).collect();
        Ok(Tensor::new(tensor.shape.clone(), Elements::Float(values)))
    }))
}

fn string_normalizer(attributes: &Attributes<'_>) -> Result<Kernel> {
    let change: fn(&str) -> String = match attributes.text("case_change_action", "NONE")? {
        "LOWER" => lower,
        "UPPER" => upper,
        "NONE" => str::to_owned,
        other => {
            return Err(ModelError::format(format!(
                "a `StringNormalizer` with {other}"
            )));
        }
    };
    if !attributes.texts("stopwords")?.is_empty() {
        return Err(ModelError::format("a `StringNormalizer` with stop words"));
    }
    Ok(unary(move |tensor| {
        let Elements::Text(text) = &tensor.elements else {
            return Err(ModelError::format("a `StringNormalizer` of numbers"));
        };
        let text = if text.levels.len() > text.codes.len() {
            let changed: Vec<String> = (0..text.codes.len())
                .map(|row| change(text.get(row)))
                .collect();
            TextColumn::new(changed.iter().map(|text| Some(&**text)))
        } else {
            let levels = text.levels.iter();
            TextColumn {
                levels: Arc::new(levels.map(|level| change(level).into()).collect()),
                codes: text.codes.clone(),
            }
        };
        Ok(Tensor::new(tensor.shape.clone(), Elements::Text(text)))
    }))
}
