//! Drift: have the rows of today another distribution than those of the reference?
//!
//! The tests, their choice and their thresholds are Evidently's defaults, so that a verdict is the one that its users
//! know.

mod bins;
mod column;
mod kolmogorov;
mod picture;
mod report;
mod sample;
mod sort;
mod test;
mod tests_of_samples;

pub use column::{Choice, ColumnDrift};
pub use picture::Picture;
pub(crate) use picture::short;
pub use report::{DriftReport, DriftSettings, NotCompared, drift};
pub use test::Test;
