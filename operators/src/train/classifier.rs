//! `train: classifier`: learns classes from labelled rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;
use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Artifact, Complaints, Kind, NewModel, Operator, Outcome, Output, Outputs, Takes,
        TaskContext, TaskError, ValueType,
    },
};
use pipectl_models::{
    metrics::Metric,
    onnx::Metadata,
    train::{Hooks, Progress, Settings, Threshold, Trained, train},
};
use polars::prelude::DataFrame;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{
    frame::only_input, mlflow, model::model_error, promotion::Promotion, whole::Whole,
};

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
    /// Estimators with their parameters, named as in scikit-learn: `logistic_regression`, `random_forest`,
    /// `gradient_boosting`, `gaussian_naive_bayes`. A parameter that is a list is tried with each of its values. When
    /// not said, the first three with their defaults.
    #[serde(default)]
    candidates: IndexMap<String, Option<IndexMap<String, Value>>>,
    /// How candidates are compared.
    #[serde(default)]
    validation: Validation,
    /// What candidates are compared by.
    #[serde(default)]
    metric: MetricName,
    /// Of two classes: the probability from which the positive one is predicted; 0.5 when not said.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    threshold: Option<f64>,
    /// Of two classes: the metric by which the threshold is chosen on held-out rows, instead of `threshold`.
    #[serde(default)]
    tune_threshold: Option<MetricName>,
    /// The name under which the model is registered.
    #[serde(default)]
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"))]
    register: Option<String>,
    /// When a new version becomes champion, `{best: f1}` or `{if: "f1 > champion.f1 + 0.01"}`; the best by `metric` when not
    /// said. A model without a champion takes any.
    #[serde(default)]
    promote: Option<Promotion<MetricName>>,
    /// Where the model file is also written, relative to the project, such as `models/churn.onnx`.
    #[serde(default)]
    path: Option<String>,
    /// The seed of all randomness; one of pipeline and task when not said.
    #[serde(default)]
    seed: Option<u64>,
}

/// How candidates are compared.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Validation {
    /// Parts of the stratified cross-validation.
    #[serde(default = "five")]
    #[schemars(range(min = 2, max = 100))]
    folds: usize,
}

fn five() -> usize {
    5
}

impl Default for Validation {
    fn default() -> Self {
        Self { folds: five() }
    }
}

/// A metric, named as in scikit-learn.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MetricName {
    /// Share of rows predicted right.
    #[default]
    Accuracy,
    /// Mean of the classes' recalls.
    BalancedAccuracy,
    /// Of the rows predicted positive, the share that is.
    Precision,
    /// Of the positive rows, the share predicted so.
    Recall,
    /// Harmonic mean of precision and recall.
    F1,
    /// Area under the receiver operating characteristic.
    RocAuc,
    /// Mean precision over recall.
    AveragePrecision,
    /// Mean negative log likelihood; lower is better.
    LogLoss,
    /// Mean squared error of the probabilities; lower is better.
    Brier,
    /// Matthews' correlation coefficient.
    Mcc,
}

impl MetricName {
    fn metric(self) -> Metric {
        match self {
            Self::Accuracy => Metric::Accuracy,
            Self::BalancedAccuracy => Metric::BalancedAccuracy,
            Self::Precision => Metric::Precision,
            Self::Recall => Metric::Recall,
            Self::F1 => Metric::F1,
            Self::RocAuc => Metric::RocAuc,
            Self::AveragePrecision => Metric::AveragePrecision,
            Self::LogLoss => Metric::LogLoss,
            Self::Brier => Metric::Brier,
            Self::Mcc => Metric::Mcc,
        }
    }
}

