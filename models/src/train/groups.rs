//! Clusters and anomalies: what is found without a truth.

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};

use crate::data::{Classes, Goal};
use crate::error::{ModelError, Result};
use crate::estimators::{Cancel, Scaling};
use crate::matrix::Matrix;
use crate::metrics::{Metric, silhouette};
use crate::onnx::{MetricValue, Trial};
use crate::random::Random;
use crate::scorer::Answer;
use crate::train::candidates::{self, Candidate};
use crate::train::outcome::Learned;
use crate::train::prepared::Prepared;
use crate::train::{Hooks, Problem, Progress, Trained};

/// Rows that the silhouette is measured on.
const SAMPLE: usize = 2_000;
/// From this score on a row is odd, when no share of odd rows is given.
const ODD: f64 = 0.5;

/// Tries the candidates on all rows; clusters are compared by the silhouette.
pub(crate) fn train(
    frame: &DataFrame,
    problem: &Problem<'_>,
    hooks: &Hooks<'_>,
    cancel: &Cancel<'_>,
) -> Result<Trained> {
    let settings = problem.settings;
    let candidates = candidates::expand(settings)?;
    let mut warnings = Vec::new();
    let estimators: Vec<_> = candidates.iter().map(|one| &one.estimator).collect();
    let prepared = Prepared::new(
        &problem.extended,
        problem.target.truth.clone(),
        settings,
        &estimators,
        &mut |warning| warnings.push(warning),
    )?;
    let judge = match settings.goal {
        Goal::Clusters => Some(Judge::new(&prepared, problem, cancel)?),
        _ => None,
    };
    let mut tried: Vec<(Candidate, Assigned, f64)> = Vec::with_capacity(candidates.len());
    let total = candidates.len();
    for (done, candidate) in candidates.into_iter().enumerate() {
        cancel.check()?;
        let assigned = assign(&candidate, &prepared, problem, cancel)?;
        let value = judge
            .as_ref()
            .map_or(f64::NAN, |judge| judge.measure(&assigned));
        (hooks.progress)(Progress {
            done: done + 1,
            total,
            message: candidate.name.clone(),
        });
        tried.push((candidate, assigned, value));
    }
    let best = (1..tried.len()).fold(0, |best, at| {
        if Metric::Silhouette.better(tried[at].2, tried[best].2) {
            at
        } else {
            best
        }
    });
    let trials = if judge.is_some() {
        trials(&tried, best)
    } else {
        Vec::new()
    };
    let metrics = trials
        .get(best)
        .map_or(Vec::new(), |trial: &Trial| trial.metrics.clone());
    let (candidate, assigned, _) = tried.swap_remove(best);
    finish(
        frame,
        problem,
        &candidate,
        assigned,
        &prepared,
        |metadata| {
            metadata.trials = trials;
            metadata.metrics = metrics;
            metadata.warnings = warnings;
        },
    )
}

/// The groups or scores of the rows, and what can find those of others.
enum Assigned {
    /// A model with its answers.
    Model(Box<crate::estimators::Fitted>, Vec<f64>),
    /// Groups alone; none of a lonely row.
    Groups(Vec<Option<u32>>),
}

fn assign(
    candidate: &Candidate,
    prepared: &Prepared,
    problem: &Problem<'_>,
    cancel: &Cancel<'_>,
) -> Result<Assigned> {
    let estimator = &candidate.estimator;
    let training = prepared.training(estimator, problem.settings.seed, cancel)?;
    if let Some(groups) = estimator.assign(&training) {
        return groups.map(Assigned::Groups);
    }
    let fitted = estimator.fit(&training)?;
    let values = fitted.answer(training.matrix);
    Ok(Assigned::Model(Box::new(fitted), values))
}

impl Assigned {
    /// The group of a row; none of a lonely one.
    fn group(&self, row: usize) -> Option<u32> {
        match self {
            Self::Groups(groups) => groups[row],
            Self::Model(fitted, values) => {
                let width = fitted.width();
                let distances = &values[row * width..(row + 1) * width];
                let nearest = (1..width).fold(0, |best, at| {
                    if distances[at] < distances[best] {
                        at
                    } else {
                        best
                    }
                });
                u32::try_from(nearest).ok()
            }
        }
    }
}

/// Measures the silhouette on some scaled rows.
struct Judge {
    rows: Vec<u32>,
    points: Matrix,
}

