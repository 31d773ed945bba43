//! `check: performance`: are predictions still as right as they were?

use pipectl_engine::operator::{
    Complaints, Kind, Logger, Operator, Outcome, Outputs, Takes, TaskContext, TaskError, ValueType,
};
use pipectl_models::performance::PerformanceReport;
use polars::prelude::DataFrame;
use serde_json::json;

use super::{expectations::Severity, rules::Broken, verdict};
use crate::support::performance::{self, performance_settings};

/// `check: performance`.
pub(crate) struct Performance;

performance_settings! {
    /// How outcomes find their predictions, what is measured, and what it does when that is worse than it may be. What
    /// was found is kept in `performance.json`, and how each rule came out in `expectations.json`.
    struct Config {
        /// What a metric beyond its limit does: it fails the task, or warns.
        #[serde(default)]
        severity: Severity,
    }
}

impl Operator for Performance {
    type Config = Config;
    const KIND: Kind = Kind::Check;
    const NAME: &'static str = "performance";
    const SUMMARY: &'static str =
        "Fails or warns when the newest predictions were less right than those of a reference.";
    const TAKES: Takes = Takes::NamedAnd {
        needed: &["predictions", "actuals"],
        optional: &["reference"],
    };

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value(
                "passed",
                ValueType::Boolean,
                "whether no metric is beyond its limit",
            )
            .value(
                "failed",
                ValueType::Any,
                "the names of the metrics that are",
            )
            .value("period", ValueType::Any, "the period that was judged")
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.judging().check(found);
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let report = config.judging().judge(context).await?;
        context.log.info(report.verdict());
        outcome(&report, config.severity, &context.log)
    }
}

/// What a report comes to: a rule for each metric that was judged.
fn outcome(
    report: &PerformanceReport,
    severity: Severity,
    log: &Logger,
) -> Result<Outcome, TaskError> {
    let judged = report
        .findings
        .iter()
        .filter(|finding| finding.worse.is_some());
    let rules: Vec<(String, Severity)> = judged
        .map(|finding| (finding.metric.clone(), severity))
        .collect();
    let broken = report.findings.iter().filter_map(|finding| {
        let message = performance::complaint(finding, report)?;
        Some(Broken::of_table(&finding.metric, message, severity))
    });
    let (metrics, kept) = (performance::metrics(report), performance::json(report)?);
    let rows = report.judged().map_or(0, |period| period.rows);
    if let Some(silent) = performance::unjudged(report) {
        log.info(silent);
    }
    match verdict::outcome(
        "predictions",
        &DataFrame::empty(),
        rows,
        &rules,
        broken.collect(),
        log,
    ) {
        Ok(Outcome::Done(mut output)) => {
            output.metrics.extend(metrics);
            output.artifacts.push(kept);
            output.warnings.extend(performance::apart(report));
            Ok(Outcome::Done(output.value("period", json!(report.judged))))
        }
        Ok(other) => Ok(other),
        Err(mut error) => {
            error.evidence.metrics.extend(metrics);
            error.evidence.artifacts.push(kept);
            Err(error.hint(
                "`pipectl runs files` shows `performance.json`: every metric in every period",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::testing::{TestProject, run_in};
    use serde_json::{Value, json};

    use super::*;
    use crate::report::performance::tests::inputs;

    fn settings(more: &Value) -> Value {
        let mut settings =
            json!({"key": "id", "time": "day", "actual": "left", "metrics": ["accuracy", "f1"]});
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        settings
    }

    #[tokio::test]
    async fn a_metric_beyond_its_limit_fails_with_what_was_found() {
        let project = TestProject::new();
        let context = inputs(&project, &[20, 4]);
        let limits = json!({"limits": {"f1": {"min": 0.1}}});
        let error = run_in::<Performance>(&context, settings(&limits))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "`accuracy` is 0.7500 in 2026-02, 0.9500 in 2026-01; at least 0.7600 is allowed"
        );
        let files: Vec<_> = error
            .evidence
            .artifacts
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        assert_eq!(files, ["expectations.json", "performance.json"]);
        assert!((error.evidence.metrics["accuracy"] - 0.75).abs() < 1e-12);
    }

    #[tokio::test]
    async fn it_can_warn_and_be_content() {
        let project = TestProject::new();
        let warn = settings(&json!({"severity": "warn"}));
        let output = run_in::<Performance>(&inputs(&project, &[20, 3]), warn.clone())
            .await
            .unwrap();
        assert_eq!(output.values["failed"], json!(["accuracy", "f1"]));
        assert_eq!(output.warnings.len(), 2);
        let output = run_in::<Performance>(&inputs(&project, &[20, 20]), warn)
            .await
            .unwrap();
        assert_eq!(output.values["passed"], json!(true));
        assert_eq!(output.values["period"], json!("2026-02"));
        assert!((output.metrics["rules"] - 2.0).abs() < 1e-12);
    }
}
