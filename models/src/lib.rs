//! Features, estimators, ONNX, inference, metrics and drift.
//!
//! The road of a model: a frame becomes a typed [`data::Table`], `features:` add derived columns, the preparation turns
//! columns into numbers, an estimator learns, and the whole becomes one ONNX file that [`scorer::Model`] (or any other
//! ONNX runtime) applies to raw rows again.

pub mod data;
pub mod drift;
mod error;
mod estimators;
mod features;
mod matrix;
pub mod metrics;
pub mod onnx;
mod prepare;
mod random;
pub mod report;
pub mod scorer;
pub mod train;

pub use error::{ModelError, Result};
