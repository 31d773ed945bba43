//! `sensor`: waits for something to be there.

use pipectl_engine::operator::DynOperator;

mod file;
mod http;
mod model;
mod object;
mod pipeline;
mod sql;
mod time;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[
    &file::File,
    &http::Http,
    &model::Model,
    &object::Object,
    &pipeline::Pipeline,
    &sql::Sql,
    &time::Time,
];
