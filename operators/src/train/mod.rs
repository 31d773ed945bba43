//! `train`: learns a model.

use pipectl_engine::operator::DynOperator;

mod anomalies;
pub(crate) mod classifier;
mod clusters;
mod learn;
mod metric;
mod preprocess;
mod regressor;
mod resume;
mod validation;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[
    &anomalies::Anomalies,
    &classifier::Classifier,
    &clusters::Clusters,
    &regressor::Regressor,
];
