//! `extract`: brings a table in.

use pipectl_engine::operator::DynOperator;

mod csv;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[&csv::Csv];
