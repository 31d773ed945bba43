//! ONNX: the file format, written and read with messages that are declared here.

pub(crate) mod builder;
mod dates;
mod estimate;
mod export;
mod inspect;
mod metadata;
pub(crate) mod proto;

pub(crate) use builder::{Builder, Value};
pub(crate) use export::{Parts, export};
pub use inspect::{Inspection, inspect};
pub use metadata::{
    ColumnStatistics, Curve, Evaluation, Importance, METADATA_KEY, Metadata, MetricValue, Trial,
};
pub(crate) use metadata::{read_metadata, write_metadata};
