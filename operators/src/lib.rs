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

/// All operators that the binary brings.
pub fn all() -> Registry {
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
