//! From the tree of a file to what was written: all complaints about keys and values of ours.

mod inputs;
mod params;
mod reader;
mod schedule;
mod task;
mod tests_section;
mod top;
mod upkeep;

pub(crate) use reader::is_name;
pub use reader::{Reader, Section};
pub use top::{TASK_KEYS, TOP_KEYS};
