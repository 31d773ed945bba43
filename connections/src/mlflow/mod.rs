//! Speaks to an MLflow tracking server by its REST API: experiments, runs, artifacts, registered models.

mod client;
mod models;
mod runs;

pub use client::Mlflow;
pub use models::MlflowModel;
pub use runs::{MlflowRun, RunFacts};
