//! One round of a search: every candidate learns in every fold, as many side by side as fit.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::error::Result;
use crate::estimators::memory::{Size, parts};
use crate::estimators::{Cancel, Estimator};
use crate::metrics::Metric;
use crate::random::Random;
use crate::train::candidates::Candidate;
use crate::train::folds::Fold;
use crate::train::prepared::{Matrices, Prepared};
use crate::train::resample::resampled;
use crate::train::rounds::Round;
use crate::train::search::{Tries, measures, place_of};
use crate::train::threshold::called;
use crate::train::{Fit, Hooks, Problem, Progress};

/// What a round needs.
pub(crate) struct Looker<'a, 'b> {
    problem: &'a Problem<'b>,
    hooks: &'a Hooks<'a>,
    cancel: &'a Cancel<'a>,
    /// What was measured before, by round, fold and candidate.
    known: HashMap<[usize; 3], &'a [f64]>,
    done: AtomicUsize,
    total: usize,
    tight: OnceLock<String>,
}

/// The measures of a candidate in a fold, and its answers to the held-out rows.
type Measured = (Vec<f64>, Vec<f64>);

impl<'a, 'b> Looker<'a, 'b> {
    pub(crate) fn new(
        problem: &'a Problem<'b>,
        hooks: &'a Hooks<'a>,
        cancel: &'a Cancel<'a>,
        total: usize,
    ) -> Self {
        let metrics = Metric::of_goal(problem.settings.goal).len();
        let known = hooks.known.iter();
        let known = known
            .filter(|fit| fit.measures.len() == metrics)
            .map(|fit| (fit.place, &*fit.measures));
        Self {
            problem,
            hooks,
            cancel,
            known: known.collect(),
            done: AtomicUsize::new(0),
            total,
            tight: OnceLock::new(),
        }
    }

    /// What the user should know of the memory that was allowed.
    pub(crate) fn tight(self) -> Option<String> {
        self.tight.into_inner()
    }

    /// Measures the open candidates in every fold.
    pub(crate) fn round(
        &self,
        folds: &[Fold],
        number: usize,
        round: &Round,
        open: &[usize],
        tries: &mut [Tries],
        keep: bool,
    ) -> Result<()> {
        for place in open {
            tries[*place].folds.clear();
            tries[*place].values.clear();
            tries[*place].rows = round.rows;
        }
        for (at, fold) in folds.iter().enumerate() {
            let known = |place: &usize| self.known.get(&[number, at, *place]);
            let mut fresh = open.to_vec();
            fresh.retain(|place| known(place).is_none());
            self.done
                .fetch_add(open.len() - fresh.len(), Ordering::Relaxed);
            let candidates = fresh.iter().map(|place| (*place, &tries[*place].candidate));
            let candidates: Vec<(usize, &Candidate)> = candidates.collect();
            let answers = self.fold(fold, round, &candidates, &|place, candidate, measures| {
                (self.hooks.measured)(Fit {
                    place: [number, at, place],
                    measures: measures.to_vec(),
                });
                let fold = format!("fold {} of {}", at + 1, folds.len());
                self.tell(candidate, &fold, measures);
            })?;
            for place in open {
                if let Some(measures) = known(place) {
                    tries[*place].folds.push(measures.to_vec());
                }
            }
            for (place, (measures, values)) in fresh.iter().zip(answers) {
                tries[*place].folds.push(measures);
                if keep {
                    tries[*place].values.push(values);
                }
            }
        }
        Ok(())
    }

    fn tell(&self, candidate: &Candidate, fold: &str, measures: &[f64]) {
        let parameters = serde_json::to_string(&candidate.parameters).unwrap_or_default();
        let metric = self.problem.settings.metric();
        let value = measures[place_of(self.problem)];
        let name = &candidate.name;
        (self.hooks.progress)(Progress {
            done: self.done.fetch_add(1, Ordering::Relaxed) + 1,
            total: self.total,
            message: format!("{name} {parameters}, {fold}: {metric} {value:.4}"),
        });
    }

    /// Measures candidates in a fold; `report` hears of each when it is done.
    fn fold(
        &self,
        fold: &Fold,
        round: &Round,
        candidates: &[(usize, &Candidate)],
        report: &(dyn Fn(usize, &Candidate, &[f64]) + Sync),
    ) -> Result<Vec<Measured>> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let problem = self.problem;
        let estimators: Vec<&Estimator> = candidates
            .iter()
            .map(|(_, candidate)| &candidate.estimator)
            .collect();
        let learned = some(&fold.train, round.rows, problem.settings.seed);
        let prepared = prepare(problem, &learned, &estimators)?;
        let test = problem.extended.take(&fold.test);
        let truth = problem.target.truth.take(&fold.test);
        let matrices = prepared.matrices(&test)?;
        let measure = |(place, candidate): &(usize, &Candidate)| -> Result<Measured> {
            let fitted = prepared.fit(&candidate.estimator, problem.settings.seed, self.cancel)?;
            let values = fitted.answer(matrices.of(&candidate.estimator)?);
            let measures = measures(problem, &truth, &values, &called(&truth, &values, 0.5));
            report(*place, candidate, &measures);
            Ok((measures, values))
        };
        let mut answers = Vec::with_capacity(candidates.len());
        for part in self.parts(&prepared, &matrices, &estimators)? {
            let part = candidates[part].par_iter().map(measure);
            answers.append(&mut part.collect::<Result<Vec<_>>>()?);
        }
        Ok(answers)
    }

    /// Which candidates are tried side by side: all, or as many as fit.
    fn parts(
        &self,
        prepared: &Prepared,
        matrices: &Matrices<'_>,
        estimators: &[&Estimator],
    ) -> Result<Vec<std::ops::Range<usize>>> {
        let Some(limit) = self.problem.settings.memory else {
            return Ok(parts(&vec![0; estimators.len()], 0, 1));
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let threads = rayon::current_num_threads();
        let held = prepared.bytes() + matrices.bytes();
        let mut takes = Vec::with_capacity(estimators.len());
        for estimator in estimators {
            let rows = prepared.rows(estimator)?;
            takes.push(estimator.memory(Size {
                rows: rows.rows,
                width: rows.width,
                outputs: match self.problem.classes.len() {
                    0..=2 => 1,
                    classes => classes,
                },
                threads,
            }));
        }
        let largest = takes.iter().max().unwrap_or(&0);
        if held + largest > limit {
            self.tight.get_or_init(|| {
                format!(
                    "the rows and a candidate take about {} MiB, more than the `memory` of the search allows: candidates that large are tried one at a time",
                    (held + largest) >> 20
                )
            });
        }
        Ok(parts(&takes, limit.saturating_sub(held), threads))
    }
}

/// So many of the rows at random, ascending.
pub(crate) fn some(rows: &[u32], wanted: Option<usize>, seed: u64) -> Vec<u32> {
    let Some(wanted) = wanted.filter(|wanted| *wanted < rows.len()) else {
        return rows.to_vec();
    };
    let mut rows = rows.to_vec();
    Random::new(seed, 0x4A1F).shuffle(&mut rows);
    rows.truncate(wanted);
    rows.sort_unstable();
    rows
}

/// Rows that are learned from, with their classes evened out as the settings say.
pub(crate) fn prepare(
    problem: &Problem<'_>,
    rows: &[u32],
    estimators: &[&Estimator],
) -> Result<Prepared> {
    let rows = resampled(problem, rows);
    let table = problem.extended.take(&rows);
    let truth = problem.target.truth.take(&rows);
    Prepared::new(&table, truth, problem.settings, estimators, &mut |_| ())
}
