//! Histogram gradient boosting: trees grown leaf by leaf on gradients, Newton leaves, L2, early stopping.
//!
//! Friedman: Greedy function approximation (2001); the histogram scheme is `LightGBM`'s (Ke et al. 2017).

use rayon::prelude::*;

use crate::error::{ModelError, Result};
use crate::estimators::Cancel;
use crate::estimators::bins::Binned;
use crate::estimators::boosting_split::Nature;
use crate::estimators::boosting_sums::{Growth, MOST_ROWS};
use crate::estimators::boosting_tree::{Grower, Tree};
use crate::estimators::category_sets::CategorySets;
use crate::estimators::ensemble::Ensemble;
use crate::estimators::targets::Lesson;
use crate::random::Random;

/// Rounds without a better validation loss before boosting stops.
const PATIENCE: usize = 10;
/// A validation loss has to fall by this much to count.
const TOLERANCE: f64 = 1e-7;
/// One row in this many validates.
const VALIDATION: usize = 10;
/// Rows whose gradients are computed as one piece of work.
const CHUNK: usize = 4096;

/// How boosting learns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BoostingSettings {
    pub(crate) learning_rate: f64,
    pub(crate) max_iter: usize,
    pub(crate) growth: Growth,
    pub(crate) early_stopping: bool,
    pub(crate) seed: u64,
}

/// Fits; the scores are log odds (of the second class alone when there are two). Sets of categories are features after
/// those of the rows.
pub(crate) fn fit(
    binned: &Binned,
    lesson: &Lesson<'_>,
    nature: &Nature,
    settings: &BoostingSettings,
    cancel: &Cancel<'_>,
) -> Result<(Ensemble, CategorySets)> {
    if binned.rows >= MOST_ROWS {
        return Err(ModelError::data(format!(
            "gradient_boosting learns from fewer than {MOST_ROWS} rows: sample them in a transform"
        )));
    }
    Fit::new(binned, lesson, settings).run(nature, cancel)
}

struct Fit<'a> {
    binned: &'a Binned,
    lesson: &'a Lesson<'a>,
    settings: &'a BoostingSettings,
    /// Scores of a row: 1 for two classes.
    outputs: usize,
    /// What quantities are counted from.
    centre: f64,
    base: Vec<f64>,
    /// Current scores, row after row.
    scores: Vec<f64>,
    gradients: Vec<f64>,
    hessians: Vec<f64>,
    train: Vec<u32>,
    validation: Vec<u32>,
}

impl<'a> Fit<'a> {
    fn new(binned: &'a Binned, lesson: &'a Lesson<'a>, settings: &'a BoostingSettings) -> Self {
        let outputs = lesson.outputs();
        let mut random = Random::new(settings.seed, 0);
        let rows = u32::try_from(binned.rows).unwrap_or(u32::MAX);
        let (validation, train) =
            (0..rows).partition(|_| settings.early_stopping && random.below(VALIDATION) == 0);
        let mut fit = Self {
            binned,
            lesson,
            settings,
            outputs,
            centre: lesson.centre(),
            base: Vec::new(),
            scores: Vec::new(),
            gradients: vec![0.0; binned.rows * outputs],
            hessians: vec![0.0; binned.rows * outputs],
            train,
            validation,
        };
        fit.base = fit.prior();
        fit.scores = fit.base.repeat(binned.rows);
        fit
    }

    /// The log odds of the classes in the training rows.
    fn prior(&self) -> Vec<f64> {
        let Lesson::Classes(targets) = self.lesson else {
            return vec![0.0];
        };
        let mut sums = vec![1e-12; targets.classes];
        for &row in &self.train {
            let class = targets.codes[row as usize] as usize;
            sums[class] += f64::from(targets.weight(row as usize));
        }
        let total: f64 = sums.iter().sum();
        if self.outputs == 1 {
            vec![(sums[1] / sums[0]).ln()]
        } else {
            sums.iter().map(|sum| (sum / total).ln()).collect()
        }
    }

    /// The unit of losses: the variance of quantities.
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    fn spread(&self) -> f64 {
        let Lesson::Quantity(values) = self.lesson else {
            return 1.0;
        };
        let squares: f64 = values
            .iter()
            .map(|value| (value - self.centre).powi(2))
            .sum();
        squares / values.len() as f64
    }

