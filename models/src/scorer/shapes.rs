//! Operators that move elements without changing them.

use crate::data::TextColumn;
use crate::error::{ModelError, Result};
use crate::scorer::broadcast::volume;
use crate::scorer::kernel::{Attributes, Kernel, Outputs, axis, binary, input, optional, unary};
use crate::scorer::tensor::{Elements, Tensor};

/// The kernel of a moving operator, if it is one.
pub(crate) fn compile(operator: &str, attributes: &Attributes<'_>) -> Option<Kernel> {
    let along = attributes.int("axis", i64::from(operator == "Flatten"));
    let axes = attributes.ints("axes").to_vec();
    Some(match operator {
        "Identity" | "ZipMap" | "Dropout" => unary(|tensor| Ok(tensor.clone())),
        "Concat" => Box::new(move |inputs| {
            let tensors: Vec<&Tensor> = inputs.iter().flatten().copied().collect();
            concat(&tensors, along).map(Outputs::One)
        }),
        // Columns side by side, as floats.
        "FeatureVectorizer" => Box::new(move |inputs| {
            let tensors: Vec<&Tensor> = inputs.iter().flatten().copied().collect();
            concat(&tensors, 1).map(Outputs::One)
        }),
        "Reshape" => binary(|tensor, shape| reshape(tensor, shape.to_integers()?)),
        "Flatten" => unary(move |tensor| {
            let at = usize::try_from(along).unwrap_or(1).min(tensor.shape.len());
            let shape = vec![volume(&tensor.shape[..at]), volume(&tensor.shape[at..])];
            Ok(Tensor::new(shape, tensor.elements.clone()))
        }),
        "Squeeze" => Box::new(move |inputs| {
            let tensor = input(inputs, 0)?;
            squeeze(tensor, given_axes(&axes, optional(inputs, 1))?).map(Outputs::One)
        }),
        "Unsqueeze" => Box::new(move |inputs| {
            let tensor = input(inputs, 0)?;
            unsqueeze(tensor, given_axes(&axes, optional(inputs, 1))?).map(Outputs::One)
        }),
        "Gather" => binary(move |tensor, indices| gather(tensor, indices, along)),
        // Picks columns by number.
        "ArrayFeatureExtractor" => binary(|tensor, indices| {
            let indices = Tensor::new(vec![indices.len()], indices.elements.clone());
            gather(tensor, &indices, -1)
        }),
        "Transpose" => {
            let order = attributes.ints("perm").to_vec();
            unary(move |tensor| transpose(tensor, &order))
        }
        _ => return None,
    })
}

fn given_axes<'a>(attribute: &'a [i64], tensor: Option<&'a Tensor>) -> Result<&'a [i64]> {
    tensor.map_or(Ok(attribute), Tensor::to_integers)
}

/// The elements at places of the flat tensor.
fn pick(elements: &Elements, places: &[usize]) -> Elements {
    fn of<T: Copy>(values: &[T], places: &[usize]) -> Vec<T> {
        places.iter().map(|&place| values[place]).collect()
    }
    match elements {
        Elements::Float(values) => Elements::Float(of(values, places)),
        Elements::Double(values) => Elements::Double(of(values, places)),
        Elements::Integer(values) => Elements::Integer(of(values, places)),
        Elements::Boolean(values) => Elements::Boolean(of(values, places)),
        Elements::Text(text) => Elements::Text(TextColumn {
            levels: text.levels.clone(),
            codes: of(&text.codes, places),
        }),
    }
}

