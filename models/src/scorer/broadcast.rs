//! numpy's broadcasting of shapes.

use crate::error::{ModelError, Result};

/// The shape that two shapes broadcast to.
pub(crate) fn common(one: &[usize], other: &[usize]) -> Result<Vec<usize>> {
    let length = one.len().max(other.len());
    let size = |shape: &[usize], place: usize| {
        (place + shape.len())
            .checked_sub(length)
            .map_or(1, |index| shape[index])
    };
    (0..length)
        .map(|place| match (size(one, place), size(other, place)) {
            (a, b) if a == b => Ok(a),
            (1, size) | (size, 1) => Ok(size),
            _ => Err(ModelError::format(format!(
                "shapes {one:?} and {other:?} do not go together"
            ))),
        })
        .collect()
}

/// Applies a function to the pairs of two broadcast tensors.
pub(crate) fn combine<A: Copy, B: Copy, R>(
    (one, one_shape): (&[A], &[usize]),
    (other, other_shape): (&[B], &[usize]),
    function: impl Fn(A, B) -> R,
) -> Result<(Vec<usize>, Vec<R>)> {
    if one_shape == other_shape {
        let values = one
            .iter()
            .zip(other)
            .map(|(a, b)| function(*a, *b))
            .collect();
        return Ok((one_shape.to_vec(), values));
    }
    let shape = common(one_shape, other_shape)?;
    let values = match (one, other) {
        (_, [value]) if one.len() == volume(&shape) => {
            one.iter().map(|a| function(*a, *value)).collect()
        }
        ([value], _) if other.len() == volume(&shape) => {
            other.iter().map(|b| function(*value, *b)).collect()
        }
        _ => {
            let ones = Walk::new(one_shape, &shape);
            let others = Walk::new(other_shape, &shape);
            let mut values = Vec::with_capacity(volume(&shape));
            let inner = shape.last().copied().unwrap_or(1);
            for line in 0..volume(&shape).checked_div(inner).unwrap_or(0) {
                let (start, other_start) = (ones.line(line, &shape), others.line(line, &shape));
                for place in 0..inner {
                    let a = one[start + place * ones.step];
                    let b = other[other_start + place * others.step];
                    values.push(function(a, b));
                }
            }
            values
        }
    };
    Ok((shape, values))
}

/// A tensor's elements, repeated to fill a shape that it broadcasts to.
pub(crate) fn expand<T: Copy>(values: &[T], from: &[usize], shape: &[usize]) -> Result<Vec<T>> {
    if common(from, shape)? != shape {
        return Err(ModelError::format(format!(
            "shape {from:?} does not fill {shape:?}"
        )));
    }
    let walk = Walk::new(from, shape);
    let inner = shape.last().copied().unwrap_or(1);
    let mut filled = Vec::with_capacity(volume(shape));
    for line in 0..volume(shape).checked_div(inner).unwrap_or(0) {
        let start = walk.line(line, shape);
        filled.extend((0..inner).map(|place| values[start + place * walk.step]));
    }
    Ok(filled)
}

/// Number of elements.
pub(crate) fn volume(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// How a tensor is walked while the common shape is walked line by line.
struct Walk {
    /// Elements to go on per step of every dimension but the last; 0 where it is repeated.
    strides: Vec<usize>,
    /// The same for the last dimension.
    step: usize,
}

impl Walk {
    fn new(from: &[usize], shape: &[usize]) -> Self {
        let mut strides = vec![0; shape.len()];
        let mut stride = 1;
        let skipped = shape.len() - from.len();
        for (place, size) in from.iter().enumerate().rev() {
            if *size != 1 {
                strides[skipped + place] = stride;
            }
            stride *= size;
        }
        let step = strides.pop().unwrap_or(0);
        Self { strides, step }
    }

    fn line(&self, line: usize, shape: &[usize]) -> usize {
        let mut rest = line;
        let mut start = 0;
        for (stride, size) in self.strides.iter().zip(shape).rev() {
            start += rest % size * stride;
            rest /= size;
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::{combine, expand};

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        let columns = [10, 20];
        let row = [1, 2, 3];
        let add = |a: i32, b: i32| a + b;
        let (shape, values) = combine((&columns, &[2, 1]), (&row, &[1, 3]), add).unwrap();
        assert_eq!((shape, values), (vec![2, 3], vec![11, 12, 13, 21, 22, 23]));
        let (shape, values) = combine((&row, &[3]), (&[5], &[]), add).unwrap();
        assert_eq!((shape, values), (vec![3], vec![6, 7, 8]));
        let cube: Vec<i32> = (0..12).collect();
        let (_, values) = combine((&cube, &[2, 3, 2]), (&row, &[3, 1]), add).unwrap();
        assert_eq!(values, [1, 2, 4, 5, 7, 8, 7, 8, 10, 11, 13, 14]);
        assert!(combine((&columns, &[2]), (&row, &[3]), add).is_err());
    }

    #[test]
    fn expanding_repeats() {
        assert_eq!(expand(&[1, 2], &[1, 2], &[2, 2]).unwrap(), [1, 2, 1, 2]);
        assert_eq!(expand(&[1, 2], &[2, 1], &[2, 2]).unwrap(), [1, 1, 2, 2]);
        assert!(expand(&[1, 2], &[2], &[1]).is_err());
    }
}
