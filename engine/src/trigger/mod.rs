//! What starts a pipeline, and which interval a run is about. Pure.

mod cadence;
mod due;
mod line;
mod schedule;
#[cfg(test)]
mod tests;
mod zone;

pub use cadence::{Cadence, CadenceError};
pub use due::Due;
pub use schedule::{Catchup, Overlap, Schedule, Trigger};
pub use zone::parse_moment;
