//! The metrics that settings name.

use pipectl_models::metrics::Metric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A metric of a classifier, named as in scikit-learn.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetricName {
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
    /// Mean of every class's F1, each class as heavy as the other.
    F1Macro,
    /// Mean of every class's F1, each as heavy as it has rows.
    F1Weighted,
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
    pub(crate) fn metric(self) -> Metric {
        match self {
            Self::Accuracy => Metric::Accuracy,
            Self::BalancedAccuracy => Metric::BalancedAccuracy,
            Self::Precision => Metric::Precision,
            Self::Recall => Metric::Recall,
            Self::F1 => Metric::F1,
            Self::F1Macro => Metric::F1Macro,
            Self::F1Weighted => Metric::F1Weighted,
            Self::RocAuc => Metric::RocAuc,
            Self::AveragePrecision => Metric::AveragePrecision,
            Self::LogLoss => Metric::LogLoss,
            Self::Brier => Metric::Brier,
            Self::Mcc => Metric::Mcc,
        }
    }
}

/// A metric of a regressor, named as in scikit-learn.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QuantityMetric {
    /// The share of the variance that is explained.
    #[default]
    R2,
    /// Mean absolute error; lower is better.
    Mae,
    /// Root of the mean squared error; lower is better.
    Rmse,
    /// Mean absolute error as a share of the truth; lower is better.
    Mape,
}

impl QuantityMetric {
    pub(crate) fn metric(self) -> Metric {
        match self {
            Self::R2 => Metric::R2,
            Self::Mae => Metric::Mae,
            Self::Rmse => Metric::Rmse,
            Self::Mape => Metric::Mape,
        }
    }
}
