//! `report: drift`: have today's rows another distribution than the reference?

use std::collections::BTreeMap;

use bytes::Bytes;
use pipectl_engine::operator::{
    Artifact, Complaints, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
    ValueType,
};
use pipectl_models::{
    drift::{DriftReport, DriftSettings, Test, drift},
    report::DriftPage,
};
use polars::prelude::DataFrame;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::support::{
    frame::collect,
    model::model_error,
    page::{publish, render},
    text::list,
};

const TEMPLATE: &str = include_str!("templates/drift.hbs");

/// `report: drift`.
pub(crate) struct Drift;

/// What is compared, and where the page goes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The HTML file, relative to the project.
    path: String,
    /// Columns that are not compared, such as keys.
    #[serde(default)]
    exclude: Vec<String>,
    /// The share of columns that must have drifted for the table to have drifted.
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    drift_share: f64,
    /// Tests for single columns, instead of the one that fits their size and kind.
    #[serde(default)]
    tests: BTreeMap<String, TestName>,
    /// The heading.
    #[serde(default = "heading")]
    title: String,
}

fn half() -> f64 {
    0.5
}

fn heading() -> String {
    "Drift".to_owned()
}

/// A test, by which a column is compared.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TestName {
    /// Kolmogorov–Smirnov, by p-value: numbers.
    Ks,
    /// Wasserstein distance over the standard deviation: numbers.
    Wasserstein,
    /// Chi-square, by p-value.
    Chisquare,
    /// Two proportions, by p-value.
    Z,
    /// Jensen–Shannon distance.
    Jensenshannon,
    /// Population stability index.
    Psi,
    /// Kullback–Leibler divergence.
    KlDiv,
}

impl TestName {
    pub(crate) fn test(self) -> Test {
        match self {
            Self::Ks => Test::KolmogorovSmirnov,
            Self::Wasserstein => Test::Wasserstein,
            Self::Chisquare => Test::ChiSquare,
            Self::Z => Test::Z,
            Self::Jensenshannon => Test::JensenShannon,
            Self::Psi => Test::Psi,
            Self::KlDiv => Test::KullbackLeibler,
        }
    }
}

impl Operator for Drift {
    type Config = Config;
    const KIND: Kind = Kind::Report;
    const NAME: &'static str = "drift";
    const SUMMARY: &'static str = "Compares today's rows and predictions with a reference, as Evidently does; drift is a warning.";
    const TAKES: Takes = Takes::Named(&["reference", "current"]);

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("path", ValueType::String, "the page")
            .value(
                "drift",
                ValueType::Boolean,
                "whether the data or the predictions have drifted",
            )
            .value(
                "data_drift",
                ValueType::Boolean,
                "whether the data have drifted",
            )
            .value(
                "prediction_drift",
                ValueType::Boolean,
                "whether the predictions have drifted",
            )
            .value("columns", ValueType::Any, "the columns that have drifted")
    }

    fn check(config: &Config, found: &mut Complaints) {
        if !(0.0..=1.0).contains(&config.drift_share) {
            found.error(&["drift_share"], "a share is between 0 and 1");
        }
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let reference = input(context, "reference").await?;
        let current = input(context, "current").await?;
        let settings = DriftSettings {
            exclude: config.exclude,
            drift_share: config.drift_share,
            tests: config
                .tests
                .into_iter()
                .map(|(name, test)| (name, test.test()))
                .collect(),
        };
        let (report, html) = context
            .compute(move || {
                let report = drift(&reference, &current, &settings).map_err(model_error)?;
                let page = DriftPage::new(&config.title, &report).map_err(model_error)?;
                Ok((report, render(TEMPLATE, &page)?))
            })
            .await?;
        let page = publish(context, &config.path, html)?;
        context.log.info(report.verdict());
        output(&report, page, config.path).map(Outcome::Done)
    }
}

