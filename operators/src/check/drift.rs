//! `check: drift`: may today's rows be used, or have they another distribution than the reference?

use pipectl_engine::operator::{
    Complaints, Kind, Logger, Operator, Outcome, Outputs, Takes, TaskContext, TaskError, ValueType,
};
use pipectl_models::drift::{ColumnDrift, DriftReport};
use polars::prelude::DataFrame;

use super::{expectations::Severity, rules::Broken, verdict};
use crate::support::{
    drift::{self, Watch, When, drift_settings},
    text::list,
};

/// `check: drift`.
pub(crate) struct Drift;

drift_settings! {
    /// What is compared, by the tests of `report: drift`, and what drift does. What was found is kept in `drift.json`,
    /// and how each rule came out in `expectations.json`.
    struct Config {
        /// What drift does: it fails the task, or warns.
        #[serde(default)]
        severity: Severity,
    }
}

impl Operator for Drift {
    type Config = Config;
    const KIND: Kind = Kind::Check;
    const NAME: &'static str = "drift";
    const SUMMARY: &'static str =
        "Fails or warns when rows have another distribution than a reference.";
    const TAKES: Takes = Takes::Named(&["reference", "current"]);

    fn outputs(_: &Config) -> Outputs {
        Outputs::none()
            .value("passed", ValueType::Boolean, "whether nothing has drifted")
            .value(
                "failed",
                ValueType::Any,
                "the names of the rules that are broken",
            )
            .value("columns", ValueType::Any, "the columns that have drifted")
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.watch().check(found);
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        let watch = config.watch();
        let report = watch.compare(context).await?;
        outcome(&watch, &report, config.severity, &context.log)
    }
}

/// What a comparison comes to: rules as those of other checks, kept or broken.
fn outcome(
    watch: &Watch,
    report: &DriftReport,
    severity: Severity,
    log: &Logger,
) -> Result<Outcome, TaskError> {
    let rules = match watch.when {
        When::Share => by_share(report),
        When::AnyColumn => report.all().map(of_column).collect(),
    };
    let names: Vec<(String, Severity)> = rules
        .iter()
        .map(|(name, _)| (name.clone(), severity))
        .collect();
    let broken = rules
        .into_iter()
        .filter_map(|(name, message)| Some(Broken::of_table(&name, message?, severity)))
        .collect();
    let (rows, kept) = (report.current_rows, drift::json(report)?);
    let nothing = DataFrame::empty();
    let metrics = drift::metrics(report);
    match verdict::outcome("current", &nothing, rows, &names, broken, log) {
        Ok(Outcome::Done(mut output)) => {
            output.metrics.extend(metrics);
            output.artifacts.push(kept);
            Ok(Outcome::Done(
                output.value("columns", drift::drifted(report)),
            ))
        }
        Ok(other) => Ok(other),
        Err(mut error) => {
            error.evidence.metrics.extend(metrics);
            error.evidence.artifacts.push(kept);
            Err(error.hint("`pipectl runs files` shows `drift.json`: each column with its score"))
        }
    }
}

/// A rule: its name, and what is said when it is broken.
type Rule = (String, Option<String>);

/// One rule each for the data, the predictions and the target.
fn by_share(report: &DriftReport) -> Vec<Rule> {
    let names = |columns: &[ColumnDrift]| {
        let drifted = columns.iter().filter(|column| column.drifted);
        list(drifted.map(|column| column.name.as_str()))
    };
    let mut rules = Vec::new();
    if !report.columns.is_empty() {
        let message = || {
            let (drifted, all) = (report.drifted_columns, report.columns.len());
            let columns = names(&report.columns);
            format!("the data have drifted: {drifted} of {all} columns differ: {columns}")
        };
        rules.push(("data drift".to_owned(), report.data_drift.then(message)));
    }
    if let Some(drift) = report.prediction_drift {
        let message = || {
            format!(
                "the predictions have drifted: {}",
                names(&report.predictions)
            )
        };
        rules.push(("prediction drift".to_owned(), drift.then(message)));
    }
    if let Some(target) = &report.target {
        rules.push(("target drift".to_owned(), of_column(target).1));
    }
    rules
}

