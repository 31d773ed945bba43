//! Linear support vector machine: scikit-learn's `LinearSVC`, `½·|β|² + C · Σ wᵢ·max(0, 1 − y·f)²`, the intercept free.
//!
//! Solved by L-BFGS, one class against the rest. Distances from the border become probabilities by a sigmoid (Platt 1999,
//! as in Lin, Lin, Weng: A note on Platt's probabilistic outputs, 2007), which is fitted on rows that were held out.

use rayon::prelude::*;

use crate::error::Result;
use crate::estimators::lbfgs::{self, Stop};
use crate::estimators::linear::Linear;
use crate::estimators::linear_algebra::dot;
use crate::estimators::scaling::Scaling;
use crate::estimators::targets::Targets;
use crate::estimators::{Cancel, sigmoid};
use crate::matrix::Matrix;
use crate::random::Random;

/// Parts of the rows that are held out in turn to fit the sigmoid.
const PARTS: usize = 3;

/// How it learns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SvmSettings {
    /// The inverse strength of the penalty.
    pub(crate) c: f64,
    pub(crate) max_iter: usize,
    pub(crate) tolerance: f64,
}

/// Fits; the scores are log odds of each class against the rest.
pub(crate) fn fit(
    matrix: &Matrix,
    standardised: &[bool],
    targets: &Targets<'_>,
    settings: &SvmSettings,
    cancel: &Cancel<'_>,
) -> Result<Linear> {
    let scaling = Scaling::fit(matrix, standardised);
    let design = scaling.design(matrix);
    let width = matrix.width + 1;
    let outputs = targets.outputs();
    let borders = (0..outputs)
        .into_par_iter()
        .map(|output| {
            let class = if outputs == 1 { 1 } else { output };
            let sides: Vec<f64> = targets
                .codes
                .iter()
                .map(|code| if *code as usize == class { 1.0 } else { -1.0 })
                .collect();
            let problem = Border {
                design: &design,
                width,
                sides: &sides,
                targets,
                settings,
            };
            problem.solve(cancel)
        })
        .collect::<Result<Vec<Vec<f64>>>>()?;
    Ok(Linear::unscaled(&borders.concat(), outputs, &scaling))
}

/// One class against the rest.
struct Border<'a> {
    design: &'a [f64],
    width: usize,
    /// 1 or −1.
    sides: &'a [f64],
    targets: &'a Targets<'a>,
    settings: &'a SvmSettings,
}

impl Border<'_> {
    /// The border's coefficients, turned so that the score is a log odds.
    fn solve(&self, cancel: &Cancel<'_>) -> Result<Vec<f64>> {
        let mut distances = vec![0.0; self.sides.len()];
        // Drawn, since rows may stand in an order; always the same draw.
        let mut random = Random::new(0, 0x5E41);
        let part_of: Vec<usize> = self.sides.iter().map(|_| random.below(PARTS)).collect();
        for part in 0..PARTS {
            let border = self.border(|row| part_of[row] != part, cancel)?;
            for (row, distance) in distances.iter_mut().enumerate() {
                if part_of[row] == part {
                    *distance = dot(self.row(row), &border);
                }
            }
        }
        let (slope, offset) = platt(&distances, self.sides);
        let mut border = self.border(|_| true, cancel)?;
        border.iter_mut().for_each(|value| *value *= slope);
        border[self.width - 1] += offset;
        Ok(border)
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.design[row * self.width..][..self.width]
    }

    fn border(&self, learned: impl Fn(usize) -> bool, cancel: &Cancel<'_>) -> Result<Vec<f64>> {
        let rows: Vec<usize> = (0..self.sides.len()).filter(|row| learned(*row)).collect();
        #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
        let scale = 1.0 / (self.settings.c * rows.len().max(1) as f64);
        let stop = Stop {
            max_iter: self.settings.max_iter,
            tolerance: self.settings.tolerance,
        };
        lbfgs::minimise(vec![0.0; self.width], &stop, cancel, |border, gradient| {
            let free = self.width - 1;
            let mut value = dot(&border[..free], &border[..free]) / 2.0;
            gradient[..free].copy_from_slice(&border[..free]);
            gradient[free] = 0.0;
            for &row in &rows {
                let values = self.row(row);
                let side = self.sides[row];
                let short = 1.0 - side * dot(values, border);
                if short > 0.0 {
                    let weight = self.settings.c * f64::from(self.targets.weight(row));
                    value += weight * short * short;
                    let pull = -2.0 * weight * short * side;
                    for (gradient, value) in gradient.iter_mut().zip(values) {
                        *gradient += pull * value;
                    }
                }
            }
            gradient.iter_mut().for_each(|slope| *slope *= scale);
            value * scale
        })
    }
}

