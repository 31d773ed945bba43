//! From a polars frame to typed columns and class labels.

mod classes;
mod column;
mod fingerprint;
mod table;

pub use classes::{Classes, Target};
pub use column::{Column, ColumnKind, TextColumn, Values};
pub(crate) use fingerprint::hexadecimal;
pub use table::{ColumnSpec, Table};
