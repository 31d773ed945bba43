//! Operators that work along an axis: sums, soft-max, the largest; and products of matrices.

use crate::error::{ModelError, Result};
use crate::estimators::soft_max;
use crate::scorer::broadcast::volume;
use crate::scorer::kernel::{Attributes, Kernel, Outputs, axis, binary, input, optional, unary};
use crate::scorer::tensor::{Elements, Tensor};

/// The kernel of such an operator, if it is one.
pub(crate) fn compile(operator: &str, attributes: &Attributes<'_>) -> Option<Kernel> {
    let along = attributes.int("axis", if operator.starts_with("Arg") { 0 } else { -1 });
    let keep = attributes.int("keepdims", 1) != 0;
    let axes = attributes.ints("axes").to_vec();
    let last_wins = attributes.int("select_last_index", 0) != 0;
    Some(match operator {
        "Softmax" => unary(move |tensor| normalise(tensor, along, soft_max)),
        "LogSoftmax" => unary(move |tensor| normalise(tensor, along, log_soft_max)),
        "ArgMax" => unary(move |tensor| extreme(tensor, along, keep, last_wins, |a, b| a > b)),
        "ArgMin" => unary(move |tensor| extreme(tensor, along, keep, last_wins, |a, b| a < b)),
        "MatMul" => binary(matmul),
        "Gemm" => gemm(attributes),
        "TopK" => {
            let largest = attributes.int("largest", 1) != 0;
            Box::new(move |inputs| {
                let wanted = input(inputs, 1)?.to_integers()?.first().copied();
                top(input(inputs, 0)?, wanted.unwrap_or(0), along, largest)
            })
        }
        _ => {
            let reduction = reduction(operator)?;
            Box::new(move |inputs| {
                let given = optional(inputs, 1).map(Tensor::to_integers).transpose()?;
                reduce(input(inputs, 0)?, given.unwrap_or(&axes), keep, reduction).map(Outputs::One)
            })
        }
    })
}

type Reduction = fn(&[f64]) -> f64;

#[allow(clippy::cast_precision_loss, reason = "a number of elements")]
fn reduction(operator: &str) -> Option<Reduction> {
    Some(match operator {
        "ReduceSum" => |values| values.iter().sum(),
        "ReduceMean" => |values| values.iter().sum::<f64>() / values.len() as f64,
        "ReduceMax" => |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "ReduceMin" => |values| values.iter().copied().fold(f64::INFINITY, f64::min),
        "ReduceProd" => |values| values.iter().product(),
        "ReduceSumSquare" => |values| values.iter().map(|value| value * value).sum(),
        "ReduceL1" => |values| values.iter().map(|value| value.abs()).sum(),
        "ReduceL2" => |values| values.iter().map(|value| value * value).sum::<f64>().sqrt(),
        "ReduceLogSumExp" => |values| {
            let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            largest
                + values
                    .iter()
                    .map(|value| (value - largest).exp())
                    .sum::<f64>()
                    .ln()
        },
        _ => return None,
    })
}

/// Doubles back in the precision of the tensor they came from.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the operator answers in its input's precision"
)]
fn like(tensor: &Tensor, shape: Vec<usize>, values: Vec<f64>) -> Tensor {
    let elements = match &tensor.elements {
        Elements::Float(_) => {
            Elements::Float(values.into_iter().map(|value| value as f32).collect())
        }
        Elements::Integer(_) => {
            Elements::Integer(values.into_iter().map(|value| value as i64).collect())
        }
        _ => Elements::Double(values),
    };
    Tensor::new(shape, elements)
}

fn log_soft_max(values: &mut [f64]) {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = values.iter().map(|value| (value - largest).exp()).sum();
    values
        .iter_mut()
        .for_each(|value| *value -= largest + total.ln());
}

fn normalise(tensor: &Tensor, along: i64, function: fn(&mut [f64])) -> Result<Tensor> {
    let place = axis(along, tensor.shape.len())?;
    if place + 1 != tensor.shape.len() {
        return Err(ModelError::format("soft-max along an inner axis"));
    }
    let mut values = tensor.to_doubles()?;
    if let Some(size) = tensor.shape.last().filter(|size| **size > 0) {
        values.chunks_exact_mut(*size).for_each(function);
    }
    Ok(like(tensor, tensor.shape.clone(), values))
}

