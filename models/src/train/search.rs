//! Tries every candidate on every fold.

use crate::data::Truth;
use crate::error::{ModelError, Result};
use crate::estimators::{Cancel, Estimator};
use crate::metrics::Metric;
use crate::onnx::{MetricValue, Trial};
use crate::scorer::Prediction;
use crate::train::candidates::{self, Candidate};
use crate::train::fits::{Looker, prepare};
use crate::train::folds::Fold;
use crate::train::held_out::HeldOut;
use crate::train::rounds::rounds;
use crate::train::{Hooks, Problem};

/// Predictions of held-out rows are kept of all candidates while they need less than this; else the chosen one's are
/// made again.
const MOST_BYTES: usize = 256 << 20;

/// What the search has found.
pub(crate) struct Found {
    pub(crate) chosen: Candidate,
    pub(crate) trials: Vec<Trial>,
    pub(crate) held_out: HeldOut,
}

/// A metric of answers against the truth.
pub(crate) fn measure(metric: Metric, truth: &Truth, values: &[f64], threshold: f64) -> f64 {
    match truth {
        Truth::Classes { classes, codes } => {
            let prediction = Prediction::new(classes.clone(), values.to_vec(), threshold);
            metric.of_classes(codes, &prediction.codes, values, classes.len())
        }
        Truth::Quantity(numbers) => metric.of_numbers(numbers, values),
        Truth::Unknown(_) => f64::NAN,
    }
}

/// All metrics of answers against the truth; `called` are the classes that rows were called.
pub(crate) fn measures(
    problem: &Problem<'_>,
    truth: &Truth,
    values: &[f64],
    called: &[u32],
) -> Vec<f64> {
    let metrics = Metric::of_goal(problem.settings.goal).iter();
    match truth {
        Truth::Classes { classes, codes } => metrics
            .map(|metric| metric.of_classes(codes, called, values, classes.len()))
            .collect(),
        _ => metrics
            .map(|metric| measure(*metric, truth, values, 0.5))
            .collect(),
    }
}

/// The tries of one candidate.
pub(crate) struct Tries {
    pub(crate) candidate: Candidate,
    /// All metrics in every fold.
    pub(crate) folds: Vec<Vec<f64>>,
    /// The answers in every fold, while they are kept.
    pub(crate) values: Vec<Vec<f64>>,
    /// The last round that it was in.
    round: usize,
    /// Rows that this round learned from, when they were not all.
    pub(crate) rows: Option<usize>,
}

/// Tries the candidates; the best by the mean of the metric is chosen, of equal ones the first.
pub(crate) fn search(
    problem: &mut Problem<'_>,
    folds: &[Fold],
    hooks: &Hooks<'_>,
    cancel: &Cancel<'_>,
) -> Result<Found> {
    let all = candidates::expand(problem.settings)?;
    let width = problem.classes.len().max(1);
    let held: usize = folds.iter().map(|fold| fold.test.len()).sum();
    let keep = all.len() * held * width * size_of::<f64>() <= MOST_BYTES;
    let rounds = rounds(problem, all.len(), folds);
    let total: usize = rounds.iter().map(|round| round.candidates).sum::<usize>() * folds.len();
    let looker = Looker::new(problem, hooks, cancel, total + 1);
    let mut tries: Vec<Tries> = all
        .into_iter()
        .map(|candidate| Tries {
            candidate,
            folds: Vec::new(),
            values: Vec::new(),
            round: 0,
            rows: None,
        })
        .collect();
    for (number, round) in rounds.iter().enumerate() {
        let mut open: Vec<usize> = (0..tries.len()).collect();
        if number > 0 {
            open = best_of(problem, &tries, round.candidates);
        }
        for place in &open {
            tries[*place].round = number;
        }
        looker.round(folds, number, round, &open, &mut tries, keep)?;
    }
    let tight = looker.tight();
    problem.warnings.extend(tight);
    choose(problem, tries, folds, width, cancel)
}

fn mean_of(problem: &Problem<'_>, tries: &Tries) -> f64 {
    let place = place_of(problem);
    let values: Vec<f64> = tries.folds.iter().map(|fold| fold[place]).collect();
    mean(&values)
}