/// Slope and offset of the sigmoid that turns scores into the probability of the side 1.
pub(crate) fn platt(scores: &[f64], sides: &[f64]) -> (f64, f64) {
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    let positive = sides.iter().filter(|side| **side > 0.0).count() as f64;
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    let negative = sides.len() as f64 - positive;
    // Bayesian targets: a few rows must not promise certainty.
    let wanted = |side: f64| {
        if side > 0.0 {
            (positive + 1.0) / (positive + 2.0)
        } else {
            1.0 / (negative + 2.0)
        }
    };
    let (mut slope, mut offset) = (0.0, ((positive + 1.0) / (negative + 1.0)).ln());
    for _ in 0..100 {
        let (mut g, mut h) = ([0.0; 2], [1e-12, 0.0, 1e-12]);
        for (score, side) in scores.iter().zip(sides) {
            let share = sigmoid(slope * score + offset);
            let error = share - wanted(*side);
            let curve = (share * (1.0 - share)).max(1e-12);
            g[0] += error * score;
            g[1] += error;
            h[0] += curve * score * score;
            h[1] += curve * score;
            h[2] += curve;
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        if determinant.abs() < 1e-300 {
            break;
        }
        let step = [
            (h[2] * g[0] - h[1] * g[1]) / determinant,
            (h[0] * g[1] - h[1] * g[0]) / determinant,
        ];
        let base = platt_loss(scores, sides, slope, offset, &wanted);
        let mut length = 1.0;
        while length > 1e-10
            && platt_loss(
                scores,
                sides,
                slope - length * step[0],
                offset - length * step[1],
                &wanted,
            ) > base
        {
            length /= 2.0;
        }
        slope -= length * step[0];
        offset -= length * step[1];
        if (length * step[0]).abs() < 1e-10 && (length * step[1]).abs() < 1e-10 {
            break;
        }
    }
    (slope, offset)
}

fn platt_loss(
    scores: &[f64],
    sides: &[f64],
    slope: f64,
    offset: f64,
    wanted: &impl Fn(f64) -> f64,
) -> f64 {
    scores
        .iter()
        .zip(sides)
        .map(|(score, side)| {
            let score = slope * score + offset;
            (-score.abs()).exp().ln_1p() + score.max(0.0) - wanted(*side) * score
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{SvmSettings, fit, platt};
    use crate::estimators::targets::{ClassWeight, Targets};
    use crate::estimators::testing::{cancel_never, three_classes, truth};

    #[test]
    fn three_classes_are_told_apart() {
        let (matrix, codes) = three_classes(300);
        let truth = truth(&codes, 3);
        let targets = Targets::new(&truth, &ClassWeight::None).unwrap();
        let settings = SvmSettings {
            c: 1.0,
            max_iter: 1000,
            tolerance: 1e-6,
        };
        let linear = fit(&matrix, &[true, true], &targets, &settings, &cancel_never()).unwrap();
        let scores = linear.scores(&matrix);
        let hits = codes
            .iter()
            .zip(scores.chunks_exact(3))
            .filter(|(code, scores)| {
                (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])) == Some(**code as usize)
            });
        assert!(hits.count() > 285);
    }

    /// `sklearn.calibration._sigmoid_calibration` on the same scores; its signs are the other way round.
    #[test]
    fn the_sigmoid_is_scikit_learns() {
        let scores = [-2.0, -1.0, -0.5, 0.2, 0.4, 1.0, 2.5, -0.1];
        let sides = [-1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 1.0, -1.0];
        let (slope, offset) = platt(&scores, &sides);
        assert!((slope - PLATT[0]).abs() < 1e-4, "{slope}");
        assert!((offset - PLATT[1]).abs() < 1e-4, "{offset}");
    }

    const PLATT: [f64; 2] = [0.807_303_040_583_458_6, -0.029_835_781_230_166_523];
}
