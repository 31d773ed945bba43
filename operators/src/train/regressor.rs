//! `train: regressor`: learns a number from rows that have it.

use indexmap::IndexMap;
use pipectl_engine::operator::{
    Complaints, Kind, Operator, Outcome, Outputs, Takes, TaskContext, TaskError,
};
use pipectl_models::{data::Goal, train::Settings};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    learn::{self, Keep},
    metric::QuantityMetric,
    preprocess::{PcaConfig, Preprocess, recipes},
    validation::{Candidates, SearchConfig, ValidationConfig, candidates},
};
use crate::support::promotion::Promotion;

/// `train: regressor`.
pub(crate) struct Regressor;

/// What is learned, from what, by whom.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"target": "price", "register": "prices"}]))]
pub(crate) struct Config {
    /// The column to learn: numbers.
    target: String,
    /// Columns not to learn from, such as keys. A feature may still read them.
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
    /// Estimators with their parameters, named as in scikit-learn: `linear_regression`, `ridge`, `lasso`, `elastic_net`,
    /// `k_nearest_neighbors`, `decision_tree`, `random_forest`, `extra_trees`, `gradient_boosting`. A parameter that is a
    /// list is tried with each of its values. When not said, ridge, random forest and gradient boosting with their
    /// defaults.
    #[serde(default)]
    candidates: Candidates,
    /// How many of the candidates' combinations are tried.
    #[serde(default)]
    search: SearchConfig,
    /// How candidates are compared.
    #[serde(default)]
    validation: ValidationConfig,
    /// What candidates are compared by.
    #[serde(default)]
    metric: QuantityMetric,
    /// The name under which the model is registered.
    #[serde(default)]
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"))]
    register: Option<String>,
    /// When a new version becomes champion, `{best: METRIC}` or `{if: "METRIC > champion.METRIC + 0.01"}`; the best by
    /// `metric` when not said. A model without a champion takes any.
    #[serde(default)]
    promote: Option<Promotion<QuantityMetric>>,
    /// Where the model file is also written, relative to the project, such as `models/prices.onnx`.
    #[serde(default)]
    path: Option<String>,
    /// Whether `report: model` also shows what the chosen candidate is worth when it learns from a tenth, a quarter and half
    /// of the rows. Off when not said: it costs three fits more, which most runs of a pipeline do not need.
    #[serde(default)]
    learning_curve: bool,
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
            search: self.search.settings(),
            memory: self.search.memory(),
            validation: self.validation.settings(),
            metric: Some(self.metric.metric()),
            learning_curve: self.learning_curve,
            seed: self.seed.unwrap_or(seed),
            ..Settings::new(Goal::Quantity, self.target.as_str())
        }
    }
}

impl Operator for Regressor {
    type Config = Config;
    const KIND: Kind = Kind::Train;
    const NAME: &'static str = "regressor";
    const SUMMARY: &'static str = "Learns a number from rows that have it: tries candidates, keeps the best as one ONNX file.";
    const TAKES: Takes = Takes::One;

    fn outputs(config: &Config) -> Outputs {
        learn::outputs("out_of_fold", config.register.is_some())
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.validation.check(found);
        config.search.check(found);
        learn::check_promotion(config.promote.as_ref(), Goal::Quantity, found);
        learn::check(
            config.register.as_deref(),
            config.path.as_deref(),
            config.promote.is_some(),
            &config.settings(0),
            found,
        );
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let settings = config.settings(context.seed);
        let keep = Keep {
            register: config.register,
            path: config.path,
            promote: Promotion::rule(config.promote, config.metric, |metric| {
                let metric = metric.metric();
                (metric.name(), metric.higher_is_better())
            }),
        };
        learn::run(context, settings, "out_of_fold", keep).await
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, complaints, frame};
    use polars::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::predict::model::Model;

