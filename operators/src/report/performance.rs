//! `report: performance`: were the predictions of the past right, and are they still as right as they were?

use pipectl_engine::operator::{
    Artifact, Complaints, Kind, Operator, Outcome, Output, Outputs, Takes, TaskContext, TaskError,
    ValueType,
};
use pipectl_models::{performance::PerformanceReport, report::PerformancePage};
use serde_json::json;

use crate::support::{
    page::{check_path, publish, publish_json, render},
    performance::{self, performance_settings},
};

const TEMPLATE: &str = include_str!("templates/performance.hbs");

/// `report: performance`.
pub(crate) struct Performance;

performance_settings! {
    /// How outcomes find their predictions, what is measured, and where the page goes. What was found also stands
    /// beside the page as JSON.
    struct Config {
        /// The HTML file, relative to the project; the JSON file has the same name, ending in `.json`.
        path: String,
        /// The heading.
        #[serde(default = "heading")]
        title: String,
    }
}

fn heading() -> String {
    "Performance".to_owned()
}

impl Operator for Performance {
    type Config = Config;
    const KIND: Kind = Kind::Report;
    const NAME: &'static str = "performance";
    const SUMMARY: &'static str = "Holds past predictions against outcomes that came later, period by period; worse than the reference is a warning.";
    const TAKES: Takes = Takes::NamedAnd {
        needed: &["predictions", "actuals"],
        optional: &["reference"],
    };

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("path", ValueType::String, "the page")
            .value(
                "worse",
                ValueType::Boolean,
                "whether a metric of the newest period is beyond its limit",
            )
            .value("metrics", ValueType::Any, "the metrics that are")
            .value("period", ValueType::Any, "the period that was judged")
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.judging().check(found);
        check_path(&config.path, found);
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let report = config.judging().judge(context).await?;
        let title = config.title;
        let (report, html) = context
            .compute(move || {
                let html = render(TEMPLATE, &PerformancePage::new(&title, &report))?;
                Ok((report, html))
            })
            .await?;
        let page = publish(context, &config.path, html)?;
        let json = publish_json(context, &config.path, performance::json(&report)?)?;
        context.log.info(report.verdict());
        if let Some(silent) = performance::unjudged(&report) {
            context.log.info(silent);
        }
        Ok(Outcome::Done(output(&report, [page, json], config.path)))
    }
}

