//! `predict: model`: scores rows by a model.

use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, Kind, MadeOf, ModelRef, Operator, Outcome, Output, Outputs, Takes, TaskContext,
        TaskError, ValueType,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    frame::only_input,
    model::{load, made_of, model_error},
    text::{count, list},
};

/// `predict: model`.
pub(crate) struct Model;

/// By which model, and from where on a row is positive.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The model: `churn` (its champion), `churn@challenger`, `churn:7`, `{name: churn, best: f1}` (the best of its
    /// versions), `zoo:churn` (one that ships), `mlflow://churn@champion`, an `.onnx` file, or what a `train` task puts
    /// out.
    model: ModelRef,
    /// Of two classes: the probability from which the positive one is predicted; of anomalies: the score from which a row
    /// is odd. The model's own when not said.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    threshold: Option<f64>,
}

impl Operator for Model {
    type Config = Config;
    const KIND: Kind = Kind::Predict;
    const NAME: &'static str = "model";
    const SUMMARY: &'static str =
        "Scores rows by a model: keeps their columns, adds `prediction` and what is behind it.";
    const TAKES: Takes = Takes::One;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
            .value("model", ValueType::String, "the model that was used")
            .value("digest", ValueType::String, "SHA-256 of its file")
    }

    fn check(config: &Config, found: &mut Complaints) {
        if config
            .threshold
            .is_some_and(|threshold| !(0.0..=1.0).contains(&threshold))
        {
            found.error(&["threshold"], "a threshold is a probability, from 0 to 1");
        }
    }

    async fn made_of(config: &Config, context: &TaskContext) -> MadeOf {
        made_of(context, &config.model.0)
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        if config
            .threshold
            .is_some_and(|threshold| !(0.0..=1.0).contains(&threshold))
        {
            return Err(TaskError::user("`threshold` is a probability, from 0 to 1"));
        }
        let model = load(context, &config.model.0).await?;
        let (_, frame) = only_input(context).await?;
        let missing: Vec<String> = model
            .missing_columns(&frame)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let inner = model.clone();
        let (scored, summary) = context
            .compute(move || {
                let answer = inner
                    .predict(&frame, config.threshold)
                    .map_err(model_error)?;
                let scored = answer.append_to(&frame).map_err(model_error)?;
                Ok((scored, answer.summary()))
            })
            .await?;
        let rows = scored.height();
        context.log.info(format!(
            "{} by `{}`",
            count(rows as u64, "row"),
            config.model.0
        ));
        let mut output = Output::table(Dataset::from_frame(scored))
            .value("model", config.model.0)
            .value("digest", model.digest());
        for (name, value) in summary {
            output = output.metric(name, value);
        }
        if !missing.is_empty() {
            let missing = list(missing.iter().map(String::as_str));
            output = output.warning(format!(
                "the rows lack {missing}, which the model reads: imputed as in training"
            ));
        }
        Ok(Outcome::Done(output))
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{
        Fault,
        testing::{TestProject, frame, run_in},
    };
    use polars::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::train::classifier::{Classifier, tests::customers};

    async fn trained(project: &TestProject) {
        let settings = json!({
            "target": "Churn",
            "exclude": ["customerID"],
            "candidates": {"random_forest": {"n_estimators": 20}},
            "path": "models/churn.onnx",
        });
        let output = project
            .run_on::<Classifier>(customers(400), settings)
            .await
            .unwrap();
        assert_eq!(output.values["model"], json!("models/churn.onnx"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_keep_their_columns_and_get_predictions() {
        let project = TestProject::new();
        trained(&project).await;
        let today = customers(50).drop("Churn").unwrap();
        let output = project
            .run_on::<Model>(today.clone(), json!({"model": "models/churn.onnx"}))
            .await
            .unwrap();
        let scored = frame(&output);
        let names: Vec<&str> = scored
            .get_column_names()
            .into_iter()
            .map(PlSmallStr::as_str)
            .collect();
        assert_eq!(
            names,
            [
                "customerID",
                "tenure",
                "TotalCharges",
                "Contract",
                "prediction",
                "probability"
            ]
        );
        assert!(output.warnings.is_empty());
        let all = project
            .run_on::<Model>(
                today,
                json!({"model": "models/churn.onnx", "threshold": 0.0}),
            )
            .await
            .unwrap();
        assert!((all.metrics["share_Yes"] - 1.0).abs() < 1e-12);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn columns_that_are_missing_are_imputed_with_a_warning() {
        let project = TestProject::new();
        trained(&project).await;
        let rows = df!["tenure" => [3]].unwrap();
        let output = project
            .run_on::<Model>(rows, json!({"model": "models/churn.onnx"}))
            .await
            .unwrap();
        assert_eq!(
            output.warnings,
            [
                "the rows lack `TotalCharges`, `Contract`, which the model reads: imputed as in training"
            ]
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_model_that_cannot_be_used_says_why() {
        let project = TestProject::new();
        project.write("a.onnx", [0x80, 4, 0x95]);
        let rows = df!["tenure" => [3]].unwrap();
        let context = project.context_with([("rows", rows)]);
        let cases = [
            ("none", "no model `none` is registered"),
            ("none:3", "no model `none:3` is registered"),
            (
                "a.onnx",
                "the model `a.onnx`: not a usable model: this is a Python pickle",
            ),
        ];
        for (model, message) in cases {
            let error = run_in::<Model>(&context, json!({"model": model}))
                .await
                .unwrap_err();
            assert_eq!(error.fault, Fault::User);
            assert!(error.message.starts_with(message), "{}", error.message);
        }
    }
}
