//! `extract`: brings a table in.

use pipectl_engine::operator::DynOperator;

pub(crate) mod csv;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod parquet;
pub(crate) mod sql;
mod xlsx;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[
    &csv::Csv,
    &http::Http,
    &json::Json,
    &parquet::Parquet,
    &sql::Sql,
    &xlsx::Xlsx,
];