/// The rule for one column.
fn of_column(column: &ColumnDrift) -> Rule {
    let name = &column.name;
    let parts = column.test.zip(column.score).zip(column.threshold);
    let why = match parts {
        Some(((test, score), threshold)) => {
            let relation = if test.is_p_value() {
                "at least"
            } else {
                "less than"
            };
            format!(
                "{} {score:.4}, {relation} {threshold} is allowed",
                test.title()
            )
        }
        None => column.note.clone().unwrap_or_default(),
    };
    let message = column
        .drifted
        .then(|| format!("`{name}` has drifted: {why}"));
    (format!("{name} drift"), message)
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{
        Fault,
        testing::{TestProject, complaints, run_in},
    };
    use polars::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn rows(shift: f64) -> DataFrame {
        let numbers: Vec<f64> = (0..1500).map(|row| f64::from(row * 7919 % 1009)).collect();
        let shifted: Vec<f64> = numbers.iter().map(|number| number + shift).collect();
        df![
            "a" => shifted, "b" => &numbers, "c" => &numbers, "probability" => &numbers,
            "left" => (0..1500).map(|row| if row % 3 == 0 { "Yes" } else { "No" }).collect::<Vec<_>>(),
        ]
        .unwrap()
    }

    fn inputs(project: &TestProject, shift: f64) -> pipectl_engine::operator::TaskContext {
        project.context_with([("reference", rows(0.0)), ("current", rows(shift))])
    }

    #[tokio::test]
    async fn one_column_of_three_fails_only_when_any_counts() {
        let project = TestProject::new();
        let context = inputs(&project, 400.0);
        let output = run_in::<Drift>(&context, json!({"target": "left"}))
            .await
            .unwrap();
        assert_eq!(output.values["passed"], json!(true));
        assert_eq!(output.values["columns"], json!(["a"]));
        assert_eq!(
            (output.metrics["rules"], output.metrics["rows"]),
            (3.0, 1500.0)
        );
        assert!(output.metrics["score.wasserstein.a"] > 1.0);
        let error = run_in::<Drift>(&context, json!({"when": "any_column"}))
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::User);
        assert_eq!(
            error.message,
            "`a` has drifted: Wasserstein distance (normed) 1.3724, less than 0.1 is allowed"
        );
        let files: Vec<_> = error
            .evidence
            .artifacts
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        assert_eq!(files, ["expectations.json", "drift.json"]);
        assert!((error.evidence.metrics["failed_rules"] - 1.0).abs() < 1e-12);
        let found: Value = serde_json::from_slice(&error.evidence.artifacts[1].content).unwrap();
        assert_eq!(found["columns"][0]["name"], json!("a"));
        assert_eq!(found["columns"][0]["test"], json!("wasserstein"));
    }

    #[tokio::test]
    async fn a_share_that_is_reached_warns_when_it_shall() {
        let project = TestProject::new();
        let settings = json!({"share": 0.25, "severity": "warn"});
        let output = run_in::<Drift>(&inputs(&project, 400.0), settings)
            .await
            .unwrap();
        assert_eq!(
            output.warnings,
            ["the data have drifted: 1 of 4 columns differ: `a`"]
        );
        assert_eq!(output.values["failed"], json!(["data drift"]));
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let found = complaints::<Drift>(json!({
            "exclude": ["id"], "prediction": ["id", "p"], "target": "p", "share": 0,
            "columns": {"id": {"test": "ks"}, "x": {}, "y": {"test": "ks", "threshold": 3}, "z": {"threshold": 0}},
        }));
        assert_eq!(
            found,
            [
                "share: a share is greater than 0 and at most 1",
                "columns.id: `id` is excluded",
                "columns.x: nothing is said about it",
                "columns.y.threshold: the threshold of a p-value lies between 0 and 1",
                "columns.z.threshold: a threshold is greater than 0",
                "prediction.0: `id` is excluded",
                "target: `p` is a prediction and the target at once",
            ]
        );
    }
}
