//! Tries every candidate on every fold.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::data::Table;
use crate::error::{ModelError, Result};
use crate::estimators::bins::Binned;
use crate::estimators::{Cancel, Estimator, Fitted, Training};
use crate::matrix::Matrix;
use crate::onnx::Trial;
use crate::prepare::Preparation;
use crate::scorer::Prediction;
use crate::train::folds::Fold;
use crate::train::grid::{self, Candidate};
use crate::train::{Hooks, Problem, Progress};

/// What the search has found.
pub(crate) struct Found {
    pub(crate) chosen: Candidate,
    pub(crate) trials: Vec<Trial>,
    /// The chosen candidate's probabilities of every row, from the fold that held it out.
    pub(crate) out_of_fold: Vec<f64>,
}

/// Training rows as numbers, in the forms that estimators ask for.
pub(crate) struct Prepared {
    pub(crate) preparation: Preparation,
    scaled: Vec<bool>,
    codes: Vec<u32>,
    classes: usize,
    imputed: Form,
    /// Only when the rows have missing numbers and an estimator reads them.
    missing: Option<Form>,
}

/// A matrix and its bins.
struct Form {
    matrix: Matrix,
    binned: Option<Binned>,
}

impl Form {
    fn new(matrix: Matrix, bins: bool) -> Self {
        let binned = bins.then(|| Binned::fit(&matrix));
        Self { matrix, binned }
    }
}

impl Prepared {
    /// Learns the preparation from the table and applies it, for these estimators.
    pub(crate) fn new(
        table: &Table,
        codes: Vec<u32>,
        classes: usize,
        estimators: &[&Estimator],
        warn: &mut dyn FnMut(String),
    ) -> Result<Self> {
        let preparation = Preparation::fit(table, warn)?;
        let any = |test: &dyn Fn(&Estimator) -> bool| estimators.iter().any(|one| test(one));
        let split = preparation.saw_missing() && any(&Estimator::reads_missing);
        let bins = any(&|one| one.wants_bins() && !(split && one.reads_missing()));
        let imputed = Form::new(preparation.transform(table, false)?, bins);
        let missing = if split {
            Some(Form::new(
                preparation.transform(table, true)?,
                any(&|one| one.wants_bins() && one.reads_missing()),
            ))
        } else {
            None
        };
        let scaled = preparation.scaled();
        Ok(Self {
            preparation,
            scaled,
            codes,
            classes,
            imputed,
            missing,
        })
    }

    /// Fits an estimator.
    pub(crate) fn fit(
        &self,
        estimator: &Estimator,
        seed: u64,
        cancel: &Cancel<'_>,
    ) -> Result<Fitted> {
        let form = match &self.missing {
            Some(missing) if estimator.reads_missing() => missing,
            _ => &self.imputed,
        };
        estimator.fit(&Training {
            matrix: &form.matrix,
            binned: form.binned.as_ref(),
            scaled: &self.scaled,
            codes: &self.codes,
            classes: self.classes,
            seed,
            cancel,
        })
    }

    /// The features of other rows, for an estimator.
    pub(crate) fn transform(&self, table: &Table, estimator: &Estimator) -> Result<Matrix> {
        self.preparation.transform(table, estimator.reads_missing())
    }
}

/// The class codes of rows.
pub(crate) fn codes_of(codes: &[u32], rows: &[u32]) -> Vec<u32> {
    rows.iter().map(|&row| codes[row as usize]).collect()
}

