//! Features to mean 0 and deviation 1, where an estimator measures distances or penalises weights.

use crate::matrix::Matrix;

/// What is taken from every feature, and by what it is divided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    pub(crate) means: Vec<f64>,
    pub(crate) scales: Vec<f64>,
}

impl Scaling {
    /// Learns from rows; a feature that is not `scaled` stays as it is.
    pub(crate) fn fit(matrix: &Matrix, scaled: &[bool]) -> Self {
        let (mut means, mut scales) = moments(matrix);
        for (feature, scaled) in scaled.iter().enumerate() {
            if !scaled {
                (means[feature], scales[feature]) = (0.0, 1.0);
            }
        }
        Self { means, scales }
    }

    /// Learns from rows; every feature gets mean 0, and those that are `scaled` deviation 1.
    pub(crate) fn centred(matrix: &Matrix, scaled: &[bool]) -> Self {
        let (means, mut scales) = moments(matrix);
        for (scale, scaled) in scales.iter_mut().zip(scaled) {
            if !scaled {
                *scale = 1.0;
            }
        }
        Self { means, scales }
    }

    /// The scaled rows.
    pub(crate) fn apply(&self, matrix: &Matrix) -> Matrix {
        let mut answer = matrix.clone();
        for row in answer.values.chunks_exact_mut(matrix.width.max(1)) {
            for ((value, mean), scale) in row.iter_mut().zip(&self.means).zip(&self.scales) {
                *value = (*value - mean) / scale;
            }
        }
        answer
    }

    /// The scaled rows, each with a 1 at its end.
    pub(crate) fn design(&self, matrix: &Matrix) -> Vec<f64> {
        let mut design = Vec::with_capacity(matrix.rows * (matrix.width + 1));
        for row in 0..matrix.rows {
            let values = matrix
                .row(row)
                .iter()
                .zip(self.means.iter().zip(&self.scales));
            design.extend(values.map(|(value, (mean, scale))| (value - mean) / scale));
            design.push(1.0);
        }
        design
    }
}

/// Means and population standard deviations; a constant column has the scale 1.
#[allow(clippy::cast_precision_loss, reason = "a number of rows")]
fn moments(matrix: &Matrix) -> (Vec<f64>, Vec<f64>) {
    let rows = matrix.rows as f64;
    let mut means = vec![0.0; matrix.width];
    for row in 0..matrix.rows {
        for (mean, value) in means.iter_mut().zip(matrix.row(row)) {
            *mean += value;
        }
    }
    means.iter_mut().for_each(|mean| *mean /= rows);
    let mut scales = vec![0.0; matrix.width];
    for row in 0..matrix.rows {
        for ((scale, value), mean) in scales.iter_mut().zip(matrix.row(row)).zip(&means) {
            *scale += (value - mean) * (value - mean);
        }
    }
    for (scale, mean) in scales.iter_mut().zip(&means) {
        *scale = (*scale / rows).sqrt();
        // What is left of a constant column is rounding.
        if *scale <= 10.0 * f64::EPSILON * mean.abs() {
            *scale = 1.0;
        }
    }
    (means, scales)
}

#[cfg(test)]
mod tests {
    use super::Scaling;
    use crate::matrix::Matrix;

    #[test]
    fn only_what_is_scaled_moves() {
        let matrix = Matrix {
            width: 3,
            rows: 2,
            values: vec![1.0, 7.0, 1.0, 3.0, 7.0, 0.0],
        };
        let scaled = Scaling::fit(&matrix, &[true, true, false]).apply(&matrix);
        assert_eq!(scaled.values, [-1.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    }
}