/// Where the metric that candidates are compared by stands among all.
pub(crate) fn place_of(problem: &Problem<'_>) -> usize {
    let metric = problem.settings.metric();
    Metric::of_goal(problem.settings.goal)
        .iter()
        .position(|known| *known == metric)
        .unwrap_or(0)
}

/// The candidates that go on: the baseline, and the best of those that were in the last round.
fn best_of(problem: &Problem<'_>, tries: &[Tries], wanted: usize) -> Vec<usize> {
    let metric = problem.settings.metric();
    let last = tries.iter().map(|tries| tries.round).max();
    let mut order: Vec<usize> = (1..tries.len())
        .filter(|place| Some(tries[*place].round) == last)
        .collect();
    order.sort_by(|a, b| {
        let (one, other) = (mean_of(problem, &tries[*a]), mean_of(problem, &tries[*b]));
        if metric.better(one, other) {
            std::cmp::Ordering::Less
        } else if metric.better(other, one) {
            std::cmp::Ordering::Greater
        } else {
            a.cmp(b)
        }
    });
    order.truncate(wanted.saturating_sub(1).max(1));
    order.push(0);
    order.sort_unstable();
    order
}

/// Answers of one candidate to the rows of every fold.
pub(crate) fn answers(
    problem: &Problem<'_>,
    folds: &[Fold],
    estimator: &Estimator,
    cancel: &Cancel<'_>,
) -> Result<Vec<Vec<f64>>> {
    folds
        .iter()
        .map(|fold| {
            let prepared = prepare(problem, &fold.train, &[estimator])?;
            let fitted = prepared.fit(estimator, problem.settings.seed, cancel)?;
            let test = problem.extended.take(&fold.test);
            Ok(fitted.answer(&prepared.transform(&test, estimator)?))
        })
        .collect()
}

fn choose(
    problem: &Problem<'_>,
    tries: Vec<Tries>,
    folds: &[Fold],
    width: usize,
    cancel: &Cancel<'_>,
) -> Result<Found> {
    let metric = problem.settings.metric();
    let means: Vec<f64> = tries.iter().map(|one| mean_of(problem, one)).collect();
    let last = tries.iter().map(|one| one.round).max();
    // The baseline comes first and is not for choosing; nor is who was left behind in an earlier round.
    let mut open = (1..tries.len()).filter(|place| Some(tries[*place].round) == last);
    let first = open
        .next()
        .ok_or_else(|| ModelError::settings("there is no candidate"))?;
    let best = open.fold(first, |best, at| {
        if metric.better(means[at], means[best]) {
            at
        } else {
            best
        }
    });
    let chosen = tries[best].candidate.clone();
    let values = if tries[best].values.len() == folds.len() {
        tries[best].values.clone()
    } else {
        answers(problem, folds, &chosen.estimator, cancel)?
    };
    let place = place_of(problem);
    let trials = tries
        .into_iter()
        .enumerate()
        .map(|(index, one)| trial(problem, one, place, index == best))
        .collect();
    Ok(Found {
        chosen,
        trials,
        held_out: HeldOut::new(folds, &values, width),
    })
}

fn trial(problem: &Problem<'_>, tries: Tries, place: usize, chosen: bool) -> Trial {
    let folds: Vec<f64> = tries.folds.iter().map(|fold| fold[place]).collect();
    let middle = mean(&folds);
    let metrics = Metric::of_goal(problem.settings.goal)
        .iter()
        .enumerate()
        .map(|(index, metric)| {
            let values: Vec<f64> = tries.folds.iter().map(|fold| fold[index]).collect();
            let value = mean(&values);
            MetricValue {
                metric: *metric,
                value: value.is_finite().then_some(value),
                interval: None,
            }
        })
        .collect();
    Trial {
        estimator: tries.candidate.name,
        parameters: tries.candidate.parameters,
        mean: middle,
        deviation: deviation(&folds, middle),
        folds,
        metrics,
        rows: tries.rows,
        chosen,
    }
}

#[allow(clippy::cast_precision_loss, reason = "a few folds")]
pub(crate) fn mean(values: &[f64]) -> f64 {
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
