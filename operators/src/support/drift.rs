//! What `report: drift` and `check: drift` have in common: the settings, the comparison, the verdict.

use std::collections::BTreeMap;

use bytes::Bytes;
use pipectl_engine::operator::{Artifact, Complaints, TaskContext, TaskError};
use pipectl_models::{
    drift::{Choice, ColumnDrift, DriftReport, DriftSettings, Test, drift},
    report::score_metric,
};
use polars::prelude::DataFrame;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{frame::collect, model::model_error, text::list};

/// Columns whose scores become measures: the worst ones.
const MEASURED: usize = 100;

/// Defines the settings of an operator that compares two tables: its own, and those of every one.
macro_rules! drift_settings {
    ($(#[$about:meta])* struct Config { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Config {
            $($own)*
            /// Columns that are not compared, such as keys.
            #[serde(default)]
            exclude: Vec<String>,
            /// The columns with predictions, which are judged apart from the data; when nothing is said `prediction`,
            /// `probability` and `probability_…`.
            #[serde(default)]
            prediction: $crate::support::settings::Names,
            /// The column with what really happened, judged apart too. Where today's rows do not have it yet, it is
            /// not compared.
            #[serde(default)]
            target: Option<String>,
            /// The share of columns that must have drifted for the data to have drifted; predictions and target do
            /// not count among them.
            #[serde(default = "half")]
            #[schemars(range(min = 0, max = 1))]
            share: f64,
            /// Tests and thresholds for single columns, instead of those that fit their size and kind: `{tenure:
            /// {test: ks, threshold: 0.01}}`.
            #[serde(default)]
            columns: std::collections::BTreeMap<String, $crate::support::drift::ColumnChoice>,
            /// Whether text that only differs in small and capital letters is the same.
            #[serde(default)]
            ignore_case: bool,
            /// What is an occasion: the verdict on the whole, or any column.
            #[serde(default)]
            when: $crate::support::drift::When,
        }

        fn half() -> f64 {
            0.5
        }

        impl Config {
            fn watch(&self) -> $crate::support::drift::Watch {
                $crate::support::drift::Watch {
                    exclude: self.exclude.clone(),
                    prediction: self.prediction.0.clone(),
                    target: self.target.clone(),
                    share: self.share,
                    ignore_case: self.ignore_case,
                    columns: self.columns.clone(),
                    when: self.when,
                }
            }
        }
    };
}
pub(crate) use drift_settings;

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
    /// Two proportions, by p-value: columns of two values.
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

/// How a single column is compared.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnChoice {
    /// The test.
    pub(crate) test: Option<TestName>,
    /// From which score on it has drifted: a distance from which, or a p-value below which. That of the test when
    /// nothing is said: 0.1 for distances, 0.05 for p-values.
    pub(crate) threshold: Option<f64>,
}

/// What is an occasion to warn or to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    /// The data as a whole have drifted (`share`), or the predictions, or the target.
    #[default]
    Share,
    /// Any column has drifted.
    AnyColumn,
}

/// What is compared, and what comes of it.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) exclude: Vec<String>,
    pub(crate) prediction: Vec<String>,
    pub(crate) target: Option<String>,
    pub(crate) share: f64,
    pub(crate) ignore_case: bool,
    pub(crate) columns: BTreeMap<String, ColumnChoice>,
    pub(crate) when: When,
}

impl Watch {
    /// Looks for settings that contradict each other.
    pub(crate) fn check(&self, found: &mut Complaints) {
        if !(self.share > 0.0 && self.share <= 1.0) {
            found
                .error(&["share"], "a share is greater than 0 and at most 1")
                .hint("for a warning as soon as one column drifts write `when: any_column`");
        }
        let excluded = |name: &String| self.exclude.contains(name);
        for (name, choice) in &self.columns {
            if excluded(name) {
                found.error(&["columns", name], format!("`{name}` is excluded"));
            }
            if choice.test.is_none() && choice.threshold.is_none() {
                found
                    .error(&["columns", name], "nothing is said about it")
                    .hint("write a `test`, a `threshold` or both");
            }
            let p_value = choice.test.is_some_and(|test| test.test().is_p_value());
            match choice.threshold {
                Some(threshold) if p_value && !(threshold > 0.0 && threshold < 1.0) => {
                    let message = "the threshold of a p-value lies between 0 and 1";
                    found.error(&["columns", name, "threshold"], message);
                }
                Some(threshold) if threshold <= 0.0 || !threshold.is_finite() => {
                    let message = "a threshold is greater than 0";
                    found.error(&["columns", name, "threshold"], message);
                }
                _ => {}
            }
        }
        for (index, name) in self.prediction.iter().enumerate() {
            if excluded(name) {
                let message = format!("`{name}` is excluded");
                found.error(&["prediction", &index.to_string()], message);
            }
        }
        if let Some(target) = &self.target {
            if excluded(target) {
                found.error(&["target"], format!("`{target}` is excluded"));
            }
            if self.prediction.contains(target) {
                let message = format!("`{target}` is a prediction and the target at once");
                found.error(&["target"], message);
            }
        }
    }

