//! L-BFGS with a weak Wolfe line search by bisection (Lewis, Overton 2013).

use crate::error::Result;
use crate::estimators::Cancel;
use crate::estimators::linear_algebra::dot;

/// Pairs of steps that are remembered.
const MEMORY: usize = 10;
/// Steps of a line search.
const SEARCH: usize = 30;

/// When to stop.
pub(crate) struct Stop {
    pub(crate) max_iter: usize,
    /// On the largest component of the gradient.
    pub(crate) tolerance: f64,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

/// Minimises a function that answers its value and fills in its gradient.
pub(crate) fn minimise(
    mut point: Vec<f64>,
    stop: &Stop,
    cancel: &Cancel<'_>,
    function: impl Fn(&[f64], &mut [f64]) -> f64,
) -> Result<Vec<f64>> {
    let mut gradient = vec![0.0; point.len()];
    let mut value = function(&point, &mut gradient);
    let mut pairs: Vec<Pair> = Vec::new();
    for _ in 0..stop.max_iter {
        cancel.check()?;
        if gradient.iter().all(|slope| slope.abs() <= stop.tolerance) {
            break;
        }
        let direction = direction(&pairs, &gradient);
        let (next, next_gradient, next_value) =
            search(&point, &gradient, value, &direction, &function);
        let moved = difference(&next, &point);
        let change = difference(&next_gradient, &gradient);
        let curvature = dot(&moved, &change);
        let progress = (value - next_value) / value.abs().max(next_value.abs()).max(1.0);
        if curvature > 1e-12 * dot(&change, &change) {
            pairs.push(Pair {
                step: moved,
                change,
                inverse: 1.0 / curvature,
            });
            if pairs.len() > MEMORY {
                pairs.remove(0);
            }
        }
        (point, gradient, value) = (next, next_gradient, next_value);
        if progress <= 64.0 * f64::EPSILON {
            break;
        }
    }
    Ok(point)
}

/// The two-loop recursion: an approximate Newton direction, to be subtracted.
fn direction(pairs: &[Pair], gradient: &[f64]) -> Vec<f64> {
    let mut direction = gradient.to_vec();
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = pair.inverse * dot(&pair.step, &direction);
        add_scaled(&mut direction, &pair.change, -share);
        shares.push(share);
    }
    let scale = match pairs.last() {
        Some(pair) => 1.0 / (pair.inverse * dot(&pair.change, &pair.change)),
        None => 1.0 / dot(gradient, gradient).sqrt().max(1.0),
    };
    direction.iter_mut().for_each(|value| *value *= scale);
    for (pair, share) in pairs.iter().zip(shares.iter().rev()) {
        let back = pair.inverse * dot(&pair.change, &direction);
        add_scaled(&mut direction, &pair.step, share - back);
    }
    direction
}

fn search(
    point: &[f64],
    gradient: &[f64],
    value: f64,
    direction: &[f64],
    function: &impl Fn(&[f64], &mut [f64]) -> f64,
) -> (Vec<f64>, Vec<f64>, f64) {
    let slope = dot(gradient, direction);
    let (mut length, mut low, mut high) = (1.0, 0.0, f64::INFINITY);
    let mut next = point.to_vec();
    let mut next_gradient = gradient.to_vec();
    let mut next_value = value;
    for _ in 0..SEARCH {
        next.copy_from_slice(point);
        add_scaled(&mut next, direction, -length);
        next_value = function(&next, &mut next_gradient);
        if next_value > value - 1e-4 * length * slope || next_value.is_nan() {
            high = length;
        } else if dot(&next_gradient, direction) > 0.9 * slope {
            low = length;
        } else {
            break;
        }
        length = if high.is_finite() {
            f64::midpoint(low, high)
        } else {
            2.0 * low
        };
    }
    (next, next_gradient, next_value)
}

fn difference(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter()
        .zip(other)
        .map(|(one, other)| one - other)
        .collect()
}

fn add_scaled(sum: &mut [f64], values: &[f64], scale: f64) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::{Stop, minimise};
    use crate::estimators::testing::cancel_never;

    #[test]
    fn it_finds_the_valley_of_rosenbrock() {
        let stop = Stop {
            max_iter: 200,
            tolerance: 1e-9,
        };
        let found = minimise(vec![-1.2, 1.0], &stop, &cancel_never(), |x, gradient| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            gradient[0] = -2.0 * a - 400.0 * x[0] * b;
            gradient[1] = 200.0 * b;
            a * a + 100.0 * b * b
        });
        let found = found.unwrap();
        assert!(
            (found[0] - 1.0).abs() < 1e-6 && (found[1] - 1.0).abs() < 1e-6,
            "{found:?}"
        );
    }
}
