//! Reports as data: what a page shows, with its charts drawn; the pages themselves are templates of the operators.

mod charts;
mod drift;
mod model;
mod numbers;
mod page;

pub use drift::{DriftColumn, DriftPage};
pub use page::{
    CandidateRow, Chart, ColumnRow, ConfusionCell, ConfusionRow, FeatureRow, ImportanceRow,
    MetricRow, ModelPage,
};