fn concat(tensors: &[&Tensor], along: i64) -> Result<Tensor> {
    let first = tensors
        .first()
        .ok_or_else(|| ModelError::format("`Concat` of nothing"))?;
    let place = axis(along, first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[place] = 0;
    for tensor in tensors {
        let fits = tensor.shape.len() == shape.len()
            && (0..shape.len()).all(|i| i == place || tensor.shape[i] == shape[i]);
        if !fits {
            return Err(ModelError::format(format!(
                "`Concat` of shapes {:?} and {:?}",
                first.shape, tensor.shape
            )));
        }
        shape[place] += tensor.shape[place];
    }
    let outer = volume(&shape[..place]);
    let lines: Vec<usize> = tensors
        .iter()
        .map(|tensor| volume(&tensor.shape[place..]))
        .collect();
    let elements = match &first.elements {
        Elements::Float(_) => Elements::Float(joined(tensors, &lines, outer, |t| match t {
            Elements::Float(values) => Some(values),
            _ => None,
        })?),
        Elements::Double(_) => Elements::Double(joined(tensors, &lines, outer, |t| match t {
            Elements::Double(values) => Some(values),
            _ => None,
        })?),
        Elements::Integer(_) => Elements::Integer(joined(tensors, &lines, outer, |t| match t {
            Elements::Integer(values) => Some(values),
            _ => None,
        })?),
        Elements::Boolean(_) => Elements::Boolean(joined(tensors, &lines, outer, |t| match t {
            Elements::Boolean(values) => Some(values),
            _ => None,
        })?),
        Elements::Text(_) => Elements::Text(joined_text(tensors, &lines, outer)?),
    };
    Ok(Tensor::new(shape, elements))
}

fn joined<T: Copy>(
    tensors: &[&Tensor],
    lines: &[usize],
    outer: usize,
    read: impl Fn(&Elements) -> Option<&Vec<T>>,
) -> Result<Vec<T>> {
    let parts = tensors
        .iter()
        .map(|tensor| read(&tensor.elements))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| ModelError::format("`Concat` of different types"))?;
    let mut values = Vec::with_capacity(outer * lines.iter().sum::<usize>());
    for line in 0..outer {
        for (part, length) in parts.iter().zip(lines) {
            values.extend_from_slice(&part[line * length..(line + 1) * length]);
        }
    }
    Ok(values)
}

fn joined_text(tensors: &[&Tensor], lines: &[usize], outer: usize) -> Result<TextColumn> {
    let mut texts = Vec::new();
    for line in 0..outer {
        for (tensor, length) in tensors.iter().zip(lines) {
            let Elements::Text(text) = &tensor.elements else {
                return Err(ModelError::format("`Concat` of different types"));
            };
            texts.extend((line * length..(line + 1) * length).map(|place| Some(text.get(place))));
        }
    }
    Ok(TextColumn::new(texts))
}

fn reshape(tensor: &Tensor, wanted: &[i64]) -> Result<Tensor> {
    let bad = || ModelError::format(format!("shape {:?} cannot become {wanted:?}", tensor.shape));
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (place, size) in wanted.iter().enumerate() {
        shape.push(match size {
            -1 if open.is_none() => {
                open = Some(place);
                1
            }
            0 => *tensor.shape.get(place).ok_or_else(bad)?,
            size => usize::try_from(*size).map_err(|_| bad())?,
        });
    }
    let known = shape
        .iter()
        .try_fold(1usize, |product, size| product.checked_mul(*size))
        .ok_or_else(bad)?;
    if let Some(place) = open {
        shape[place] = tensor.len().checked_div(known).unwrap_or(0);
    }
    if volume(&shape) != tensor.len() {
        return Err(bad());
    }
    Ok(Tensor::new(shape, tensor.elements.clone()))
}

fn squeeze(tensor: &Tensor, axes: &[i64]) -> Result<Tensor> {
    let places = axes
        .iter()
        .map(|at| axis(*at, tensor.shape.len()))
        .collect::<Result<Vec<_>>>()?;
    let keep =
        |place: usize, size: usize| size != 1 || !(places.is_empty() || places.contains(&place));
    let shape: Vec<usize> = tensor
        .shape
        .iter()
        .enumerate()
        .filter(|(place, size)| keep(*place, **size))
        .map(|(_, size)| *size)
        .collect();
    Ok(Tensor::new(shape, tensor.elements.clone()))
}

fn unsqueeze(tensor: &Tensor, axes: &[i64]) -> Result<Tensor> {
    let length = tensor.shape.len() + axes.len();
    let places = axes
        .iter()
        .map(|at| axis(*at, length))
        .collect::<Result<Vec<_>>>()?;
    let mut sizes = tensor.shape.iter();
    let shape = (0..length)
        .map(|place| {
            if places.contains(&place) {
                1
            } else {
                sizes.next().copied().unwrap_or(1)
            }
        })
        .collect();
    Ok(Tensor::new(shape, tensor.elements.clone()))
}

