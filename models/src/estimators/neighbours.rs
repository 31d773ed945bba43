//! k nearest neighbours: the training rows are the model.
//!
//! Distances are `|x|² − 2·x·p + |p|²`, in memory as in the model file, so that both find the same neighbours.

use rayon::prelude::*;

use crate::data::Truth;
use crate::error::{ModelError, Result};
use crate::estimators::linear_algebra::dot;
use crate::estimators::scaling::Scaling;
use crate::matrix::Matrix;

/// More rows than this would make a model that nobody wants to carry.
const MOST_ROWS: usize = 100_000;
/// Neighbours nearer than this count as if they were this far.
pub(crate) const NEAREST: f64 = 1e-12;

/// How it learns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NeighbourSettings {
    pub(crate) neighbours: usize,
    /// Whether a neighbour counts by the inverse of its distance.
    pub(crate) by_distance: bool,
}

/// The rows that are remembered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Neighbours {
    pub(crate) settings: NeighbourSettings,
    pub(crate) scaling: Scaling,
    /// Scaled rows, row after row.
    pub(crate) points: Vec<f64>,
    pub(crate) width: usize,
    /// What is known of every row: a 1 at its class, or its number.
    pub(crate) answers: Vec<f64>,
    pub(crate) outputs: usize,
}

/// Remembers.
pub(crate) fn fit(
    matrix: &Matrix,
    scaled: &[bool],
    truth: &Truth,
    settings: &NeighbourSettings,
) -> Result<Neighbours> {
    if matrix.rows > MOST_ROWS {
        return Err(ModelError::data(format!(
            "k_nearest_neighbors keeps every row in the model: {} are more than {MOST_ROWS}; sample them in a transform",
            matrix.rows
        )));
    }
    if matrix.rows < settings.neighbours {
        return Err(ModelError::data(format!(
            "k_nearest_neighbors wants {} neighbours of {} rows",
            settings.neighbours, matrix.rows
        )));
    }
    let (answers, outputs) = match truth {
        Truth::Classes { classes, codes } => {
            let mut answers = vec![0.0; codes.len() * classes.len()];
            for (row, code) in codes.iter().enumerate() {
                answers[row * classes.len() + *code as usize] = 1.0;
            }
            (answers, classes.len())
        }
        Truth::Quantity(values) => (values.clone(), 1),
        Truth::Unknown(_) => return Err(ModelError::internal("neighbours of unknown rows")),
    };
    let scaling = Scaling::fit(matrix, scaled);
    Ok(Neighbours {
        settings: settings.clone(),
        points: scaling.apply(matrix).values,
        scaling,
        width: matrix.width,
        answers,
        outputs,
    })
}

impl Neighbours {
    /// The squared length of every remembered row.
    pub(crate) fn lengths(&self) -> Vec<f64> {
        self.points
            .chunks_exact(self.width)
            .map(|point| dot(point, point))
            .collect()
    }

    /// Class shares or means, row after row.
    pub(crate) fn answer(&self, matrix: &Matrix) -> Vec<f64> {
        let rows = self.scaling.apply(matrix);
        let lengths = self.lengths();
        rows.values
            .par_chunks_exact(self.width)
            .flat_map_iter(|row| self.answer_row(row, &lengths))
            .collect()
    }

    fn answer_row(&self, row: &[f64], lengths: &[f64]) -> Vec<f64> {
        let own = dot(row, row);
        let mut near: Vec<(f64, usize)> = self
            .points
            .chunks_exact(self.width)
            .zip(lengths)
            .enumerate()
            .map(|(index, (point, length))| {
                ((own - 2.0 * dot(row, point) + length).max(0.0), index)
            })
            .collect();
        let wanted = self.settings.neighbours;
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if near.len() > wanted {
            near.select_nth_unstable_by(wanted - 1, order);
            near.truncate(wanted);
        }
        near.sort_unstable_by(order);
        let mut answer = vec![0.0; self.outputs];
        let mut total = 0.0;
        for (square, index) in near {
            let weight = if self.settings.by_distance {
                1.0 / square.sqrt().max(NEAREST)
            } else {
                1.0
            };
            total += weight;
            let known = &self.answers[index * self.outputs..][..self.outputs];
            for (answer, known) in answer.iter_mut().zip(known) {
                *answer += weight * known;
            }
        }
        answer.iter_mut().for_each(|value| *value /= total);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::{NeighbourSettings, fit};
    use crate::data::Truth;
    use crate::estimators::testing::{rings, truth};
    use crate::matrix::Matrix;

    fn settings(neighbours: usize, by_distance: bool) -> NeighbourSettings {
        NeighbourSettings {
            neighbours,
            by_distance,
        }
    }

    #[test]
    fn neighbours_vote() {
        let (matrix, codes) = rings(600);
        let truth = truth(&codes, 2);
        let model = fit(&matrix, &[true, true], &truth, &settings(5, false)).unwrap();
        let shares = model.answer(&matrix);
        let right = codes
            .iter()
            .zip(shares.chunks_exact(2))
            .filter(|(code, shares)| u32::from(shares[1] >= 0.5) == **code);
        assert!(right.count() > 570);
    }

    /// `sklearn.neighbors.KNeighborsRegressor(3, weights=...)` on the same rows.
    #[test]
    fn means_are_scikit_learns() {
        let matrix = Matrix {
            width: 1,
            rows: 5,
            values: vec![0.0, 1.0, 2.0, 4.0, 8.0],
        };
        let truth = Truth::Quantity(vec![0.0, 1.0, 4.0, 16.0, 64.0]);
        let asked = Matrix {
            width: 1,
            rows: 2,
            values: vec![3.0, 1.0],
        };
        for (by_distance, expected) in [(false, [7.0, 5.0 / 3.0]), (true, [8.2, 1.0])] {
            let model = fit(&matrix, &[false], &truth, &settings(3, by_distance)).unwrap();
            for (own, expected) in model.answer(&asked).into_iter().zip(expected) {
                assert!((own - expected).abs() < 1e-9, "{own} {expected}");
            }
        }
    }

    #[test]
    fn too_few_rows_are_told() {
        let (matrix, codes) = rings(4);
        let error = fit(
            &matrix,
            &[true, true],
            &truth(&codes, 2),
            &settings(5, false),
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "k_nearest_neighbors wants 5 neighbours of 4 rows"
        );
    }
}
