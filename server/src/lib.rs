//! The port of a pipectl process: whether it is well, and its measures.

mod health;

pub use health::{Vitals, routes, serve};
