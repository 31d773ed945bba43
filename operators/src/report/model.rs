//! `report: model`: a page about a model that a manager can read.

use pipectl_engine::operator::{
    Kind, ModelRef, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError, ValueType,
};
use pipectl_models::report::ModelPage;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::support::{
    model::{load, model_error},
    page::{publish, render},
};

const TEMPLATE: &str = include_str!("templates/model.hbs");

/// `report: model`.
pub(crate) struct Model;

/// Which model, and where the page goes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The model: `churn` (its champion), `churn@challenger`, `churn:7`, `{name: churn, best: f1}` (the best of its
    /// versions), `zoo:churn` (one that ships), `mlflow://churn@champion`, an `.onnx` file, or what a `train` task puts
    /// out.
    model: ModelRef,
    /// The HTML file, relative to the project.
    path: String,
    /// The heading; the model's name when not said.
    #[serde(default)]
    title: Option<String>,
}

impl Operator for Model {
    type Config = Config;
    const KIND: Kind = Kind::Report;
    const NAME: &'static str = "model";
    const SUMMARY: &'static str =
        "Writes a page about a model: how good it is, what it looks at, who else was tried.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::none().value("path", ValueType::String, "the page")
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let model = load(context, &config.model.0).await?;
        let title = config.title.unwrap_or_else(|| config.model.0.clone());
        let inner = model.clone();
        let html = context
            .compute(move || {
                let page = ModelPage::new(&title, inner.metadata(), inner.digest())
                    .map_err(model_error)?;
                render(TEMPLATE, &page)
            })
            .await?;
        let artifact = publish(context, &config.path, html)?;
        let mut output = Output::default()
            .artifact(artifact)
            .value("path", config.path);
        for entry in &model.metadata().metrics {
            if let Some(value) = entry.value {
                output = output.metric(entry.metric.name(), value);
            }
        }
        Ok(Outcome::Done(output))
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::TestProject;
    use serde_json::json;

    use super::Model;
    use crate::train::classifier::{Classifier, tests::customers};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_tells_what_a_model_is_worth() {
        let project = TestProject::new();
        let settings = json!({
            "target": "Churn",
            "exclude": ["customerID"],
            "features": {"short": "tenure < 12"},
            "candidates": {"logistic_regression": {}, "random_forest": {"n_estimators": 10}},
            "learning_curve": true,
            "path": "models/churn.onnx",
        });
        project
            .run_on::<Classifier>(customers(400), settings)
            .await
            .unwrap();
        let report = json!({"model": "models/churn.onnx", "path": "reports/churn.html", "title": "Churn & co"});
        let output = project.run::<Model>(report.clone()).await.unwrap();
        let html = project.read("reports/churn.html");
        for part in [
            "Churn &amp; co",
            "<svg",
            "Baseline",
            "tenure &lt; 12",
            "Contract",
            "roc_auc",
            "chosen",
            "How the answer depends on them",
            "mean absolute Shapley value",
            "Thresholds",
            "Learning curve",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert!(html.len() < 150_000, "{} bytes", html.len());
        assert!(!html.contains("<script") && !html.contains("src="));
        assert_eq!(output.artifacts[0].content, html.as_bytes());
        let again = project.run::<Model>(report).await.unwrap();
        assert_eq!(again.artifacts[0].content, html.as_bytes());
    }
}
