//! `report`: writes a document.

use pipectl_engine::operator::DynOperator;

#[cfg(test)]
mod churn;
mod data;
mod drift;
mod markdown;
mod model;
pub(crate) mod performance;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[
    &data::Data,
    &drift::Drift,
    &markdown::Markdown,
    &model::Model,
    &performance::Performance,
];
