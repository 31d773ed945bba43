//! What `report: performance` and `check: performance` have in common: the settings, the join, the verdict.

mod judging;
mod settings;
mod told;

pub(crate) use judging::Judging;
pub(crate) use settings::{Label, MetricLimit, MetricName, performance_settings};
pub(crate) use told::{apart, complaint, complaints, json, metrics, unjudged, worse};
