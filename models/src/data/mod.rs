//! From a polars frame to typed columns and class labels.

mod case;
mod classes;
mod column;
mod fingerprint;
mod goal;
mod table;
mod target;

pub(crate) use case::{lower, lowered, spell_alike, upper};
pub use classes::Classes;
pub use column::{Column, ColumnKind, TextColumn, Values};
pub(crate) use fingerprint::hexadecimal;
pub use goal::Goal;
pub use table::{ColumnSpec, Table};
pub(crate) use target::column_names;
pub use target::{Target, Truth};
