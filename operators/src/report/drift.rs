//! `report: drift`: have today's rows another distribution than the reference?

use pipectl_engine::operator::{
    Artifact, Complaints, Kind, Operator, Outcome, Output, Outputs, PastOutcome, Takes,
    TaskContext, TaskError, ValueType,
};
use pipectl_models::{
    drift::DriftReport,
    report::{DriftPage, PastDrift},
};
use serde_json::json;

use crate::support::{
    drift::{self, drift_settings, drifted_list},
    page::{check_path, publish, publish_json, render},
};

const TEMPLATE: &str = include_str!("templates/drift.hbs");

/// `report: drift`.
pub(crate) struct Drift;

drift_settings! {
    /// What is compared, and where the page goes. What was found also stands beside the page as JSON.
    struct Config {
        /// The HTML file, relative to the project; the JSON file has the same name, ending in `.json`.
        path: String,
        /// The heading.
        #[serde(default = "heading")]
        title: String,
        /// How many earlier successes of this task the page draws lines of; 0 for none.
        #[serde(default = "month")]
        #[schemars(range(max = 1000))]
        history: u32,
    }
}

fn heading() -> String {
    "Drift".to_owned()
}

fn month() -> u32 {
    30
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
                "whether the data, the predictions or the target have drifted",
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
            .value(
                "target_drift",
                ValueType::Boolean,
                "whether the target has drifted",
            )
            .value("columns", ValueType::Any, "the columns that have drifted")
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.watch().check(found);
        check_path(&config.path, found);
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let watch = config.watch();
        let report = watch.compare(context).await?;
        let past = match config.history {
            0 => Vec::new(),
            runs => context.past.successes(runs).await?,
        };
        let (occasion, verdict) = (watch.occasion(&report), watch.verdict(&report));
        let (title, told) = (config.title, verdict.clone());
        let (report, html) = context
            .compute(move || {
                let past: Vec<PastDrift> = past.into_iter().rev().map(earlier).collect();
                let page = DriftPage::new(&title, &told, occasion, &report, &past);
                let html = render(TEMPLATE, &page)?;
                Ok((report, html))
            })
            .await?;
        let page = publish(context, &config.path, html)?;
        let json = publish_json(context, &config.path, drift::json(&report)?)?;
        context.log.info(&verdict);
        let mut output = output(&report, [page, json], config.path);
        if occasion {
            let columns = drifted_list(&report);
            output = output.warning(format!("{verdict}: {columns}"));
        }
        Ok(Outcome::Done(output))
    }
}

fn earlier(outcome: PastOutcome) -> PastDrift {
    PastDrift {
        label: outcome.ended.format("%Y-%m-%d").to_string(),
        metrics: outcome.metrics,
    }
}

fn output(report: &DriftReport, files: [Artifact; 2], path: String) -> Output {
    let mut output = Output::default()
        .value("path", path)
        .value("drift", report.drift())
        .value("data_drift", report.data_drift)
        .value("prediction_drift", report.prediction_drift == Some(true))
        .value("target_drift", report.target_drift == Some(true))
        .value("columns", json!(drift::drifted(report)));
    output.artifacts = files.into();
    output.metrics = drift::metrics(report);
    output
}

#[cfg(test)]
mod tests {
    use pipectl_engine::{
        operator::{
            Fault, Past, PastStore,
            testing::{TestProject, complaints, run_in},
        },
        store::StoreError,
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
        let found = complaints::<Drift>(json!({"path": "a.json", "share": 2.0}));
        assert_eq!(
            found,
            [
                "share: a share is greater than 0 and at most 1",
                "path: this is the page; its JSON file would have the same name"
            ]
        );
    }

    /// `columns` of numbers, the first `shifted` of them shifted.
    fn wide(columns: usize, shifted: usize, by: f64) -> DataFrame {
        let columns: Vec<Column> = (0..columns)
            .map(|column| {
                let shift = if column < shifted { by } else { 0.0 };
                let values: Vec<f64> = (0..1500)
                    .map(|row| f64::from(row * 7919 % 1009) + shift)
                    .collect();
                Column::new(format!("a column with a long name {column}").into(), values)
            })
            .collect();
        DataFrame::new(1500, columns).unwrap()
    }

