//! Scores that are linear in the features.

use crate::estimators::scaling::Scaling;
use crate::matrix::Matrix;

/// Scores that are linear in the features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Linear {
    /// Scores for a row: 1 for two classes.
    pub(crate) outputs: usize,
    /// For every feature its weight in every score.
    pub(crate) weights: Vec<f64>,
    pub(crate) intercepts: Vec<f64>,
}

impl Linear {
    /// The scores of rows, row after row.
    pub(crate) fn scores(&self, matrix: &Matrix) -> Vec<f64> {
        let mut scores = Vec::with_capacity(matrix.rows * self.outputs);
        for row in 0..matrix.rows {
            let start = scores.len();
            scores.resize(start + self.outputs, 0.0);
            let scores = &mut scores[start..];
            for (value, weights) in matrix
                .row(row)
                .iter()
                .zip(self.weights.chunks_exact(self.outputs))
            {
                for (score, weight) in scores.iter_mut().zip(weights) {
                    *score += value * weight;
                }
            }
            for (score, intercept) in scores.iter_mut().zip(&self.intercepts) {
                *score += intercept;
            }
        }
        scores
    }

    /// Coefficients of scaled features (output after output, each with its intercept at the end) as those of raw ones.
    pub(crate) fn unscaled(coefficients: &[f64], outputs: usize, scaling: &Scaling) -> Self {
        let features = scaling.means.len();
        let mut weights = vec![0.0; features * outputs];
        let mut intercepts = Vec::with_capacity(outputs);
        for (output, coefficients) in coefficients.chunks_exact(features + 1).enumerate() {
            let mut intercept = coefficients[features];
            for feature in 0..features {
                let weight = coefficients[feature] / scaling.scales[feature];
                weights[feature * outputs + output] = weight;
                intercept -= weight * scaling.means[feature];
            }
            intercepts.push(intercept);
        }
        Self {
            outputs,
            weights,
            intercepts,
        }
    }
}
