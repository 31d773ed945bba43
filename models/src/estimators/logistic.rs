//! Logistic regression: scikit-learn's objective, `C · Σ wᵢ·loss + (1 − r)·½·|β|² + r·|β|₁` with `r` the `l1_ratio`, the
//! intercept free.
//!
//! Two classes: Newton steps with a Cholesky factor and step halving (iteratively reweighted least squares). Many
//! classes or many features: L-BFGS on the soft-max loss (Nocedal, Wright: Numerical Optimization, algorithm 7.5). With
//! an L1 part: accelerated proximal gradients (`proximal`).

use crate::error::{ModelError, Result};
use crate::estimators::lbfgs::{self, Stop};
use crate::estimators::linear_algebra::{dot, solve};
use crate::estimators::proximal;
use crate::estimators::scaling::Scaling;
use crate::estimators::targets::Targets;
use crate::estimators::{Cancel, Linear};
use crate::matrix::Matrix;

/// From this many features L-BFGS is cheaper than a Hessian.
const WIDE: usize = 500;

/// How it learns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogisticSettings {
    /// The inverse strength of the penalty; infinite without one.
    pub(crate) c: f64,
    /// The share of the absolute values in the penalty; the rest are squares.
    pub(crate) l1_ratio: f64,
    pub(crate) max_iter: usize,
    pub(crate) tolerance: f64,
}

/// Fits; `standardised` features are scaled before the penalty sees them.
pub(crate) fn fit(
    matrix: &Matrix,
    standardised: &[bool],
    targets: &Targets<'_>,
    settings: &LogisticSettings,
    cancel: &Cancel<'_>,
) -> Result<Linear> {
    let problem = Problem::new(matrix, standardised, targets, settings);
    let coefficients = if settings.l1_ratio > 0.0 {
        problem.proximal(cancel)?
    } else if problem.outputs == 1 && matrix.width <= WIDE {
        problem.newton(cancel)?
    } else {
        problem.quasi_newton(cancel)?
    };
    if coefficients.iter().any(|value| !value.is_finite()) {
        return Err(ModelError::data(
            "logistic_regression found no finite solution: the features are too large to be learned from",
        ));
    }
    Ok(Linear::unscaled(
        &coefficients,
        problem.outputs,
        &problem.scaling,
    ))
}

/// The training data, centred and scaled, with a column of ones at the end.
struct Problem<'a> {
    targets: &'a Targets<'a>,
    settings: &'a LogisticSettings,
    outputs: usize,
    /// Features and the intercept.
    width: usize,
    design: Vec<f64>,
    scaling: Scaling,
    /// The penalty of every coefficient's square, in the scaled coordinates.
    penalties: Vec<f64>,
    /// The penalty of every coefficient's absolute value.
    absolute: Vec<f64>,
    total_weight: f64,
}

impl<'a> Problem<'a> {
    fn new(
        matrix: &Matrix,
        standardised: &[bool],
        targets: &'a Targets<'a>,
        settings: &'a LogisticSettings,
    ) -> Self {
        let all = vec![true; matrix.width];
        let scaling = Scaling::fit(matrix, &all);
        let width = matrix.width + 1;
        let design = scaling.design(matrix);
        // Every column is centred and scaled for the solver's sake; the penalty of a column that the user's model
        // doesn't standardise is rescaled so that the optimum is that of the raw column.
        let raw = || {
            let scales = scaling.scales.iter().zip(standardised);
            scales.map(|(scale, standardised)| if *standardised { 1.0 } else { 1.0 / scale })
        };
        let penalties = raw()
            .map(|raw| raw * raw * (1.0 - settings.l1_ratio) / settings.c)
            .chain([0.0])
            .collect();
        let absolute = raw()
            .map(|raw| raw * settings.l1_ratio / settings.c)
            .chain([0.0])
            .collect();
        let total_weight = (0..matrix.rows)
            .map(|row| f64::from(targets.weight(row)))
            .sum();
        Self {
            targets,
            settings,
            outputs: targets.outputs(),
            width,
            design,
            scaling,
            penalties,
            absolute,
            total_weight,
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&[f64], u32, f64)> + '_ {
        self.design
            .chunks_exact(self.width)
            .enumerate()
            .map(|(row, values)| {
                (
                    values,
                    self.targets.codes[row],
                    f64::from(self.targets.weight(row)),
                )
            })
    }

