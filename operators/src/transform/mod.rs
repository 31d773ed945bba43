//! `transform`: makes tables out of tables.

use pipectl_engine::operator::DynOperator;

mod split;
mod sql;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[&split::Split, &sql::Sql];
