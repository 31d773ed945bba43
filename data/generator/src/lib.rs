//! Writes the committed example data, byte for byte from a seed.
//!
//! One module a system: what it makes are texts, so that a test can compare them and a later pipeline can ask for
//! any day. [`files`] lists what is committed. There is no floating-point arithmetic in here and no dependency:
//! the same seed gives the same bytes on every machine and in every release.

pub mod churn;
pub mod files;
pub mod random;
pub mod reviews;