    fn newton(&self, cancel: &Cancel<'_>) -> Result<Vec<f64>> {
        let mut coefficients = vec![0.0; self.width];
        let positive: f64 = self
            .rows()
            .map(|(_, class, weight)| f64::from(class) * weight)
            .sum();
        coefficients[self.width - 1] = (positive / (self.total_weight - positive)).ln();
        let mut objective = self.objective(&coefficients);
        for _ in 0..self.settings.max_iter {
            cancel.check()?;
            let (gradient, mut hessian) = self.derivatives(&coefficients);
            let steepest = gradient
                .iter()
                .fold(0.0, |largest: f64, value| largest.max(value.abs()));
            if steepest / self.total_weight < self.settings.tolerance {
                break;
            }
            let step = solve(&mut hessian, &gradient);
            let slope = dot(&gradient, &step);
            let mut length = 1.0;
            loop {
                let next: Vec<f64> = coefficients
                    .iter()
                    .zip(&step)
                    .map(|(c, s)| c - length * s)
                    .collect();
                let value = self.objective(&next);
                if value <= objective - 1e-4 * length * slope || length < 1e-8 {
                    (coefficients, objective) = (next, value);
                    break;
                }
                length *= 0.5;
            }
        }
        Ok(coefficients)
    }

    fn objective(&self, coefficients: &[f64]) -> f64 {
        let loss: f64 = self
            .rows()
            .map(|(row, class, weight)| {
                let score = dot(row, coefficients);
                weight * ((-score.abs()).exp().ln_1p() + score.max(0.0) - f64::from(class) * score)
            })
            .sum();
        loss + self.penalty(coefficients)
    }

    fn penalty(&self, coefficients: &[f64]) -> f64 {
        let squares = coefficients.iter().zip(self.penalties.iter().cycle());
        squares.map(|(c, penalty)| c * c * penalty).sum::<f64>() / 2.0
    }

    /// Gradient and lower triangle of the Hessian of the two-class objective.
    fn derivatives(&self, coefficients: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let width = self.width;
        let mut gradient: Vec<f64> = coefficients
            .iter()
            .zip(&self.penalties)
            .map(|(c, penalty)| c * penalty)
            .collect();
        let mut hessian = vec![0.0; width * width];
        let mut block = Vec::with_capacity(4 * width);
        for (row, class, weight) in self.rows() {
            let share = 1.0 / (1.0 + (-dot(row, coefficients)).exp());
            let error = (share - f64::from(class)) * weight;
            for (gradient, value) in gradient.iter_mut().zip(row) {
                *gradient += error * value;
            }
            let curvature = (share * (1.0 - share) * weight).sqrt();
            block.extend(row.iter().map(|value| value * curvature));
            if block.len() == 4 * width {
                add_products(&mut hessian, &block, width);
                block.clear();
            }
        }
        block.resize(4 * width, 0.0);
        add_products(&mut hessian, &block, width);
        for (index, penalty) in self.penalties.iter().enumerate() {
            hessian[index * width + index] += penalty;
        }
        (gradient, hessian)
    }

    fn quasi_newton(&self, cancel: &Cancel<'_>) -> Result<Vec<f64>> {
        let stop = Stop {
            max_iter: self.settings.max_iter,
            tolerance: self.settings.tolerance,
        };
        let start = vec![0.0; self.outputs * self.width];
        lbfgs::minimise(start, &stop, cancel, |coefficients, gradient| {
            self.evaluate(coefficients, gradient)
        })
    }

    fn proximal(&self, cancel: &Cancel<'_>) -> Result<Vec<f64>> {
        let weights: Vec<f64> = self
            .absolute
            .iter()
            .map(|penalty| penalty / self.total_weight)
            .collect();
        let stop = Stop {
            max_iter: self.settings.max_iter,
            tolerance: self.settings.tolerance,
        };
        let start = vec![0.0; self.outputs * self.width];
        proximal::minimise(start, &weights, &stop, cancel, |coefficients, gradient| {
            self.evaluate(coefficients, gradient)
        })
    }

    /// Mean loss and gradient for coefficients that stand output after output.
    fn evaluate(&self, coefficients: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let mut loss = 0.0;
        let mut errors = vec![0.0; self.outputs];
        for (row, class, weight) in self.rows() {
            for (error, output) in errors.iter_mut().zip(coefficients.chunks_exact(self.width)) {
                *error = dot(row, output);
            }
            loss += weight * errors_of(&mut errors, class);
            for (error, gradient) in errors.iter().zip(gradient.chunks_exact_mut(self.width)) {
                let error = error * weight;
                for (gradient, value) in gradient.iter_mut().zip(row) {
                    *gradient += error * value;
                }
            }
        }
        for (index, (gradient, c)) in gradient.iter_mut().zip(coefficients).enumerate() {
            *gradient = (*gradient + c * self.penalties[index % self.width]) / self.total_weight;
        }
        (loss + self.penalty(coefficients)) / self.total_weight
    }
}

/// Turns scores into probability errors in place; the loss.
fn errors_of(scores: &mut [f64], class: u32) -> f64 {
    if let [score] = scores {
        let value = *score;
        let small = (-value.abs()).exp();
        let share = if value > 0.0 {
            1.0 / (1.0 + small)
        } else {
            small / (1.0 + small)
        };
        *score = share - f64::from(class);
        return small.ln_1p() + value.max(0.0) - f64::from(class) * value;
    }
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let own = scores[class as usize] - largest;
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        total += *score;
    }
    scores.iter_mut().for_each(|score| *score /= total);
    scores[class as usize] -= 1.0;
    total.ln() - own
}

