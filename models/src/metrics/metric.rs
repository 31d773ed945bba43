//! The metrics by name.

use serde::{Deserialize, Serialize};

use crate::data::Goal;
use crate::metrics::{classification, regression};

/// A metric, by scikit-learn's name. Of more than two classes, per-class metrics are averaged with equal weight
/// (`macro`), ranking metrics one class against the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
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
    /// Of quantities: mean absolute error; lower is better.
    Mae,
    /// Of quantities: root of the mean squared error; lower is better.
    Rmse,
    /// Of quantities: the share of the variance that is explained.
    R2,
    /// Of quantities: mean absolute error as a share of the truth; lower is better.
    Mape,
    /// Of clusters: how much nearer rows are to their own group than to the next, from -1 to 1.
    Silhouette,
}

impl Metric {
    /// The metrics of classifiers, in the order in which they are shown.
    pub const CLASSES: [Self; 12] = [
        Self::Accuracy,
        Self::BalancedAccuracy,
        Self::Precision,
        Self::Recall,
        Self::F1,
        Self::F1Macro,
        Self::F1Weighted,
        Self::RocAuc,
        Self::AveragePrecision,
        Self::LogLoss,
        Self::Brier,
        Self::Mcc,
    ];
    /// The metrics of regressors, in the order in which they are shown.
    pub const QUANTITY: [Self; 4] = [Self::Mae, Self::Rmse, Self::R2, Self::Mape];

    /// The metrics of models of a kind, in the order in which they are shown.
    pub fn of_goal(goal: Goal) -> &'static [Self] {
        match goal {
            Goal::Classes => &Self::CLASSES,
            Goal::Quantity => &Self::QUANTITY,
            Goal::Clusters => &[Self::Silhouette],
            Goal::Anomalies => &[],
        }
    }

    /// Its name in settings and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
            Self::F1Macro => "f1_macro",
            Self::F1Weighted => "f1_weighted",
            Self::RocAuc => "roc_auc",
            Self::AveragePrecision => "average_precision",
            Self::LogLoss => "log_loss",
            Self::Brier => "brier",
            Self::Mcc => "mcc",
            Self::Mae => "mae",
            Self::Rmse => "rmse",
            Self::R2 => "r2",
            Self::Mape => "mape",
            Self::Silhouette => "silhouette",
        }
    }

    /// The metric of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::CLASSES
            .into_iter()
            .chain(Self::QUANTITY)
            .chain([Self::Silhouette])
            .find(|metric| metric.name() == name)
    }

    /// Whether more is better.
    pub fn higher_is_better(self) -> bool {
        !matches!(
            self,
            Self::LogLoss | Self::Brier | Self::Mae | Self::Rmse | Self::Mape
        )
    }

    /// Whether it depends on where the threshold is.
    pub fn depends_on_threshold(self) -> bool {
        matches!(
            self,
            Self::Accuracy
                | Self::BalancedAccuracy
                | Self::Precision
                | Self::Recall
                | Self::F1
                | Self::F1Macro
                | Self::F1Weighted
                | Self::Mcc
        )
    }

    /// Whether `one` is better than `other`; NaN is the worst.
    pub fn better(self, one: f64, other: f64) -> bool {
        if one.is_nan() || other.is_nan() {
            return !one.is_nan() && other.is_nan();
        }
        if self.higher_is_better() {
            one > other
        } else {
            one < other
        }
    }

    /// A classifier's metric, of class codes against probabilities (row after row) and predicted codes; NaN when it is
    /// not defined, as a ranking of one class.
    pub fn of_classes(
        self,
        codes: &[u32],
        predicted: &[u32],
        probabilities: &[f64],
        classes: usize,
    ) -> f64 {
        classification::measure(self, codes, predicted, probabilities, classes)
    }

    /// A regressor's metric, of true and predicted numbers; NaN when it is not defined.
    pub fn of_numbers(self, truth: &[f64], predicted: &[f64]) -> f64 {
        match self {
            Self::Mae => regression::mae(truth, predicted),
            Self::Rmse => regression::rmse(truth, predicted),
            Self::R2 => regression::r2(truth, predicted),
            Self::Mape => regression::mape(truth, predicted),
            _ => f64::NAN,
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Metric;
    use crate::data::Goal;

    #[test]
    fn not_a_number_is_the_worst() {
        assert!(Metric::F1.better(0.1, f64::NAN) && !Metric::F1.better(f64::NAN, 0.1));
        assert!(Metric::LogLoss.better(0.1, 0.2));
        assert!(Metric::Mae.better(0.1, 0.2) && Metric::R2.better(0.2, 0.1));
    }

    #[test]
    fn names_lead_back_to_metrics() {
        for goal in [Goal::Classes, Goal::Quantity, Goal::Clusters] {
            for metric in Metric::of_goal(goal) {
                assert_eq!(Metric::parse(metric.name()), Some(*metric));
            }
        }
    }
}