fn extreme(
    tensor: &Tensor,
    along: i64,
    keep: bool,
    last_wins: bool,
    better: fn(f64, f64) -> bool,
) -> Result<Tensor> {
    let place = axis(along, tensor.shape.len())?;
    let values = tensor.to_doubles()?;
    let size = tensor.shape[place];
    if size == 0 {
        return Err(ModelError::format("the largest of nothing"));
    }
    let (outer, inner) = (
        volume(&tensor.shape[..place]),
        volume(&tensor.shape[place + 1..]),
    );
    let mut answer = Vec::with_capacity(outer * inner);
    for line in 0..outer {
        for column in 0..inner {
            let value = |index: usize| values[(line * size + index) * inner + column];
            let best = (1..size).fold(0, |best, index| {
                let wins = better(value(index), value(best))
                    || (last_wins && !better(value(best), value(index)));
                if wins { index } else { best }
            });
            answer.push(i64::try_from(best).unwrap_or(i64::MAX));
        }
    }
    Ok(Tensor::new(
        reduced_shape(&tensor.shape, &[place], keep),
        Elements::Integer(answer),
    ))
}

/// The largest (or smallest) of every row with their places, sorted; of equal ones the first.
fn top(tensor: &Tensor, wanted: i64, along: i64, largest: bool) -> Result<Outputs> {
    let place = axis(along, tensor.shape.len())?;
    if place + 1 != tensor.shape.len() {
        return Err(ModelError::format("`TopK` along an inner axis"));
    }
    let size = tensor.shape[place];
    let wanted = usize::try_from(wanted)
        .ok()
        .filter(|wanted| (1..=size).contains(wanted))
        .ok_or_else(|| ModelError::format(format!("`TopK` of {wanted} among {size}")))?;
    let values = tensor.to_doubles()?;
    let lines = values.len() / size;
    let (mut found, mut places) = (
        Vec::with_capacity(lines * wanted),
        Vec::with_capacity(lines * wanted),
    );
    for line in values.chunks_exact(size) {
        let order = |a: &usize, b: &usize| {
            let (one, other) = if largest { (b, a) } else { (a, b) };
            line[*one].total_cmp(&line[*other]).then(a.cmp(b))
        };
        let mut order_of: Vec<usize> = (0..size).collect();
        if wanted < size {
            order_of.select_nth_unstable_by(wanted - 1, order);
            order_of.truncate(wanted);
        }
        order_of.sort_unstable_by(order);
        found.extend(order_of.iter().map(|index| line[*index]));
        places.extend(
            order_of
                .into_iter()
                .map(|index| i64::try_from(index).unwrap_or(i64::MAX)),
        );
    }
    let mut shape = tensor.shape.clone();
    shape[place] = wanted;
    Ok(Outputs::Two(
        like(tensor, shape.clone(), found),
        Tensor::new(shape, Elements::Integer(places)),
    ))
}

fn reduced_shape(shape: &[usize], places: &[usize], keep: bool) -> Vec<usize> {
    let mut reduced = Vec::with_capacity(shape.len());
    for (place, size) in shape.iter().enumerate() {
        if !places.contains(&place) {
            reduced.push(*size);
        } else if keep {
            reduced.push(1);
        }
    }
    reduced
}

fn reduce(tensor: &Tensor, axes: &[i64], keep: bool, function: Reduction) -> Result<Tensor> {
    let dimensions = tensor.shape.len();
    let places = if axes.is_empty() {
        (0..dimensions).collect()
    } else {
        axes.iter()
            .map(|at| axis(*at, dimensions))
            .collect::<Result<Vec<_>>>()?
    };
    let values = tensor.to_doubles()?;
    let mut groups = vec![Vec::new(); volume(&reduced_shape(&tensor.shape, &places, true))];
    for (index, value) in values.into_iter().enumerate() {
        let (mut rest, mut group, mut stride) = (index, 0, 1);
        for (place, size) in tensor.shape.iter().enumerate().rev() {
            if !places.contains(&place) {
                group += rest % size * stride;
                stride *= size;
            }
            rest /= size;
        }
        groups[group].push(value);
    }
    let values = groups.iter().map(|group| function(group)).collect();
    Ok(like(
        tensor,
        reduced_shape(&tensor.shape, &places, keep),
        values,
    ))
}

/// `[n, k] · [k, m]`, summed in double precision.
fn product(one: &[f64], other: &[f64], inner: usize, columns: usize) -> Vec<f64> {
    let rows = one.len().checked_div(inner).unwrap_or(0);
    let mut answer = vec![0.0; rows * columns];
    for (row, answer) in one
        .chunks_exact(inner.max(1))
        .zip(answer.chunks_exact_mut(columns.max(1)))
    {
        for (value, weights) in row.iter().zip(other.chunks_exact(columns.max(1))) {
            for (answer, weight) in answer.iter_mut().zip(weights) {
                *answer += value * weight;
            }
        }
    }
    answer
}

