//! `train: anomalies`: finds rows that are unlike the others.

use indexmap::IndexMap;
use pipectl_engine::operator::{
    Complaints, Kind, Operator, Outcome, Outputs, Promote, Takes, TaskContext, TaskError,
};
use pipectl_models::{data::Goal, train::Settings};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    learn::{self, Keep},
    preprocess::{PcaConfig, Preprocess, recipes},
    validation::{Candidates, candidates},
};

/// `train: anomalies`.
pub(crate) struct Anomalies;

/// From what, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"candidates": {"isolation_forest": {"contamination": 0.01}}, "register": "odd_payments"}]))]
pub(crate) struct Config {
    /// Columns not to look at, such as keys. A feature may still read them.
    #[serde(default)]
    exclude: Vec<String>,
    /// Derived features: a name and a row-wise SQL expression, which becomes part of the model.
    #[serde(default)]
    features: IndexMap<String, String>,
    /// How columns, raw or derived, become numbers where not as usual: imputing, scaling, encoding of text.
    #[serde(default)]
    preprocess: Preprocess,
    /// Whether text that only differs in small and capital letters is the same, here and when the model predicts. Features
    /// see it as it is.
    #[serde(default)]
    ignore_case: bool,
    /// Principal components instead of the features: as many as said, of features that are scaled.
    #[serde(default)]
    pca: Option<PcaConfig>,
    /// One way of finding them with its parameters, named as in scikit-learn: `isolation_forest` (`n_estimators`,
    /// `max_samples`, `contamination`: the share of odd rows; when not said, a score of 0.5 and more is odd).
    #[serde(default)]
    candidates: Candidates,
    /// The name under which the model is registered. The newest version is champion: there is no truth to compare by.
    #[serde(default)]
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"))]
    register: Option<String>,
    /// Where the model file is also written, relative to the project.
    #[serde(default)]
    path: Option<String>,
    /// The seed of all randomness; one of pipeline and task when not said.
    #[serde(default)]
    seed: Option<u64>,
}

impl Config {
    fn settings(&self, seed: u64) -> Settings {
        Settings {
            exclude: self.exclude.clone(),
            features: self.features.clone(),
            preprocess: recipes(&self.preprocess),
            ignore_case: self.ignore_case,
            pca: self.pca.as_ref().map(PcaConfig::pca),
            candidates: candidates(&self.candidates),
            seed: self.seed.unwrap_or(seed),
            ..Settings::new(Goal::Anomalies, "")
        }
    }
}

impl Operator for Anomalies {
    type Config = Config;
    const KIND: Kind = Kind::Train;
    const NAME: &'static str = "anomalies";
    const SUMMARY: &'static str =
        "Learns what is usual, to find rows that are unlike the others; keeps it as one ONNX file.";
    const TAKES: Takes = Takes::One;

    fn outputs(config: &Config) -> Outputs {
        learn::outputs("assigned", config.register.is_some())
    }

    fn check(config: &Config, found: &mut Complaints) {
        learn::check(
            config.register.as_deref(),
            config.path.as_deref(),
            false,
            &config.settings(0),
            found,
        );
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let settings = config.settings(context.seed);
        let keep = Keep {
            register: config.register,
            path: config.path,
            // There is no truth to compare by: the newest is champion.
            promote: Promote::If("true".to_owned()),
        };
        learn::run(context, settings, "assigned", keep).await
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints, frame};
    use polars::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::predict::model::Model;

    /// Payments, of which the last is like no other.
    fn payments(rows: u32) -> DataFrame {
        let odd = |row: u32| row + 1 == rows;
        df![
            "amount" => (0..rows).map(|row| if odd(row) { 9999.0 } else { f64::from(20 + row * 7 % 31) }).collect::<Vec<_>>(),
            "hour" => (0..rows).map(|row| if odd(row) { 3.0 } else { f64::from(9 + row * 5 % 9) }).collect::<Vec<_>>(),
        ]
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_odd_row_is_found() {
        let project = TestProject::new();
        let settings = json!({
            "candidates": {"isolation_forest": {"contamination": 0.005}},
            "path": "odd.onnx",
        });
        let output = project
            .run_on::<Anomalies>(payments(200), settings)
            .await
            .unwrap();
        let scored = project
            .run_on::<Model>(payments(200), json!({"model": "odd.onnx"}))
            .await
            .unwrap();
        for output in [&output, &scored] {
            let rows = frame(output);
            let odd: Vec<bool> = rows
                .column("prediction")
                .unwrap()
                .bool()
                .unwrap()
                .iter()
                .flatten()
                .collect();
            assert_eq!(odd.iter().filter(|odd| **odd).count(), 1);
            assert!(odd[199]);
        }
    }

    #[test]
    fn more_than_one_candidate_cannot_be_compared() {
        let wrong = json!({"candidates": {"isolation_forest": {"n_estimators": [50, 100]}}, "register": "odd"});
        let found = complaints::<Anomalies>(wrong);
        assert!(
            found[0].starts_with("candidates: anomalies are found without a truth"),
            "{found:?}"
        );
    }
}
