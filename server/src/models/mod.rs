//! Models behind REST: one object in, one answer out; the Open Inference Protocol; what MLflow's clients send.

mod answer;
mod asked;
mod meters;
mod mlflow;
mod oip;
mod refusal;
mod rest;
mod rows;
mod shelf;
mod source;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

pub use shelf::Shelf;
pub use source::{Found, ModelSource, SourceError};

/// The largest body that is read.
const LARGEST: usize = 16 << 20;

/// The routes of models.
pub fn model_routes(shelf: Arc<Shelf>) -> Router {
    Router::new()
        .route("/predict", post(rest::predict_default))
        .route("/v1/models", get(rest::list))
        .route("/v1/models/{name}", get(rest::describe))
        .route("/v1/models/{name}/predict", post(rest::predict))
        .route("/v2", get(oip::server))
        .route("/v2/health/live", get(oip::live))
        .route("/v2/health/ready", get(oip::ready))
        .route("/v2/models", get(oip::list))
        .route("/v2/models/{name}", get(oip::metadata))
        .route("/v2/models/{name}/ready", get(oip::model_ready))
        .route("/v2/models/{name}/infer", post(oip::infer))
        .route(
            "/v2/models/{name}/versions/{version}",
            get(oip::metadata_of),
        )
        .route(
            "/v2/models/{name}/versions/{version}/ready",
            get(oip::model_ready_of),
        )
        .route(
            "/v2/models/{name}/versions/{version}/infer",
            post(oip::infer_of),
        )
        .route("/invocations", post(mlflow::invocations))
        .route("/ping", get(mlflow::ping))
        .route("/version", get(mlflow::version))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(shelf)
}
