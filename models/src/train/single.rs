//! One estimator, learned from all rows: without validation, without a file.

use polars::prelude::DataFrame;

use crate::data::Table;
use crate::error::{ModelError, Result};
use crate::estimators::{Cancel, Estimator, Fitted};
use crate::train::candidates;
use crate::train::prepared::Prepared;
use crate::train::{Hooks, Problem, Settings};

/// A candidate that has learned: what benchmarks compare with other libraries.
pub struct Single {
    estimator: Estimator,
    prepared: Prepared,
    fitted: Fitted,
}

impl std::fmt::Debug for Single {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Single")
    }
}

impl Single {
    /// Learns the only candidate of the settings from all rows of the frame, preparation included.
    pub fn learn(frame: &DataFrame, settings: &Settings, hooks: &Hooks<'_>) -> Result<Self> {
        settings.check()?;
        let problem = Problem::read(frame, settings)?;
        let mut found = candidates::expand(settings)?;
        let estimator = match (found.pop(), found.len()) {
            // The baseline is always there.
            (Some(last), 1) => last.estimator,
            _ => {
                return Err(ModelError::settings(
                    "name one candidate with one set of parameters",
                ));
            }
        };
        let truth = problem.target.truth.clone();
        let prepared = Prepared::new(
            &problem.extended,
            truth,
            settings,
            &[&estimator],
            &mut |_| (),
        )?;
        let fitted = prepared.fit(&estimator, settings.seed, &Cancel(hooks.cancelled))?;
        Ok(Self {
            estimator,
            prepared,
            fitted,
        })
    }

    /// The numbers that it tells of every row of a frame with the same columns: a probability of every class, or a
    /// quantity. The target and columns that are not read may be among them.
    pub fn answers(&self, frame: &DataFrame) -> Result<Vec<f64>> {
        let columns = self.prepared.preparation.columns.iter();
        let known: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        let others: Vec<&str> = frame
            .columns()
            .iter()
            .map(|column| column.name().as_str())
            .filter(|name| !known.contains(name))
            .collect();
        let table = Table::from_frame(frame, &others)?;
        Ok(self
            .fitted
            .answer(&self.prepared.transform(&table, &self.estimator)?))
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;
    use serde_json::json;

    use super::Single;
    use crate::data::Goal;
    use crate::train::{Hooks, Settings};

    #[test]
    fn one_candidate_learns_and_answers() {
        let x: Vec<f64> = (0..50).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 * x + 1.0).collect();
        let frame = df!("x" => &x, "y" => &y).unwrap();
        let mut settings = Settings::new(Goal::Quantity, "y");
        settings.candidates = serde_json::from_value(json!({"linear_regression": {}})).unwrap();
        let single = Single::learn(&frame, &settings, &Hooks::silent()).unwrap();
        for (found, wanted) in single.answers(&frame).unwrap().iter().zip(&y) {
            assert!((found - wanted).abs() < 1e-6);
        }
        settings.candidates = serde_json::from_value(json!({"ridge": {"alpha": [1, 2]}})).unwrap();
        assert_eq!(
            Single::learn(&frame, &settings, &Hooks::silent())
                .unwrap_err()
                .to_string(),
            "name one candidate with one set of parameters"
        );
    }
}
