//! Learning curve: what the chosen candidate is worth when it learns from a part of the rows.

use crate::data::Truth;
use crate::error::Result;
use crate::estimators::Cancel;
use crate::onnx::Curve;
use crate::train::Problem;
use crate::train::fits::{prepare, some};
use crate::train::folds::Fold;
use crate::train::search::{Found, measure};

/// The shares of the rows that are learned from; what all are worth the search has told.
const SHARES: [f64; 3] = [0.1, 0.25, 0.5];
/// A part with fewer rows is not learned from.
const FEWEST: usize = 20;

/// Numbers of rows, and the metric on the rows that the first fold holds out.
pub(crate) fn learning_curve(
    problem: &Problem<'_>,
    fold: &Fold,
    found: &Found,
    cancel: &Cancel<'_>,
) -> Result<Curve> {
    let estimator = &found.chosen.estimator;
    let table = problem.extended.take(&fold.test);
    let truth = problem.target.truth.take(&fold.test);
    let metric = problem.settings.metric();
    let mut curve = Curve::default();
    for share in SHARES {
        cancel.check()?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of rows"
        )]
        let count = (fold.train.len() as f64 * share) as usize;
        let rows = some(&fold.train, Some(count), problem.settings.seed);
        if rows.len() < FEWEST || !every_class(&problem.target.truth.take(&rows)) {
            continue;
        }
        let prepared = prepare(problem, &rows, &[estimator])?;
        let fitted = prepared.fit(estimator, problem.settings.seed, cancel)?;
        let answers = fitted.answer(&prepared.transform(&table, estimator)?);
        curve.add(rows.len(), measure(metric, &truth, &answers, 0.5));
    }
    let chosen = found.trials.iter().find(|trial| trial.chosen);
    if let Some(all) = chosen.and_then(|trial| trial.folds.first()) {
        curve.add(fold.train.len(), *all);
    }
    Ok(curve)
}

impl Curve {
    #[allow(clippy::cast_precision_loss, reason = "a number of rows")]
    fn add(&mut self, rows: usize, value: f64) {
        if value.is_finite() {
            self.x.push(rows as f64);
            self.y.push(value);
        }
    }
}

/// Whether there are rows of every class.
fn every_class(truth: &Truth) -> bool {
    match truth {
        Truth::Classes { classes, codes } => (0u32..)
            .take(classes.len())
            .all(|class| codes.contains(&class)),
        _ => true,
    }
}
