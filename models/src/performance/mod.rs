//! Performance over time: predictions of the past held against what really happened.
//!
//! Rows come joined, each in a period. What a metric cannot say (of one class there is no ranking) it does not say, and
//! says why.

mod judge;
mod measure;
mod pairs;
mod read;
mod report;

pub use judge::{Limit, PerformanceSettings};
pub use measure::{Measure, Value};
pub use pairs::{Kind, Pairs, Source};
pub use report::{Finding, PerformanceReport, Period, PeriodRows, Reference, performance};