    fn run(mut self, nature: &Nature, cancel: &Cancel<'_>) -> Result<(Ensemble, CategorySets)> {
        let mut sets = CategorySets::new(self.binned.width);
        let mut ensemble = Ensemble::new(self.outputs, self.binned.width, self.base.clone(), false);
        let mut grower = Grower::new(self.binned, nature, &self.settings.growth);
        let (mut lowest, mut since) = (f64::INFINITY, 0);
        let tolerance = TOLERANCE * self.spread();
        for _ in 0..self.settings.max_iter {
            cancel.check()?;
            self.differentiate();
            for output in 0..self.outputs {
                let target = u32::try_from(output).unwrap_or(u32::MAX);
                let tree = self.grow(&mut grower, output);
                ensemble.push(&tree.nodes(self.binned, target, &mut sets), &[])?;
            }
            if self.settings.early_stopping && !self.validation.is_empty() {
                let loss = self.validation_loss();
                if loss < lowest - tolerance {
                    (lowest, since) = (loss, 0);
                } else {
                    since += 1;
                    if since == PATIENCE {
                        break;
                    }
                }
            }
        }
        ensemble.width += sets.sets.len();
        Ok((ensemble, sets))
    }

    fn grow(&mut self, grower: &mut Grower<'_>, output: usize) -> Tree {
        grower.quantise(&self.gradients, &self.hessians, output, self.outputs);
        let rate = self.settings.learning_rate;
        let (outputs, scores) = (self.outputs, &mut self.scores);
        let tree = grower.grow(&self.train, rate, |row, value| {
            scores[row as usize * outputs + output] += value;
        });
        for &row in &self.validation {
            let value = tree.value_at(self.binned, row as usize);
            self.scores[row as usize * outputs + output] += value;
        }
        tree
    }

    /// Gradients and hessians of the log loss at the current scores.
    fn differentiate(&mut self) {
        let width = self.outputs;
        let (lesson, centre) = (self.lesson, self.centre);
        self.gradients
            .par_chunks_mut(width * CHUNK)
            .zip(self.hessians.par_chunks_mut(width * CHUNK))
            .zip(self.scores.par_chunks(width * CHUNK))
            .enumerate()
            .for_each(|(chunk, ((gradients, hessians), scores))| {
                let rows = gradients
                    .chunks_exact_mut(width)
                    .zip(hessians.chunks_exact_mut(width))
                    .zip(scores.chunks_exact(width));
                for (index, ((gradient, hessian), score)) in rows.enumerate() {
                    let row = chunk * CHUNK + index;
                    match lesson {
                        Lesson::Classes(targets) => {
                            let weight = f64::from(targets.weight(row));
                            derivatives(targets.codes[row], score, weight, gradient, hessian);
                        }
                        Lesson::Quantity(values) => {
                            gradient[0] = score[0] - (values[row] - centre);
                            hessian[0] = 1.0;
                        }
                    }
                }
            });
    }

    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    fn validation_loss(&self) -> f64 {
        let total: f64 = self
            .validation
            .iter()
            .map(|&row| {
                let row = row as usize;
                let scores = &self.scores[row * self.outputs..(row + 1) * self.outputs];
                match self.lesson {
                    Lesson::Classes(targets) => {
                        loss(targets.codes[row], scores) * f64::from(targets.weight(row))
                    }
                    Lesson::Quantity(values) => (scores[0] - (values[row] - self.centre)).powi(2),
                }
            })
            .sum();
        total / self.validation.len() as f64
    }
}

fn derivatives(class: u32, scores: &[f64], weight: f64, gradient: &mut [f64], hessian: &mut [f64]) {
    if let [score] = scores {
        let share = 1.0 / (1.0 + (-score).exp());
        gradient[0] = (share - f64::from(class)) * weight;
        hessian[0] = share * (1.0 - share) * weight;
        return;
    }
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
    for (index, score) in scores.iter().enumerate() {
        let share = (score - largest).exp() / total;
        let hit = f64::from(u8::from(index == class as usize));
        gradient[index] = (share - hit) * weight;
        hessian[index] = share * (1.0 - share) * weight;
    }
}

fn loss(class: u32, scores: &[f64]) -> f64 {
    if let [score] = scores {
        return (-score.abs()).exp().ln_1p() + score.max(0.0) - f64::from(class) * score;
    }
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
    largest + total.ln() - scores[class as usize]
}

