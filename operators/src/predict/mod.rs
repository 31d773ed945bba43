//! `predict`: scores a table with a model.

use pipectl_engine::operator::DynOperator;

pub(crate) mod model;
mod text;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[&model::Model, &text::Text];
