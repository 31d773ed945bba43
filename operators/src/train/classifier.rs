//! `train: classifier`: learns classes from labelled rows.

use indexmap::IndexMap;
use pipectl_engine::operator::{
    Complaints, Kind, Operator, Outcome, Outputs, Takes, TaskContext, TaskError,
};
use pipectl_models::{
    data::Goal,
    train::{Method, Resample, Settings, Threshold},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    learn::{self, Keep},
    metric::MetricName,
    preprocess::{PcaConfig, Preprocess, recipes},
    validation::{Candidates, SearchConfig, ValidationConfig, candidates},
};
use crate::support::promotion::Promotion;

/// `train: classifier`.
pub(crate) struct Classifier;

/// What is learned, from what, by whom.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"target": "churned", "register": "churn"}]))]
pub(crate) struct Config {
    /// The column to learn: text, whole numbers or true and false.
    target: String,
    /// The positive class of two; the last in sort order when not said.
    #[serde(default)]
    positive: Option<String>,
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
    /// Estimators with their parameters, named as in scikit-learn: `logistic_regression`, `linear_svm`,
    /// `gaussian_naive_bayes`, `k_nearest_neighbors`, `decision_tree`, `random_forest`, `extra_trees`,
    /// `gradient_boosting`. A parameter that is a list is tried with each of its values. When not said, logistic
    /// regression, random forest and gradient boosting with their defaults.
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
    metric: MetricName,
    /// Whether classes are evened out in the rows that are learned from: rows of rare ones are repeated, or rows of
    /// frequent ones left out. (A parameter `class_weight: balanced` weighs them instead.)
    #[serde(default)]
    resample: Option<ResampleName>,
    /// Of two classes: how probabilities are made to mean what they say, on rows that were held out.
    #[serde(default)]
    calibration: Option<CalibrationName>,
    /// Of two classes: the probability from which the positive one is predicted; 0.5 when not said.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    threshold: Option<f64>,
    /// Of two classes: the metric by which the threshold is chosen on held-out rows, instead of `threshold`.
    #[serde(default)]
    tune_threshold: Option<MetricName>,
    /// Of two classes: what mistakes cost; the threshold that costs least on held-out rows is chosen.
    #[serde(default)]
    costs: Option<Costs>,
    /// The name under which the model is registered.
    #[serde(default)]
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"))]
    register: Option<String>,
    /// When a new version becomes champion, `{best: METRIC}` or `{if: "METRIC > champion.METRIC + 0.01"}`; the best by
    /// `metric` when not said. A model without a champion takes any.
    #[serde(default)]
    promote: Option<Promotion<MetricName>>,
    /// Where the model file is also written, relative to the project, such as `models/churn.onnx`.
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

/// How classes are evened out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ResampleName {
    /// Rows of rare classes are repeated.
    Over,
    /// Rows of frequent classes are left out.
    Under,
}

/// How probabilities are calibrated.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CalibrationName {
    /// By a sigmoid: for few rows.
    Sigmoid,
    /// By a rising line of any form: for a thousand rows and more.
    Isotonic,
}

/// What mistakes cost, in any unit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Costs {
    /// To miss a positive row.
    #[schemars(range(min = 0))]
    false_negative: f64,
    /// To call a negative row positive.
    #[schemars(range(min = 0))]
    false_positive: f64,
}

impl Config {
    fn settings(&self, seed: u64) -> Settings {
        Settings {
            goal: Goal::Classes,
            target: self.target.clone(),
            positive: self.positive.clone(),
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
            resample: self.resample.map(|how| match how {
                ResampleName::Over => Resample::Over,
                ResampleName::Under => Resample::Under,
            }),
            calibration: self.calibration.map(|how| match how {
                CalibrationName::Sigmoid => Method::Sigmoid,
                CalibrationName::Isotonic => Method::Isotonic,
            }),
            threshold: match (self.tune_threshold, self.costs) {
                (Some(metric), _) => Threshold::Best(metric.metric()),
                (None, Some(costs)) => Threshold::Cheapest {
                    false_negative: costs.false_negative,
                    false_positive: costs.false_positive,
                },
                (None, None) => Threshold::Fixed(self.threshold.unwrap_or(0.5)),
            },
            learning_curve: self.learning_curve,
            seed: self.seed.unwrap_or(seed),
        }
    }
}

impl Operator for Classifier {
    type Config = Config;
    const KIND: Kind = Kind::Train;
    const NAME: &'static str = "classifier";
    const SUMMARY: &'static str =
        "Learns classes from labelled rows: tries candidates, keeps the best as one ONNX file.";
    const TAKES: Takes = Takes::One;

