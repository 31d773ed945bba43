//! Real services for tests, started within a test's process and gone with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot have its service fails"
)]

mod postgres;
mod smtp;

pub use postgres::TestPostgres;
pub use smtp::{PASSWORD, ReceivedMail, Security, TestSmtp, Trouble, USER};
