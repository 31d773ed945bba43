//! Models outside of any run: for the command line.

use bytes::Bytes;
use pipectl_engine::{operator::TaskError, time::Timestamp};

use crate::{isolated::ChildHouse, online::context, support::model};

/// The `.onnx` file that a reference names: a registered version whose digest is checked, one that ships, one of MLflow, or
/// a file.
///
/// # Errors
/// When there is no such model, or it cannot be read.
pub async fn model_file(
    house: ChildHouse,
    now: Timestamp,
    reference: &str,
) -> Result<Bytes, TaskError> {
    model::content(&context(house, now), reference).await
}
