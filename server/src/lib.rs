//! The port of a pipectl process: whether it is well, its measures, and models behind REST.

mod health;
mod models;

pub use health::{Vitals, routes, serve};
pub use models::{Found, ModelSource, Shelf, SourceError, model_routes};
