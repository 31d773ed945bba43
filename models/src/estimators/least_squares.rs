//! Linear regression of quantities: least squares, ridge, and with absolute values in the penalty lasso and elastic net.
//!
//! Objectives are scikit-learn's: `|y − Xβ|² + α·|β|²` of ridge, `|y − Xβ|² / 2n + α·(r·|β|₁ + (1 − r)·½·|β|²)` of lasso
//! (`r` = 1) and elastic net, which `linfa-elasticnet` solves by coordinate descent.

use linfa::DatasetView;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use ndarray::{ArrayView1, ArrayView2};

use crate::error::{ModelError, Result};
use crate::estimators::linear::Linear;
use crate::estimators::linear_algebra::solve;
use crate::estimators::scaling::Scaling;
use crate::matrix::Matrix;

/// What keeps the normal equations solvable when features say the same twice; as a share of the rows.
const JITTER: f64 = 1e-10;

/// How it learns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Penalty {
    /// The squares, times alpha; 0 is least squares.
    Squares(f64),
    /// A mixture of absolute values and squares.
    Mixed {
        alpha: f64,
        l1_ratio: f64,
        max_iter: u32,
        tolerance: f64,
    },
}

/// Fits; `standardised` features are scaled before the penalty sees them.
pub(crate) fn fit(
    matrix: &Matrix,
    standardised: &[bool],
    values: &[f64],
    penalty: &Penalty,
) -> Result<Linear> {
    // Centred, whatever is standardised: `linfa-elasticnet` finds its intercept only then.
    let scaling = Scaling::centred(matrix, standardised);
    let scaled = scaling.apply(matrix);
    let mut coefficients = match penalty {
        Penalty::Squares(alpha) => squares(&scaled, values, *alpha),
        Penalty::Mixed {
            alpha,
            l1_ratio,
            max_iter,
            tolerance,
        } => {
            let settings = ElasticNet::params()
                .penalty(*alpha)
                .l1_ratio(*l1_ratio)
                .with_intercept(true)
                .max_iterations(*max_iter)
                .tolerance(*tolerance);
            let shape = |error: ndarray::ShapeError| ModelError::internal(error.to_string());
            let records = ArrayView2::from_shape((scaled.rows, scaled.width), &scaled.values)
                .map_err(shape)?;
            let dataset = DatasetView::new(records, ArrayView1::from(values));
            let model = settings
                .fit(&dataset)
                .map_err(|error| ModelError::data(format!("elastic_net: {error}")))?;
            let mut coefficients = model.hyperplane().to_vec();
            coefficients.push(model.intercept());
            coefficients
        }
    };
    if coefficients.iter().any(|value| !value.is_finite()) {
        return Err(ModelError::data(
            "the linear model found no finite solution: the features are too large to be learned from",
        ));
    }
    // What rounding leaves of a zero would only look like a weight.
    for value in &mut coefficients {
        if value.abs() < f64::MIN_POSITIVE {
            *value = 0.0;
        }
    }
    Ok(Linear::unscaled(&coefficients, 1, &scaling))
}

/// The normal equations of centred data, with the intercept at the end.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn squares(matrix: &Matrix, values: &[f64], alpha: f64) -> Vec<f64> {
    let (width, rows) = (matrix.width, matrix.rows as f64);
    let mut means = vec![0.0; width];
    for row in matrix.values.chunks_exact(width) {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += value / rows;
        }
    }
    let centre = values.iter().sum::<f64>() / rows;
    let mut products = vec![0.0; width * width];
    let mut right = vec![0.0; width];
    let mut centred = vec![0.0; width];
    for (row, value) in matrix.values.chunks_exact(width).zip(values) {
        for ((centred, value), mean) in centred.iter_mut().zip(row).zip(&means) {
            *centred = value - mean;
        }
        let value = value - centre;
        for index in 0..width {
            right[index] += centred[index] * value;
            let line = &mut products[index * width..=index * width + index];
            for (product, other) in line.iter_mut().zip(&centred) {
                *product += centred[index] * other;
            }
        }
    }
    for index in 0..width {
        products[index * width + index] += alpha.max(JITTER * rows);
    }
    let mut coefficients = solve(&mut products, &right);
    let offset: f64 = coefficients
        .iter()
        .zip(&means)
        .map(|(weight, mean)| weight * mean)
        .sum();
    coefficients.push(centre - offset);
    coefficients
}

#[cfg(test)]
mod tests {
    use super::{Penalty, fit};
    use crate::matrix::Matrix;

    fn rows() -> (Matrix, Vec<f64>) {
        let values: Vec<f64> = (0..12)
            .flat_map(|i| [f64::from(i * 5 % 12), f64::from(i * 7 % 11) * 0.5])
            .collect();
        let truth = (0..12)
            .map(|i| f64::from(i * 5 % 12) * 2.0 + f64::from(i * 3 % 7) * 0.1 - 1.0)
            .collect();
        let matrix = Matrix {
            width: 2,
            rows: 12,
            values,
        };
        (matrix, truth)
    }

    /// `LinearRegression`, `Ridge(2)`, `Lasso(0.5)` and `ElasticNet(0.5, l1_ratio=0.3)` of scikit-learn 1.9 on the same
    /// rows.
    #[test]
    fn coefficients_are_scikit_learns() {
        let (matrix, truth) = rows();
        let mixed = |l1_ratio| Penalty::Mixed {
            alpha: 0.5,
            l1_ratio,
            max_iter: 10_000,
            tolerance: 1e-10,
        };
        let cases = [
            (Penalty::Squares(0.0), PLAIN),
            (Penalty::Squares(2.0), RIDGE),
            (mixed(1.0), LASSO),
            (mixed(0.3), ELASTIC),
        ];
        for (penalty, expected) in cases {
            let linear = fit(&matrix, &[false, false], &truth, &penalty).unwrap();
            let found = linear.weights.iter().chain(&linear.intercepts);
            for (own, sklearn) in found.zip(expected) {
                assert!((own - sklearn).abs() < 1e-6, "{penalty:?} {own} {sklearn}");
            }
        }
    }

    #[test]
    fn features_that_say_the_same_share_the_weight() {
        let matrix = Matrix {
            width: 2,
            rows: 3,
            values: vec![1.0, 1.0, 2.0, 2.0, 4.0, 4.0],
        };
        let truth = [2.0, 4.0, 8.0];
        let linear = fit(&matrix, &[true, true], &truth, &Penalty::Squares(0.0)).unwrap();
        assert!((linear.weights[0] - 1.0).abs() < 1e-6 && (linear.weights[1] - 1.0).abs() < 1e-6);
    }

    const PLAIN: [f64; 3] = [
        2.032_291_676_449_319,
        0.007_452_972_830_833_541,
        -0.886_350_616_541_914_6,
    ];
    const RIDGE: [f64; 3] = [
        2.002_472_704_196_947_5,
        0.022_053_965_715_080_37,
        -0.755_806_877_846_936_2,
    ];
    const LASSO: [f64; 3] = [1.991_258_741_258_741_2, 0.0, -0.643_589_743_589_743_1];
    const ELASTIC: [f64; 3] = [1.962_975_543_478_261, 0.0, -0.488_032_155_797_101_9];
}
