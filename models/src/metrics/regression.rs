//! Metrics of predicted numbers: scikit-learn's, on rows of equal weight.

/// Mean absolute error.
pub(super) fn mae(actual: &[f64], predicted: &[f64]) -> f64 {
    mean(errors(actual, predicted).map(f64::abs))
}

/// Root of the mean squared error.
pub(super) fn rmse(actual: &[f64], predicted: &[f64]) -> f64 {
    mean(errors(actual, predicted).map(|error| error * error)).sqrt()
}

/// Coefficient of determination. Of values that are all the same it is 1 when the predictions are right, else 0.
pub(super) fn r2(actual: &[f64], predicted: &[f64]) -> f64 {
    let middle = mean(actual.iter().copied());
    let squares =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let left = squares(&mut errors(actual, predicted));
    let whole = squares(&mut actual.iter().map(|value| value - middle));
    if whole > 0.0 {
        1.0 - left / whole
    } else {
        f64::from(u8::from(left == 0.0))
    }
}

/// Mean absolute error as a share of the actual value; an actual value of 0 counts as the smallest step of a double.
pub(super) fn mape(actual: &[f64], predicted: &[f64]) -> f64 {
    let sizes = actual.iter().map(|value| value.abs().max(f64::EPSILON));
    mean(
        errors(actual, predicted)
            .zip(sizes)
            .map(|(error, size)| error.abs() / size),
    )
}

fn errors<'a>(actual: &'a [f64], predicted: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    actual
        .iter()
        .zip(predicted)
        .map(|(actual, predicted)| actual - predicted)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::{mae, mape, r2, rmse};

    /// Values of `sklearn.metrics` 1.9 on the same rows.
    #[test]
    fn metrics_are_scikit_learns() {
        let actual: Vec<f64> = (0..50)
            .map(|row| f64::from(row * 7919 % 101) / 3.0 + 1.0)
            .collect();
        let predicted: Vec<f64> = actual
            .iter()
            .zip(0..)
            .map(|(value, row)| value * 0.9 + f64::from(row * 31 % 17) - 8.0)
            .collect();
        let own = [
            mae(&actual, &predicted),
            rmse(&actual, &predicted),
            r2(&actual, &predicted),
            mape(&actual, &predicted),
        ];
        for (own, expected) in own.into_iter().zip(EXPECTED) {
            assert!(
                (own - expected).abs() < 1e-12 * expected.abs().max(1.0),
                "{own} {expected}"
            );
        }
        assert_eq!(
            (r2(&[2.0, 2.0], &[2.0, 2.0]), r2(&[2.0, 2.0], &[2.0, 3.0])),
            (1.0, 0.0)
        );
        assert!(mape(&[0.0], &[1.0]) > 1e15);
    }

    const EXPECTED: [f64; 4] = [
        4.458666666666666,
        5.313994103622372,
        0.7091204671894286,
        0.5307510405135265,
    ];
}
