//! Gaussian naive Bayes, fitted by `linfa-bayes`.

use linfa::DatasetView;
use linfa::traits::Fit;
use linfa_bayes::GaussianNb;
use ndarray::{ArrayView1, ArrayView2};
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::estimators::soft_max;
use crate::matrix::Matrix;

/// A normal distribution of every feature in every class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gaussian {
    pub(crate) classes: Vec<GaussianClass>,
}

/// One class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GaussianClass {
    pub(crate) means: Vec<f64>,
    pub(crate) variances: Vec<f64>,
    /// The log prior and the logarithms of all normalising factors.
    pub(crate) constant: f64,
}

/// Fits.
pub(crate) fn fit(
    matrix: &Matrix,
    codes: &[u32],
    classes: usize,
    var_smoothing: f64,
) -> Result<Gaussian> {
    let shape = |error: ndarray::ShapeError| ModelError::internal(error.to_string());
    let records =
        ArrayView2::from_shape((matrix.rows, matrix.width), &matrix.values).map_err(shape)?;
    let labels: Vec<usize> = codes.iter().map(|&code| code as usize).collect();
    let dataset = DatasetView::new(records, ArrayView1::from(&labels));
    let model = GaussianNb::<f64, usize>::params()
        .var_smoothing(var_smoothing)
        .fit(&dataset)
        .map_err(|error| ModelError::data(format!("gaussian_naive_bayes: {error}")))?;
    // linfa keeps what it has learned to itself; its serde form is the way to read it, and exact.
    let stored =
        serde_json::to_value(&model).map_err(|error| ModelError::internal(error.to_string()))?;
    let classes = (0..classes)
        .map(|class| {
            read(&stored["class_info"][class.to_string()])
                .ok_or_else(|| ModelError::internal("linfa-bayes' form has changed"))
        })
        .collect::<Result<_>>()?;
    Ok(Gaussian { classes })
}

fn read(info: &Value) -> Option<GaussianClass> {
    let numbers = |value: &Value| -> Option<Vec<f64>> {
        value["data"]
            .as_array()?
            .iter()
            .map(Value::as_f64)
            .collect()
    };
    let means = numbers(&info["theta"])?;
    // A class whose rows are all alike has no variance; linfa's smoothing is zero when no feature varies at all.
    let variances: Vec<f64> = numbers(&info["sigma"])?
        .into_iter()
        .map(|variance| variance.max(1e-300))
        .collect();
    let factors: f64 = variances
        .iter()
        .map(|variance| (2.0 * std::f64::consts::PI * variance).ln())
        .sum();
    let constant = info["prior"].as_f64()?.ln() - factors / 2.0;
    Some(GaussianClass {
        means,
        variances,
        constant,
    })
}

impl Gaussian {
    /// Class probabilities, row after row.
    pub(crate) fn probabilities(&self, matrix: &Matrix) -> Vec<f64> {
        let mut answer = Vec::with_capacity(matrix.rows * self.classes.len());
        for row in 0..matrix.rows {
            let start = answer.len();
            answer.extend(
                self.classes
                    .iter()
                    .map(|class| class.likelihood(matrix.row(row))),
            );
            soft_max(&mut answer[start..]);
        }
        answer
    }
}

impl GaussianClass {
    fn likelihood(&self, row: &[f64]) -> f64 {
        let distance: f64 = row
            .iter()
            .zip(&self.means)
            .zip(&self.variances)
            .map(|((value, mean), variance)| (value - mean) * (value - mean) / variance)
            .sum();
        self.constant - distance / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::fit;
    use crate::matrix::Matrix;

    /// `sklearn.naive_bayes.GaussianNB().fit(X, y).predict_proba(X)[:, 1]` on the same rows.
    #[test]
    fn probabilities_are_scikit_learns() {
        let values: Vec<f64> = (0..8)
            .flat_map(|i| [f64::from(i * 5 % 8), f64::from(i * 3 % 7) * 0.5])
            .collect();
        let matrix = Matrix {
            width: 2,
            rows: 8,
            values,
        };
        let model = fit(&matrix, &[0, 1, 1, 0, 1, 0, 0, 1], 2, 1e-9).unwrap();
        let own: Vec<f64> = model
            .probabilities(&matrix)
            .chunks(2)
            .map(|row| row[1])
            .collect();
        for (own, sklearn) in own.iter().zip(SKLEARN) {
            assert!((own - sklearn).abs() < 1e-12, "{own} {sklearn}");
        }
    }

    const SKLEARN: [f64; 8] = [
        0.015650181071359296,
        0.5294559989050248,
        0.9650398499796665,
        0.020335696320054938,
        0.935626790509425,
        0.11246327419226124,
        0.3856053120629311,
        0.5024630994797749,
    ];
}