impl Config {
    fn settings(&self, seed: u64) -> Settings {
        Settings {
            target: self.target.clone(),
            positive: self.positive.clone(),
            exclude: self.exclude.clone(),
            features: self.features.clone(),
            candidates: self
                .candidates
                .iter()
                .map(|(name, parameters)| (name.clone(), parameters.clone().unwrap_or_default()))
                .collect(),
            folds: self.validation.folds,
            metric: self.metric.metric(),
            threshold: match self.tune_threshold {
                Some(metric) => Threshold::Best(metric.metric()),
                None => Threshold::Fixed(self.threshold.unwrap_or(0.5)),
            },
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
        let outputs = Outputs::tables(["out_of_fold"])
            .value(
                "model",
                ValueType::String,
                "the model, for `predict` and `report`",
            )
            .value(
                "estimator",
                ValueType::String,
                "the candidate that was chosen",
            )
            .value(
                "threshold",
                ValueType::Number,
                "the probability from which a row is positive",
            );
        if config.register.is_some() {
            outputs.value(
                "version",
                ValueType::Integer,
                "the registered version, with `register`",
            )
        } else {
            outputs
        }
    }

    fn check(config: &Config, found: &mut Complaints) {
        if config.register.is_none() && config.path.is_none() {
            found
                .error(&[], "the model is kept nowhere")
                .hint("say `register: <name>`, or `path: models/<name>.onnx`");
        }
        if config.register.is_none() && config.promote.is_some() {
            found
                .error(&["promote"], "only a registered model can be promoted")
                .hint("say `register: <name>`");
        }
        Promotion::check(
            config.promote.as_ref(),
            &Metric::ALL.map(Metric::name),
            found,
        );
        if config.threshold.is_some() && config.tune_threshold.is_some() {
            found.error(
                &["tune_threshold"],
                "the threshold is either given or tuned",
            );
        }
        if config.exclude.contains(&config.target) {
            found.error(&["exclude"], format!("`{}` is the target", config.target));
        }
        if let Err(error) = config.settings(0).check() {
            found.error(&["candidates"], error.to_string());
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let (_, frame) = only_input(context).await?;
        let settings = config.settings(context.seed);
        let trained = learn(context, frame, settings).await?;
        let file = Bytes::from(trained.bytes);
        let metadata = trained.metadata;
        let metrics: BTreeMap<String, f64> = metadata
            .metrics
            .iter()
            .filter_map(|entry| Some((entry.metric.name().to_owned(), entry.value?)))
            .collect();
        let mut output = Output::default()
            .dataset("out_of_fold", Dataset::from_frame(trained.out_of_fold))
            .value("estimator", metadata.estimator.as_str())
            .value("threshold", metadata.threshold);
        output.metrics.clone_from(&metrics);
        output.warnings.clone_from(&metadata.warnings);
        if let Some(path) = &config.path {
            Whole::write(context, path, &file)?;
            output = output.value("model", path.as_str());
        }
        match config.register {
            Some(name) => {
                output.model = Some(NewModel {
                    name,
                    content: file,
                    metrics,
                    card: card(&metadata, context),
                    promote: Promotion::rule(config.promote, config.metric, |metric| {
                        let metric = metric.metric();
                        (metric.name(), metric.higher_is_better())
                    }),
                });
            }
            None => {
                output = output.artifact(Artifact {
                    name: "model.onnx".to_owned(),
                    media_type: "application/octet-stream".to_owned(),
                    content: file,
                    path: config.path.map(Into::into),
                });
            }
        }
        mlflow::track(context, &mut output).await;
        Ok(Outcome::Done(output))
    }
}

/// What the registry shows of a model: what its file says of itself, and what went into its training data.
fn card(metadata: &Metadata, context: &TaskContext) -> Value {
    let mut card = json!(metadata);
    if !context.feature_views.is_empty() {
        card["feature_views"] = json!(context.feature_views);
    }
    card
}

async fn learn(
    context: &TaskContext,
    frame: DataFrame,
    settings: Settings,
) -> Result<Trained, TaskError> {
    let inner = Arc::new(context.clone());
    context
        .compute(move || {
            let progress = |progress: Progress| {
                inner
                    .progress
                    .set(progress.done as u64, Some(progress.total as u64));
            };
            let cancelled = || inner.cancel.is_cancelled();
            let hooks = Hooks {
                progress: &progress,
                cancelled: &cancelled,
            };
            let trained = train(&frame, &settings, &hooks).map_err(model_error)?;
            for trial in &trained.metadata.trials {
                let mark = if trial.chosen { " (chosen)" } else { "" };
                inner.log.info(format!(
                    "{} {}: {} {:.4} ± {:.4}{mark}",
                    trial.estimator,
                    json!(trial.parameters),
                    settings.metric,
                    trial.mean,
                    trial.deviation
                ));
            }
            Ok(trained)
        })
        .await
}

#[cfg(test)]
pub(crate) mod tests {
    use pipectl_engine::operator::{
        Fault, Promote,
        testing::{TestProject, complaints, frame},
    };
    use polars::prelude::*;
    use serde_json::json;

    use super::*;

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
            Promote::Best {
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
                "there is no column `Chrun` to learn (`target`)"
            )
        );
    }

    #[test]
    fn mistakes_are_found_without_data() {
        let mut wrong = settings();
        wrong["candidates"] = json!({"random_forest": {"trees": 5}});
        wrong["register"] = json!(null);
        wrong["exclude"] = json!(["Churn"]);
        let found = complaints::<Classifier>(wrong);
        assert_eq!(found[0], ": the model is kept nowhere");
        assert_eq!(found[1], "exclude: `Churn` is the target");
        assert!(
            found[2].starts_with("candidates: `random_forest` has no parameter `trees`"),
            "{found:?}"
        );
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
        let rule = Promote::If("f1 > champion.f1 + 0.01".to_owned());
        assert_eq!(output.model.unwrap().promote, rule);
        ruled["promote"] = json!({"if": "f2 > 0.5"});
        assert_eq!(
            complaints::<Classifier>(ruled),
            ["promote.if: there is no metric `f2`"]
        );
    }
}
