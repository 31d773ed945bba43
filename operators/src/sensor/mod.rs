//! `sensor`: waits for something to be there.

use pipectl_engine::operator::DynOperator;

mod file;
mod object;
mod sql;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[&file::File, &object::Object, &sql::Sql];
