//! What works beside the runs: the outbox.

pub mod mail;
mod outbox;

pub use outbox::{Delivery, Postman};