    fn settings(&self) -> DriftSettings {
        let choice = |choice: &ColumnChoice| Choice {
            test: choice.test.map(TestName::test),
            threshold: choice.threshold,
        };
        DriftSettings {
            exclude: self.exclude.clone(),
            prediction: self.prediction.clone(),
            target: self.target.clone(),
            share: self.share,
            ignore_case: self.ignore_case,
            columns: self
                .columns
                .iter()
                .map(|(name, own)| (name.clone(), choice(own)))
                .collect(),
        }
    }

    /// Compares the inputs `reference` and `current`.
    ///
    /// # Errors
    /// When they cannot be read or compared.
    pub(crate) async fn compare(&self, context: &TaskContext) -> Result<DriftReport, TaskError> {
        let reference = input(context, "reference").await?;
        let current = input(context, "current").await?;
        let settings = self.settings();
        context
            .compute(move || drift(&reference, &current, &settings).map_err(model_error))
            .await
    }

    /// Whether there is an occasion to warn or to fail.
    pub(crate) fn occasion(&self, report: &DriftReport) -> bool {
        match self.when {
            When::Share => report.drift(),
            When::AnyColumn => report.all().any(|column| column.drifted),
        }
    }

    /// The verdict in one sentence.
    pub(crate) fn verdict(&self, report: &DriftReport) -> String {
        if self.when == When::AnyColumn && !report.drift() && report.drifted_columns > 0 {
            let (drifted, all) = (report.drifted_columns, report.columns.len());
            let verb = if drifted == 1 { "has" } else { "have" };
            return format!("{drifted} of {all} columns {verb} drifted");
        }
        report.verdict()
    }
}

async fn input(context: &TaskContext, name: &str) -> Result<DataFrame, TaskError> {
    let dataset = context
        .inputs
        .get(name)
        .ok_or_else(|| TaskError::bug(format!("there is no input `{name}`")))?;
    collect(context, name, dataset).await
}

/// The names of the columns that have drifted: data, predictions, target.
pub(crate) fn drifted(report: &DriftReport) -> Vec<&str> {
    let drifted = report.all().filter(|column| column.drifted);
    drifted.map(|column| column.name.as_str()).collect()
}

/// The same for a message.
pub(crate) fn drifted_list(report: &DriftReport) -> String {
    list(drifted(report))
}

/// The measures of a comparison: how much has drifted, and the scores of the columns, the worst hundred.
pub(crate) fn metrics(report: &DriftReport) -> BTreeMap<String, f64> {
    #[allow(clippy::cast_precision_loss, reason = "a number of columns")]
    let count = report.drifted_columns as f64;
    let mut worst: Vec<&ColumnDrift> = report.all().collect();
    worst.sort_by(|a, b| b.strength().total_cmp(&a.strength()));
    let scores = worst.into_iter().take(MEASURED).filter_map(|column| {
        let (test, score) = column.test.zip(column.score)?;
        Some((score_metric(test, &column.name), score))
    });
    let whole = [
        ("drifted_columns".to_owned(), count),
        ("drifted_share".to_owned(), report.drifted_share),
    ];
    whole.into_iter().chain(scores).collect()
}

/// What was found as a JSON file.
///
/// # Errors
/// When it cannot be written as JSON, which would be a bug.
pub(crate) fn json(report: &DriftReport) -> Result<Artifact, TaskError> {
    let content = serde_json::to_vec(report)
        .map_err(|error| TaskError::bug("the drift report cannot be written").because(error))?;
    Ok(Artifact {
        name: "drift.json".to_owned(),
        media_type: "application/json".to_owned(),
        content: Bytes::from(content),
        path: None,
    })
}
