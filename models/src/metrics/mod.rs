//! How good predictions are: scikit-learn's metrics, by its names.

mod classification;
mod curves;
mod metric;
mod ranking;
mod regression;
mod silhouette;

pub use classification::Confusion;
pub use curves::{
    calibration, precision_recall_curve, probability_histogram, roc_curve, threshold_curves,
};
pub use metric::Metric;
pub use ranking::{average_precision, roc_auc};
pub(crate) use silhouette::silhouette;