#[cfg(test)]
mod tests {
    use super::{BoostingSettings, fit};
    use crate::data::Truth;
    use crate::estimators::bins::Binned;
    use crate::estimators::boosting_split::Nature;
    use crate::estimators::boosting_sums::Growth;
    use crate::estimators::ensemble::{Combine, Ensemble};
    use crate::estimators::targets::{ClassWeight, Lesson};
    use crate::estimators::testing::{cancel_never, rings, three_classes, truth};
    use crate::matrix::Matrix;

    fn settings() -> BoostingSettings {
        BoostingSettings {
            learning_rate: 0.1,
            max_iter: 100,
            growth: Growth {
                max_leaf_nodes: 31,
                max_depth: usize::MAX,
                min_samples_leaf: 20,
                l2_regularization: 1.0,
            },
            early_stopping: false,
            seed: 1,
        }
    }

    fn learned(binned: &Binned, lesson: &Lesson<'_>, settings: &BoostingSettings) -> Ensemble {
        let nature = Nature::default();
        let fitted = fit(binned, lesson, &nature, settings, &cancel_never());
        fitted.unwrap().0
    }

    fn error_share(matrix: &Matrix, codes: &[u32], classes: usize) -> f64 {
        let truth = truth(codes, classes);
        let lesson = Lesson::new(&truth, &ClassWeight::None).unwrap();
        let model = learned(&Binned::fit(matrix), &lesson, &settings());
        let scores = model.scores(&matrix.values, Combine::Sum);
        let wrong = codes.iter().enumerate().filter(|(row, code)| {
            let scores = &scores[row * model.targets..(row + 1) * model.targets];
            let guess = if classes == 2 {
                u32::from(scores[0] >= 0.0)
            } else {
                (0..classes)
                    .max_by(|a, b| scores[*a].total_cmp(&scores[*b]))
                    .unwrap() as u32
            };
            guess != **code
        });
        wrong.count() as f64 / codes.len() as f64
    }

    #[test]
    fn it_learns_what_no_line_can_separate() {
        let (matrix, codes) = rings(600);
        assert!(error_share(&matrix, &codes, 2) < 0.02);
        let (matrix, codes) = three_classes(600);
        assert!(error_share(&matrix, &codes, 3) < 0.02);
    }

    #[test]
    fn missing_values_are_a_signal_of_their_own() {
        let codes: Vec<u32> = (0..400).map(|row| u32::from(row % 3 == 0)).collect();
        let values = codes.iter().enumerate().map(|(row, code)| {
            if *code == 1 {
                f64::NAN
            } else {
                (row % 17) as f64
            }
        });
        let matrix = Matrix {
            width: 1,
            rows: 400,
            values: values.collect(),
        };
        assert!(error_share(&matrix, &codes, 2) < 1e-9);
    }

    #[test]
    fn early_stopping_stops_on_noise_and_threads_change_nothing() {
        let (matrix, mut codes) = rings(2000);
        let mut random = crate::random::Random::new(5, 5);
        codes
            .iter_mut()
            .for_each(|code| *code = random.below(2) as u32);
        let binned = Binned::fit(&matrix);
        let settings = BoostingSettings {
            early_stopping: true,
            ..settings()
        };
        let grow = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let truth = truth(&codes, 2);
            let lesson = Lesson::new(&truth, &ClassWeight::None).unwrap();
            pool.install(|| learned(&binned, &lesson, &settings))
        };
        let model = grow(1);
        assert!(model.len() < 60);
        assert_eq!(model, grow(3));
    }

    #[test]
    fn it_learns_a_curve() {
        let values: Vec<f64> = (0..1000).map(|row| f64::from(row) / 100.0).collect();
        let wanted: Vec<f64> = values.iter().map(|x| 1000.0 + 50.0 * x.sin()).collect();
        let matrix = Matrix {
            width: 1,
            rows: 1000,
            values,
        };
        let truth = Truth::Quantity(wanted.clone());
        let lesson = Lesson::new(&truth, &ClassWeight::None).unwrap();
        let model = learned(&Binned::fit(&matrix), &lesson, &settings());
        let found = model.scores(&matrix.values, Combine::Sum);
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found + lesson.centre() - wanted).abs() < 10.0);
        }
    }
}
