//! `check`: says whether a table can be trusted.

use pipectl_engine::operator::DynOperator;

mod columns;
mod drift;
mod expectations;
mod impossible;
mod listed;
#[cfg(test)]
mod misfits;
mod performance;
mod related;
mod rules;
mod schema;
mod unique;
mod verdict;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[
    &drift::Drift,
    &expectations::Expectations,
    &performance::Performance,
    &schema::Schema,
];
