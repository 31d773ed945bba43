//! MLflow beside our own registry: what is trained is written there too, and models are read from there.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::MlflowModels;
pub(crate) use read::fetch;
pub(crate) use write::track;
