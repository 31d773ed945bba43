//! Principal components: features become fewer that vary most (Pearson, 1901; Hotelling, 1933), as scikit-learn's `PCA`
//! makes them after its `StandardScaler`.

use linfa_linalg::eigh::{EigSort, Eigh};
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::estimators::{Scaling, dot};
use crate::matrix::Matrix;

/// A component with less than this share of the first one's variance is rounding, and becomes 0.
const ROUNDING: f64 = 1e-12;

/// How features become principal components.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pca {
    /// How many components are kept; below 1: as many as tell more than this share of the variance. All that vary when not
    /// said.
    pub n_components: Option<f64>,
    /// Whether every component gets the variance 1.
    pub whiten: bool,
}

impl Pca {
    /// Checks what can be checked without data.
    pub(crate) fn check(&self) -> Result<()> {
        match self.n_components {
            Some(wanted) if !(wanted > 0.0 && (wanted < 1.0 || wanted.fract() == 0.0)) => {
                Err(ModelError::settings(
                    "`n_components` of `pca` is a number of components, or below 1 the share of the variance that they tell",
                ))
            }
            _ => Ok(()),
        }
    }

    /// How many of the variances, largest first, are kept.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of components"
    )]
    fn kept(&self, variances: &[f64], rows: usize) -> Result<usize> {
        let most = variances.len().min(rows);
        let Some(wanted) = self.n_components else {
            let varies = variances.iter().filter(|variance| **variance > 0.0);
            return Ok(varies.count().clamp(1, most.max(1)));
        };
        if wanted >= 1.0 {
            let wanted = wanted as usize;
            return if wanted <= most {
                Ok(wanted)
            } else {
                Err(ModelError::data(format!(
                    "`pca`: `n_components: {wanted}` of {} features in {rows} rows that are learned from",
                    variances.len()
                )))
            };
        }
        let total: f64 = variances.iter().sum();
        let mut told = 0.0;
        let enough = variances.iter().position(|variance| {
            told += variance;
            told / total > wanted
        });
        Ok(enough.map_or(most, |last| last + 1).min(most))
    }
}

/// What was learned: features are centred and scaled, then mixed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Projection {
    pub(crate) scaling: Scaling,
    /// For every feature its part in every component.
    pub(crate) weights: Vec<f64>,
    /// Number of components.
    pub(crate) width: usize,
}

impl Projection {
    /// Learns from rows; features that are `scaled` get the variance 1 before.
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    pub(crate) fn fit(matrix: &Matrix, scaled: &[bool], pca: &Pca) -> Result<Self> {
        let scaling = Scaling::centred(matrix, scaled);
        let centred = scaling.apply(matrix);
        let features = matrix.width;
        let free = matrix.rows.saturating_sub(1).max(1) as f64;
        let columns: Vec<Vec<f64>> = (0..features)
            .map(|feature| centred.column(feature).collect())
            .collect();
        let lines: Vec<Vec<f64>> = (0..features)
            .into_par_iter()
            .map(|row| {
                let before = columns[..=row].iter();
                before
                    .map(|other| dot(&columns[row], other) / free)
                    .collect()
            })
            .collect();
        let covariance = Array2::from_shape_fn((features, features), |(row, column)| {
            lines[row.max(column)][row.min(column)]
        });
        let (variances, vectors) = covariance
            .eigh()
            .map_err(|error| ModelError::internal(format!("principal components: {error}")))?
            .sort_eig_desc();
        let least = variances.first().map_or(0.0, |largest| largest * ROUNDING);
        let variances: Vec<f64> = variances
            .iter()
            .map(|variance| if *variance > least { *variance } else { 0.0 })
            .collect();
        let width = pca.kept(&variances, matrix.rows)?;
        let mut weights = vec![0.0; features * width];
        for component in 0..width {
            let vector = vectors.column(component);
            let largest = vector.iter().fold(0.0, |largest: f64, part| {
                if part.abs() > largest.abs() {
                    *part
                } else {
                    largest
                }
            });
            let variance = variances[component];
            let unit = match pca.whiten {
                _ if variance <= 0.0 => f64::INFINITY,
                true => variance.sqrt(),
                false => 1.0,
            };
            for (feature, part) in vector.iter().enumerate() {
                weights[feature * width + component] = part * largest.signum() / unit;
            }
        }
        Ok(Self {
            scaling,
            weights,
            width,
        })
    }

    /// The components of rows.
    pub(crate) fn apply(&self, matrix: &Matrix) -> Matrix {
        let centred = self.scaling.apply(matrix);
        let mut answer = Matrix::zeros(matrix.rows, self.width);
        for row in 0..matrix.rows {
            let parts = centred.row(row).iter();
            let weights = self.weights.chunks_exact(self.width.max(1));
            let target = answer.row_mut(row);
            for (value, weights) in parts.zip(weights) {
                for (sum, weight) in target.iter_mut().zip(weights) {
                    *sum += value * weight;
                }
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{Pca, Projection};
    use crate::matrix::Matrix;

    /// What scikit-learn's `PCA` with `svd_solver: full` makes of rows that its `StandardScaler` has scaled.
    #[derive(Deserialize)]
    struct Case {
        pca: Pca,
        rows: Vec<Vec<f64>>,
    }

    #[derive(Deserialize)]
    struct Set {
        rows: Vec<Vec<f64>>,
        scaled: Vec<bool>,
        cases: Vec<Case>,
    }

    fn matrix(rows: &[Vec<f64>]) -> Matrix {
        Matrix {
            width: rows[0].len(),
            rows: rows.len(),
            values: rows.concat(),
        }
    }

    #[test]
    fn components_are_those_of_scikit_learn() {
        let reference = include_str!("../../tests/fixtures/preparation/components.json");
        let sets: Vec<Set> = serde_json::from_str(reference).unwrap();
        assert!(sets.iter().map(|set| set.cases.len()).sum::<usize>() > 7);
        for set in sets {
            let rows = matrix(&set.rows);
            for case in set.cases {
                let projection = Projection::fit(&rows, &set.scaled, &case.pca).unwrap();
                let found = projection.apply(&rows);
                let expected = matrix(&case.rows);
                assert_eq!(found.width, expected.width, "{:?}", case.pca);
                for (found, expected) in found.values.iter().zip(&expected.values) {
                    assert!((found - expected).abs() < 1e-6, "{:?}", case.pca);
                }
            }
        }
    }

    #[test]
    fn more_components_than_there_are_is_an_error() {
        let rows = matrix(&[vec![1.0, 2.0], vec![3.0, 5.0], vec![4.0, 4.0]]);
        let fit = |n_components, whiten| {
            let pca = Pca {
                n_components: Some(n_components),
                whiten,
            };
            Projection::fit(&rows, &[true, true], &pca)
        };
        assert_eq!(
            fit(3.0, false).unwrap_err().to_string(),
            "`pca`: `n_components: 3` of 2 features in 3 rows that are learned from"
        );
        let same = matrix(&[vec![1.0, 2.0], vec![1.0, 2.0]]);
        let pca = Pca {
            n_components: Some(0.9),
            whiten: true,
        };
        let flat = Projection::fit(&same, &[true, true], &pca).unwrap();
        assert!(flat.apply(&same).values.iter().all(|value| *value == 0.0));
        for wanted in [0.0, -1.0, 1.5, f64::NAN] {
            let pca = Pca {
                n_components: Some(wanted),
                whiten: false,
            };
            assert!(pca.check().is_err(), "{wanted}");
        }
    }
}
