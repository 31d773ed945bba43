//! Decides what may start now. Pure: no tokio, no clock, no store.
//!
//! A finished task decrements its children's counters; nobody scans. The [`runner`](crate::runner) tells the scheduler
//! what has happened and gets [`Decision`]s back; it takes what may start with [`Scheduler::pop`], best first.

mod group;
mod machine;
mod ready;
mod retry;
mod rule;
#[cfg(test)]
mod tests;

pub use machine::{Decision, Scheduler, Unit};
pub use retry::{delay_before, retry_limit_reached};
pub use rule::{Upstreams, Verdict};
