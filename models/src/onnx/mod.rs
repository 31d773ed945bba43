//! ONNX: the file format, written and read with messages that are declared here.

pub(crate) mod builder;
mod dates;
mod estimate;
mod export;
mod guess;
mod inspect;
mod metadata;
pub(crate) mod proto;
mod words;

pub(crate) use builder::{Builder, Value};
pub(crate) use export::{Exported, Parts, export};
pub use guess::Guess;
pub use inspect::{Inspection, inspect};
pub use metadata::{
    Background, ColumnMeans, ColumnStatistics, Curve, Dependence, Effect, Evaluation, Importance,
    METADATA_KEY, Metadata, MetricValue, ThresholdCurves, Trial,
};
pub(crate) use metadata::{read_metadata, write_metadata};
