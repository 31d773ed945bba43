//! `train: clusters`: puts rows into groups of similar ones.

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

/// `train: clusters`.
pub(crate) struct Clusters;

/// From what, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"candidates": {"k_means": {"n_clusters": [3, 5, 8]}}, "register": "segments"}]))]
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
    /// Ways of grouping with their parameters, named as in scikit-learn: `k_means` (`n_clusters`, `n_init`, `max_iter`,
    /// `tol`), and `dbscan` (`eps`, `min_samples`), which assigns the rows it is given and makes no model. A parameter that
    /// is a list is tried with each of its values; the best by the silhouette is kept. When not said, `k_means` with 8
    /// groups.
    #[serde(default)]
    candidates: Candidates,
    /// The name under which the model is registered. A version with a better silhouette becomes champion.
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
            ..Settings::new(Goal::Clusters, "")
        }
    }
}

impl Operator for Clusters {
    type Config = Config;
    const KIND: Kind = Kind::Train;
    const NAME: &'static str = "clusters";
    const SUMMARY: &'static str =
        "Puts rows into groups of similar ones: tries candidates, keeps the best as one ONNX file.";
    const TAKES: Takes = Takes::One;

    fn outputs(config: &Config) -> Outputs {
        learn::outputs("assigned", config.register.is_some())
    }

    fn check(config: &Config, found: &mut Complaints) {
        let kept = config.register.as_deref().or(config.path.as_deref());
        if config.candidates.contains_key("dbscan") && kept.is_some() {
            found
                .error(
                    &["candidates", "dbscan"],
                    "dbscan makes no model that could be kept",
                )
                .hint("leave `register` and `path` out, or let only `k_means` try");
        }
        learn::check_candidates(&config.settings(0), true, found);
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let settings = config.settings(context.seed);
        let keep = Keep {
            register: config.register,
            path: config.path,
            promote: Promote::Best {
                metric: "silhouette".to_owned(),
                greater_is_better: true,
            },
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

    /// Customers of three sorts.
    fn customers(rows: u32) -> DataFrame {
        let sort = |row: u32| f64::from(row % 3);
        df![
            "spent" => (0..rows).map(|row| 100.0 * sort(row) + f64::from(row * 7 % 11)).collect::<Vec<_>>(),
            "visits" => (0..rows).map(|row| 40.0 - 15.0 * sort(row) + f64::from(row * 5 % 7)).collect::<Vec<_>>(),
        ]
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_right_number_of_groups_is_found_and_new_rows_are_assigned() {
        let project = TestProject::new();
        let settings =
            json!({"candidates": {"k_means": {"n_clusters": [2, 3, 5]}}, "path": "groups.onnx"});
        let output = project
            .run_on::<Clusters>(customers(300), settings)
            .await
            .unwrap();
        assert!(output.metrics["silhouette"] > 0.8);
        let assigned = frame(&output);
        let groups = assigned.column("prediction").unwrap().n_unique().unwrap();
        assert_eq!(groups, 3);
        let again = project
            .run_on::<Model>(customers(300), json!({"model": "groups.onnx"}))
            .await
            .unwrap();
        let column = |frame: &DataFrame| frame.column("prediction").unwrap().clone();
        assert_eq!(column(&frame(&again)), column(&assigned));
        assert!((again.metrics["share_0"] - 1.0 / 3.0).abs() < 1e-9);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn dbscan_assigns_and_keeps_nothing() {
        let project = TestProject::new();
        let candidates = json!({"dbscan": {"eps": 0.3, "min_samples": 4}});
        let output = project
            .run_on::<Clusters>(customers(90), json!({"candidates": candidates}))
            .await
            .unwrap();
        assert!(output.model.is_none() && output.artifacts.is_empty());
        assert!(
            frame(&output)
                .column("prediction")
                .unwrap()
                .n_unique()
                .unwrap()
                >= 3
        );
        assert_eq!(
            complaints::<Clusters>(json!({"candidates": candidates, "register": "groups"})),
            ["candidates.dbscan: dbscan makes no model that could be kept"]
        );
    }
}
