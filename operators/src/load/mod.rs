//! `load`: takes a table out.

use pipectl_engine::operator::DynOperator;

pub(crate) mod csv;
mod features;
pub(crate) mod json;
pub(crate) mod parquet;
pub(crate) mod sql;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[
    &csv::Csv,
    &features::Features,
    &json::Json,
    &parquet::Parquet,
    &sql::Sql,
];