fn matmul(one: &Tensor, other: &Tensor) -> Result<Tensor> {
    let ([rows, inner], [height, columns]) = (one.shape.as_slice(), other.shape.as_slice()) else {
        return Err(ModelError::format(
            "`MatMul` of tensors that are no matrices",
        ));
    };
    if inner != height {
        return Err(ModelError::format(format!(
            "`MatMul` of shapes {:?} and {:?}",
            one.shape, other.shape
        )));
    }
    let values = match (&one.elements, &other.elements) {
        (Elements::Double(a), Elements::Double(b)) => product(a, b, *inner, *columns),
        _ => product(&one.to_doubles()?, &other.to_doubles()?, *inner, *columns),
    };
    Ok(like(one, vec![*rows, *columns], values))
}

fn gemm(attributes: &Attributes<'_>) -> Kernel {
    let flag = |name| attributes.int(name, 0) != 0;
    let (first, second) = (flag("transA"), flag("transB"));
    let alpha = f64::from(attributes.float("alpha", 1.0));
    let beta = f64::from(attributes.float("beta", 1.0));
    Box::new(move |inputs| {
        let (one, other) = (input(inputs, 0)?, input(inputs, 1)?);
        let (a, rows, inner) = turned(one, first)?;
        let (b, height, columns) = turned(other, second)?;
        if inner != height {
            return Err(ModelError::format(
                "`Gemm` of shapes that do not go together",
            ));
        }
        let mut values = product(&a, &b, inner, columns);
        values.iter_mut().for_each(|value| *value *= alpha);
        if let Some(bias) = optional(inputs, 2) {
            let bias_values = bias.to_doubles()?;
            let (_, sums) = crate::scorer::broadcast::combine(
                (&values, &[rows, columns]),
                (&bias_values, &bias.shape),
                |value, bias| value + beta * bias,
            )?;
            values = sums;
        }
        Ok(Outputs::One(like(one, vec![rows, columns], values)))
    })
}

fn turned(tensor: &Tensor, turn: bool) -> Result<(Vec<f64>, usize, usize)> {
    let [rows, columns] = tensor.shape.as_slice() else {
        return Err(ModelError::format("`Gemm` of tensors that are no matrices"));
    };
    let values = tensor.to_doubles()?;
    if !turn {
        return Ok((values, *rows, *columns));
    }
    let turned = (0..values.len())
        .map(|index| values[index % rows * columns + index / rows])
        .collect();
    Ok((turned, *columns, *rows))
}

#[cfg(test)]
mod tests {
    use super::{extreme, matmul, reduce, top, turned};
    use crate::scorer::kernel::Outputs;
    use crate::scorer::tensor::{Elements, Tensor};

    fn doubles(shape: &[usize], values: &[f64]) -> Tensor {
        Tensor::new(shape.to_vec(), Elements::Double(values.to_vec()))
    }

    #[test]
    fn products_and_sums_along_axes() {
        let tensor = doubles(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let answer = matmul(&tensor, &doubles(&[3, 1], &[1.0, 0.0, -1.0])).unwrap();
        assert_eq!(answer, doubles(&[2, 1], &[-2.0, -2.0]));
        let sum = |values: &[f64]| values.iter().sum();
        assert_eq!(
            reduce(&tensor, &[1], false, sum).unwrap(),
            doubles(&[2], &[6.0, 15.0])
        );
        assert_eq!(
            reduce(&tensor, &[0], true, sum).unwrap(),
            doubles(&[1, 3], &[5.0, 7.0, 9.0])
        );
        assert_eq!(
            turned(&tensor, true).unwrap().0,
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }

    #[test]
    fn the_nearest_come_first_and_of_equal_ones_the_first() {
        let tensor = doubles(&[2, 3], &[2.0, 1.0, 1.0, 0.0, 5.0, -1.0]);
        let Outputs::Two(values, places) = top(&tensor, 2, 1, false).unwrap() else {
            panic!("two outputs")
        };
        assert_eq!(values, doubles(&[2, 2], &[1.0, 1.0, -1.0, 0.0]));
        assert_eq!(places.to_integers().unwrap(), [1, 2, 2, 0]);
        assert!(top(&tensor, 4, 1, true).is_err());
    }

    #[test]
    fn the_first_of_equal_ones_wins() {
        let tensor = doubles(&[2, 3], &[1.0, 2.0, 2.0, 0.0, 0.0, 0.0]);
        let largest = |last| extreme(&tensor, 1, false, last, |a, b| a > b).unwrap();
        assert_eq!(largest(false).to_integers().unwrap(), [1, 0]);
        assert_eq!(largest(true).to_integers().unwrap(), [2, 2]);
    }
}
