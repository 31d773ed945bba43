//! Accelerated proximal gradients for a smooth function plus weighted absolute values.
//!
//! Beck, Teboulle: A fast iterative shrinkage-thresholding algorithm (2009), with a line search, and restarted when the
//! momentum points uphill (O'Donoghue, Candès 2015).

use crate::error::Result;
use crate::estimators::Cancel;
use crate::estimators::lbfgs::Stop;

/// Steps for one iteration that the user allows: a step is that much cheaper than one of Newton's.
const STEPS: usize = 50;

/// The lowest point; `weights` are those of a block of absolute values, repeated over the point. `function` tells the
/// smooth part and its gradient.
pub(crate) fn minimise(
    mut point: Vec<f64>,
    weights: &[f64],
    stop: &Stop,
    cancel: &Cancel<'_>,
    function: impl Fn(&[f64], &mut [f64]) -> f64,
) -> Result<Vec<f64>> {
    let mut gradient = vec![0.0; point.len()];
    let mut ahead = point.clone();
    let (mut momentum, mut steepness) = (1.0f64, 1.0f64);
    for _ in 0..stop.max_iter.saturating_mul(STEPS) {
        cancel.check()?;
        let value = function(&ahead, &mut gradient);
        let next = loop {
            let next = step(&ahead, &gradient, weights, steepness);
            if enough(&next, &ahead, &gradient, value, steepness, &function) {
                break next;
            }
            steepness *= 2.0;
        };
        let uphill: f64 = next
            .iter()
            .zip(&ahead)
            .zip(&point)
            .map(|((next, ahead), point)| (ahead - next) * (next - point))
            .sum();
        let following = if uphill > 0.0 {
            1.0
        } else {
            f64::midpoint(1.0, (1.0 + 4.0 * momentum * momentum).sqrt())
        };
        let push = if uphill > 0.0 {
            0.0
        } else {
            (momentum - 1.0) / following
        };
        let mut moved: f64 = 0.0;
        let mut largest: f64 = 0.0;
        for ((ahead, next), point) in ahead.iter_mut().zip(&next).zip(&point) {
            moved = moved.max((next - point).abs());
            largest = largest.max(next.abs());
            *ahead = next + push * (next - point);
        }
        (point, momentum) = (next, following);
        if moved <= stop.tolerance * largest.max(f64::MIN_POSITIVE) {
            break;
        }
    }
    Ok(point)
}

/// A step downhill, shrunk towards 0.
fn step(from: &[f64], gradient: &[f64], weights: &[f64], steepness: f64) -> Vec<f64> {
    from.iter()
        .zip(gradient)
        .zip(weights.iter().cycle())
        .map(|((from, gradient), weight)| {
            let to = from - gradient / steepness;
            let shrunk = (to.abs() - weight / steepness).max(0.0);
            shrunk.copysign(to)
        })
        .collect()
}

/// Whether the parabola of this steepness lies above the function at the next point.
fn enough(
    next: &[f64],
    from: &[f64],
    gradient: &[f64],
    value: f64,
    steepness: f64,
    function: &impl Fn(&[f64], &mut [f64]) -> f64,
) -> bool {
    let mut unused = vec![0.0; next.len()];
    let (mut slope, mut square) = (0.0, 0.0);
    for ((next, from), gradient) in next.iter().zip(from).zip(gradient) {
        slope += gradient * (next - from);
        square += (next - from) * (next - from);
    }
    let bound = value + slope + steepness * square / 2.0;
    function(next, &mut unused) <= bound + 1e-12 * value.abs().max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::minimise;
    use crate::estimators::lbfgs::Stop;
    use crate::estimators::testing::cancel_never;

    #[test]
    fn small_slopes_are_shrunk_to_zero() {
        let stop = Stop {
            max_iter: 1000,
            tolerance: 1e-12,
        };
        // ½·(x − 3)² + ½·(y − 0.5)² + |x| + |y|
        let found = minimise(
            vec![0.0, 0.0],
            &[1.0, 1.0],
            &stop,
            &cancel_never(),
            |point, gradient| {
                gradient[0] = point[0] - 3.0;
                gradient[1] = point[1] - 0.5;
                f64::midpoint(gradient[0] * gradient[0], gradient[1] * gradient[1])
            },
        )
        .unwrap();
        assert!(
            (found[0] - 2.0).abs() < 1e-9 && found[1] == 0.0,
            "{found:?}"
        );
    }
}
