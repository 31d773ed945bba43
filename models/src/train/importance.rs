//! Permutation importance: how much worse the metric becomes when a raw column is shuffled.
//!
//! Breiman: Random forests (2001), section 10. Measured on rows that the model has not seen.

use rayon::prelude::*;

use crate::data::{Table, Truth};
use crate::error::Result;
use crate::estimators::{Cancel, Estimator, Fitted};
use crate::features::extend_unchecked;
use crate::onnx::Importance;
use crate::random::Random;
use crate::train::Problem;
use crate::train::fits::prepare;
use crate::train::folds::Fold;
use crate::train::prepared::Prepared;
use crate::train::search::{Found, measure};
use crate::train::threshold::oriented;

/// Held-out rows that are shuffled.
const ROWS: usize = 1_000;
/// Shuffles of every column.
const REPEATS: u64 = 3;
/// With more columns than this, the cost would not be worth it.
const MOST_COLUMNS: usize = 500;

/// Importances by the chosen candidate, fitted on one fold; largest first.
pub(crate) fn importances(
    problem: &Problem<'_>,
    fold: &Fold,
    found: &Found,
    cancel: &Cancel<'_>,
) -> Result<Vec<Importance>> {
    if problem.table.columns.len() > MOST_COLUMNS {
        return Ok(Vec::new());
    }
    let estimator = &found.chosen.estimator;
    let prepared = prepare(problem, &fold.train, &[estimator])?;
    let fitted = prepared.fit(estimator, problem.settings.seed, cancel)?;
    let rows = &fold.test[..fold.test.len().min(ROWS)];
    let judge = Judge {
        problem,
        prepared: &prepared,
        fitted: &fitted,
        estimator,
        truth: problem.target.truth.take(rows),
    };
    let table = problem.table.take(rows);
    let base = judge.score(&table)?;
    let columns = 0..table.columns.len();
    let mut importances = columns
        .into_par_iter()
        .map(|column| {
            cancel.check()?;
            let loss = judge.loss(&table, column, base)?;
            Ok(Importance {
                column: table.columns[column].name.clone(),
                loss,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    importances.sort_by(|a, b| b.loss.total_cmp(&a.loss).then(a.column.cmp(&b.column)));
    Ok(importances)
}

struct Judge<'a> {
    problem: &'a Problem<'a>,
    prepared: &'a Prepared,
    fitted: &'a Fitted,
    estimator: &'a Estimator,
    truth: Truth,
}

impl Judge<'_> {
    /// The metric, turned so that more is better.
    fn score(&self, table: &Table) -> Result<f64> {
        let extended = extend_unchecked(table, &self.problem.features)?;
        let matrix = self.prepared.transform(&extended, self.estimator)?;
        let metric = self.problem.settings.metric();
        let value = measure(metric, &self.truth, &self.fitted.answer(&matrix), 0.5);
        Ok(oriented(metric, value))
    }

    #[allow(clippy::cast_precision_loss, reason = "three repeats")]
    fn loss(&self, table: &Table, column: usize, base: f64) -> Result<f64> {
        let mut total = 0.0;
        for repeat in 0..REPEATS {
            let mut order: Vec<u32> = (0u32..).take(table.rows).collect();
            let stream = (column as u64) << 8 | repeat;
            Random::new(self.problem.settings.seed, stream).shuffle(&mut order);
            let mut shuffled = table.clone();
            shuffled.columns[column].values = table.columns[column].values.take(&order);
            total += base - self.score(&shuffled)?;
        }
        Ok(total / REPEATS as f64)
    }
}