impl Judge {
    fn new(prepared: &Prepared, problem: &Problem<'_>, cancel: &Cancel<'_>) -> Result<Self> {
        let settings = problem.settings;
        let any = crate::estimators::Estimator::Dummy;
        let training = prepared.training(&any, settings.seed, cancel)?;
        let scaled = Scaling::fit(training.matrix, training.scaled).apply(training.matrix);
        let mut rows: Vec<u32> = (0u32..).take(scaled.rows).collect();
        Random::new(settings.seed, 0x51_7E).shuffle(&mut rows);
        rows.truncate(SAMPLE);
        let values = rows
            .iter()
            .flat_map(|row| scaled.row(*row as usize))
            .copied()
            .collect();
        Ok(Self {
            points: Matrix {
                width: scaled.width,
                rows: rows.len(),
                values,
            },
            rows,
        })
    }

    /// The silhouette; lonely rows do not count.
    fn measure(&self, assigned: &Assigned) -> f64 {
        let (mut points, mut groups) = (Vec::new(), Vec::new());
        for (index, row) in self.rows.iter().enumerate() {
            if let Some(group) = assigned.group(*row as usize) {
                points.extend_from_slice(self.points.row(index));
                groups.push(group);
            }
        }
        silhouette(&points, self.points.width, &groups)
    }
}

fn trials(tried: &[(Candidate, Assigned, f64)], best: usize) -> Vec<Trial> {
    tried
        .iter()
        .enumerate()
        .map(|(index, (candidate, _, value))| Trial {
            estimator: candidate.name.clone(),
            parameters: candidate.parameters.clone(),
            folds: vec![*value],
            mean: *value,
            deviation: 0.0,
            metrics: vec![MetricValue {
                metric: Metric::Silhouette,
                value: value.is_finite().then_some(*value),
                interval: None,
            }],
            rows: None,
            chosen: index == best,
        })
        .collect()
}

fn finish(
    frame: &DataFrame,
    problem: &Problem<'_>,
    candidate: &Candidate,
    assigned: Assigned,
    prepared: &Prepared,
    measured: impl FnOnce(&mut crate::onnx::Metadata),
) -> Result<Trained> {
    let goal = problem.settings.goal;
    let (fitted, values) = match assigned {
        Assigned::Model(fitted, values) => (*fitted, values),
        Assigned::Groups(groups) => {
            let fitted = crate::estimators::Fitted::Constant(Vec::new());
            let learned = learned(candidate, prepared, &fitted, &problem.classes, ODD);
            let mut metadata = learned.metadata(problem, candidate, Vec::new())?;
            measured(&mut metadata);
            return Ok(Trained {
                bytes: None,
                metadata,
                scored: with_groups(frame, &groups)?,
            });
        }
    };
    let (classes, threshold) = match goal {
        Goal::Clusters => {
            let last = i64::try_from(fitted.width()).unwrap_or(i64::MAX);
            (Classes::Integer((0..last).collect()), ODD)
        }
        _ => (
            Classes::none(),
            odd_from(&values, candidate.estimator.contamination()),
        ),
    };
    let learned = learned(candidate, prepared, &fitted, &classes, threshold);
    let mut metadata = learned.metadata(problem, candidate, Vec::new())?;
    measured(&mut metadata);
    let bytes = learned.write(problem, &mut metadata)?;
    let answer = Answer::new(goal, &classes, values, threshold);
    Ok(Trained {
        bytes: Some(bytes),
        metadata,
        scored: answer.append_to(frame)?,
    })
}

fn learned<'a>(
    candidate: &'a Candidate,
    prepared: &'a Prepared,
    fitted: &'a crate::estimators::Fitted,
    classes: &'a Classes,
    threshold: f64,
) -> Learned<'a> {
    Learned {
        estimator: &candidate.estimator,
        prepared,
        fitted,
        calibration: None,
        classes,
        threshold,
    }
}

/// The score above which lies this share of the rows.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of rows"
)]
fn odd_from(scores: &[f64], share: Option<f64>) -> f64 {
    let Some(share) = share else {
        return ODD;
    };
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let count = (sorted.len() as f64 * share).round() as usize;
    let threshold = match count {
        0 => sorted.first().map_or(1.0, |highest| highest.next_up()),
        count => sorted[count.min(sorted.len()) - 1],
    };
    // Six digits survive every writing and reading of the number.
    (threshold * 1e6).floor() / 1e6
}

fn with_groups(frame: &DataFrame, groups: &[Option<u32>]) -> Result<DataFrame> {
    if frame.column("prediction").is_ok() {
        return Err(ModelError::data(
            "the input already has a column `prediction`: rename or drop it before",
        ));
    }
    let values: Vec<i64> = groups
        .iter()
        .map(|group| group.map_or(-1, i64::from))
        .collect();
    let mut columns = frame.columns().to_vec();
    columns.push(Series::new("prediction".into(), values).into_column());
    Ok(DataFrame::new(frame.height(), columns)?)
}