    /// Flats whose rent follows their size and district.
    fn flats(rows: u32) -> DataFrame {
        let size = |row: u32| f64::from(30 + row * 37 % 90);
        let district = |row: u32| ["north", "south", "west"][row as usize * 7 % 3];
        let rent = |row: u32| {
            let dear = if district(row) == "south" { 200.0 } else { 0.0 };
            12.0 * size(row) + dear + f64::from(row * 31 % 17)
        };
        df![
            "size" => (0..rows).map(size).collect::<Vec<_>>(),
            "district" => (0..rows).map(district).collect::<Vec<_>>(),
            "rent" => (0..rows).map(rent).collect::<Vec<_>>(),
        ]
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_number_is_learned_kept_and_predicted() {
        let project = TestProject::new();
        let settings = json!({
            "target": "rent",
            "candidates": {"ridge": {"alpha": [0.1, 1.0]}, "gradient_boosting": {"max_iter": 30}},
            "validation": {"folds": 3},
            "path": "models/rents.onnx",
        });
        let output = project
            .run_on::<Regressor>(flats(300), settings)
            .await
            .unwrap();
        assert!(output.metrics["r2"] > 0.99, "{:?}", output.metrics);
        assert_eq!(frame(&output).height(), 300);
        let (_, trials) = &output.datasets[1];
        assert_eq!(output.datasets[1].0, "trials");
        assert_eq!(trials.known_rows(), Some(4));
        let today = flats(20).drop("rent").unwrap();
        let scored = project
            .run_on::<Model>(today, json!({"model": "models/rents.onnx"}))
            .await
            .unwrap();
        let scored = frame(&scored);
        let predicted = scored.column("prediction").unwrap().f64().unwrap().get(0);
        let truth = flats(1).column("rent").unwrap().f64().unwrap().get(0);
        assert!((predicted.unwrap() - truth.unwrap()).abs() < 30.0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn columns_are_prepared_as_the_settings_say() {
        let project = TestProject::new();
        let mut settings = json!({
            "target": "rent",
            "preprocess": {"district": {"encode": "target"}, "size": {"scale": "minmax"}},
            "candidates": {"ridge": {"alpha": 0.001}},
            "path": "models/rents.onnx",
        });
        assert!(complaints::<Regressor>(settings.clone()).is_empty());
        let output = project
            .run_on::<Regressor>(flats(300), settings.clone())
            .await
            .unwrap();
        assert!(output.metrics["r2"] > 0.99, "{:?}", output.metrics);
        settings["preprocess"] = json!({"size": {"impute": "constant"}});
        assert_eq!(
            complaints::<Regressor>(settings.clone()),
            ["preprocess: `preprocess` of `size`: `impute: constant` and `fill_value` go together"]
        );
        settings["preprocess"] = json!({"district": {"encode": "tfidf", "ngram_range": [1, 2]}});
        settings["pca"] = json!({"n_components": 3});
        assert!(complaints::<Regressor>(settings.clone()).is_empty());
        let output = project
            .run_on::<Regressor>(flats(300), settings.clone())
            .await
            .unwrap();
        assert!(output.metrics["r2"] > 0.9, "{:?}", output.metrics);
        settings["pca"] = json!({"n_components": 2.5});
        assert_eq!(
            complaints::<Regressor>(settings),
            [
                "pca: `n_components` of `pca` is a number of components, or below 1 the share of the variance that they tell"
            ]
        );
    }

    #[test]
    fn what_a_regressor_cannot_do_is_told() {
        let wrong = json!({
            "target": "rent",
            "candidates": {"logistic_regression": {}},
            "validation": {"group": "a", "time": "b"},
        });
        assert_eq!(
            complaints::<Regressor>(wrong),
            [
                "validation.time: rows are held out by group or by time, not both",
                ": the model is kept nowhere",
                "candidates.logistic_regression: there is no regressor `logistic_regression`; there are linear_regression, ridge, lasso, elastic_net, k_nearest_neighbors, decision_tree, random_forest, extra_trees, gradient_boosting; did you mean `linear_regression`?",
            ]
        );
    }
}
