//! Metrics of a regressor.

/// Mean absolute error.
pub(super) fn mae(truth: &[f64], predicted: &[f64]) -> f64 {
    mean(truth, predicted, |truth, predicted| {
        (truth - predicted).abs()
    })
}

/// Root of the mean squared error.
pub(super) fn rmse(truth: &[f64], predicted: &[f64]) -> f64 {
    mean(truth, predicted, |truth, predicted| {
        (truth - predicted).powi(2)
    })
    .sqrt()
}

/// The share of the variance that is explained; NaN when the truth does not vary.
pub(super) fn r2(truth: &[f64], predicted: &[f64]) -> f64 {
    let centre = mean(truth, predicted, |truth, _| truth);
    let spread = mean(truth, predicted, |truth, _| (truth - centre).powi(2));
    let error = mean(truth, predicted, |truth, predicted| {
        (truth - predicted).powi(2)
    });
    if spread > 0.0 {
        1.0 - error / spread
    } else {
        f64::NAN
    }
}

/// Mean absolute error as a share of the truth; a truth of 0 counts as the smallest number, as scikit-learn's does.
pub(super) fn mape(truth: &[f64], predicted: &[f64]) -> f64 {
    mean(truth, predicted, |truth, predicted| {
        (truth - predicted).abs() / truth.abs().max(f64::EPSILON)
    })
}

#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn mean(truth: &[f64], predicted: &[f64], of: impl Fn(f64, f64) -> f64) -> f64 {
    let sum: f64 = truth
        .iter()
        .zip(predicted)
        .map(|(truth, predicted)| of(*truth, *predicted))
        .sum();
    sum / truth.len() as f64
}

#[cfg(test)]
mod tests {
    use super::{mae, mape, r2, rmse};

    /// Values of `sklearn.metrics` 1.9 on the same rows.
    #[test]
    fn metrics_are_scikit_learns() {
        let truth = [3.0, -0.5, 2.0, 7.0, 0.25];
        let predicted = [2.5, 0.0, 2.0, 8.0, 0.5];
        let cases = [
            (mae(&truth, &predicted), 0.45),
            (rmse(&truth, &predicted), 0.559_016_994_374_947_5),
            (r2(&truth, &predicted), 0.954_971_181_556_196),
            (mape(&truth, &predicted), 0.461_904_761_904_761_9),
        ];
        for (own, expected) in cases {
            assert!((own - expected).abs() < 1e-12, "{own} {expected}");
        }
        assert!(r2(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
    }
}
