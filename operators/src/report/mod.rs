//! `report`: writes a document.

use pipectl_engine::operator::DynOperator;

mod drift;
mod model;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[&drift::Drift, &model::Model];
