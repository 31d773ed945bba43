//! Features, estimators, ONNX, inference, metrics and drift.
//!
//! The road of a model: a frame becomes a typed [`data::Table`], `features:` add derived columns, the preparation turns
//! columns into numbers, an estimator learns, and the whole becomes one ONNX file that [`scorer::Model`] (or any other
//! ONNX runtime) applies to raw rows again.

#![cfg_attr(
    test,
    allow(
        clippy::unreadable_literal,
        clippy::excessive_precision,
        clippy::float_cmp,
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "data of tests is made by arithmetic and compared to the last digit"
    )
)]

pub mod data;
pub mod drift;
mod error;
mod estimators;
pub mod explain;
mod features;
mod matrix;
mod measure;
pub mod metrics;
mod near;
pub mod onnx;
pub mod performance;
pub mod prepare;
mod random;
pub mod report;
pub mod rooms;
pub mod scorer;
pub mod text;
pub mod train;
pub mod zoo;

pub use error::{ModelError, Result};
pub use measure::{Measured, measure};
