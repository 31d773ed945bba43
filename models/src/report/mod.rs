//! Reports as data: what a page shows, with its charts drawn; the pages themselves are templates of the operators.

mod charts;
mod drift;
mod model;
mod numbers;

pub use drift::{DriftColumn, DriftPage};
pub use model::{
    CandidateRow, Chart, ColumnRow, ConfusionCell, ConfusionRow, FeatureRow, ImportanceRow,
    MetricRow, ModelPage,
};
