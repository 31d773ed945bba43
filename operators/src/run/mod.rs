//! `run`: runs something else.

use pipectl_engine::operator::DynOperator;

mod http;
mod noop;
mod pipeline;
mod python;
mod shell;
mod sql;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[
    &http::Http,
    &noop::Noop,
    &pipeline::Pipeline,
    &python::Python,
    &shell::Shell,
    &sql::Sql,
];