    fn outputs(config: &Config) -> Outputs {
        learn::outputs("out_of_fold", config.register.is_some())
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.validation.check(found);
        config.search.check(found);
        learn::check_promotion(config.promote.as_ref(), Goal::Classes, found);
        let said = [
            config.threshold.is_some(),
            config.tune_threshold.is_some(),
            config.costs.is_some(),
        ];
        if said.into_iter().filter(|said| *said).count() > 1 {
            let place = if config.costs.is_some() {
                "costs"
            } else {
                "tune_threshold"
            };
            found.error(
                &[place],
                "the threshold is given, tuned by a metric or chosen by costs: say one of them",
            );
        }
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
pub(crate) mod tests {
    use pipectl_engine::operator::{
        Fault,
        testing::{TestProject, complaints, frame},
    };
    use polars::prelude::*;
    use serde_json::json;

    use super::*;
    use serde_json::Value;

    /// Customers of whom those with short contracts and high charges leave.
    pub(crate) fn customers(rows: u32) -> DataFrame {
        const CONTRACTS: [&str; 3] = ["Month-to-month", "One year", "Two year"];
        let tenure = |row: u32| row * 37 % 72;
        let charges =
            |row: u32| (!row.is_multiple_of(19)).then_some(f64::from(row * 7919 % 1009) / 10.0);
        let leaves = |row: u32| {
            let pull = charges(row).unwrap_or(50.0) / 100.0 - f64::from(tenure(row)) / 144.0;
            row.is_multiple_of(3) && pull + f64::from(row * 31 % 17) / 34.0 > 0.4
        };
        let column = |of: &dyn Fn(u32) -> String| (0..rows).map(of).collect::<Vec<String>>();
        df![
            "customerID" => column(&|row| format!("C-{row}")),
            "tenure" => (0..rows).map(tenure).collect::<Vec<_>>(),
            "TotalCharges" => (0..rows).map(charges).collect::<Vec<_>>(),
            "Contract" => column(&|row| CONTRACTS[row as usize % 3].to_owned()),
            "Churn" => column(&|row| if leaves(row) { "Yes" } else { "No" }.to_owned()),
        ]
        .unwrap()
    }

    fn settings() -> Value {
        json!({
            "target": "Churn",
            "exclude": ["customerID"],
            "features": {"charges_per_month": "TotalCharges / nullif(tenure, 0)"},
            "candidates": {
                "logistic_regression": {"C": [0.1, 1.0]},
                "random_forest": {"n_estimators": 20, "max_depth": [4, 8]},
                "gradient_boosting": null,
            },
            "validation": {"folds": 3},
            "metric": "f1",
            "register": "churn",
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_best_candidate_is_kept_with_honest_predictions() {
        let project = TestProject::new();
        let output = project
            .run_on::<Classifier>(customers(600), settings())
            .await
            .unwrap();
        assert_eq!(output.datasets[0].0, "out_of_fold");
        let rows = frame(&output);
        assert_eq!(rows.height(), 600);
        assert!(rows.column("prediction").is_ok() && rows.column("probability").is_ok());
        assert!(output.metrics["f1"] > 0.7, "{:?}", output.metrics);
        let model = output.model.unwrap();
        assert_eq!(model.name, "churn");
        assert_eq!(model.card["target"], "Churn");
        assert_eq!(
            model.promote,
            pipectl_engine::operator::Promote::Best {
                metric: "f1".to_owned(),
                greater_is_better: true
            }
        );
        let again = project
            .run_on::<Classifier>(customers(600), settings())
            .await
            .unwrap();
        assert_eq!(model.content, again.model.unwrap().content);
        let log = project.log();
        assert!(log.iter().any(|line| line.contains("(chosen)")), "{log:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn data_that_cannot_be_learned_is_the_users_fault() {
        let project = TestProject::new();
        let mut wrong = settings();
        wrong["target"] = json!("Chrun");
        let error = project
            .run_on::<Classifier>(customers(60), wrong)
            .await
            .unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "there is no column `Chrun` to learn (`target`); there are customerID, tenure, TotalCharges, Contract, Churn"
            )
        );
    }

    #[test]
    fn mistakes_are_found_without_data() {
        let mut wrong = settings();
        wrong["candidates"] = json!({
            "random_forest": {"trees": 5, "max_depth": -3},
            "logistic": {"C": 1},
            "gradient_boosting": {"learning_rate": ["x", 0.1]},
        });
        wrong["register"] = json!(null);
        wrong["exclude"] = json!(["Churn"]);
        let found = complaints::<Classifier>(wrong);
        assert_eq!(found[0], ": the model is kept nowhere");
        assert_eq!(found[1], "exclude: `Churn` is the target");
        let said = found
            .iter()
            .skip(2)
            .map(|one| one.split(';').next().unwrap());
        let said: Vec<&str> = said.collect();
        assert!(
            said[0].starts_with(
                "candidates.random_forest.trees: `random_forest` has no parameter `trees`"
            ),
            "{said:?}"
        );
        assert_eq!(
            said[1],
            "candidates.random_forest.max_depth: `max_depth: -3` of `random_forest`: expected a whole number, at least 1"
        );
        assert!(said[2].starts_with("candidates.logistic: "), "{said:?}");
        assert!(
            said[3]
                .starts_with("candidates.gradient_boosting.learning_rate: `learning_rate: \"x\"`"),
            "{said:?}"
        );
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(complaints::<Classifier>(settings()).is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_rule_of_promotion_goes_with_the_model() {
        let mut ruled = settings();
        ruled["promote"] = json!({"if": "${{ f1 > champion.f1 + 0.01 }}"});
        ruled["candidates"] = json!({"gaussian_naive_bayes": {}});
        assert!(complaints::<Classifier>(ruled.clone()).is_empty());
        let output = TestProject::new()
            .run_on::<Classifier>(customers(200), ruled.clone())
            .await
            .unwrap();
        let rule = pipectl_engine::operator::Promote::If("f1 > champion.f1 + 0.01".to_owned());
        assert_eq!(output.model.unwrap().promote, rule);
        ruled["promote"] = json!({"if": "f2 > 0.5"});
        assert_eq!(
            complaints::<Classifier>(ruled),
            ["promote.if: there is no metric `f2`"]
        );
    }
}
