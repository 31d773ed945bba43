//! `check`: says whether a table can be trusted.

use pipectl_engine::operator::DynOperator;

mod columns;
mod expectations;
mod listed;
mod related;
mod rules;
mod schema;
mod unique;
mod verdict;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[&expectations::Expectations, &schema::Schema];