/// Tries every candidate on every fold; the best by the mean of the metric is chosen, of equal ones the first.
pub(crate) fn search(
    problem: &mut Problem<'_>,
    folds: &[Fold],
    hooks: &Hooks<'_>,
    cancel: &Cancel<'_>,
) -> Result<Found> {
    let candidates = grid::expand(&problem.settings.candidates)?;
    let classes = problem.target.classes.len();
    let rows = problem.target.codes.len();
    let done = AtomicUsize::new(0);
    let total = folds.len() * candidates.len() + 1;
    let mut scores = vec![Vec::with_capacity(folds.len()); candidates.len()];
    let mut held_out = vec![vec![0.0; rows * classes]; candidates.len()];
    for (number, fold) in folds.iter().enumerate() {
        let answers = try_fold(problem, fold, &candidates, cancel, &|candidate| {
            (hooks.progress)(Progress {
                done: done.fetch_add(1, Ordering::Relaxed) + 1,
                total,
                message: format!("{candidate}, fold {} of {}", number + 1, folds.len()),
            });
        })?;
        for (candidate, (score, probabilities)) in answers.into_iter().enumerate() {
            scores[candidate].push(score);
            for (row, shares) in fold.test.iter().zip(probabilities.chunks_exact(classes)) {
                let start = *row as usize * classes;
                held_out[candidate][start..start + classes].copy_from_slice(shares);
            }
        }
    }
    choose(problem, candidates, scores, held_out)
}

/// For every candidate its metric and its probabilities of the held-out rows.
fn try_fold(
    problem: &Problem<'_>,
    fold: &Fold,
    candidates: &[Candidate],
    cancel: &Cancel<'_>,
    report: &(dyn Fn(&str) + Sync),
) -> Result<Vec<(f64, Vec<f64>)>> {
    let settings = problem.settings;
    let classes = problem.target.classes.len();
    let estimators: Vec<&Estimator> = candidates
        .iter()
        .map(|candidate| &candidate.estimator)
        .collect();
    let train = problem.extended.take(&fold.train);
    let codes = codes_of(&problem.target.codes, &fold.train);
    let prepared = Prepared::new(&train, codes, classes, &estimators, &mut |_| ())?;
    let test = problem.extended.take(&fold.test);
    let test_codes = codes_of(&problem.target.codes, &fold.test);
    let imputed = prepared.preparation.transform(&test, false)?;
    let missing = prepared.preparation.transform(&test, true)?;
    candidates
        .par_iter()
        .map(|candidate| {
            let fitted = prepared.fit(&candidate.estimator, settings.seed, cancel)?;
            let matrix = if candidate.estimator.reads_missing() {
                &missing
            } else {
                &imputed
            };
            let probabilities = fitted.probabilities(matrix);
            let prediction = Prediction::new(problem.target.classes.clone(), probabilities, 0.5);
            let score = settings.metric.of(
                &test_codes,
                &prediction.codes,
                &prediction.probabilities,
                classes,
            );
            report(&candidate.name);
            Ok((score, prediction.probabilities))
        })
        .collect()
}

fn choose(
    problem: &mut Problem<'_>,
    candidates: Vec<Candidate>,
    scores: Vec<Vec<f64>>,
    mut held_out: Vec<Vec<f64>>,
) -> Result<Found> {
    let metric = problem.settings.metric;
    let means: Vec<f64> = scores.iter().map(|scores| mean(scores)).collect();
    // The baseline comes first and is not for choosing.
    let best = (2..candidates.len()).fold(1, |best, at| {
        if metric.better(means[at], means[best]) {
            at
        } else {
            best
        }
    });
    let chosen = candidates
        .get(best)
        .cloned()
        .ok_or_else(|| ModelError::settings("there is no candidate"))?;
    if !metric.better(means[best], means[0]) {
        problem.warnings.push(format!(
            "no candidate is better than always guessing the same ({metric} {:.4} against {:.4})",
            means[best], means[0]
        ));
    }
    let trials = candidates
        .into_iter()
        .zip(scores)
        .enumerate()
        .map(|(index, (candidate, folds))| Trial {
            estimator: candidate.name,
            parameters: candidate.parameters,
            mean: means[index],
            deviation: deviation(&folds, means[index]),
            folds,
            chosen: index == best,
        })
        .collect();
    Ok(Found {
        chosen,
        trials,
        out_of_fold: held_out.swap_remove(best),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a few folds")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[allow(clippy::cast_precision_loss, reason = "a few folds")]
fn deviation(values: &[f64], mean: f64) -> f64 {
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    (squares / values.len() as f64).sqrt()
}