/// Adds the outer products of four rows to the lower triangle.
fn add_products(hessian: &mut [f64], block: &[f64], width: usize) {
    let (first, rest) = block.split_at(width);
    let (second, rest) = rest.split_at(width);
    let (third, fourth) = rest.split_at(width);
    for index in 0..width {
        let scale = [first[index], second[index], third[index], fourth[index]];
        let line = &mut hessian[index * width..=index * width + index];
        let values = first.iter().zip(second).zip(third.iter().zip(fourth));
        for (cell, ((a, b), (c, d))) in line.iter_mut().zip(values) {
            *cell += scale[0] * a + scale[1] * b + scale[2] * c + scale[3] * d;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LogisticSettings, Problem, fit};
    use crate::estimators::targets::{ClassWeight, Targets};
    use crate::estimators::testing::{cancel_never, three_classes, truth};
    use crate::matrix::Matrix;

    const SETTINGS: LogisticSettings = LogisticSettings {
        c: 1.0,
        l1_ratio: 0.0,
        max_iter: 1000,
        tolerance: 1e-10,
    };

    /// `sklearn.linear_model.LogisticRegression(C=1, tol=1e-12, solver='newton-cholesky')` on the same twelve rows.
    #[test]
    fn coefficients_are_scikit_learns() {
        let (matrix, codes) = twelve();
        let truth = truth(&codes, 2);
        let targets = Targets::new(&truth, &ClassWeight::None).unwrap();
        let linear = fit(
            &matrix,
            &[false, false],
            &targets,
            &SETTINGS,
            &cancel_never(),
        )
        .unwrap();
        let expected = [
            0.247_949_865_306_776_68,
            -0.085_608_838_881_009_22,
            -1.161_509_549_582_415_7,
        ];
        for (own, sklearn) in linear
            .weights
            .iter()
            .chain(&linear.intercepts)
            .zip(expected)
        {
            assert!((own - sklearn).abs() < 1e-8, "{own} {sklearn}");
        }
    }

    #[test]
    fn newton_and_lbfgs_agree() {
        let (matrix, codes) = crate::estimators::testing::rings(300);
        let truth = truth(&codes, 2);
        let targets = Targets::new(&truth, &ClassWeight::None).unwrap();
        let problem = Problem::new(&matrix, &[true, false], &targets, &SETTINGS);
        let newton = problem.newton(&cancel_never()).unwrap();
        let quasi = problem.quasi_newton(&cancel_never()).unwrap();
        for (one, other) in newton.iter().zip(&quasi) {
            assert!((one - other).abs() < 1e-6);
        }
    }

    #[test]
    fn three_classes_are_told_apart() {
        let (matrix, codes) = three_classes(300);
        let truth = truth(&codes, 3);
        let targets = Targets::new(&truth, &ClassWeight::None).unwrap();
        let linear = fit(&matrix, &[true, true], &targets, &SETTINGS, &cancel_never()).unwrap();
        let scores = linear.scores(&matrix);
        let hits = codes
            .iter()
            .zip(scores.chunks_exact(3))
            .filter(|(code, scores)| {
                (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])) == Some(**code as usize)
            });
        assert!(hits.count() > 285);
    }

    /// `LogisticRegression(solver='saga', tol=1e-12, max_iter=1000000)` on the twelve rows above, with `l1_ratio` 1 and 0.5.
    #[test]
    fn sparse_coefficients_are_scikit_learns() {
        let (matrix, codes) = twelve();
        let truth = truth(&codes, 2);
        let targets = Targets::new(&truth, &ClassWeight::None).unwrap();
        for (l1_ratio, expected) in [(1.0, L1), (0.5, ELASTIC)] {
            let settings = LogisticSettings {
                l1_ratio,
                max_iter: 10_000,
                tolerance: 1e-12,
                ..SETTINGS
            };
            let linear = fit(
                &matrix,
                &[false, false],
                &targets,
                &settings,
                &cancel_never(),
            );
            let linear = linear.unwrap();
            let found = linear.weights.iter().chain(&linear.intercepts);
            for (own, sklearn) in found.zip(expected) {
                assert!((own - sklearn).abs() < 1e-6, "{own} {sklearn}");
            }
        }
    }

    const L1: [f64; 3] = [0.210_730_213_080_037_1, 0.0, -1.159_016_171_932_248_5];
    const ELASTIC: [f64; 3] = [
        0.226_513_274_892_652_4,
        -0.018_391_039_101_997_575,
        -1.202_419_715_931_968_5,
    ];

    fn twelve() -> (Matrix, [u32; 12]) {
        let values: Vec<f64> = (0..12)
            .flat_map(|i| [f64::from(i * 5 % 12), f64::from(i * 7 % 11) * 0.5])
            .collect();
        let matrix = Matrix {
            width: 2,
            rows: 12,
            values,
        };
        (matrix, [0, 0, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0])
    }
}
