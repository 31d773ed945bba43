//! Reports as data: what a page shows, with its charts drawn; the pages themselves are templates of the operators.

mod charts;
mod drift;
mod explained;
mod lines;
mod model;
mod numbers;
mod page;
mod performance;
mod small;

pub use drift::{DriftColumn, DriftLine, DriftPage, LeftOut, PastDrift, score_metric};
pub use page::{
    CandidateRow, Chart, ColumnRow, ConfusionCell, ConfusionRow, FeatureRow, ImportanceRow,
    MetricRow, ModelPage,
};
pub use performance::{PerformanceCount, PerformanceLine, PerformancePage, PeriodCell, PeriodRow};