    /// A team that wants to hear of two columns among twenty.
    #[tokio::test]
    async fn two_columns_of_twenty_warn_when_any_column_counts() {
        let project = TestProject::new();
        let context = project.context_with([
            ("reference", wide(20, 0, 0.0)),
            ("current", wide(20, 2, 200.0)),
        ]);
        let quiet = run_in::<Drift>(&context, json!({"path": "drift.html"}))
            .await
            .unwrap();
        assert!(quiet.warnings.is_empty(), "{:?}", quiet.warnings);
        let settings = json!({"path": "drift.html", "when": "any_column"});
        let told = run_in::<Drift>(&context, settings).await.unwrap();
        assert_eq!(
            told.warnings,
            [
                "2 of 20 columns have drifted: `a column with a long name 0`, `a column with a long name 1`"
            ]
        );
        assert_eq!(told.values["drift"], json!(false));
        let settings = json!({"path": "drift.html", "share": 0.1});
        let told = run_in::<Drift>(&context, settings).await.unwrap();
        assert_eq!(told.values["data_drift"], json!(true));
    }

    #[tokio::test]
    async fn a_hundred_columns_stay_below_half_a_megabyte() {
        let project = TestProject::new();
        let context = project.context_with([
            ("reference", wide(100, 0, 0.0)),
            ("current", wide(100, 60, 200.0)),
        ]);
        let context = with_past(context, 30, 100);
        let output = run_in::<Drift>(&context, json!({"path": "drift.html"}))
            .await
            .unwrap();
        let html = project.read("drift.html");
        assert_eq!(html.matches("<svg").count(), 100 + 7);
        assert!(html.len() < 500_000, "{} bytes", html.len());
        assert!(!html.contains("<script") && !html.contains("src="));
        let json = project.read("drift.json");
        assert!(json.len() < 200_000, "{} bytes", json.len());
        assert_eq!(output.artifacts[1].content, json.as_bytes());
    }

    struct Earlier(Vec<PastOutcome>);

    #[async_trait::async_trait]
    impl PastStore for Earlier {
        async fn successes(&self, limit: u32) -> Result<Vec<PastOutcome>, StoreError> {
            Ok(self.0.iter().take(limit as usize).cloned().collect())
        }
    }

    fn with_past(context: TaskContext, runs: u32, columns: usize) -> TaskContext {
        let outcome = |run: u32| PastOutcome {
            run: context.run.id,
            ended: context.clock.now() - std::time::Duration::from_secs(86_400 * u64::from(run)),
            metrics: (0..columns)
                .map(|column| {
                    let name = format!("score.wasserstein.a column with a long name {column}");
                    (name, 0.01 * f64::from(run))
                })
                .chain([("drifted_share".to_owned(), 0.1)])
                .collect(),
            rows: None,
        };
        let past = (1..=runs).map(outcome).collect();
        TaskContext {
            past: Past::new(std::sync::Arc::new(Earlier(past))),
            ..context
        }
    }

    #[tokio::test]
    async fn earlier_runs_are_drawn_from_the_oldest_on() {
        let project = TestProject::new();
        let context = project.context_with([
            ("reference", wide(2, 0, 0.0)),
            ("current", wide(2, 1, 200.0)),
        ]);
        let context = with_past(context, 9, 2);
        let settings = json!({"path": "drift.html", "history": 4});
        let output = run_in::<Drift>(&context, settings).await.unwrap();
        assert!(output.metrics["score.wasserstein.a column with a long name 0"] > 0.5);
        let html = project.read("drift.html");
        assert!(
            html.contains("Over runs") && html.contains("2026-02-25"),
            "{html}"
        );
        assert!(!html.contains("2026-02-24"));
        let settings = json!({"path": "drift.html", "history": 0});
        run_in::<Drift>(&context, settings).await.unwrap();
        assert!(!project.read("drift.html").contains("Over runs"));
    }
}