fn gather(tensor: &Tensor, indices: &Tensor, along: i64) -> Result<Tensor> {
    let place = axis(along, tensor.shape.len())?;
    let size = tensor.shape[place];
    let picks = indices
        .to_integers()?
        .iter()
        .map(|&index| {
            let index = if index < 0 {
                size.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
            } else {
                usize::try_from(index).ok()
            };
            index
                .filter(|index| *index < size)
                .ok_or_else(|| ModelError::format("`Gather` past the end"))
        })
        .collect::<Result<Vec<usize>>>()?;
    let (outer, inner) = (
        volume(&tensor.shape[..place]),
        volume(&tensor.shape[place + 1..]),
    );
    let mut places = Vec::with_capacity(outer * picks.len() * inner);
    for line in 0..outer {
        for pick in &picks {
            let start = (line * size + pick) * inner;
            places.extend(start..start + inner);
        }
    }
    let mut shape = tensor.shape[..place].to_vec();
    shape.extend_from_slice(&indices.shape);
    shape.extend_from_slice(&tensor.shape[place + 1..]);
    Ok(Tensor::new(shape, pick(&tensor.elements, &places)))
}

fn transpose(tensor: &Tensor, order: &[i64]) -> Result<Tensor> {
    let dimensions = tensor.shape.len();
    let order: Vec<usize> = if order.is_empty() {
        (0..dimensions).rev().collect()
    } else {
        order
            .iter()
            .map(|at| axis(*at, dimensions))
            .collect::<Result<_>>()?
    };
    let mut seen = order.clone();
    seen.sort_unstable();
    if seen != (0..dimensions).collect::<Vec<_>>() {
        return Err(ModelError::format("`Transpose` that drops a dimension"));
    }
    let mut strides = vec![1; dimensions];
    for place in (1..dimensions).rev() {
        strides[place - 1] = strides[place] * tensor.shape[place];
    }
    let shape: Vec<usize> = order.iter().map(|&place| tensor.shape[place]).collect();
    let places: Vec<usize> = (0..tensor.len())
        .map(|index| {
            let mut rest = index;
            let mut place = 0;
            for (axis, size) in order.iter().zip(&shape).rev() {
                place += rest % size * strides[*axis];
                rest /= size;
            }
            place
        })
        .collect();
    Ok(Tensor::new(shape, pick(&tensor.elements, &places)))
}

#[cfg(test)]
mod tests {
    use super::{concat, gather, reshape, squeeze, transpose, unsqueeze};
    use crate::scorer::tensor::{Elements, Tensor};

    fn counting(shape: &[usize]) -> Tensor {
        let length: usize = shape.iter().product();
        Tensor::new(
            shape.to_vec(),
            Elements::Integer((0..length as i64).collect()),
        )
    }

    fn whole(tensor: &Tensor) -> (&[usize], &[i64]) {
        (&tensor.shape, tensor.to_integers().unwrap())
    }

    #[test]
    fn elements_are_moved_as_in_numpy() {
        let tensor = counting(&[2, 3]);
        assert_eq!(
            whole(&transpose(&tensor, &[]).unwrap()),
            (&[3, 2][..], &[0, 3, 1, 4, 2, 5][..])
        );
        let joined = concat(&[&tensor, &counting(&[2, 1])], 1).unwrap();
        assert_eq!(whole(&joined), (&[2, 4][..], &[0, 1, 2, 0, 3, 4, 5, 1][..]));
        let indices = Tensor::new(vec![2], Elements::Integer(vec![2, -3]));
        assert_eq!(
            whole(&gather(&tensor, &indices, 1).unwrap()),
            (&[2, 2][..], &[2, 0, 5, 3][..])
        );
        assert_eq!(reshape(&tensor, &[-1, 2]).unwrap().shape, [3, 2]);
        assert_eq!(squeeze(&counting(&[1, 3, 1]), &[-1]).unwrap().shape, [1, 3]);
        assert_eq!(unsqueeze(&tensor, &[0, -1]).unwrap().shape, [1, 2, 3, 1]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let tensor = counting(&[2, 3]);
        assert!(reshape(&tensor, &[4, -1]).is_err());
        assert!(reshape(&tensor, &[i64::MAX, 2]).is_err());
        assert!(concat(&[&tensor, &counting(&[3, 1])], 1).is_err());
        let far = Tensor::new(vec![1], Elements::Integer(vec![3]));
        assert!(gather(&tensor, &far, 1).is_err());
        assert!(transpose(&tensor, &[0, 0]).is_err());
    }
}