async fn input(context: &TaskContext, name: &str) -> Result<DataFrame, TaskError> {
    let dataset = context
        .inputs
        .get(name)
        .ok_or_else(|| TaskError::bug(format!("there is no input `{name}`")))?;
    collect(context, name, dataset).await
}

fn output(report: &DriftReport, page: Artifact, path: String) -> Result<Output, TaskError> {
    let drifted: Vec<&str> = report
        .columns
        .iter()
        .chain(&report.predictions)
        .filter(|column| column.drifted)
        .map(|column| column.name.as_str())
        .collect();
    let content = serde_json::to_vec_pretty(report)
        .map_err(|error| TaskError::bug("the drift report cannot be written").because(error))?;
    #[allow(clippy::cast_precision_loss, reason = "a number of columns")]
    let count = report.drifted() as f64;
    let output = Output::default()
        .artifact(page)
        .artifact(Artifact {
            name: "drift.json".to_owned(),
            media_type: "application/json".to_owned(),
            content: Bytes::from(content),
            path: None,
        })
        .metric("drifted_columns", count)
        .metric("drifted_share", report.drifted_share)
        .value("path", path)
        .value("drift", report.data_drift || report.prediction_drift)
        .value("data_drift", report.data_drift)
        .value("prediction_drift", report.prediction_drift)
        .value("columns", json!(drifted));
    if report.data_drift || report.prediction_drift {
        let columns = list(drifted);
        return Ok(output.warning(format!("{}: {columns}", report.verdict())));
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{
        Fault,
        testing::{TestProject, complaints, run_in},
    };
    use polars::prelude::*;

    use super::*;

    fn rows(shift: f64) -> DataFrame {
        let charges: Vec<f64> = (0..1500)
            .map(|row| f64::from(row * 7919 % 1009) / 10.0 + shift)
            .collect();
        let scores: Vec<f64> = (0..1500)
            .map(|row| (f64::from(row * 31 % 97) / 97.0 + shift / 200.0).min(1.0))
            .collect();
        let city: Vec<&str> = (0..1500).map(|row| ["<Bern>", "Genf"][row % 2]).collect();
        df!["customerID" => charges.clone(), "charges" => charges, "city" => city, "probability" => scores]
            .unwrap()
    }

    #[tokio::test]
    async fn drift_is_a_warning_with_a_page() {
        let project = TestProject::new();
        let settings = json!({"path": "reports/drift.html", "exclude": ["customerID"]});
        let context = project.context_with([("reference", rows(0.0)), ("current", rows(40.0))]);
        let output = run_in::<Drift>(&context, settings.clone()).await.unwrap();
        assert_eq!(
            output.warnings,
            [
                "the data have drifted (1 of 2 columns differ), and so have the predictions: `charges`, `probability`"
            ]
        );
        assert_eq!(output.values["drift"], json!(true));
        assert!((output.metrics["drifted_share"] - 0.5).abs() < 1e-12);
        let html = project.read("reports/drift.html");
        for part in ["Wasserstein", "<svg", "&lt;Bern&gt;", "probability"] {
            assert!(html.contains(part), "{part}");
        }
        assert!(
            !html.contains("<Bern>") && html.len() < 60_000,
            "{} bytes",
            html.len()
        );
        let context = project.context_with([("reference", rows(0.0)), ("current", rows(0.0))]);
        let output = run_in::<Drift>(&context, settings).await.unwrap();
        assert!(output.warnings.is_empty());
        assert_eq!(output.values["columns"], json!([]));
    }

    #[tokio::test]
    async fn what_cannot_be_compared_is_the_users_fault() {
        let project = TestProject::new();
        let context = project.context_with([("reference", rows(0.0)), ("current", rows(0.0))]);
        let settings = json!({"path": "a.html", "exclude": ["custmerID"]});
        let error = run_in::<Drift>(&context, settings).await.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (Fault::User, "`custmerID` is no column")
        );
        let found = complaints::<Drift>(json!({"path": "a.html", "drift_share": 2.0}));
        assert_eq!(found, ["drift_share: a share is between 0 and 1"]);
    }
}
