//! `transform`: makes tables out of tables.

use pipectl_engine::operator::DynOperator;

mod asof_join;
mod deduplicate;
mod features;
mod mask;
mod pivot;
mod sample;
mod split;
mod sql;
mod unpivot;
mod window;

/// The operators of this kind: each has its `mod` line above and its entry here.
pub(crate) const OPERATORS: &[&dyn DynOperator] = &[
    &asof_join::AsofJoin,
    &deduplicate::Deduplicate,
    &features::Features,
    &mask::Mask,
    &pivot::Pivot,
    &sample::Sample,
    &split::Split,
    &sql::Sql,
    &unpivot::Unpivot,
    &window::Window,
];
