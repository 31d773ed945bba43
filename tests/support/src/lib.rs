//! Real services for tests, started within a test's process and gone with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot have its service fails"
)]

mod api;
mod mlflow;
mod pooler;
mod postgres;
mod s3;
mod smtp;

pub use api::{ApiCall, ApiOptions, ApiTrouble, TestApi};
pub use mlflow::TestMlflow;
pub use postgres::TestPostgres;
pub use s3::{ACCESS_KEY, SECRET_KEY, TestBucket, TestS3};
pub use smtp::{PASSWORD, ReceivedMail, Security, TestSmtp, Trouble, USER};
