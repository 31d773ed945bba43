//! The runner on the in-memory store, with operators that do as they are told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "tests"
)]

mod attempts;
mod children;
mod data;
mod mail;
mod models;
mod resume;
mod support;
