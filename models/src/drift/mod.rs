//! Drift: have the rows of today another distribution than those of the reference?
//!
//! The tests, their choice and their thresholds are Evidently's defaults, so that a verdict is the one that its users
//! know.

mod bins;
mod column;
mod kolmogorov;
mod report;
mod tests_of_samples;

pub(crate) use column::short;
pub use column::{ColumnDrift, Picture, Test};
pub use report::{DriftReport, DriftSettings, drift};
