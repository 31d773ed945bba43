//! The settings.

use pipectl_models::{metrics::Metric, performance::Measure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Defines the settings of an operator that holds predictions against outcomes: its own, and those of every one.
macro_rules! performance_settings {
    ($(#[$about:meta])* struct Config { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Config {
            $($own)*
            /// The columns by which an outcome finds its prediction; both tables have them.
            #[schemars(extend("minItems" = 1))]
            key: $crate::support::settings::Names,
            /// When a prediction was made: a column of `predictions` with dates or times. The newest row of a key and
            /// a moment counts.
            time: String,
            /// What really happened: a column of `actuals`, and of `reference` where that is given.
            actual: String,
            /// When an outcome came: a column of `actuals`. Outcomes from before a prediction are not its outcome,
            /// and of several the newest counts. When nothing is said, the last row of a key counts.
            #[serde(default)]
            actual_time: Option<String>,
            /// How long after a prediction an outcome counts, as in `30d`; any time when nothing is said.
            #[serde(default)]
            within: Option<pipectl_engine::operator::DurationText>,
            /// The column with predictions.
            #[serde(default = "prediction")]
            prediction: String,
            /// The column with the probability of the positive class, `probability` when nothing is said. Of more
            /// than two classes each has a column of its own, with `_` and the class behind.
            #[serde(default)]
            probability: Option<String>,
            /// Of two classes the positive one; the last one in sort order, or the model's, when nothing is said.
            #[serde(default)]
            positive: Option<$crate::support::performance::Label>,
            /// How long a period is.
            #[serde(default)]
            period: $crate::support::periods::PeriodLength,
            /// What is measured. Of classes: `accuracy`, `balanced_accuracy`, `precision`, `recall`, `f1`, `roc_auc`,
            /// `average_precision`, `log_loss`, `brier`, `mcc`; of numbers: `mae`, `rmse`, `r2`, `mape`. All that can
            /// be measured when nothing is said.
            #[serde(default)]
            metrics: Vec<$crate::support::performance::MetricName>,
            /// A model whose held-out metrics are the reference: `churn`, `churn:7`, an `.onnx` file. Without it the
            /// dataset `reference` is, and without that the first period with enough outcomes.
            #[serde(default)]
            model: Option<pipectl_engine::operator::ModelRef>,
            /// By which share of the reference's value a metric may be worse: 0.2 for classes and 0.1 for numbers
            /// when nothing is said, as Evidently has it.
            #[serde(default)]
            worse_by: Option<f64>,
            /// Limits of single metrics: `{f1: {min: 0.6}, roc_auc: {worse_by: 0.05}}`.
            #[serde(default)]
            limits: std::collections::BTreeMap<String, $crate::support::performance::MetricLimit>,
            /// A period with fewer outcomes is shown, but not judged.
            #[serde(default = "thirty")]
            #[schemars(range(min = 1))]
            min_rows: usize,
        }

        fn prediction() -> String {
            "prediction".to_owned()
        }

        fn thirty() -> usize {
            30
        }

        impl Config {
            fn judging(&self) -> $crate::support::performance::Judging {
                $crate::support::performance::Judging {
                    key: self.key.0.clone(),
                    time: self.time.clone(),
                    actual: self.actual.clone(),
                    actual_time: self.actual_time.clone(),
                    within: self.within.as_ref().map(|within| within.0),
                    prediction: self.prediction.clone(),
                    probability: self.probability.clone(),
                    positive: self.positive.as_ref().map(|label| label.0.clone()),
                    period: self.period,
                    metrics: self.metrics.iter().map(|metric| metric.measure()).collect(),
                    model: self.model.clone(),
                    worse_by: self.worse_by,
                    limits: self.limits.clone(),
                    min_rows: self.min_rows,
                }
            }
        }
    };
}
pub(crate) use performance_settings;

/// A class label: text, a number or a boolean.
#[derive(Clone, Debug)]
pub(crate) struct Label(pub(crate) String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            other @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => {
                Ok(Self(other.to_string()))
            }
            _ => Err(serde::de::Error::custom("expected a class label")),
        }
    }
}

impl JsonSchema for Label {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Label".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "number", "boolean"]})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A metric, by scikit-learn's name.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetricName {
    /// Share of rows predicted right.
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
    /// Mean absolute error; lower is better.
    Mae,
    /// Root of the mean squared error; lower is better.
    Rmse,
    /// Coefficient of determination.
    R2,
    /// Mean absolute error as a share of the actual value; lower is better.
    Mape,
}

impl MetricName {
    pub(crate) fn measure(self) -> Measure {
        match self {
            Self::Accuracy => Measure::Class(Metric::Accuracy),
            Self::BalancedAccuracy => Measure::Class(Metric::BalancedAccuracy),
            Self::Precision => Measure::Class(Metric::Precision),
            Self::Recall => Measure::Class(Metric::Recall),
            Self::F1 => Measure::Class(Metric::F1),
            Self::RocAuc => Measure::Class(Metric::RocAuc),
            Self::AveragePrecision => Measure::Class(Metric::AveragePrecision),
            Self::LogLoss => Measure::Class(Metric::LogLoss),
            Self::Brier => Measure::Class(Metric::Brier),
            Self::Mcc => Measure::Class(Metric::Mcc),
            Self::Mae => Measure::Number(Metric::Mae),
            Self::Rmse => Measure::Number(Metric::Rmse),
            Self::R2 => Measure::Number(Metric::R2),
            Self::Mape => Measure::Number(Metric::Mape),
        }
    }
}

/// How bad a metric may become. With `min` or `max` alone it is held to that, not to the reference.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricLimit {
    /// By which share of the reference's value it may be worse.
    pub(crate) worse_by: Option<f64>,
    /// Its least value, when more is better.
    pub(crate) min: Option<f64>,
    /// Its greatest value, when less is better.
    pub(crate) max: Option<f64>,
}
