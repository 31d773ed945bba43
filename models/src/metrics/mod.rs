//! How good predictions are: scikit-learn's metrics, by its names.

mod classification;
mod curves;
mod ranking;
mod regression;

pub use classification::{Confusion, Metric};
pub use curves::{calibration, precision_recall_curve, probability_histogram, roc_curve};
pub use ranking::{average_precision, roc_auc};
pub use regression::{mae, mape, r2, rmse};