fn output(report: &PerformanceReport, files: [Artifact; 2], path: String) -> Output {
    let mut output = Output::default()
        .value("path", path)
        .value("worse", report.worse)
        .value("metrics", json!(performance::worse(report)))
        .value("period", json!(report.judged));
    output.artifacts = files.into();
    output.metrics = performance::metrics(report);
    if report.worse {
        output = output.warning(performance::complaints(report));
    }
    match performance::apart(report) {
        Some(apart) => output.warning(apart),
        None => output,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use pipectl_engine::operator::{
        Fault,
        testing::{TestProject, complaints, run_in},
    };
    use polars::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::train::classifier::{Classifier, tests::customers};

    /// 100 customers scored on the first of each month; in month `m` every `wrong[m]`-th score is wrong.
    pub(crate) fn scored(wrong: &[u32]) -> [DataFrame; 2] {
        let (mut id, mut day, mut guess, mut share, mut left) =
            (vec![], vec![], vec![], vec![], vec![]);
        for (month, every) in (1..).zip(wrong) {
            for customer in 0..100_u32 {
                let truth = customer % 3 == 0;
                let guessed = truth != (customer % every == 0);
                id.push(format!("c{}", month * 1000 + customer));
                day.push(format!("2026-{month:02}-01"));
                guess.push(if guessed { "Yes" } else { "No" });
                share.push(if guessed {
                    0.9 - f64::from(customer) / 1e3
                } else {
                    0.1 + f64::from(customer) / 1e3
                });
                left.push(if truth { "Yes" } else { "No" });
            }
        }
        let day = Column::new("day".into(), day)
            .cast(&DataType::Date)
            .unwrap();
        let mut predictions =
            df!["id" => &id, "prediction" => guess, "probability" => share].unwrap();
        predictions.with_column(day).unwrap();
        [predictions, df!["id" => id, "left" => left].unwrap()]
    }

    pub(crate) fn inputs(project: &TestProject, wrong: &[u32]) -> TaskContext {
        let [predictions, actuals] = scored(wrong);
        project.context_with([("predictions", predictions), ("actuals", actuals)])
    }

    fn settings() -> Value {
        json!({"path": "performance.html", "key": "id", "time": "day", "actual": "left", "title": "Who <left>"})
    }

    #[tokio::test]
    async fn a_month_that_is_worse_is_a_warning_with_a_page() {
        let project = TestProject::new();
        let context = inputs(&project, &[20, 20, 3]);
        let output = run_in::<Performance>(&context, settings()).await.unwrap();
        assert_eq!(output.values["worse"], json!(true));
        assert_eq!(output.values["period"], json!("2026-03"));
        assert_eq!(output.warnings.len(), 1);
        assert!(
            output.warnings[0].starts_with(
                "`accuracy` is 0.6600 in 2026-03, 0.9500 in 2026-01; at least 0.7600 is allowed; "
            ),
            "{}",
            output.warnings[0]
        );
        assert!((output.metrics["accuracy"] - 0.66).abs() < 1e-12);
        assert!((output.metrics["reference.accuracy"] - 0.95).abs() < 1e-12);
        assert!((output.metrics["joined_rows"] - 300.0).abs() < 1e-12);
        let html = project.read("performance.html");
        for part in ["Who &lt;left&gt;", "<svg", "2026-02", "roc_auc", "worse"] {
            assert!(html.contains(part), "{part}");
        }
        assert!(html.len() < 60_000 && !html.contains("<script") && !html.contains("src="));
        let found: Value = serde_json::from_str(&project.read("performance.json")).unwrap();
        assert_eq!(
            found["periods"][2]["metrics"]["accuracy"]["value"],
            json!(0.66)
        );
        let calm = run_in::<Performance>(&inputs(&project, &[20, 20, 20]), settings())
            .await
            .unwrap();
        assert!(calm.warnings.is_empty(), "{:?}", calm.warnings);
    }

    #[tokio::test]
    async fn keys_that_do_not_fit_are_a_warning() {
        let project = TestProject::new();
        let [predictions, mut actuals] = scored(&[20]);
        let others: Vec<String> = (0..100).map(|customer| format!("x{customer}")).collect();
        actuals
            .with_column(Column::new("id".into(), others))
            .unwrap();
        let context = project.context_with([("predictions", predictions), ("actuals", actuals)]);
        let output = run_in::<Performance>(&context, settings()).await.unwrap();
        assert_eq!(
            output.warnings,
            ["none of 100 predictions has found its outcome: do the keys and times fit?"]
        );
        assert!(
            project
                .read("performance.html")
                .contains("No period has enough outcomes yet to be judged.")
        );
    }

    #[tokio::test]
    async fn outcomes_that_have_not_come_are_no_failure() {
        let project = TestProject::new();
        let [predictions, actuals] = scored(&[20]);
        let none = actuals.head(Some(0));
        let context = project.context_with([("predictions", predictions), ("actuals", none)]);
        let output = run_in::<Performance>(&context, settings()).await.unwrap();
        assert!(output.warnings.is_empty(), "{:?}", output.warnings);
        assert!((output.metrics["waiting_rows"] - 100.0).abs() < 1e-12);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_models_held_out_metrics_are_a_reference() {
        let project = TestProject::new();
        let learning = json!({
            "target": "Churn", "exclude": ["customerID"], "path": "models/churn.onnx",
            "candidates": {"logistic_regression": {}},
        });
        project
            .run_on::<Classifier>(customers(400), learning)
            .await
            .unwrap();
        let mut with_model = settings();
        with_model["model"] = json!("models/churn.onnx");
        with_model["metrics"] = json!(["accuracy", "roc_auc"]);
        let context = inputs(&project, &[2]);
        let output = run_in::<Performance>(&context, with_model.clone())
            .await
            .unwrap();
        assert_eq!(output.values["worse"], json!(true));
        assert!(
            output.warnings[0].contains("in the held-out rows of `models/churn.onnx`"),
            "{:?}",
            output.warnings
        );
        let [predictions, actuals] = scored(&[2]);
        let both = project.context_with([
            ("predictions", predictions.clone()),
            ("actuals", actuals),
            ("reference", predictions),
        ]);
        let error = run_in::<Performance>(&both, with_model).await.unwrap_err();
        assert_eq!(
            (error.fault, error.message.as_str()),
            (
                Fault::User,
                "there are two references: the dataset `reference` and the `model`"
            )
        );
    }

    #[tokio::test]
    async fn numbers_are_judged_too() {
        let project = TestProject::new();
        let days: Vec<String> = (0..120)
            .map(|row| format!("2026-{:02}-05", row / 60 + 1))
            .collect();
        let value = |row: i32| f64::from(row * 7919 % 101) + 1.0;
        let guesses: Vec<f64> = (0..120)
            .map(|row| value(row) + if row < 60 { 1.0 } else { 5.0 })
            .collect();
        let values: Vec<f64> = (0..120).map(value).collect();
        let id: Vec<i32> = (0..120).collect();
        let mut predictions = df!["id" => &id, "day" => days, "prediction" => guesses].unwrap();
        let day = predictions
            .column("day")
            .unwrap()
            .cast(&DataType::Date)
            .unwrap();
        predictions.with_column(day).unwrap();
        let actuals = df!["id" => id, "amount" => values].unwrap();
        let context = project.context_with([("predictions", predictions), ("actuals", actuals)]);
        let settings = json!({
            "path": "p.html", "key": ["id"], "time": "day", "actual": "amount",
            "limits": {"mae": {"max": 4}, "r2": {"min": 0.5}},
        });
        let output = run_in::<Performance>(&context, settings).await.unwrap();
        assert_eq!(output.values["metrics"], json!(["mae", "rmse", "mape"]));
        assert!((output.metrics["mae"] - 5.0).abs() < 1e-9);
        assert!(output.metrics["r2"] > 0.9);
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let found = complaints::<Performance>(json!({
            "path": "a.html", "key": [], "time": "day", "actual": "left", "within": "30d", "worse_by": -1,
            "model": "churn", "positive": true, "metrics": ["f1", "mae"],
            "limits": {"f2": {}, "f1": {"max": 3}, "log_loss": {"min": 1}, "mae": {}},
        }));
        assert_eq!(
            found,
            [
                "key: there is no column by which outcomes find their predictions",
                "within: it is not known when an outcome came",
                "positive: the model says which class is the positive one",
                "worse_by: a share is 0 or more",
                "metrics.1: `mae` is a metric of numbers, the one before of classes",
                "limits.f1: of `f1` more is better: its limit is `min`",
                "limits.f2: there is no metric `f2`",
                "limits.log_loss: `log_loss` is not among the `metrics`",
                "limits.log_loss: of `log_loss` less is better: its limit is `max`",
                "limits.mae: there is no limit",
            ]
        );
    }
}
