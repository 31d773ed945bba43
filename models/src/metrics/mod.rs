//! How good predictions are: scikit-learn's metrics, by its names.

mod classification;
mod curves;
mod ranking;

pub use classification::{Confusion, Metric};
pub use curves::{calibration, precision_recall_curve, probability_histogram, roc_curve};
pub use ranking::{average_precision, roc_auc};
