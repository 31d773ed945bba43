//! The operators, one folder a kind, one file an operator.
//!
//! A newcomer adds one in one file plus two adjacent lines in its folder's `mod.rs`, and its example
//! `examples/<kind>_<name>.yaml`.

mod check;
mod extract;
mod load;
mod predict;
mod report;
mod run;
mod sensor;
mod support;
mod train;
mod transform;

use pipectl_engine::operator::Registry;

pub use support::{
    process::{Shim, shim},
    watch::FileWatcher,
};

/// All operators that the binary brings.
///
/// From then on what polars has to warn of goes to the program's log; else it would print it between our own lines.
pub fn all() -> Registry {
    polars::error::set_warning_function(|text, _| tracing::debug!("polars: {text}"));
    let kinds = [
        sensor::OPERATORS,
        extract::OPERATORS,
        transform::OPERATORS,
        check::OPERATORS,
        train::OPERATORS,
        predict::OPERATORS,
        load::OPERATORS,
        report::OPERATORS,
        run::OPERATORS,
    ];
    Registry::new(kinds.into_iter().flatten().copied())
}
